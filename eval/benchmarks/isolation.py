"""What it costs that decoders work in a process of their own: pictures through an encoder, books read, with it and without, in turn.

    python eval/benchmarks/isolation.py [--pictures 96] [--rounds 5] [--books 4]

Needs MEDRAG_DATA. Seconds are of `Encoder.encode_items` with the shipped image encoder, and of reading the smallest books of the pack without OCR. The median of the rounds is compared, since
other programs disturb single ones. Writes ``eval/results/isolation.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from medrag._util import apart
from medrag._util.files import write_json
from medrag._util.places import share
from medrag.corpora.pdf import PdfPages
from medrag.encoders import open_encoder
from medrag.settings import EncoderSettings
from medrag.types import ImageRecord


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=96)
    parser.add_argument("--books", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=share() / "eval" / "results" / "isolation.json")
    options = parser.parse_args()
    data = Path(os.environ["MEDRAG_DATA"])
    files = sorted(p for p in data.rglob("*") if p.suffix in (".png", ".jpg", ".jpeg"))
    chosen = random.Random(1).sample(files, options.pictures)
    items = [ImageRecord(f"x:{n}", "x", "", str(path)) for n, path in enumerate(chosen)]
    encoder: Any = open_encoder(EncoderSettings(model="medrag-small"))
    books = sorted(data.rglob("*.pdf"), key=lambda path: path.stat().st_size)[: options.books]
    found = {
        f"{len(items)} pictures encoded": compared(lambda: encoder.encode_items(items), options.rounds),
        f"{len(books)} books read": compared(lambda: [read(book) for book in books], options.rounds),
    }
    write_json(options.out, found)
    print(json.dumps(found, indent=1))


def read(book: Path) -> int:
    corpus = PdfPages("c", book, ocr=False)
    if apart.wanted():
        return sum(1 for _ in apart.each(str(book), PdfPages.read_part, corpus, str(book), report=print))
    return sum(1 for _ in corpus.read_part(str(book), print))


def compared(work: Callable[[], Any], rounds: int) -> dict[str, Any]:
    """Seconds of each round with and without, and the ratio of the medians."""
    work()
    told: dict[str, list[float]] = {"0": [], "1": []}
    for _ in range(rounds):
        for switch, seconds in told.items():
            os.environ[apart.VARIABLE] = switch
            began = time.perf_counter()
            work()
            seconds.append(round(time.perf_counter() - began, 2))
    without, apart_ = (statistics.median(told[switch]) for switch in ("0", "1"))
    return {"here": told["0"], "apart": told["1"], "ratio": round(apart_ / without, 3)}


if __name__ == "__main__":
    main()
