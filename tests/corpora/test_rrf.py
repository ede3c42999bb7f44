"""The UMLS reader on small RRF folders: preferred names, filters, direction of relations, order, and bad rows."""

from __future__ import annotations

import gzip
import random
from pathlib import Path
from typing import Any

import pytest

from medrag.corpora.rrf import Rrf, direction
from medrag.errors import BadRecord, CorpusError
from medrag.types import Concept

TERMS = {"C0032285": "Pneumonia", "C0024115": "Lung diseases", "C0024109": "Lung", "C0032227": "Pleural effusion"}


def conso(
    cui: str,
    text: str,
    *,
    lat: str = "ENG",
    ts: str = "P",
    stt: str = "PF",
    pref: str = "Y",
    sab: str = "MSH",
    code: str = "D1",
    flag: str = "N",
) -> str:
    return f"{cui}|{lat}|{ts}|L1|{stt}|S1|{pref}|A1|||{code}|{sab}|MH|{code}|{text}|0|{flag}|256|"


def rel(first: str, name: str, second: str, rela: str = "", flag: str = "N", sab: str = "MSH") -> str:
    return f"{first}|A1|AUI|{name}|{second}|A2|AUI|{rela}|R1||{sab}|{sab}|||{flag}||"


def folder(path: Path, **files: list[str]) -> Path:
    for kind, rows in files.items():
        (path / f"{kind}.RRF").write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


def read(corpus: Any) -> tuple[list[Any], list[str]]:
    bad: list[BadRecord] = []
    return list(corpus.read(bad.append)), [str(problem) for problem in bad]


def basic() -> list[str]:
    return [conso(cui, name) for cui, name in sorted(TERMS.items())]


def test_names_types_definitions_and_references(tmp_path: Path) -> None:
    rows = [
        conso("C0032285", "Pneumonias", ts="S", stt="VO", pref="N", code="D011014"),
        conso("C0032285", "Pneumonia", code="D011014"),
        conso("C0032285", "Lung inflammation", ts="S", sab="SNOMEDCT_US", code="205237003"),
        conso("C0032285", "Neumonía", lat="SPA"),
        conso("C0032285", "Old name", flag="O"),
    ]
    path = folder(
        tmp_path,
        MRCONSO=rows,
        MRSTY=["C0000001|T001||||", "C0032285|T047|B2|Disease or Syndrome|AT1||", "C0099999|T001||||"],
        MRDEF=["C0032285|A1|AT1||NCI|Inflammation of the lung.|N||", "C0032285|A1|AT2||MSH|Suppressed.|O||"],
    )
    items, bad = read(Rrf("umls", path))
    assert items == [
        Concept(
            "umls:UMLS:C0032285", "Pneumonia", ("Lung inflammation", "Pneumonias"), ("C0032285",), "Inflammation of the lung.",
            ("T047",), ("MESH:D011014", "SNOMEDCT_US:205237003"),
        )
    ]  # fmt: skip
    assert not bad
    assert read(Rrf("u", path, languages=["SPA"]))[0][0].name == "Neumonía"
    assert "Old name" in read(Rrf("u", path, suppress=[]))[0][0].synonyms
    assert read(Rrf("u", path, sources=["SNOMEDCT_US"]))[0][0].name == "Lung inflammation"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (rel("C0032285", "PAR", "C0024115", "inverse_isa"), ("C0032285", "is_a", "C0024115")),
        (rel("C0024115", "CHD", "C0032285", "isa"), ("C0032285", "is_a", "C0024115")),
        (rel("C0032285", "PAR", "C0024115"), ("C0032285", "is_a", "C0024115")),
        (rel("C0024115", "RN", "C0032285"), ("C0032285", "narrower_than", "C0024115")),
        (rel("C0032285", "RO", "C0024109", "finding_site_of"), ("C0032285", "has_finding_site", "C0024109")),
        (rel("C0024109", "RO", "C0032285", "has_finding_site"), ("C0032285", "has_finding_site", "C0024109")),
        (rel("C0032285", "RO", "C0032227", "due_to"), ("C0032227", "due_to", "C0032285")),
        (rel("C0032227", "RO", "C0032285", "cause_of"), ("C0032227", "due_to", "C0032285")),
        (rel("C0032285", "SIB", "C0032227"), None),
        (rel("C0032285", "RO", "C0032285"), None),
        (rel("C0032285", "PAR", "C0024115", flag="O"), None),
        (rel("C0032285", "PAR", "C7777777"), None),
    ],
)  # fmt: skip
def test_relations_in_one_direction(tmp_path: Path, row: str, expected: tuple[str, str, str] | None) -> None:
    items, _ = read(Rrf("umls", folder(tmp_path, MRCONSO=basic(), MRREL=[row])))
    found = [(t.subject_id[5:], t.relation, t.object_id[5:]) for t in items if t.kind == "triple"]
    assert found == ([expected] if expected else [])
    if expected:
        assert (items[-1].subject, items[-1].object) == (TERMS[expected[0]], TERMS[expected[2]])


