"""De-identification by list: of every attribute that the basic profile of DICOM PS3.15 names, is its value gone from the copy?

    python eval/benchmarks/deidentify.py

Files are those of the package pydicom-data and pydicom's own. For each file, at every depth, each value of an attribute of the profile (edition 2024b, as the package
dicom-anonymizer tabulates table E.1-1; curve and overlay groups and private attributes too) is looked for at the same attribute of the copy. A value counts as kept
where it still stands there. Text in the pixels is counted by ``pytest -m slow tests/corpora/test_deidentify.py``. Writes ``eval/results/deidentify.json``.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
from dicomanonymizer.simpledicomanonymizer import dicom_anonymization_database_selector as tables

from medrag._util.fetch import package_file
from medrag._util.files import write_json
from medrag._util.places import share
from medrag.corpora.deidentify import EDITION, deidentify
from medrag.errors import CorpusError

Values = dict[int, set[str]]  # by attribute


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=share() / "eval" / "results" / "deidentify.json")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    folders = [
        package_file("pydicom-data/data_store/data/RG1_UNCR.dcm").parent,
        Path(pydicom.__file__).parent / "data/test_files",
    ]
    found = measured([path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()])
    write_json(options.out, found)
    print(json.dumps(found, indent=1))


def measured(paths: list[Path]) -> dict[str, Any]:
    """Files copied or left out, and what became of the values that the profile names."""
    named = {
        tag[0] << 16 | tag[1]
        for name, tags in tables(EDITION).items()
        if name != "ALL_TAGS"
        for tag in tags
        if len(tag) == 2
    }
    copied, left_out, values, attributes, kept = 0, 0, 0, set[int](), dict[str, list[str]]()
    for path in paths:
        with tempfile.TemporaryDirectory() as folder:
            try:
                deidentify(path, Path(folder) / "clean", key="a key of this measurement", pixels=False)
            except CorpusError:
                left_out += 1
                continue
            copied += 1
            (copy,) = (Path(folder) / "clean").iterdir()
            before, after = told(path, named), told(copy, named)
        values += sum(map(len, before.values()))
        attributes |= before.keys()
        if same := [
            f"{pydicom.datadict.keyword_for_tag(tag) or hex(tag)}" for tag in before if before[tag] & after[tag]
        ]:
            kept[path.name] = same
    return {
        "copied": copied, "left_out": left_out, "attributes_named": len(named), "attributes_met": len(attributes),
        "values": values, "kept": sum(map(len, kept.values())), "kept_in": kept, "edition": EDITION,
    }  # fmt: skip


def told(path: Path, named: set[int]) -> Values:
    """The values, at any depth, of attributes that the profile names, of private ones, and of curves and overlay texts."""
    found: Values = defaultdict(set)
    for element in walked(pydicom.dcmread(path, force=True, stop_before_pixels=True)):
        tag, text = int(element.tag), "" if element.VR == "SQ" else str(element.value).strip()
        wanted = tag in named or element.tag.is_private or element.tag.group & 0xFF00 == 0x5000
        if wanted and text not in ("", "None", "[]", "0"):
            found[tag].add(text)
    return found


def walked(data: Any) -> Iterator[Any]:
    for element in data:
        yield element
        if element.VR == "SQ":
            for item in element.value:
                yield from walked(item)


if __name__ == "__main__":
    main()
