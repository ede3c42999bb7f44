"""The real data pack: the counts, and records 0, 9 and last."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from medrag.corpora.chunk import chunk
from medrag.corpora.pdf import PdfPages
from medrag.corpora.qa import MedQuad
from medrag.corpora.reports import CsvReports
from medrag.errors import BadRecord
from medrag.settings import ChunkSettings
from medrag.types import ImageRecord, Page, Study

pytestmark = pytest.mark.data


def folder(name: str) -> Path:
    return Path(os.environ["MEDRAG_DATA"]) / name


def never(error: BadRecord) -> None:
    raise AssertionError(str(error))


def test_iu_reports_and_images() -> None:
    corpus = CsvReports(
        "iu", folder("noncommercial/iu_xray"), projections="projections.csv", labels="labels_negbio14.csv", prefix="CXR"
    )
    items = list(corpus.read(never))
    studies = [item for item in items if isinstance(item, Study)]
    images = [item for item in items if isinstance(item, ImageRecord)]
    assert (len(studies), len(images), len({item.id for item in items})) == (3236, 6203, 9439)
    assert [studies[i].id for i in (0, 9, -1)] == ["iu:CXR1", "iu:CXR11", "iu:CXR3999"]
    assert studies[0].images == ("iu:CXR1#1_IM-0001-4001", "iu:CXR1#1_IM-0001-3001")
    assert studies[0].sections["impression"] == "Normal chest x-XXXX." and studies[0].meta["positive"] == ["normal"]
    assert {image.view for image in images} == {"Frontal", "Lateral"}


def test_iu_without_the_validation_split() -> None:
    corpus = CsvReports(
        "iu", folder("noncommercial/iu_xray"), projections="projections.csv", splits="splits.json", exclude_split="val"
    )
    items = list(corpus.read(never))
    assert sum(isinstance(item, Study) for item in items) == 2836


def test_medquad() -> None:
    documents = list(MedQuad("medquad", folder("open/medquad")).read(never))
    assert len(documents) == 5490 == len({d.id for d in documents})
    # 16,407 pairs in the usual spelling, 16 more in four files that spell their elements otherwise
    assert sum(len(d.blocks) for d in documents) // 2 == 16423
    assert [documents[i].id.rpartition("/")[2] for i in (0, 9, -1)] == ["0000001_1", "0000003_3", "0000440"]
    assert documents[0].meta["publisher"] == "CancerGov"


def test_openstax() -> None:
    items = list(PdfPages("openstax", folder("open/openstax")).read(never))
    pages = [item for item in items if isinstance(item, Page)]
    figures = [item for item in items if isinstance(item, ImageRecord)]
    assert (len(pages), len(figures)) == (567 + 213, 435)
    assert sum(1 for figure in figures if figure.text) >= 400
    assert [pages[i].id for i in (0, 9, -1)] == [
        "openstax:anatomy_physiology_2e_selected#p1",
        "openstax:anatomy_physiology_2e_selected#p10",
        "openstax:microbiology_selected#p213",
    ]
    assert pages[0].title == "Anatomy and Physiology 2e (selected chapters)"
    boxes = [(page, block.box) for page in pages for block in page.blocks if block.box]
    assert all(b.x0 >= -1 and b.x1 <= p.width + 1 and b.y0 >= -1 and b.y1 <= p.height + 1 for p, b in boxes)
    passages = [passage for page in pages for passage in chunk(page, ChunkSettings())]
    assert 3200 <= len(passages) <= 3700 and len({passage.id for passage in passages}) == len(passages)


def test_guideline_pdfs() -> None:
    reported: list[BadRecord] = []
    pages = [item for item in PdfPages("pdfs", folder("open/pdfs")).read(reported.append) if isinstance(item, Page)]
    assert [one.problem.partition(":")[0] for one in reported] == [
        "pages 21, 31"
    ]  # check boxes have their words twice, once in white
    assert len(pages) == 197
    two = next(page for page in pages if page.id == "pdfs:doc_002#p50")
    texts = [block.text for block in two.blocks]
    assert texts.index("Summary of the evidence") < texts.index("Resource use")
    assert "Core Components" not in {text.title() for text in texts}  # the running header
