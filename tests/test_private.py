"""Privacy mode: whatever a generator is handed, no word of a report, a passage or a quote is in it; the asker still sees where it comes from."""

from __future__ import annotations

import asyncio
import dataclasses
import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from medrag import private
from medrag.calibration import Calibration, Logistic, Sort
from medrag.graph import GraphStore
from medrag.graph.extend import extend
from medrag.pipeline import MedRAG
from medrag.prompts import REFUSAL
from medrag.retrieve.graph import GraphRetriever
from medrag.route import DomainRouter
from medrag.select import AdaptiveSelector
from medrag.settings import PipelineSettings, override
from medrag.testing import FakeGenerator, ListRetriever
from medrag.types import Concept, Context, Hit, Item, Page, Passage, Query, Study, Triple

SECRET = "zebra"  # stands in every report, passage and quote, and in nothing else
EFFUSION = Concept("hpo:HP:1", "Pleural effusion", definition="Fluid in the pleural effusion space.")
STATED = Triple(
    "iu:HP:1#located_at:L", "iu:zebra-7", "Pleural effusion", "located_at", "left lung base", "HP:1", "L",
    meta={
        "path": ["HP:1", "L"], "sentence": "Pleural effusion is seen at left lung base (stated in 2 reports).", "docs": ["iu:zebra-7"],
        "quotes": [{"doc": "iu:zebra-7", "quote": "A zebra effusion."}], "quote": "A zebra effusion.", "stated": [{"present": 2}], "sources": ["iu"],
    },
)  # fmt: skip
FOREIGN = Triple(
    "x:1", "x:zebra", "effusion", "seen_in", "chest", meta={"sentence": "A zebra pleural effusion of Mr. Smith."}
)
REPORT = Study("iu:zebra-7", {"findings": "A zebra pleural effusion."}, labels=("zebra",))
PASSAGE = Passage("book:1~0", "book:1", "A zebra pleural effusion in a textbook.", title="zebra")
ITEMS: tuple[Item, ...] = (REPORT, PASSAGE, STATED, EFFUSION, FOREIGN)
QUESTION = "Where is the pleural effusion?"


def rag(items: tuple[Item, ...] = ITEMS, private: bool = True, reply: str = "At the left lung base [E1].") -> MedRAG:
    settings = override(PipelineSettings(), {"private": private})  # type: ignore[call-arg]
    names = {"lexical": ListRetriever(items, "lexical"), "graph": ListRetriever(items, "graph")}
    return MedRAG(names, DomainRouter(list(names)), AdaptiveSelector(settings.select), FakeGenerator([reply]), settings)


def everything(value: Any) -> Iterator[str]:
    """Every text anywhere in a value, through records, mappings and sequences."""
    if isinstance(value, str):
        yield value
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from everything(getattr(value, field.name))
    elif isinstance(value, Mapping):
        for pair in value.items():
            yield from everything(list(pair))
    elif isinstance(value, list | tuple | set | frozenset):
        for one in value:
            yield from everything(one)


def test_the_words_of_reports_are_there_without_it() -> None:
    open_rag = rag(private=False)
    open_rag.answer(None, QUESTION)
    (prompt,) = open_rag.generator.prompts  # type: ignore[attr-defined]
    assert SECRET in prompt.user_text()


def test_nothing_that_the_generator_is_handed_holds_a_word_of_a_report() -> None:
    pipeline = rag()
    answer = pipeline.answer(None, QUESTION)
    (prompt,) = pipeline.generator.prompts  # type: ignore[attr-defined]
    assert "left lung base (stated in 2 reports)" in prompt.user_text()
    assert not [text for text in everything(prompt) if SECRET in text.lower()]
    assert SECRET.encode() not in pickle.dumps(prompt)
    kept = [hit.item for hit in answer.context.kept]
    assert all(isinstance(item, Concept | Triple) for item in kept)
    assert {drop.hit.item.id for drop in answer.context.dropped if drop.reason == private.WITHHELD} == {
        REPORT.id,
        PASSAGE.id,
    }


