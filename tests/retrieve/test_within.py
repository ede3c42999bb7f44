"""A part of an index: by domain, licence, patient and day, in every search."""

from __future__ import annotations

import threading

import pytest

from medrag import MedRAG
from medrag._around import MOST
from medrag.build import build
from medrag.errors import SettingsError
from medrag.indexes.store import open_store
from medrag.retrieve.dense import Dense
from medrag.retrieve.lexical import Lexical
from medrag.retrieve.search import Memo
from medrag.route import DomainRouter
from medrag.select import AdaptiveSelector
from medrag.settings import Recipe
from medrag.testing import FakeEncoder, FakeGenerator, ListRetriever
from medrag.types import Hit, Passage, Query

ROWS = (  # id, patient, day, findings
    ("1", "A", "2020-01-05", "A mass in the left lung."),
    ("2", "A", "2021-06-01", "The mass in the left lung is larger."),
    ("3", "B", "2021-06-01", "A mass in the right lung."),
    ("4", "B", "", "No mass in the lung."),
)


class Letters(FakeEncoder):
    """The fake with a recipe's arguments."""

    def __init__(self, model: str, *, batch: int = 0, device: str = "") -> None:
        super().__init__()


@pytest.fixture(scope="module")
def rag(tmp_path_factory: pytest.TempPathFactory) -> MedRAG:
    folder = tmp_path_factory.mktemp("within")
    lines = "\n".join(",".join((f"s{row[0]}", *row[1:3], f'"{row[3]}"')) for row in ROWS)
    (folder / "r.csv").write_text(f"uid,patient,date,findings\n{lines}\n")
    (folder / "notes").mkdir()
    (folder / "notes" / "book.txt").write_text("A mass in the lung is a lesion over 3 cm.")
    recipe = Recipe.model_validate(
        {
            "name": "within",
            "corpora": [
                {"name": "r", "reader": "reports-csv", "path": str(folder / "r.csv"), "options": {"domain": "chest-xray"}},
                {"name": "t", "reader": "text", "path": str(folder / "notes"), "options": {"license": "CC0"}},
            ],
            "encoders": {"text": {"model": "letters", "kind": f"{__name__}:Letters"}},
            "indexes": {
                "text": {"kind": "faiss", "encoder": "text", "items": ["passage", "study"]},
                "lexical": {"kind": "bm25", "items": ["passage", "study"]},
            },
        }
    )  # fmt: skip
    build(recipe, folder / "built")
    store = open_store(folder / "built")
    retrievers = {"dense": Dense(store, "text", Memo(Letters(""))), "lexical": Lexical(store, "lexical")}
    return MedRAG(
        retrievers, DomainRouter(list(retrievers)), AdaptiveSelector(), FakeGenerator(["A mass [E1]."]), store=store
    )


@pytest.mark.parametrize(
    ("wanted", "docs"),
    [
        ({"patient": "A"}, {"r:s1", "r:s2"}),
        ({"patient": " 00a"}, {"r:s1", "r:s2"}),  # as other systems write it
        ({"patient": "B", "since": "2020-01-01"}, {"r:s3"}),
        ({"since": "2021-06-01"}, {"r:s2", "r:s3"}),
        ({"until": "20200105"}, {"r:s1"}),
        ({"license": "cc0"}, {"t:book.txt"}),
        ({"domain": "chest-xray"}, {"r:s1", "r:s2", "r:s3", "r:s4", "t:book.txt"}),
        ({"domain": "fundus"}, {"t:book.txt"}),
        ({"patient": "C"}, set()),
    ],
)
def test_each_search_finds_what_is_wanted_and_all_of_it(rag: MedRAG, wanted: dict[str, str], docs: set[str]) -> None:
    part = rag.within(**wanted)
    assert {hit.item.doc for hit in part.retrieve("a mass in the lung", k=20)} == docs
    for retriever in part.retrievers.values():
        hits = retriever.retrieve(Query("a mass in the lung"), 20)
        assert {hit.item.doc for hit in hits} == docs
        assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
    assert len(rag.retrieve("a mass in the lung", k=20)) > len(docs) - 1  # the whole is as before


