"""Work in another process: what it gives comes back as it was; what hangs, eats memory or dies is one bad record, and the next piece of work goes on."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest
from some_pdfs import two_columns

from medrag._util import apart
from medrag.cli.corpus import try_corpus
from medrag.corpora import check, open_corpus
from medrag.corpora.pdf import PdfPages
from medrag.errors import BadRecord, CorpusError, ImageError
from medrag.settings import CorpusSettings


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(apart, "SECONDS", 3.0)
    monkeypatch.delenv("MEDRAG_ISOLATION", raising=False)


def counted(upto: int, report) -> Iterator[int]:
    for n in range(upto):
        if n == 2:
            report(BadRecord("two", "is odd", "mend it"))
        else:
            yield n


def dead(_report) -> Iterator[int]:
    yield 1
    os.kill(os.getpid(), signal.SIGSEGV)


def asleep() -> None:
    time.sleep(60)


def slow_but_alive() -> str:
    for _ in range(5):
        time.sleep(1)
        apart.beat()
    return "done"


def greedy() -> int:
    return len(bytes(apart.MEMORY + (1 << 30)))


def refusing() -> None:
    raise ImageError("a.png", "is empty", "fetch it")


def test_items_and_reports_come_back():
    told: list[BadRecord] = []
    assert list(apart.each("f", counted, 4, report=told.append)) == [0, 1, 3]
    assert [(bad.source, bad.problem, bad.hint) for bad in told] == [("two", "is odd", "mend it")]


def test_a_worker_that_dies_is_one_bad_record_and_the_next_goes_on():
    told: list[BadRecord] = []
    assert list(apart.each("f.pdf", dead, report=told.append)) == [1]
    assert [str(bad) for bad in told] == [f"f.pdf: its decoder ended the process (SIGSEGV) → {apart.HINT}"]
    assert list(apart.each("f", counted, 2, report=told.append)) == [0, 1]


def test_one_that_hangs_is_stopped_and_one_that_tells_of_itself_is_not():
    with pytest.raises(BadRecord, match="more than 3 s"):
        apart.done("f", asleep)
    assert apart.done("f", slow_but_alive) == "done"


def test_one_that_wants_too_much_memory():
    with pytest.raises(BadRecord, match="needs more than 4 GiB"):
        apart.done("f", greedy)


def test_errors_come_back_whole():
    with pytest.raises(ImageError) as caught:
        apart.done("f", refusing)
    assert (caught.value.source, caught.value.problem, caught.value.hint) == ("a.png", "is empty", "fetch it")


def test_one_that_is_left_early_does_not_disturb_the_next():
    items = apart.each("f", counted, 100_000, report=lambda _: None)
    assert next(items) == 0
    items.close()
    assert list(apart.each("f", counted, 2, report=lambda _: None)) == [0, 1]


def test_a_worker_does_not_start_workers():
    assert apart.wanted() and apart.done("f", apart.wanted) is False


def test_a_book_read_apart_is_the_same_book(tmp_path):
    path, told = two_columns(tmp_path / "a.pdf"), []
    corpus = PdfPages("c", path, ocr=False)
    assert list(apart.each(str(path), PdfPages.read_part, corpus, str(path), report=told.append)) == list(
        corpus.read_part(str(path), told.append)
    )
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(CorpusError):
        list(apart.each(str(path), PdfPages.read_part, corpus, str(path), report=told.append))
    assert told == []


@pytest.mark.parametrize(
    "look", [lambda settings: check(open_corpus(settings)), lambda settings: try_corpus(settings, None)]
)
def test_what_is_only_looked_at_is_read_apart_too(tmp_path, monkeypatch, look):
    """As a build reads it: a PDF that this process could not survive is counted."""
    two_columns(tmp_path / "a.pdf")
    monkeypatch.setattr("medrag.corpora.pdf.open_pdf", lambda _: pytest.fail("opened in this process"))
    settings = CorpusSettings(name="b", reader="pdf", path=str(tmp_path))
    assert look(settings).counts["page"] >= 1
    monkeypatch.setenv("MEDRAG_ISOLATION", "0")
    with pytest.raises(pytest.fail.Exception, match="in this process"):
        look(settings)
