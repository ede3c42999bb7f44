"""The whole path over fakes: order of the stages, exclusion, abstention, and what an answer knows of itself."""

import numpy as np
import pytest
from PIL import Image

from medrag.calibration import Calibration, Logistic, Sort
from medrag.errors import GeneratorError, ImageError, MedragError, ModelMissing, SettingsError
from medrag.pipeline import MedRAG
from medrag.prompts import REFUSAL, evidence_tokens
from medrag.route import DomainRouter
from medrag.select import AdaptiveSelector
from medrag.testing import FakeGenerator, ListRetriever
from medrag.types import Answer, Context, Hit, Passage, Query, QueryImage, Route, Study

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


def test_evidence_that_a_caller_chose_is_counted():
    chosen = Context(Query("What is a pulmonary mass?"), (Hit(MASS, 1.0, 1, "lexical"),))
    answer = rag().answer_from(chosen)
    assert answer.usage["context_tokens"] == answer.context.tokens == evidence_tokens(*chosen.kept) > 0


def test_nothing_found_is_abstention_without_asking_the_generator():
    answer = rag(items=()).answer(None, "What is a pulmonary mass?")
    assert (answer.text, answer.status, answer.reason) == (REFUSAL, "abstained", "nothing relevant was found")


def test_where_nothing_is_found_a_model_that_looks_answers_from_the_image_but_does_not_define():
    answer = rag(reply="Yes.", items=()).answer(PIXELS, "Is there a mass?")
    assert (answer.text, answer.status) == ("Yes.", "uncited")
    assert rag(items=()).answer(PIXELS, "What is a pulmonary mass?").status == "abstained"
    blind = rag(reply="Yes.", items=())
    blind.generator = FakeGenerator(["Yes."], sees_images=False)
    assert blind.answer(PIXELS, "Is there a mass?").status == "abstained"


def test_several_questions_get_the_answers_that_each_gets_alone():
    class Together(FakeGenerator):
        def batch(self, prompts, images):
            self.prompts += prompts
            return [f"To {prompt.question} [E1]." for prompt in prompts]

    pipeline = rag()
    pipeline.generator = Together()
    asked = [
        (None, "What is a pulmonary mass?", ()),
        (None, "What is a pleural effusion?", ("book:pleura",)),
        (None, "zzz?", ()),
    ]
    answers = pipeline.answers(asked)
    assert len(pipeline.generator.prompts) == sum(bool(answer.context.kept) for answer in answers)
    assert answers[0].text.startswith("To What is a pulmonary mass?") and answers[0].citations[0].item == MASS
    assert all(hit.item.doc != "book:pleura" for hit in answers[1].context.kept)
    alone = [rag(reply="To it [E1].").answer(*one[:2], exclude=one[2]) for one in asked]
    assert [answer.status for answer in answers] == [answer.status for answer in alone]


def test_one_of_several_that_fails_leaves_the_others():
    class Flaky(FakeGenerator):
        def stream(self, prompt, images=()):
            if "effusion" in prompt.question:
                raise ConnectionError
            yield "It is a mass [E1]."

    pipeline = rag()
    pipeline.generator = Flaky()
    asked = [
        (None, "What is a pulmonary mass?", ()),
        (None, "What is a pleural effusion?", ()),
        ("absent.png", "A mass?", ()),
    ]
    found = pipeline.answers(asked, return_errors=True)
    assert [type(one) for one in found] == [Answer, GeneratorError, ImageError]
    with pytest.raises(GeneratorError):
        pipeline.answers(asked[:2])


@pytest.mark.parametrize(
    "wrong",
    [
        lambda one: one.answers([(None, "A mass?")]),
        lambda one: one.answers(["A mass?"]),
        lambda one: one.answer(None, "A mass?", exclude=[5]),
        lambda one: one.answer(None, "A mass?", exclude=5),
        lambda one: one.retrieve("A mass?", k=2.5),
        lambda one: one.answer(None, "A mass?", agent=True, budget=3),
    ],
)
def test_arguments_of_another_kind_are_one_clear_error(wrong):
    with pytest.raises(SettingsError, match=r"→ (give|add)"):
        wrong(rag())


def test_halves_of_characters_in_what_a_model_writes_are_joined_or_replaced():
    class Halves(FakeGenerator):
        def stream(self, prompt, images=()):
            yield from ("A \ud83d", "\ude00 mass \ud83d", " [E1].")

    pipeline = rag()
    pipeline.generator = Halves()
    *_, token, answer = pipeline.stream(None, "What is a pulmonary mass?")
    assert (token.data, answer.data.text) == ("? [E1].", "A \U0001f600 mass ? [E1].")


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


@pytest.mark.parametrize("question", [None, b"What is a mass?", 3])
def test_a_question_that_is_no_text_is_refused(question):
    for ask in (lambda: rag().answer(None, question), lambda: rag().retrieve(question)):
        with pytest.raises(SettingsError, match="no text"):
            ask()


