"""How much of a page is read where it is only a picture: pages of textbooks and articles drawn at 200 dots an inch, against the words of their text layer.

    MEDRAG_DATA=/path/to/pack python eval/benchmarks/ocr.py [--pages 12]

Words are runs of three letters or more, counted with their repeats: recall is the share of a page's words that is read, precision the share of what is read that the
page has. The peer in the same run is rapidocr-onnxruntime, the package before rapidocr, where it is installed (``pip install rapidocr-onnxruntime``, Python before 3.13).
Writes ``eval/results/ocr.json``.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pymupdf

from medrag._util.files import write_json
from medrag._util.places import share
from medrag.corpora import _ocr as ocr

LEAST = 80  # words of a page that is taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=12)
    parser.add_argument("--out", type=Path, default=share() / "eval" / "results" / "ocr.json")
    options = parser.parse_args()
    ways: dict[str, Callable[[Any], str]] = {ocr.version(): as_medrag}
    if importlib.util.find_spec("rapidocr_onnxruntime"):
        ways["rapidocr-onnxruntime"] = before()
    pages = drawn_pages(sorted(Path(os.environ["MEDRAG_DATA"]).rglob("*.pdf")), options.pages)
    found: dict[str, Any] = {"pages": len(pages), "words": sum(sum(words(page.get_text()).values()) for page in pages)}
    for name, read in ways.items():
        found[name.partition(" ")[0]] = judged(read, pages)
    write_json(options.out, found)
    print(json.dumps(found, indent=1))


def drawn_pages(files: list[Path], count: int) -> list[Any]:
    """Pages with words enough, each of another file in turn."""
    draw, pages = random.Random(0), list[Any]()
    documents = [pymupdf.open(file) for file in files]
    while len(pages) < count:
        for document in documents:
            page = document[draw.randrange(len(document))]
            if sum(words(page.get_text()).values()) >= LEAST and len(pages) < count:
                pages.append(page)
    return pages


def words(text: str) -> Counter[str]:
    return Counter(re.findall(r"[a-z]{3,}", text.lower()))


def judged(read: Callable[[Any], str], pages: list[Any]) -> dict[str, float]:
    right, there, told, began = 0, 0, 0, time.process_time()
    for page in pages:
        seen, truth = words(read(page)), words(page.get_text())
        right, there, told = right + (seen & truth).total(), there + truth.total(), told + seen.total()
    seconds = (time.process_time() - began) / len(pages)
    return {"recall": round(right / there, 4), "precision": round(right / told, 4), "cpu_s_a_page": round(seconds, 2)}


def as_medrag(page: Any) -> str:
    return "\n".join(line.text for line in ocr.read(page))


def before() -> Callable[[Any], str]:
    from rapidocr_onnxruntime import RapidOCR

    engine = RapidOCR()

    def read(page: Any) -> str:
        pixels = page.get_pixmap(dpi=ocr.DPI, alpha=False, colorspace="rgb")
        picture = np.frombuffer(pixels.samples, np.uint8).reshape(pixels.height, pixels.width, 3)
        return "\n".join(text for _, text, _ in engine(np.ascontiguousarray(picture[..., ::-1]))[0] or ())

    return read


if __name__ == "__main__":
    main()