def test_k_results_come_where_there_are_k(rag: MedRAG) -> None:
    """The one wanted document is the last that the index would name."""
    found = rag.within(license="CC0").retrievers["dense"].retrieve(Query("The mass in the left lung is larger."), 1)
    assert [hit.item.doc for hit in found] == ["t:book.txt"]


def test_answers_and_the_search_loop_know_nothing_else(rag: MedRAG) -> None:
    part = rag.within(patient="A")
    for answer in (part.answer(None, "Is there a mass?"), part.answer(None, "Is there a mass?", agent=True)):
        assert {hit.item.doc for _, hit in answer.context} <= {"r:s1", "r:s2"}


@pytest.mark.parametrize(
    ("wanted", "said"),
    [({}, "nothing is asked for"), ({"since": "yesterday"}, "is no day"), ({"pateint": "A"}, "pateint"), ({"patient": ""}, "nothing")],
)  # fmt: skip
def test_what_is_no_filter_is_told(rag: MedRAG, wanted: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        rag.within(**wanted)


def test_sources_are_asked_at_the_same_time() -> None:
    meeting = threading.Barrier(2, timeout=30)

    class Waits(ListRetriever):
        def retrieve(self, query: Query, k: int) -> list[Hit]:
            meeting.wait()  # both must be here
            return super().retrieve(query, k)

    book = Passage("b:1~0", "b:1", "A mass is a lesion over 3 cm.")
    both = {name: Waits([book], name=name) for name in ("one", "two")}
    asked = MedRAG(both, DomainRouter(list(both)), AdaptiveSelector(), FakeGenerator(["A mass [E1]."]))
    assert [hit.item for hit in asked.retrieve("a mass")] == [book]


def test_filters_add_up_and_hold_in_what_is_opened_from_a_part(rag: MedRAG) -> None:
    part = rag.within(patient="A").within(since="2021-01-01")
    assert {hit.item.doc for hit in part.retrieve("a mass in the lung", k=20)} == {"r:s2"}
    assert part.fingerprint != rag.fingerprint != rag.within(patient="A").fingerprint
    with pytest.raises(SettingsError, match="begin with the whole index"):
        part.within(patient="B")


def test_a_source_that_asks_an_index_of_its_own_is_answered(rag: MedRAG) -> None:
    busy = threading.Barrier(MOST, timeout=60)

    class Asks(ListRetriever):
        def retrieve(self, query: Query, k: int) -> list[Hit]:
            busy.wait()  # no thread is left
            return rag.retrieve(query.text, k=k)

    names = [f"source{n}" for n in range(MOST)]
    sources = {name: Asks([], name=name) for name in names}
    asked = MedRAG(sources, DomainRouter(names), AdaptiveSelector(), FakeGenerator([""]))
    found: list[Hit] = []
    asking = threading.Thread(target=lambda: found.extend(asked.retrieve("a mass in the lung", k=3)), daemon=True)
    asking.start()
    asking.join(60)
    assert found  # and none waits for a thread for ever


def test_an_error_waits_for_the_other_sources() -> None:
    done = threading.Event()

    class Fails(ListRetriever):
        def retrieve(self, query: Query, k: int) -> list[Hit]:
            raise SettingsError("no such thing")

    class Slow(ListRetriever):
        def retrieve(self, query: Query, k: int) -> list[Hit]:
            threading.Event().wait(0.3)
            done.set()
            return []

    both = {"fails": Fails([], name="fails"), "slow": Slow([], name="slow")}
    with pytest.raises(SettingsError, match="no such thing"):
        MedRAG(both, DomainRouter(list(both)), AdaptiveSelector(), FakeGenerator([""])).retrieve("a mass")
    assert done.is_set()
