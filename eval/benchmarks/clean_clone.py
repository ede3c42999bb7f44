"""The two commands of the README on a clean clone, with an environment made anew: how long until the first cited answers, until the tests have passed.

    python eval/benchmarks/clean_clone.py [--no-test]

Clones the commit that is checked out into a temporary folder and runs ``make demo`` and ``make test`` there; with MEDRAG_DATA set the tests that need
the real-data pack run too. Downloads are part of the time: about 3 GB of packages. Ends with the code of the command that failed. Writes
``eval/results/clean_clone.json``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from medrag._util.files import write_json

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-test", dest="test", action="store_false", help="make demo alone")
    parser.add_argument("--out", type=Path, default=ROOT / "eval" / "results" / "clean_clone.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as held:
        folder = Path(held) / "medrag"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
        found: dict[str, Any] = {"demo_minutes": timed("demo", folder)[0]}
        found["gb_on_disk"] = round(int(told(["du", "-sk", str(folder)]).split()[0]) / 2**20, 1)
        found["citations"] = (folder / "demo" / "demo.html").read_text(encoding="utf-8").count('class="chip"')
        if options.test:
            found["test_minutes"], said = timed("test", folder)
            found["tests"] = said.strip().splitlines()[-1].strip("= ")
    write_json(options.out, found)
    print(json.dumps(found, indent=1))


def timed(target: str, folder: Path) -> tuple[float, str]:
    """(minutes, what it said) of a make target; ends the program where it fails."""
    began = time.time()
    done = subprocess.run(["make", target], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)  # fmt: skip
    if done.returncode:
        sys.exit(f"make {target} failed ({done.returncode}):\n{done.stdout[-3000:]}")
    return round((time.time() - began) / 60, 1), done.stdout


def told(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    main()