def test_definitions_are_shown() -> None:
    pipeline = rag(items=(EFFUSION, REPORT))
    pipeline.answer(None, QUESTION)
    assert EFFUSION.definition in pipeline.generator.prompts[0].user_text()  # type: ignore[attr-defined]


def test_the_asker_sees_what_a_citation_rests_on() -> None:
    answer = rag(items=(STATED,)).answer(None, QUESTION)
    assert answer.status == "answered" and answer.citations[0].item == STATED
    assert private.WITHHELD in rag().answer(None, QUESTION).explain()


def test_reports_alone_give_nothing_to_answer_from() -> None:
    pipeline = rag(items=(REPORT, PASSAGE))
    assert pipeline.answer(None, QUESTION).text == REFUSAL
    assert pipeline.generator.prompts == []  # type: ignore[attr-defined]


def test_evidence_that_the_caller_chose_is_kept_to_it_too() -> None:
    hits = tuple(Hit(item, 1.0, n, "x", (Hit(REPORT, 1.0, 1, "y"),)) for n, item in enumerate(ITEMS, start=1))
    pipeline = rag()
    answer = pipeline.answer_from(Context(Query(QUESTION), hits))
    assert [hit.item for hit in answer.context.kept] == [STATED, EFFUSION, FOREIGN]
    assert answer.citations[0].item == STATED  # E1 is the first that was shown
    pipeline.answers_from([Context(Query(QUESTION), hits)] * 2, [answer.route] * 2)
    for prompt in pipeline.generator.prompts:  # type: ignore[attr-defined]
        assert not [text for text in everything(prompt) if SECRET in text.lower()]


def test_several_are_asked_together_in_the_same_way() -> None:
    class Together(FakeGenerator):
        def batch(self, prompts: Any, images: Any) -> list[str]:
            self.prompts += prompts
            return ["Left [E1]." for _ in prompts]

    pipeline = rag()
    pipeline.generator = Together()
    assert [one.citations[0].item.id for one in pipeline.answers([(None, QUESTION, ())] * 2)]
    assert len(pipeline.generator.prompts) == 2
    assert not [text for prompt in pipeline.generator.prompts for text in everything(prompt) if SECRET in text.lower()]


def test_another_model_reads_no_more_of_an_answer_than_the_generator() -> None:
    answer = rag(reply="At the left lung base [E1]. In the chest [E3].").answer(None, QUESTION)
    read = private.readable(answer)
    assert SECRET in repr(answer) and not [text for text in everything(read) if SECRET in text.lower()]
    assert read.text == answer.text and [one.key for one in read.citations] == ["E1", "E3"]
    assert [one.quote for one in read.citations] == [STATED.text, "effusion seen in chest"]


def test_assistants_are_handed_no_word_of_a_report(tmp_path: Path) -> None:
    from mcp import Client as Assistant

    from medrag.server.mcp import make_mcp
    from medrag.server.served import Served
    from medrag.server.settings import settings_of

    with GraphStore.create(tmp_path / "g") as builder:
        builder.add([EFFUSION, Concept("hpo:HP:2", "Heart failure")])
        builder.finish()
    said = {"quote": "A zebra effusion suggests heart failure.", "text": "study"}
    extend(
        tmp_path / "g",
        [Triple("iu:HP:1#suggestive_of:HP:2@iu:zebra-7", "iu:zebra-7", "Pleural effusion", "suggestive_of", "Heart failure", "HP:1", "HP:2", meta=said)],
    )  # fmt: skip
    pipeline = rag(items=(FOREIGN,), reply="It may [E1][E2].")
    pipeline.retrievers["graph"] = GraphRetriever(GraphStore.open(tmp_path / "g"))
    asked = {"question": "Can a pleural effusion suggest heart failure?"}
    calls = [("search", asked), ("answer", asked), ("answer", {**asked, "agent": True})]
    calls += [("graph_paths", {"start": "pleural effusion", "end": "heart failure"})]

    async def scene() -> None:
        async with Assistant(make_mcp(pipeline, Served(pipeline, settings_of()), local=True)) as client:
            for name, options in calls:
                told = await client.call_tool(name, options)
                assert not told.is_error and "stated in 1 report" in told.content[0].text, name
                assert SECRET not in told.model_dump_json().lower(), name

    asyncio.run(scene())
    assert SECRET in repr(pipeline.answer(None, asked["question"]))


