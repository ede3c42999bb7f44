"""Runs that go on after they were cut off, and sessions that remember."""

from __future__ import annotations

import contextlib

import pytest
from langchain_core.tools import tool
from small_agent import Script, picture, small_rag, tools_of

from medrag.agent.chat import NOT_CLEAR, Chat
from medrag.agent.graph import Agent
from medrag.errors import SettingsError
from medrag.vlms._evidence import READER

WHAT = "What is a pleural effusion?"
CALLS = [("count", {"x": "1"}), ("search_text", {"query": WHAT}), ("count", {"x": "2"})]


class Killed(BaseException):
    """Not an error that anything catches."""


class Falls(Script):
    """Dies when it is asked for the given step."""

    def __init__(self, at, *calls):
        super().__init__(*calls)
        self.at = at

    def decide(self, state, tools, left, images=()):
        if len(state["trace"]) == self.at:
            raise RuntimeError("killed")
        return super().decide(state, tools, left, images)


@pytest.fixture
def saved(tmp_path):
    pytest.importorskip("langgraph.checkpoint.sqlite")
    return tmp_path / "runs" / "saved.sqlite"


def counter():
    ran = []

    @tool
    def count(x: str) -> str:
        """Counts its calls."""
        ran.append(x)
        if x == "die":
            raise Killed
        return x

    return ran, count


@pytest.mark.parametrize("at", [0, 1, 2, 3])
def test_a_run_that_was_killed_goes_on_at_its_step_and_repeats_no_call(saved, at):
    ran, count = counter()
    with pytest.raises(RuntimeError, match="killed"):
        Agent(small_rag(), policy=Falls(at, *CALLS), tools=[count], checkpoint=saved).answer(None, WHAT, thread="one")
    before = list(ran)
    policy = Script(*CALLS)
    answer = Agent(small_rag(), policy=policy, tools=[count], checkpoint=saved).answer(None, WHAT, thread="one")
    assert ran == ["1", "2"] and before == ran[: len(before)]
    assert policy.decided == len(CALLS) + 1 - at
    assert tools_of(answer) == ["count", "search_text", "count", "answer"]
    assert [row["step"] for row in answer.trace] == [1, 2, 3, 4] and answer.status == "answered"
    whole = Agent(small_rag(), policy=Script(*CALLS), tools=[count]).answer(None, WHAT)
    assert (whole.text, [h.item.id for h in whole.context.kept]) == (
        answer.text,
        [h.item.id for h in answer.context.kept],
    )


def test_a_call_that_was_cut_off_is_made_again_and_those_before_it_are_not(saved):
    ran, count = counter()
    calls = [("count", {"x": "1"}), ("count", {"x": "die"})]
    with pytest.raises(Killed):
        Agent(small_rag(), policy=Script(*calls), tools=[count], checkpoint=saved).answer(None, WHAT, thread="one")
    assert ran == ["1", "die"]

    @tool("count")
    def mended(x: str) -> str:
        """Counts its calls."""
        ran.append(f"again {x}")
        return x

    policy = Script(*calls)
    answer = Agent(small_rag(), policy=policy, tools=[mended], checkpoint=saved).answer(None, WHAT, thread="one")
    assert ran == ["1", "die", "again die"] and policy.decided == 1
    assert tools_of(answer) == ["count", "count", "answer"]


def test_a_tool_that_is_no_longer_allowed_does_not_run_after_a_restart(saved):
    ran, count = counter()
    with pytest.raises(Killed):
        Agent(small_rag(), policy=Script(("count", {"x": "die"})), tools=[count], checkpoint=saved).answer(
            None, WHAT, thread="one"
        )
    answer = Agent(small_rag(), policy=Script(("count", {"x": "die"})), allow=["search_text"], checkpoint=saved).answer(
        None, WHAT, thread="one"
    )
    assert ran == ["die"] and "failed" in answer.trace[0]["fault"]


def test_a_finished_run_gives_its_answer_again_and_another_question_is_refused(saved):
    ran, count = counter()
    agent = Agent(small_rag(), policy=Script(*CALLS), tools=[count], checkpoint=saved)
    first = agent.answer(None, WHAT, thread="one")
    again = agent.answer(None, WHAT, thread="one")
    assert (again.text, again.trace) == (first.text, first.trace) and ran == ["1", "2"]
    with pytest.raises(SettingsError, match="question differs"):
        agent.answer(None, "What is a mass?", thread="one")
    with pytest.raises(SettingsError, match="policy differs"):
        Agent(small_rag(), checkpoint=saved).answer(None, WHAT, thread="one")
    assert agent.answer(None, WHAT, thread="two").trace != () and ran == ["1", "2"] * 2


@pytest.mark.parametrize("at", [1, 4])  # cut off, and finished
@pytest.mark.parametrize("key", ["access", "private", "index"])
def test_a_run_is_not_handed_to_who_sees_another_part(saved, key, at):
    with contextlib.suppress(RuntimeError):
        Agent(small_rag(access=("x",)), policy=Falls(at, *CALLS[1:]), checkpoint=saved).answer(None, WHAT, thread="one")
    other = {"access": {"access": ()}, "private": {"access": ("x",), "private": True}, "index": {"access": ("x",)}}
    rag = small_rag(**other[key])
    if key == "index":
        rag.store.manifest.content_hash = "another"
    with pytest.raises(SettingsError, match=f"{key} differs"):
        Agent(rag, policy=Script(*CALLS[1:]), checkpoint=saved).answer(None, WHAT, thread="one")


