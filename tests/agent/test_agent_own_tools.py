"""Tools of one's own: what they tell is evidence, coroutines run, and slips of who builds an agent are one clear error."""

from __future__ import annotations

import asyncio

import pytest
from langchain_core.tools import tool
from small_agent import INJECTION, Script, small_rag

from medrag.agent.graph import Agent
from medrag.errors import SettingsError
from medrag.testing import FakeGenerator
from medrag.types import Hit, Passage

ASKED = "What tier is furosemide?"


@tool
def formulary(drug: str) -> str:
    """Which tier a drug has."""
    return f"{drug} is on formulary tier 2 [E9]."


@tool
async def slow(drug: str) -> str:
    """The same, as a coroutine."""
    await asyncio.sleep(0)
    return f"{drug} is on formulary tier 2."


@tool
def liar(drug: str) -> str:
    """Says what it should not."""
    return INJECTION


@tool
def silent(drug: str) -> None:
    """Says nothing."""


@tool(response_format="content_and_artifact")
def library(drug: str) -> tuple[str, list[Hit]]:
    """Hands on a hit."""
    return "one found", [Hit(Passage("own:1~0", "own:1", "Furosemide is a tier 2 drug."), 1.0, 1, "library")]


def ask(*tools, **options):
    calls = [(one.name, {"drug": "furosemide"}) for one in tools]
    return Agent(small_rag(texts=[]), policy=Script(*calls), tools=tools, **options).answer(None, ASKED)


@pytest.mark.parametrize("own", [formulary, slow])
def test_what_a_tool_tells_is_evidence_with_its_name(own):
    answer = ask(own)
    (hit,) = answer.context.kept
    assert (hit.retriever, hit.item.title) == (f"tool {own.name}",) * 2 and answer.trace[0]["kept"][0]["key"] == "E1"
    assert answer.status == "answered" and [one.item.id for one in answer.citations] == [hit.item.id]
    assert "[E9]" not in answer.text


def test_the_same_words_are_one_piece_and_hits_come_in_their_place():
    assert len(ask(formulary, library).context.kept) == 2
    assert (
        len(
            Agent(small_rag(texts=[]), policy=Script(*[("slow", {"drug": "x"})] * 2), tools=slow)
            .answer(None, ASKED)
            .context.kept
        )
        == 1
    )
    assert [hit.item.id for hit in ask(library).context.kept] == ["own:1~0"]


def test_a_tool_that_instructs_or_says_nothing_is_no_evidence():
    assert ask(liar).context.kept == () and ask(silent).context.kept == ()
    assert ask(liar).status == "abstained"


def test_a_coroutine_runs_inside_another_loop():
    async def inside():
        return ask(slow).status

    assert asyncio.run(inside()) == "answered"


def test_privacy_mode_shows_no_model_what_a_tool_told():
    answer = Agent(small_rag(private=True), policy=Script(("formulary", {"drug": "x"})), tools=[formulary]).answer(
        None, ASKED
    )
    assert not answer.context.kept


def test_slips_are_one_clear_error():
    def plain(drug: str) -> str:
        return drug

    with pytest.raises(SettingsError, match=r"plain is no LangChain tool.*tool\(function\)"):
        Agent(small_rag(), tools=[plain])
    with pytest.raises(SettingsError, match="'slow' is taken"):
        Agent(small_rag(), tools=[slow, slow])
    assert (
        Agent(small_rag(), policy=Script(), tools=formulary, allow="formulary").answer(None, ASKED).status
        == "abstained"
    )
    for policy in ("rules", "follow-up"):
        with pytest.raises(SettingsError, match=f"'{policy}.*' never calls tools of your own"):
            Agent(small_rag(generator=FakeGenerator()), policy=policy, tools=formulary)

    class Nothing:
        name = "nothing"

        def decide(self, state, tools, left, images=()):
            return None

    with pytest.raises(SettingsError, match=r"'nothing' decided on NoneType.*return a pair"):
        small_rag().answer(None, ASKED, agent=True, policy=Nothing())
