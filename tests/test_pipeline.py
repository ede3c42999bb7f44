"""The whole path over fakes: order of the stages, exclusion, abstention, and what an answer knows of itself."""

import numpy as np
import pytest

from medrag.errors import ImageError, SettingsError
from medrag.pipeline import MedRAG
from medrag.prompts import REFUSAL
from medrag.route import DomainRouter
from medrag.select import AdaptiveSelector
from medrag.testing import FakeGenerator, ListRetriever
from medrag.types import Passage, Route

MASS = Passage("book:lung~0", "book:lung", "A pulmonary mass is an opacity larger than 3 cm.", title="Lung", page=4)
EFFUSION = Passage("book:pleura~0", "book:pleura", "A pleural effusion blunts the costophrenic angle.")
PIXELS = np.zeros((16, 16), dtype=np.uint8)


def rag(reply="A mass is larger than 3 cm [E1].", items=(MASS, EFFUSION), **settings):
    from medrag.settings import PipelineSettings, override

    chosen = override(PipelineSettings(), settings)
    retriever = ListRetriever(list(items), name="lexical")
    return MedRAG(
        {"lexical": retriever},
        DomainRouter(["lexical"]),
        AdaptiveSelector(chosen.select),
        FakeGenerator([reply]),
        chosen,
    )


def test_stages_come_in_order_and_end_with_the_answer():
    events = list(rag().stream(PIXELS, "What is a pulmonary mass?"))
    stages = [event.stage for event in events]
    assert stages[:3] == ["routed", "found", "selected"]
    assert set(stages[3:-1]) == {"token"}
    assert stages[-1] == "answer"
    assert "".join(event.data for event in events if event.stage == "token") == events[-1].data.text


def test_answer_is_cited_and_explained():
    answer = rag().answer(None, "What is a pulmonary mass?")
    assert answer.status == "answered"
    assert answer.citations[0].item == MASS
    assert answer.citations[0].page == 4
    assert set(answer.timings) >= {"read", "route", "retrieve lexical", "select", "generate", "cite"}
    assert answer.usage["context_tokens"] == answer.context.tokens > 0
    assert "book:lung" in str(answer)
    assert "lexical" in answer.explain()
    assert answer.to_dict()["citations"][0]["key"] == "E1"
    assert "pulmonary mass" in answer._repr_html_()


def test_nothing_found_is_abstention_without_asking_the_generator():
    answer = rag(items=()).answer(None, "What is a pulmonary mass?")
    assert (answer.text, answer.status, answer.reason) == (REFUSAL, "abstained", "nothing relevant was found")


def test_a_study_never_answers_from_itself():
    answer = rag(reply="Blunted [E1].").answer(None, "What is a pulmonary mass or effusion?", exclude=["book:lung"])
    assert [hit.item.doc for hit in answer.context.kept] == ["book:pleura"]


def test_do_not_retrieve_is_kept_to():
    class Silent:
        def route(self, query):
            return Route("other", 1.0, {"lexical": 0.0}, ("nothing to look up",))

    pipeline = rag(reply="It is a cat [E1].")
    pipeline.router = Silent()
    answer = pipeline.answer(PIXELS, "What is this?")
    assert (answer.text, answer.status) == ("It is a cat.", "uncited")
    assert answer.context.kept == ()


def test_bad_questions_give_one_clear_error(tmp_path):
    with pytest.raises(SettingsError, match="neither an image nor a question"):
        rag().answer(None, "  ")
    with pytest.raises(ImageError, match=r"absent\.png"):
        rag().answer(tmp_path / "absent.png", "What is this?")


def test_fusion_and_selection_follow_the_settings():
    assert len(rag(select={"k_max": 1}).answer(None, "pulmonary mass effusion").context.kept) == 1
    assert rag(fusion="weighted").retrieve("pulmonary mass")[0].retriever == "fused"
    assert len(rag().retrieve("pulmonary mass effusion", k=1)) == 1


def test_fingerprint_follows_the_settings():
    assert rag().fingerprint == rag().fingerprint != rag(k=3).fingerprint