class Sure(FakeGenerator):
    """Knows probabilities, and leans on a reader."""

    sees_images = True

    def probabilities_yes(self, prompts: Any, images: Any) -> list[float]:
        self.prompts += prompts
        return [0.7] * len(prompts)

    def reader_shift(self, prompt: Any, images: Any) -> float:
        self.prompts.append(prompt)
        return 0.5


def test_what_is_asked_for_odds_and_confidence_is_held_to_it_too() -> None:
    pipeline = rag(items=(STATED, FOREIGN))
    pipeline.generator = Sure(["Yes [E1]."])
    vars(pipeline)["calibration"] = Calibration({}, 0.1, {"closed": Sort(Logistic({}, {}, 1.0), {}, None)})
    answer = pipeline.answer(Image.new("L", (64, 64)), "Is there a pleural effusion?")
    assert answer.confidence is not None and set(pipeline.influence(answer)) == {"E1", "E2"}
    assert len(pipeline.generator.prompts) == 7  # the answer; with all and none, the reader; with all, each left out
    for prompt in pipeline.generator.prompts:
        assert not [text for text in everything(prompt) if SECRET in text.lower()]


ANY = st.sampled_from([*ITEMS, Page("p:1", "p", 1, (), 1.0, 1.0, SECRET)])


@given(st.lists(ANY, max_size=8), st.lists(ANY, max_size=3))
def test_keys_stay_those_of_what_is_shown(kept: list[Item], parents: list[Item]) -> None:
    above = tuple(Hit(item, 1.0, 1, "y") for item in parents)
    context = Context(Query("q"), tuple(Hit(item, 1.0, n, "x", above) for n, item in enumerate(kept, start=1)))
    allowed, shown = private.permitted(context), private.shown(context)
    assert len(allowed.kept) + len(allowed.dropped) == len(kept)
    assert [key for key, _ in allowed] == [key for key, _ in shown]
    for (_, left), (_, right) in zip(allowed, shown, strict=True):
        assert type(left.item) is type(right.item) and left.score == right.score
        if left.item is not FOREIGN:
            assert left.item.text == right.item.text
    assert not [text for text in everything(shown) if SECRET in text.lower()]
    assert private.shown(shown) == shown or [h.item for h in private.shown(shown).kept] == [h.item for h in shown.kept]


@pytest.mark.parametrize("value", ["yes please", 7])
def test_it_is_on_or_off(value: Any) -> None:
    with pytest.raises(Exception, match="private"):
        override(PipelineSettings(), {"private": value})  # type: ignore[call-arg]


def test_chains_are_handed_no_word_of_a_report() -> None:
    from medrag.langchain import as_retriever, as_tool

    open_rag = rag()
    found = as_retriever(open_rag, k=20).invoke(QUESTION)
    assert found and {one.metadata["kind"] for one in found} <= {"concept", "triple"}
    assert as_retriever(open_rag, k=2).invoke(QUESTION) == found[:2] != []
    assert all(":" not in one.metadata["doc"] for one in found if one.metadata["kind"] == "triple")
    text = as_tool(open_rag).invoke({"question": QUESTION})
    read = private.readable(open_rag.answer(None, QUESTION))
    assert text == str(read)
