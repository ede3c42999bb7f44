"""A model behind an OpenAI-compatible server that calls the tools natively, against a real HTTP server of this process."""

from __future__ import annotations

import json
from typing import Any

import pytest
from chat_server import Scripted, calling, event, saying, serving
from small_agent import picture, small_rag, tools_of

from medrag.agent.graph import Agent
from medrag.agent.state import Budget
from medrag.vlms.openai import OpenAICompatible

WHAT = "What is a pleural effusion?"
SEARCH, ANSWER = ("search_text", {"query": WHAT}), ("answer", {"text": "It is fluid in the pleural space [E1]."})
CAUSE = ("search_text", {"query": "What is a common cause of pleural effusion?"})
IN_WORDS = [f"THOUGHT: next\n{json.dumps({'tool': name, 'args': args})}" for name, args in (SEARCH, ANSWER)]
NO_TOOLS = (400, "m does not support tools")


def run(*replies: Any, image: Any = None, refuses: Any = None, sees: bool = True, **options: Any) -> Any:
    """The answer over the scripted server, and what the server was asked."""
    with serving(Scripted, replies=list(replies), refuses=refuses) as server:
        rag = small_rag(generator=OpenAICompatible("m", base_url=server.url, sees_images=sees, retries=0))
        return Agent(rag, policy="llm", **options).answer(image, WHAT), server.asked


def turns(body: dict[str, Any]) -> list[tuple[str, Any]]:
    """Roles with the ids that stand in them."""
    return [
        (one["role"], one.get("tool_call_id") or [c["id"] for c in one.get("tool_calls", ())])
        for one in body["messages"]
    ]


@pytest.mark.parametrize("text", [None, "", "I look it up."])
def test_a_model_searches_and_answers_by_native_calls(text):
    answer, (first, second) = run(calling(SEARCH, text=text), calling(ANSWER))
    assert tools_of(answer) == ["search_text", "answer"] and answer.status == "answered"
    assert answer.text == "It is fluid in the pleural space [E1]." and answer.trace[0].get("thought", "") == (
        text or ""
    )
    offered = {one["function"]["name"]: one["function"]["parameters"] for one in first["tools"]}
    assert {"search_text", "answer", "abstain"} <= set(offered) and first["tool_choice"] == "auto"
    assert offered["search_text"]["required"] == ["query"] and first["tools"] == second["tools"]
    assert [role for role, _ in turns(first)] == ["system", "user"] and "THOUGHT" not in first["messages"][0]["content"]
    assert turns(second)[2:] == [("assistant", ["call_search_text0"]), ("tool", "call_search_text0")]
    (made,) = second["messages"][2]["tool_calls"]
    assert json.loads(made["function"]["arguments"]) == SEARCH[1]
    assert '<evidence key="E1"' in second["messages"][3]["content"]
    assert answer.usage["policy_tokens"] > 0


def test_a_reply_that_is_not_streamed_is_a_call_too():
    made = {"id": "x1", "type": "function", "function": {"name": SEARCH[0], "arguments": json.dumps(SEARCH[1])}}
    choice = {"message": {"role": "assistant", "content": None, "tool_calls": [made]}, "finish_reason": "tool_calls"}
    answer, asked = run({"choices": [choice]}, calling(ANSWER))
    assert tools_of(answer) == ["search_text", "answer"] and turns(asked[1])[3] == ("tool", "x1")


def test_several_calls_of_one_reply_are_made_in_turn_and_each_has_its_result():
    answer, asked = run(calling(SEARCH, CAUSE, ANSWER), calling(ANSWER))
    assert tools_of(answer) == ["search_text", "search_text", "answer"] and answer.usage["steps"] == 2
    assert len(asked) == 2 and answer.trace[1]["tokens"] == 0
    ids = ["call_search_text0", "call_search_text1"]
    assert turns(asked[1])[2:] == [("assistant", ids), *(("tool", id) for id in ids)]
    assert "common cause" in asked[1]["messages"][3]["content"] + asked[1]["messages"][4]["content"]


def test_steps_and_tokens_are_kept_to():
    answer, asked = run(calling(SEARCH, CAUSE, CAUSE), budget=Budget(steps=2))
    assert tools_of(answer)[:2] == ["search_text", "search_text"] and answer.usage["steps"] == 2
    assert sum("tools" in body for body in asked) == 1
    for tokens in (0, 1500, 3000):
        answer, asked = run(calling(CAUSE), budget=Budget(tokens=tokens, steps=30))
        assert answer.usage["policy_tokens"] <= tokens and answer.trace[-1]["tool"] == "answer"


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (("search_text", '{"query" "mass" [}'), "search_text: the arguments are no JSON object"),
        (("search_text", "[1, 2]"), "search_text: "),
        (("search_text", {"query": "mass", "k": 99}), "k: "),
        (("search_text", {}), "query: Field required"),
        (("search_text", ""), "query: Field required"),
        (("answer", '{"text": "It is flu'), "your answer was cut off"),
        (("format the disk", {}), "there is no tool 'format the disk'"),
        (("", {}), "there is no tool ''"),
    ],
)
def test_a_wrong_call_goes_back_with_the_reason(call, told):
    answer, asked = run(calling(call), calling(SEARCH), calling(ANSWER))
    assert tools_of(answer) == ["", "search_text", "answer"] and answer.usage["steps"] == 2
    assert told in answer.trace[0]["fault"]
    _, _, made, result = asked[1]["messages"]
    assert result["tool_call_id"] == made["tool_calls"][0]["id"] and told in result["content"]
    assert "one JSON object" not in result["content"]  # it calls natively
    function = made["tool_calls"][0]["function"]
    assert isinstance(json.loads(function["arguments"]), dict)  # a server reads them again
    assert function["name"].replace("_", "").isalnum() or not call[0]