def test_relations_option_and_repeated_facts(tmp_path: Path) -> None:
    rows = [
        rel("C0032285", "PAR", "C0024115"),
        rel("C0032285", "PAR", "C0024115", sab="NCI"),
        rel("C0032285", "RO", "C0024109", "finding_site_of"),
    ]
    path = folder(tmp_path, MRCONSO=basic(), MRREL=rows)
    assert [t.relation for t in read(Rrf("u", path))[0] if t.kind == "triple"] == ["is_a", "has_finding_site"]
    assert [t.relation for t in read(Rrf("u", path, relations=["PAR"]))[0] if t.kind == "triple"] == ["is_a"]
    assert [t.relation for t in read(Rrf("u", path, relations=["finding_site_of"]))[0] if t.kind == "triple"] == [
        "has_finding_site"
    ]


def test_a_fact_told_from_both_ends_passes_the_check(tmp_path: Path) -> None:
    from medrag.corpora import check

    rows = [rel("C0032285", "PAR", "C0024115", "inverse_isa"), rel("C0024115", "CHD", "C0032285", "isa")]
    report = check(Rrf("u", folder(tmp_path, MRCONSO=basic(), MRREL=rows)))
    assert report.counts["triple"] == 2


def test_inverse_names() -> None:
    assert direction("RO", "part_of") == ("part_of", False)
    assert direction("RO", "has_part") == ("part_of", True)
    assert direction("RO", "associated_with") == ("associated_with", False)
    assert direction("XX", "") == ("related_to", False)


def test_unsorted_files_give_the_same_concepts(tmp_path: Path) -> None:
    rows = [conso(f"C{n:07d}", f"name {n} {k}", ts="P" if k == 0 else "S") for n in range(40) for k in range(3)]
    types = [f"C{n:07d}|T{n:03d}||||" for n in range(0, 40, 2)]
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    expected, _ = read(Rrf("u", folder(tmp_path / "a", MRCONSO=rows, MRSTY=types)))
    chance = random.Random(3)
    chance.shuffle(rows), chance.shuffle(types)
    found, bad = read(Rrf("u", folder(tmp_path / "b", MRCONSO=rows, MRSTY=types)))
    assert not bad and len(found) == 40
    plain = [[(c.id, c.name, sorted(c.synonyms), c.types) for c in some] for some in (found, expected)]
    assert plain[0] == plain[1]


def test_bad_rows_are_counted_not_flooded(tmp_path: Path) -> None:
    path = folder(tmp_path, MRCONSO=[*basic(), *["short|row"] * 1000, "X12|" + "|" * 20], MRREL=["C0032285|A1|AUI"])
    with (path / "MRCONSO.RRF").open("ab") as stream:
        stream.write(b"C0032285|ENG|\xff\xfe|\n")
    items, bad = read(Rrf("u", path))
    assert len(items) == 4
    assert sum("fewer than the 18 fields" in line for line in bad) == 4
    assert any("997 more" in line for line in bad)
    assert any("not UTF-8" in line for line in bad) and any("not a CUI" in line for line in bad)
    assert any("16 fields of MRREL" in line and ":1:" in line for line in bad)


def test_gzip_whole_and_cut_short(tmp_path: Path) -> None:
    data = gzip.compress(
        "".join(f"{conso(f'C{n:07d}', f'name {random.Random(n).random()}')}\n" for n in range(3000)).encode()
    )
    (tmp_path / "MRCONSO.RRF.gz").write_bytes(data)
    assert len(read(Rrf("u", tmp_path))[0]) == 3000
    (tmp_path / "MRCONSO.RRF.gz").write_bytes(data[: len(data) // 2])
    items, bad = read(Rrf("u", tmp_path))
    assert 0 < len(items) < 3000 and any("cut short" in line for line in bad)


def test_folder_without_mrconso_or_without_concepts(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="MRCONSO"):
        read(Rrf("u", tmp_path))
    with pytest.raises(CorpusError, match="no concept"):
        read(Rrf("u", folder(tmp_path, MRCONSO=basic()), languages=["FRE"]))