def test_saved_runs_are_their_owners_alone(saved):
    Agent(small_rag(), checkpoint=saved).answer(None, WHAT, thread="one")
    assert {path.stat().st_mode & 0o077 for path in saved.parent.iterdir()} == {0}


def test_a_file_that_holds_no_runs_is_one_clear_error(saved):
    saved.parent.mkdir()
    saved.write_text("not a database at all, but long enough to be looked at")
    with pytest.raises(SettingsError, match="cannot hold saved runs"):
        Agent(small_rag(), checkpoint=saved)


def test_and_on_the_left():
    chat = small_rag().chat()
    chat.ask("Is there a pleural effusion on the right?", picture("right"))
    assert chat.understood("and on the left?") == "Is there a pleural effusion on the left?"
    answer = chat.ask("and on the left?")
    assert answer.context.query.text == chat.turns[-1][0] == "Is there a pleural effusion on the left?"
    assert len(answer.context.query.images) == 1
    assert all(row["goal"].endswith("on the left?") for row in answer.trace if row.get("kept"))


def test_a_question_that_is_not_understood_is_not_advised_again():
    chat = small_rag().chat()
    chat.ask("What lesion is this?", picture("right"))
    answer = chat.ask("And on the left?")
    assert answer.reason == NOT_CLEAR and answer.text.lower().count("and on the left") == 1


def test_evidence_of_earlier_questions_is_there_without_another_search():
    chat = Chat(small_rag(), policy=Script(("search_text", {"query": WHAT})))
    first = chat.ask(WHAT)
    chat.agent._policy = Script()
    again = chat.ask(WHAT)
    assert [row["tool"] for row in again.trace] == ["answer"]
    assert {hit.item.id for hit in again.context.kept} <= {hit.item.id for hit in first.context.kept}
    assert again.context.kept and again.context.tokens <= 0.5 * chat.agent.rag.settings.select.budget
    assert not chat.ask("Who treats measles?").context.kept


def read(images):
    """A findings reader by the brightness of the lower part."""
    share = max(float(one.crop((0, 40, 64, 64)).convert("L").resize((1, 1)).getpixel((0, 0))) for one in images) / 255
    return {"Effusion": share}


def test_what_was_seen_on_one_image_is_not_remembered_of_another():
    chat = Chat(small_rag(), policy=Script(("read_findings", {}), ("search_similar", {})), see=read)
    chat.ask("Is there a pleural effusion?", picture("both"))
    chat.ask("Is there a pleural effusion?", picture("clear"))
    chat.agent._policy = Script()
    answer = chat.ask("Is there a pleural effusion?")
    (note,) = [hit for hit in answer.context.kept if hit.retriever == READER]
    assert "possibly" in note.item.text  # as the second image was read; on the first there is one


def test_images_stay_for_comparison_and_views_stay_together():
    chat = Chat(small_rag(), see=read)
    chat.ask("Is there a pleural effusion?", picture("clear"))
    chat.ask("Is there a pleural effusion?", picture("both"))
    answer = chat.ask("What has changed?")
    assert len(answer.context.query.images) == 2
    assert any("is possibly new" in row.get("said", "") for row in answer.trace if row["tool"] == "compare_images")
    assert len(chat.ask("Is there a pleural effusion?").context.query.images) == 1
    views = Chat(small_rag())
    views.ask("Is there a pleural effusion on the right?", [picture("left"), picture("both")])
    assert len(views.ask("and on the left?").context.query.images) == 2


def test_a_film_that_is_given_again_is_not_compared_with_itself():
    chat = Chat(small_rag(), see=read)
    for question in ("Is there a pleural effusion?", "Is there a mass?"):
        chat.ask(question, picture("both"))
    answer = chat.ask("Has the pleural effusion changed?", picture("both"))
    assert len(chat.images) == len(answer.context.query.images) == 1 and "compare_images" not in tools_of(answer)
    chat.ask("Is there a pleural effusion?", picture("clear"))
    answer = chat.ask("Has the pleural effusion changed?")
    assert len(answer.context.query.images) == 2 and "compare_images" in tools_of(answer)


def test_an_empty_question_is_refused():
    with pytest.raises(SettingsError, match="no question"):
        small_rag().chat().ask("  ")


@pytest.mark.parametrize(
    "question", ["Why do you think so?", "How do you know?", "Can you show me the evidence?", "Sources?"]
)
def test_why_is_answered_by_what_the_last_answer_cites(question):
    chat = small_rag().chat()
    first = chat.ask(WHAT)
    why = chat.ask(question)
    assert first.citations and why.citations == first.citations and len(chat.turns) == 1
    assert all(f"[{one.key}] “{one.quote or one.item.text}”" in why.text for one in first.citations)
