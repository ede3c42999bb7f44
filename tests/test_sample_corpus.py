"""The corpus that ships: primer, atlas, uid list, cards and recipes say what they hold, and no more."""

import csv
import importlib.util
import re
import sys
from pathlib import Path

import pytest
import yaml

from medrag._util.places import expand, share
from medrag.errors import ModelMissing
from medrag.settings import load_recipe
from medrag.types import DOMAINS

SAMPLE = share() / "corpora" / "sample"
CARDS = sorted((share() / "corpora").glob("*/card.yaml"))
REQUIRED = {"name", "about", "licence", "origin", "version", "size", "checksums", "counts", "access", "records"}


def card_of(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def problems(card: dict) -> list[str]:
    """What is wrong with a card."""
    found = [f"lacks {key}" for key in sorted(REQUIRED - set(card))]
    if bool(card.get("path")) == bool(card.get("paths")):
        found.append("needs either path or paths")
    if not all(isinstance(number, int) and number >= 0 for number in card.get("counts", {"": -1}).values()):
        found.append("counts are whole numbers")
    found += [
        f"{name}: no sha256"
        for name, sha in (card.get("checksums") or {}).items()
        if not re.fullmatch(r"[0-9a-f]{64}", str(sha))
    ]
    if len(card.get("records") or []) < 2 or not all("id" in record for record in card.get("records") or []):
        found.append("needs two records with ids")
    return found


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.parent.name)
def test_card_is_complete(path):
    card = card_of(path)
    assert problems(card) == []
    assert card["name"] == path.parent.name


def test_the_card_check_finds_faults():
    good = card_of(SAMPLE / "card.yaml")
    assert problems({**good, "checksums": {"a": "123"}}) == ["a: no sha256"]
    assert "lacks licence" in problems({key: value for key, value in good.items() if key != "licence"})
    assert problems({**good, "counts": {"studies": "many"}}) == ["counts are whole numbers"]


def test_cards_do_not_hold_noncommercial_text():
    for path in CARDS:
        card = card_of(path)
        if re.search(r"\bNC\b|-NC|academic", str(card["licence"])):
            assert all({"findings", "impression", "text"}.isdisjoint(record) for record in card["records"])


@pytest.mark.parametrize("name", ["sample", "full"])
def test_every_corpus_of_a_recipe_has_a_card(name):
    covered = {one for path in CARDS for one in card_of(path).get("covers", [path.parent.name])}
    recipe = load_recipe(name)
    assert {corpus.name for corpus in recipe.corpora} <= covered
    assert set(recipe.indexes) == {"text", "lexical", "reports", "reports-lexical", "image", "similar-reports"}


def test_sample_needs_nothing_of_the_real_data_pack():
    recipe = load_recipe("sample")
    assert all(corpus.path.startswith(("package:", "share:")) for corpus in recipe.corpora)
    assert "MEDRAG_DATA" not in recipe.model_dump_json()


def test_uid_list():
    lines = (SAMPLE / "iu_uids.txt").read_text(encoding="utf-8").splitlines()
    uids = [int(line) for line in lines if not line.startswith("#")]
    assert lines[0].startswith("#")
    assert len(uids) == len(set(uids)) == 3236
    assert uids == sorted(uids)
    assert (uids[0], uids[9], uids[-1]) == (1, 11, 3999)


def atlas() -> list[dict[str, str]]:
    with (SAMPLE / "images.csv").open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def test_atlas_table():
    rows = atlas()
    assert len(rows) == len({row["file"] for row in rows}) == len({row["study"] for row in rows}) == 21
    assert {row["domain"] for row in rows} <= set(DOMAINS)
    assert {"chest-xray", "ct", "mr", "ultrasound", "fundus", "histology", "other"} <= {row["domain"] for row in rows}
    assert all(row["caption"].endswith(".") for row in rows)
    assert "mass" not in next(row["caption"] for row in rows if "RG1" in row["file"]).lower()


def test_atlas_is_read(tmp_path):
    from medrag.corpora.images import ImageFolder

    try:
        [expand(row["file"]) for row in atlas()]
    except ModelMissing as missing:
        pytest.skip(str(missing))
    skipped = []
    records = list(ImageFolder("atlas", SAMPLE / "images.csv").read(skipped.append))
    assert skipped == []
    assert len(records) == 21
    assert records[0].id == "atlas:pydicom-data/data_store/data/RG1_UNCR.dcm"
    assert (records[0].meta["columns"], records[0].meta["rows"], records[0].domain) == (1841, 1955, "chest-xray")
    assert records[19].text.startswith("Immunohistochemistry")

    listed = tmp_path / "list.csv"
    listed.write_text(
        "file,caption\nshare:corpora/sample/iu_uids.txt,no picture\nnothing.png,not there\n", encoding="utf-8"
    )
    assert list(ImageFolder("mine", listed).read(skipped.append)) == []
    assert len(skipped) == 2


