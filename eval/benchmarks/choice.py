"""What judged queries to one's own index choose is worth: the evidence that is kept, beside the settings that ship and the first three hits.

    MEDRAG_DATA=/path/to/pack python eval/benchmarks/choice.py [--work FOLDER] [--queries 150]

The index holds MedQuAD's answers of three institutes (NIDDK, NINDS, NHLBI), by meaning and by words; the queries are questions of MedQuAD,
drawn with seed 0, each with the document that answers it. `medrag calibrate` chooses on half of them, the other half judges. Writes
``eval/results/choice.json``. FOLDER keeps the index for the next run. About six minutes on 2 cores, nearly all for encoding.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

from medrag._util.files import write_json
from medrag._util.places import share

PARTS = {"niddk": "5_NIDDK_QA", "ninds": "6_NINDS_QA", "nhlbi": "8_NHLBI_QA_XML"}


def questions(data: Path) -> list[tuple[str, str]]:
    """Each question of the three with its document's id in the index."""
    return [
        ((asked.text or "").strip(), f"{name}:{path.stem}")
        for name, folder in PARTS.items()
        for path in sorted((data / "open/medquad" / folder).glob("*.xml"))
        for asked in ElementTree.parse(path).getroot().iter("Question")
    ]


def main(work: Path, count: int) -> dict[str, object]:
    data = Path(os.environ["MEDRAG_DATA"])
    corpora = [f"  - {{name: {n}, reader: medquad, path: {data / 'open/medquad' / p}}}" for n, p in PARTS.items()]
    recipe = work / "choice.yaml"
    recipe.write_text(
        "name: choice\ncorpora:\n" + "\n".join(corpora) + "\nencoders:\n  text: {model: minilm}\nindexes:\n"
        "  text: {kind: faiss, encoder: text, items: [passage], options: {factory: Flat}}\n"
        "  lexical: {kind: bm25, items: [passage]}\n"
    )
    drawn = random.Random(0).sample(questions(data), count)
    with (work / "judged.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("question", "relevant"), *drawn])
    home = {**os.environ, "MEDRAG_HOME": str(work / "home")}
    command = [sys.executable, "-m", "medrag"]
    subprocess.run([*command, "index", "build", str(recipe)], env=home, check=True, stdout=subprocess.DEVNULL)
    calibrate = [*command, "calibrate", str(recipe), "--task", str(work / "judged.csv"), "--json"]
    told = subprocess.run(calibrate, env=home, check=True, capture_output=True, text=True).stdout
    return {"queries": count, **json.loads(told)["selection"][""]}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="for the index (default: a temporary folder)")
    parser.add_argument("--queries", type=int, default=150)
    parser.add_argument("--out", type=Path, default=share() / "eval" / "results" / "choice.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = options.work or Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        result = main(place, options.queries)
    write_json(options.out, result)
    print(json.dumps(result, indent=1))