def test_a_question_in_the_place_of_the_image_is_told_where_it_belongs():
    with pytest.raises(ImageError) as caught:
        rag().answer("What is a pleural effusion?")
    assert "answer(None, question)" in caught.value.hint
    with pytest.raises(ImageError) as caught:
        rag().answer("film.png")
    assert "None" not in caught.value.hint


def test_options_that_nothing_reads_are_refused():
    for ask in (
        lambda: rag().answer(None, "A mass?", foo=1),
        lambda: rag().chat(foo=1),
        lambda: rag().chat(thread="a"),
    ):
        with pytest.raises(SettingsError, match="nothing reads the option"):
            ask()
    with pytest.raises(SettingsError, match="agent=True, policy='llm'"):
        rag().answer(None, "A mass?", agent="llm")
    assert rag().chat(exclude="c:1", patient="p", policy="rules").exclude == ("c:1",)


def test_whatever_a_generator_raises_is_a_generator_error():
    class Broken(FakeGenerator):
        def stream(self, prompt, images=()):
            yield "A mass"
            raise ValueError("no\nluck")

        def batch(self, prompts, images):
            raise KeyError("weights")

    pipeline = rag()
    pipeline.generator = Broken(name="broken")
    with pytest.raises(GeneratorError, match=r"broken failed: ValueError at test_pipeline\.py:\d+ →"):
        pipeline.answer(None, "pulmonary mass effusion")
    with pytest.raises(ValueError, match="luck"):  # a server tells it from a model that cannot be reached
        list(pipeline.stream(None, "pulmonary mass effusion"))
    with pytest.raises(GeneratorError, match="ValueError"):
        pipeline.answers([(None, "pulmonary mass effusion", ())])
    with pytest.raises(GeneratorError, match="KeyError"):
        pipeline.answers([(None, "pulmonary mass effusion", ())] * 2)
    pipeline.generator.stream = lambda prompt, images: (_ for _ in ()).throw(ModelMissing("not here", "fetch it"))
    with pytest.raises(ModelMissing):
        pipeline.answer(None, "pulmonary mass effusion")


def test_a_retriever_of_ones_own_that_fails_is_named():
    class Broken(ListRetriever):
        def retrieve(self, query, k):
            raise RuntimeError("no luck")

    pipeline = rag()
    pipeline.retrievers["lexical"] = Broken([])
    with pytest.raises(MedragError, match=r"the retriever 'lexical' failed: RuntimeError at test_pipeline\.py:\d+ →"):
        pipeline.retrieve("A mass?")


def test_fusion_and_selection_follow_the_settings():
    assert len(rag(select={"k_max": 1}).answer(None, "pulmonary mass effusion").context.kept) == 1
    assert rag(fusion="weighted").retrieve("pulmonary mass")[0].retriever == "fused"
    assert len(rag().retrieve("pulmonary mass effusion", k=1)) == 1


def test_fingerprint_follows_the_settings_and_the_calibration():
    assert rag().fingerprint == rag().fingerprint != rag(k=3).fingerprint
    known = rag()
    vars(known)["calibration"] = Calibration({}, 0.1, {"text": Sort(Logistic({}, {}, 1.0), {}, 1)})
    assert known.fingerprint != rag().fingerprint


@pytest.mark.parametrize(("part", "kept"), [("HAND", []), ("CHEST", ["iu:1"]), ("", ["iu:1"])])
def test_a_film_whose_file_says_hand_gets_no_chest_report(part, kept):
    chest = Study("iu:1", {"findings": "There is a fracture of a rib."}, domain="chest-xray")
    film = QueryImage(Image.fromarray(PIXELS), meta={"modality": "DX", "body_part": part})
    context, route = rag(items=[chest]).selected(film, "Is there a fracture?")
    assert [hit.item.id for hit in context.kept] == kept
    assert context.query.domain == route.asks == {"HAND": "other", "CHEST": "chest-xray", "": ""}[part]


def test_more_hits_than_the_setting_may_be_asked_for():
    items = [Passage(f"book:{n}~0", f"book:{n}", f"A pulmonary mass, number {n}.") for n in range(60)]
    found = rag(items=items)
    assert len(found.retrieve("pulmonary mass")) == found.settings.k == 20
    assert len(found.retrieve("pulmonary mass", k=50)) == 50
    asked = []
    found.retrievers["lexical"].retrieve = lambda query, k: (asked.append(k), [])[1]
    found.retrieve("pulmonary mass", k=5)
    found.answer(None, "What is a pulmonary mass?")
    assert asked == [20, 20]  # fewer would be fused otherwise than for an answer


def test_k_of_zero_is_no_hits():
    assert rag().retrieve("pulmonary mass effusion", k=0) == []


def test_excluding_nothing_may_be_said_as_none():
    assert rag().retrieve("mass", exclude=None) == rag().retrieve("mass")


def test_one_excluded_id_may_be_given_as_it_is():
    answer = rag().answer(None, "What is a pulmonary mass or effusion?", exclude="book:lung")
    assert [hit.item.doc for hit in answer.context.kept] == ["book:pleura"]