@pytest.fixture(scope="module")
def primer():
    pymupdf = pytest.importorskip("pymupdf")
    with pymupdf.open(SAMPLE / "primer" / "primer.pdf") as document:
        yield document


def text_of(document) -> str:
    return " ".join(" ".join(page.get_text() for page in document).split())


def test_primer_pages_and_pictures(primer):
    assert 12 <= len(primer) <= 16
    assert sum(len(page.get_images()) for page in primer) >= 19
    assert all(len(page.get_text()) > 200 for page in primer)
    assert all("medrag sample primer, CC BY 4.0" in page.get_text() for page in primer)
    assert (SAMPLE / "primer" / "primer.pdf").stat().st_size < 4_000_000


def test_primer_stays_inside_its_margins(primer):
    for page in primer:
        for block in page.get_text("blocks"):
            assert block[0] >= 50 and block[2] <= page.rect.width - 45 and block[3] <= page.rect.height - 20


def test_primer_headings_figures_and_tables_in_order(primer):
    headings = [title for _, title, _ in primer.get_toc()]
    for wanted in ("3.1 Lung nodule and lung mass", "3.4 Pleural effusion", "3.5 Pneumothorax", "5.3 Diabetic retinopathy",
                   "5.4 The optic disc and glaucoma", "6.3 Immunohistochemistry", "6.6 Scores", "7 Glossary", "8 Sources"):  # fmt: skip
        assert wanted in headings
    text = text_of(primer)
    source = (SAMPLE / "primer" / "primer.md").read_text(encoding="utf-8")
    captions = [int(number) for number in re.findall(r"!\[Figure (\d+)\.", source)]
    assert captions == list(range(1, 20))
    places = [text.index(f"Figure {number}. ") for number in captions]
    assert places == sorted(places)
    assert all(f"Table {number}. " in text for number in range(1, 9))


def test_primer_does_not_answer_the_demonstration(primer):
    """Captions of the three images name anatomy, technique and stain; nothing says what the images show beyond that."""
    source = (SAMPLE / "primer" / "primer.md").read_text(encoding="utf-8")
    captions = dict(re.findall(r"!\[(Figure \d+)\. (.*)\]\(", source))
    verdicts = r"\bmass|nodul|metasta|tumou?r|cancer|carcinom|patholog|abnormal|catheter|diabet|glaucom|retinopath|healthy|malignan|benign"
    for number in (1, 2, 5, 6, 13, 16, 17):
        assert not re.search(verdicts, captions[f"Figure {number}"], re.IGNORECASE)
    assert "no advice" in text_of(primer)


def test_primer_is_made_from_its_sources():
    """The script gives the text of the PDF that is kept (byte for byte with the same libraries)."""
    pymupdf = pytest.importorskip("pymupdf")
    try:
        expand("package:pydicom-data/data_store/data/RG1_UNCR.dcm")
        expand("package:scikit-image/skimage/data/retina.jpg")
    except ModelMissing as missing:
        pytest.skip(str(missing))
    folder = SAMPLE / "primer"
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        spec = importlib.util.spec_from_file_location("primer_make", folder / "make.py")
        make = importlib.util.module_from_spec(spec)
        sys.modules["primer_make"] = make
        spec.loader.exec_module(make)
        built = make.build()
    finally:
        sys.path.remove(str(folder))
        for name in {"primer_make", "canvas", "photographs", "schematics"} - before:
            sys.modules.pop(name, None)
    with pymupdf.open("pdf", built) as new, pymupdf.open(folder / "primer.pdf") as kept:
        assert text_of(new) == text_of(kept)
        assert [len(page.get_images()) for page in new] == [len(page.get_images()) for page in kept]


@pytest.mark.data
def test_uid_list_is_the_packs():
    import os

    folder = os.environ.get("MEDRAG_DATA")
    if not folder:
        pytest.skip("MEDRAG_DATA is not set")
    with (Path(folder) / "noncommercial/iu_xray/reports.csv").open(encoding="utf-8", newline="") as handle:
        found = {row["uid"] for row in csv.DictReader(handle)}
    assert {
        line for line in (SAMPLE / "iu_uids.txt").read_text(encoding="utf-8").splitlines() if not line.startswith("#")
    } == found