def test_a_wrong_call_beside_a_right_one_stops_nothing():
    answer, asked = run(calling(SEARCH, ("search_txt_of", {"x": 1}), CAUSE), calling(ANSWER))
    assert tools_of(answer) == ["search_text", "", "search_text", "answer"]
    assert [role for role, _ in turns(asked[1])] == ["system", "user", "assistant", "tool", "tool", "tool"]


@pytest.mark.parametrize(
    ("refusal", "why"),
    [
        (NO_TOOLS, "does not support tools"),
        ((404, "No endpoints found that support tool use"), "support tool use"),
        ((422, "body.tools: extra fields not permitted"), "extra fields"),
    ],
)
def test_a_server_that_refuses_tools_is_asked_in_words_for_the_rest_of_the_session(refusal, why):
    with serving(Scripted, replies=[saying(one) for one in (*IN_WORDS, *IN_WORDS)], refuses=refusal) as server:
        agent = Agent(small_rag(generator=OpenAICompatible("m", base_url=server.url, retries=0)), policy="llm")
        first, second = agent.answer(None, WHAT), agent.answer(None, WHAT)
    assert tools_of(first) == tools_of(second) == ["search_text", "answer"] and first.status == "answered"
    assert ["tools" in body for body in server.asked] == [True, False, False, False, False]
    assert "Reply with one line" in server.asked[1]["messages"][0]["content"]
    for answer in (first, second):
        noted = [why in row.get("thought", "") and "asked in words" in row["thought"] for row in answer.trace]
        assert noted == [True, False]


def test_calls_that_stand_in_the_text_are_read_and_asked_for_in_words_from_there():
    answer, asked = run(*map(saying, IN_WORDS))
    assert tools_of(answer) == ["search_text", "answer"] and answer.status == "answered"
    assert ["tools" in body for body in asked] == [True, False]
    assert answer.trace[0]["thought"] == "(asked in words from here: m writes its calls as text) next"
    said = saying(json.dumps({"name": CAUSE[0], "arguments": CAUSE[1]}))
    answer, asked = run(calling(SEARCH), said, calling(ANSWER))  # it knows native calls: this was a slip
    assert tools_of(answer) == ["search_text", "search_text", "answer"]
    assert all("tools" in body for body in asked) and [role for role, _ in turns(asked[2])][4:] == ["assistant", "user"]


def test_plain_words_are_an_answer_with_keys_and_else_told_how_to_go_on():
    answer, asked = run(saying("Let me think."), calling(SEARCH), saying("It is fluid in the pleural space [E1]."))
    assert tools_of(answer) == ["", "search_text", "answer"] and answer.status == "answered"
    assert (
        asked[1]["messages"][-2]["content"] == "Let me think."
        and "one JSON object" in asked[1]["messages"][-1]["content"]
    )


def test_a_reply_without_a_word_is_a_fault():
    answer, _ = run(saying(""), calling(SEARCH), calling(ANSWER))
    assert tools_of(answer) == ["", "search_text", "answer"]


def test_images_go_with_the_question_to_a_model_that_sees_them():
    _, asked = run(calling(SEARCH), calling(ANSWER), image=picture("left"))
    kinds = [[part["type"] for part in body["messages"][1]["content"]] for body in asked]
    assert kinds == [["image_url", "text"]] * 2
    _, asked = run(calling(SEARCH), calling(ANSWER), image=picture("left"), sees=False)
    assert isinstance(asked[0]["messages"][1]["content"], str)


def test_a_model_that_was_cut_off_in_thought_gets_more_tokens():
    thought = event(delta={"reasoning_content": "Hm. " * 50}) + event(delta={}, finish_reason="length")
    answer, asked = run(thought, calling(SEARCH), calling(ANSWER))
    assert tools_of(answer) == ["", "search_text", "answer"]
    assert answer.trace[0]["fault"].startswith("your reply was cut off after 400 tokens of thought")
    assert [body["max_tokens"] for body in asked] == [400, 800, 800]


def test_a_run_that_was_cut_off_goes_on_with_the_calls_that_wait(tmp_path):
    with serving(Scripted, replies=[calling(SEARCH, CAUSE), calling(ANSWER)]) as server:
        rag = small_rag(generator=OpenAICompatible("m", base_url=server.url, retries=0))
        stopped = Agent(rag, policy="llm", checkpoint=tmp_path / "runs.db")
        for passed in stopped.stream(None, WHAT, thread="one"):
            if passed.stage == "verified":
                break
        answer = Agent(rag, policy="llm", checkpoint=tmp_path / "runs.db").answer(None, WHAT, thread="one")
    assert tools_of(answer) == ["search_text", "search_text", "answer"]
    assert turns(server.asked[-1])[2:] == [
        ("assistant", ["call_search_text0", "call_search_text1"]), ("tool", "call_search_text0"), ("tool", "call_search_text1"),
    ]  # fmt: skip