def test_half_a_character_in_a_question_does_not_end_it():
    answer = rag().answer(None, "What is a pulmonary mass, caf\udce9?")
    assert answer.context.query.text.encode("utf-8").endswith(b"caf??")


class NoRoute:
    """A router that asks nobody and says no reason."""

    def route(self, query):
        return Route("other", 0.0, {"lexical": 0.0})


@pytest.mark.parametrize(("image", "sees"), [(None, True), (PIXELS, False)])
def test_neither_evidence_nor_a_visible_image_is_abstention(image, sees):
    pipeline = rag(reply="It is a cat.")
    pipeline.router, pipeline.generator = NoRoute(), FakeGenerator(["It is a cat."], sees_images=sees)
    answer = pipeline.answer(image, "A cat?")
    assert (answer.text, answer.status, answer.reason) == (REFUSAL, "abstained", "nothing was retrieved")
    assert not pipeline.generator.prompts


def test_a_model_that_is_shown_no_image_is_not_told_to_use_one():
    for image, sees, told in ((PIXELS, True, True), (PIXELS, False, False), (None, True, False)):
        pipeline = rag()
        pipeline.generator = FakeGenerator(["A mass [E1]."], sees_images=sees)
        pipeline.answer(image, "What is a pulmonary mass?")
        (prompt,) = pipeline.generator.prompts
        assert ("Use the image" in prompt.system) == told
        assert ("You are shown no image" in prompt.system) != told


def test_fingerprint_takes_options_that_are_no_plain_values():
    one, same, other = (rag(model_options={"layout": f}).fingerprint for f in (print, print, len))
    assert one == same != other


def test_pages_of_the_evidence_are_shown_to_a_generator_that_takes_several_images(tmp_path):
    import pymupdf

    from medrag.types import Box

    with pymupdf.open() as book:
        for n in range(2):
            book.new_page(width=300, height=400).insert_text((40, 60 + 200 * n), "A pulmonary mass is an opacity.")
        book.save(tmp_path / "book.pdf")
    source = str(tmp_path / "book.pdf")
    items = [
        Passage("b:1", "b", "A pulmonary mass is an opacity.", page=1, boxes=(Box(40, 50, 200, 62),), source=source),
        Passage("b:2", "c", "A pulmonary mass larger than 3 cm is an opacity.", page=2, source=source),
        Passage("b:3", "d", "A mass, pulmonary, is no nodule.", page=9, source=source),  # a page that is not there
    ]

    def asked(**settings):
        one = rag(items=items, **settings)
        one.generator.many_images = True
        one.answer(PIXELS, "What is a pulmonary mass?")
        return one.generator.prompts[0], one.generator.images[0]

    prompt, images = asked()
    assert prompt.pictured and len(images) == 1 + len(prompt.pictured) <= 3
    assert f"Image 2 shows the page of [{prompt.pictured[0]}]." in prompt.user_text()
    assert f"[{prompt.pictured[0]}]" in prompt.user_text()
    sizes = {key: image.size for key, image in zip(prompt.pictured, images[1:], strict=True)}
    assert any(height < 150 for _, height in sizes.values())  # a region is cut out, not the page
    assert asked(page_images=0)[0].pictured == () and len(asked(page_images=1)[1]) == 2
    plain = rag(items=items)
    plain.answer(PIXELS, "What is a pulmonary mass?")
    assert len(plain.generator.images[0]) == 1


def test_hits_are_searched_for_with_the_domain_that_an_answer_is_searched_with():
    asked, film = [], QueryImage(Image.fromarray(PIXELS), meta={"modality": "DX", "body_part": "CHEST"})
    found = rag()
    found.retrievers["lexical"].retrieve = lambda query, k: (asked.append(query.domain), [])[1]
    found.retrieve("Is there a mass?", film)
    found.answer(film, "Is there a mass?")
    assert asked == ["chest-xray", "chest-xray"]


def test_a_model_that_looked_and_wrote_nothing_is_not_told_as_nothing_found():
    silent = rag(reply="", items=())
    silent.generator.sees_images = True
    answer = silent.answer(PIXELS, "Is there a mass?")
    assert answer.status == "abstained" and answer.reason == "the model wrote no answer"


def test_where_everything_is_of_another_domain_the_answer_says_so():
    slide = Passage("s:1", "s:1", "Is there a mass? A mass is here.", meta={"domain": "histology"})
    film = QueryImage(Image.fromarray(PIXELS), meta={"modality": "DX", "body_part": "CHEST"})
    found = rag(items=[slide])
    found.generator.sees_images = False
    answer = found.answer(film, "Is there a mass?")
    assert answer.reason == "all that was found is of another domain (histology, not chest-xray)"


@pytest.mark.parametrize("agent", [False, True])
def test_which_of_several_images_is_not_guessed(agent):
    both = [PIXELS, PIXELS + 9]
    answer = rag().answer(both, "Which image shows a pulmonary mass?", agent=agent)
    assert answer.status == "abstained"
    assert "ask about each alone" in answer.reason
    assert "which of several" not in rag().answer(PIXELS, "Which image shows a pulmonary mass?", agent=agent).reason
