"""How long a warm `answer()` takes outside the generator, and how long the package and the command take to start.

    python eval/benchmarks/answer.py [--index sample] [--runs 20]

Prints one JSON object; times in milliseconds, medians over the runs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from medrag import MedRAG
from medrag._util.fetch import package_file

QUESTIONS = (
    ("pydicom-data/data_store/data/RG1_UNCR.dcm", "Are there masses in the lungs?"),
    ("scikit-image/skimage/data/retina.jpg", "What is the optic disc?"),
    ("scikit-image/skimage/data/ihc.png", "What does the brown stain mark?"),
)


def warm(index: str, runs: int) -> dict[str, dict[str, float]]:
    """Median time of each stage by image, and of all stages but the generator's.

    Before each, the encoders forget what they were asked.
    """
    rag = MedRAG.open(index)
    images = [package_file(spec) for spec, _ in QUESTIONS]
    laps: dict[str, list[dict[str, float]]] = {image.name: [] for image in images}
    for run in range(runs + 2):
        for image, (_, question) in zip(images, QUESTIONS, strict=True):
            for memo in rag.encoders.values():
                memo.forget()
            timings = dict(rag.answer(image, question).timings)
            if run > 1:
                laps[image.name].append(timings)
    return {name: stages(found) for name, found in laps.items()}


def stages(laps: list[dict[str, float]]) -> dict[str, float]:
    """Medians in milliseconds."""
    median = {name: round(1000 * statistics.median(lap[name] for lap in laps), 2) for name in laps[0]}
    outside = [sum(lap.values()) - lap["generate"] for lap in laps]
    return {**median, "outside the generator": round(1000 * statistics.median(outside), 2)}


def start(command: list[str], runs: int = 5) -> float:
    """Median wall time of a whole process."""
    times = []
    for _ in range(runs + 1):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - began)
    return round(1000 * statistics.median(times[1:]), 1)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--index", default="sample")
    parser.add_argument("--runs", type=int, default=20)
    options = parser.parse_args()
    bare = start([sys.executable, "-c", "pass"])
    figures = {
        "python alone": bare,
        "import medrag, over python alone": round(start([sys.executable, "-c", "import medrag"]) - bare, 1),
        "medrag --help": start([str(Path(sys.executable).with_name("medrag")), "--help"]),
        "warm answer": warm(options.index, options.runs),
    }
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
