"""The rule policy over a small index: what it looks for, what it keeps, what it reports, and what it never does."""

from __future__ import annotations

import json

import pytest
from PIL import Image
from small_agent import SAYS, STUDIES, TEXTS, Script, called, graph_of, picture, small_rag, tools_of

from medrag.agent.desk import Desk
from medrag.agent.graph import Agent
from medrag.agent.state import Budget
from medrag.agent.trace import trace_text, write_jsonl
from medrag.errors import SettingsError
from medrag.query import make_query
from medrag.types import Passage, Query, QueryImage, Study

EFFUSION = "Is there a pleural effusion on the left?"


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    return graph_of(tmp_path_factory.mktemp("graph"))


def test_a_question_about_an_image_is_answered_from_verified_evidence():
    answer = Agent(small_rag()).answer(picture("left"), EFFUSION)
    assert "search_similar" in tools_of(answer) and tools_of(answer)[-1] == "answer"
    kept = [piece for row in answer.trace for piece in row.get("kept", ())]
    assert [piece["id"] for piece in kept] and {hit.item.id for hit in answer.context.kept} == {p["id"] for p in kept}
    texts = {hit.item.id: hit.item.text for hit in answer.context.kept}
    assert all(piece["quote"] in texts[piece["id"]] for piece in kept)
    assert "yes" in answer.text[:12].lower() and answer.status == "answered"
    assert 0 < answer.usage["supported_claims"] <= answer.usage["claims"]


def test_the_same_question_takes_the_same_steps():
    one, other = (Agent(small_rag()).answer(picture("left"), EFFUSION) for _ in range(2))
    assert called(one) == called(other) and one.text == other.text


def test_two_hops_find_the_drug_of_a_disease_that_only_the_evidence_names(graph):
    answer = Agent(small_rag(graph=graph), budget=Budget(steps=12)).answer(
        None, "How is the disease that causes a pleural effusion treated?"
    )
    assert "book:furosemide~0" in {hit.item.id for hit in answer.context.kept}
    hop = next(row for row in answer.trace if "heart failure" in str(row["args"].get("query", "")).lower())
    assert hop["tool"] == "search_text"


def test_what_the_reader_sees_names_no_disease(graph):
    read = {"pleural effusion": 0.9}
    answer = Agent(small_rag(graph=graph), see=lambda images: read, budget=Budget(steps=12)).answer(
        picture("left"), "What causes a pleural effusion?"
    )
    assert "read_findings" in tools_of(answer)
    queries = [str(row["args"]["query"]) for row in answer.trace if row["tool"] == "search_text"]
    assert queries and all("reader" not in one and one == one.strip() for one in queries)


def test_sub_questions_are_each_looked_into():
    answer = Agent(small_rag(), budget=Budget(steps=12)).answer(
        picture("left"), "Is there a pleural effusion, and what is a pulmonary mass?"
    )
    goals = {row.get("goal") for row in answer.trace}
    assert {"Is there a pleural effusion?", "what is a pulmonary mass?"} <= goals
    assert {"book:mass~0"} <= {hit.item.id for hit in answer.context.kept}


def test_nothing_is_kept_twice_and_what_was_refused_for_a_goal_does_not_come_again():
    answer = Agent(small_rag(), budget=Budget(steps=20)).answer(picture("left"), EFFUSION)
    kept = [piece["id"] for row in answer.trace for piece in row.get("kept", ())]
    assert len(kept) == len(set(kept)) > 1
    refused = [(row["goal"], drop["id"]) for row in answer.trace for drop in row.get("dropped", ())]
    assert len(refused) == len(set(refused))


def test_the_same_search_again_brings_other_items_or_none():
    again = ("search_text", {"query": "pleural effusion", "k": 1})
    answer = Agent(small_rag(), policy=Script(again, again, again, again)).answer(None, "What is a pleural effusion?")
    kept = [piece["id"] for row in answer.trace for piece in row.get("kept", ())]
    assert len(kept) == len(set(kept)) >= 2


def test_look_alikes_that_disagree_are_reported_as_a_conflict():
    studies = [one for one in STUDIES if "left" in one.id or "clear" in one.id]
    answer = Agent(small_rag(studies=studies, texts=())).answer(picture("left"), EFFUSION)
    views = {piece["view"] for row in answer.trace for piece in row.get("kept", ())}
    assert {"present", "absent"} <= views
    assert any(note.startswith("conflict on") for note in answer.context.notes)
    assert any(row.get("conflicts") for row in answer.trace) and "! conflict" in trace_text(answer.trace)


def test_texts_that_say_the_opposite_are_a_conflict():
    texts = [
        Passage("a:1~0", "a:1", "A pleural effusion always blunts the costophrenic angle.", title="One"),
        Passage("b:1~0", "b:1", "A pleural effusion does not blunt the costophrenic angle.", title="Other"),
    ]
    answer = Agent(small_rag(texts=texts, studies=())).answer(
        None, "Does a pleural effusion blunt the costophrenic angle?"
    )
    assert any("say the opposite" in note for note in answer.context.notes)


def test_instructions_in_a_text_are_no_evidence():
    answer = Agent(small_rag(), budget=Budget(steps=20)).answer(None, "What is a pleural effusion?")
    assert "trap:one~0" not in {hit.item.id for hit in answer.context.kept}
    reasons = {drop.hit.item.id: drop.reason for drop in answer.context.dropped}
    assert reasons["trap:one~0"].startswith("it gives instructions")
    assert answer.status == "answered"


def test_excluded_studies_and_documents_are_never_used():
    gone = ["iu:left0", "book:effusion"]
    answer = Agent(small_rag(), budget=Budget(steps=20)).answer(picture("left"), EFFUSION, exclude=gone)
    seen = [hit.item for hit in answer.context.kept] + [drop.hit.item for drop in answer.context.dropped]
    assert seen and not {item.id for item in seen} & set(gone) and not {item.doc for item in seen} & set(gone)
    looked = Agent(small_rag(), policy=Script(("look_up", {"id": "iu:left0"}))).answer(None, "Effusion?", exclude=gone)
    assert "no item" in looked.trace[0]["said"] and not looked.context.kept


def test_where_nothing_is_found_it_abstains():
    answer = Agent(small_rag(texts=(), studies=())).answer(None, "What is a pneumothorax?")
    assert answer.status == "abstained"


@pytest.mark.parametrize("steps", [0, 1])
def test_steps_are_never_over_the_budget(steps):
    answer = Agent(small_rag(), budget=Budget(steps=steps)).answer(picture("left"), EFFUSION)
    assert answer.usage["steps"] == len(answer.trace) - 1 == steps
    assert answer.trace[-1]["tool"] == "answer" and "steps are done" in answer.trace[-1]["thought"]


def test_seconds_end_a_run_before_the_next_step():
    ticks = iter(range(1000))
    answer = Agent(small_rag(), budget=Budget(seconds=4), clock=lambda: float(next(ticks))).answer(
        picture("left"), EFFUSION
    )
    assert "s are over" in answer.trace[-1]["thought"]
    assert answer.usage["steps"] == 2  # plan, act and verify of one step take a second each


def test_evidence_stays_within_its_tokens():
    for evidence in (40, 90, 200):
        answer = Agent(small_rag(), budget=Budget(evidence=evidence)).answer(picture("left"), EFFUSION)
        assert answer.context.tokens <= evidence
    reasons = {drop.reason for drop in answer.context.dropped}
    small = Agent(small_rag(), budget=Budget(evidence=40)).answer(picture("left"), EFFUSION)
    assert any("over the budget of 40" in drop.reason for drop in small.context.dropped), reasons


def test_a_budget_below_zero_is_refused():
    with pytest.raises(SettingsError, match="below 0"):
        Budget(steps=-1)


def test_only_allowed_tools_run():
    answer = Agent(small_rag(), allow=["search_text"]).answer(picture("left"), EFFUSION)
    assert set(tools_of(answer)) == {"search_text", "answer"}
    script = Script(("search_similar", {}), ("zoom", {"left": 0, "top": 0, "right": 1, "bottom": 1}))
    refused = Agent(small_rag(), policy=script, allow=["search_text"]).answer(picture("left"), EFFUSION)
    assert tools_of(refused) == ["", "", "answer"] and "there is no tool" in refused.trace[0]["fault"]
    with pytest.raises(SettingsError, match="no tool 'search_txt'"):
        Agent(small_rag(), allow=["search_txt"]).answer(None, EFFUSION)


def test_zoom_searches_with_the_region_alone():
    rag = small_rag()
    Agent(rag, policy=Script(("zoom", {"left": 0.5, "top": 0.5, "right": 1.0, "bottom": 1.0}))).answer(
        picture("left"), EFFUSION
    )
    assert (32, 32) in rag.retrievers["similar"].looks
    bad = [("zoom", {"left": 0.5, "top": 0.5, "right": 0.5, "bottom": 1.0}), ("zoom", {"image": 3, "left": 0, "top": 0, "right": 1, "bottom": 1})]  # fmt: skip
    answer = Agent(rag, policy=Script(*bad)).answer(picture("left"), EFFUSION)
    assert "left < right" in answer.trace[0]["fault"] and "no image 3" in answer.trace[1]["fault"]


def test_the_rules_look_closer_where_a_place_is_named():
    rag = small_rag(studies=[one for one in STUDIES if one.id == "iu:left0"])
    answer = Agent(rag, budget=Budget(steps=12)).answer(picture("left"), EFFUSION)
    (look,) = [row for row in answer.trace if row["tool"] == "zoom"]
    assert look["args"]["left"] > 0  # the patient's left is the picture's right


def read(images):
    """A findings reader by brightness of the lower half."""
    share = (
        max(float((image.crop((0, 40, 64, 64)).convert("L").resize((1, 1))).getpixel((0, 0))) for image in images) / 255
    )
    return {"Effusion": share, "Pneumothorax": 0.01}


def test_conflicts_and_the_trace_name_evidence_as_the_answer_does():
    answer = Agent(small_rag(), see=lambda images: {"Effusion": 0.9}).answer(
        picture("left"), "Is there a pleural effusion?"
    )
    ids = {key: hit.item.id for key, hit in answer.context}
    kept = {told["key"]: told["id"] for row in answer.trace for told in row.get("kept", ())}
    assert kept == ids and list(ids.values())[-1].startswith("agent:findings")  # read last, found first
    (note,) = answer.context.notes
    sides = note.rpartition(": ")[2].removesuffix(" against it").split(" for it, ")
    pro, contra = ([ids[key] for key in side.split(", ")] for side in sides)
    assert any(one.startswith("agent:findings") for one in pro) and all(one.startswith("iu:clear") for one in contra)
    assert note in [conflict for row in answer.trace for conflict in row.get("conflicts", ())]


MASS = (
    "answer",
    {"text": "A pleural effusion is fluid in the pleural space [E1]. There is a large pneumothorax [E1]."},
)


@pytest.mark.parametrize("policy", [Script(("search_text", {"query": "pleural effusion"}), MASS), "rules"])
@pytest.mark.parametrize("unsupported", ["mark", "remove", "abstain"])
def test_every_answer_is_finished_as_that_of_the_pipeline(policy, unsupported):
    from medrag.testing import FakeGenerator

    rag = small_rag(unsupported=unsupported, generator=FakeGenerator([MASS[1]["text"]]))
    answer = Agent(rag, policy=policy).answer(None, "What is a pleural effusion?")
    said = rag.finish(MASS[1]["text"], answer.context, answer.route)
    assert (answer.text, answer.status, answer.reason) == (said.text, said.status, said.reason)
    assert (answer.claims, answer.citations) == (said.claims, said.citations)
    assert ("pneumothorax" in answer.text) == (unsupported == "mark")


def test_an_answer_that_is_not_sure_enough_is_held_back_whoever_wrote_it():
    from medrag.calibration import Calibration, Logistic, Sort

    for least, status in ((0.2, "answered"), (0.9, "abstained")):
        rag = small_rag(risk=0.1)
        vars(rag)["calibration"] = Calibration({}, 0.1, {"text": Sort(Logistic({}, {}, 0.0), {"0.1": least}, None)})
        for policy in ("rules", Script(("search_text", {"query": "pleural effusion"}), MASS)):
            answer = Agent(rag, policy=policy).answer(None, "What is a pleural effusion?")
            assert (answer.status, answer.confidence) == (status, 0.5)
            assert status == "answered" or "for a risk of 0.1" in answer.reason


def test_no_more_is_read_than_the_calibration_was_made_with():
    from medrag.calibration import Calibration, Logistic, Sort
    from medrag.testing import FakeGenerator

    def calibrated(depth, **settings):
        rag = small_rag(generator=FakeGenerator(), **settings)
        certain = Logistic({"evidence": 1.0}, {"evidence": 0.0}, 0.0)  # the more is kept, the surer
        vars(rag)["calibration"] = Calibration({}, 0.1, {"text": Sort(certain, {"0.1": 0.5}, depth)})
        return rag

    asked = "What is a pleural effusion?"
    whole, cut = (Agent(calibrated(depth)).answer(None, asked) for depth in (None, 1))
    assert len(whole.context.kept) > 1 and cut.context.kept == whole.context.kept[:1]
    assert round(cut.confidence, 2) == 0.73 < whole.confidence
    late = [drop for drop in cut.context.dropped if "more than the calibration" in drop.reason]
    assert [drop.hit.item.id for drop in late] == [hit.item.id for hit in whole.context.kept[1:]]
    assert [one["id"] for one in cut.trace[-1]["dropped"]] == [drop.hit.item.id for drop in late]
    own = Script(("search_text", {"query": "pleural effusion"}), MASS)
    written = Agent(calibrated(1), policy=own).answer(None, asked)
    assert len(written.context.kept) > 1 and (written.status, written.confidence) == ("answered", None)
    held = Agent(calibrated(1, risk=0.1), policy=own).answer(None, asked)
    assert held.status == "abstained" and "read more evidence" in held.reason


def test_a_picture_is_searched_with_the_domain_that_the_pipeline_would_take():
    assert Desk(small_rag(domain="other"), make_query(picture(), EFFUSION)).query.domain == "other"


def test_abstaining_stays_abstaining():
    answer = Agent(small_rag(), policy=Script(("abstain", {"reason": "too little"}))).answer(None, "What is a mass?")
    assert (answer.status, answer.reason, answer.claims, answer.confidence) == ("abstained", "too little", (), None)


def test_two_images_are_compared_and_the_change_is_evidence():
    answer = Agent(small_rag(), see=read).answer(
        [picture("clear"), picture("both")], "What has changed in the pleural effusion?"
    )
    told = next(row for row in answer.trace if row["tool"] == "compare_images")
    assert "effusion is possibly new" in told["said"].lower()  # the first reading is 0.26
    assert any("is possibly new" in hit.item.text for hit in answer.context.kept)
    back = Agent(small_rag(), see=read).answer(
        [picture("both"), picture("clear")], "What has changed in the pleural effusion?"
    )
    assert "is possibly resolved" in next(row["said"] for row in back.trace if row["tool"] == "compare_images")


@pytest.mark.parametrize(
    ("days", "question", "compared"),
    [
        (("20240101", "20240101"), "Are there increased interstitial markings?", False),
        (("20230101", "20240101"), "Are there increased interstitial markings?", True),
        (("", ""), "Has the pleural effusion changed since?", True),
        (("20230101", "20240101"), "What is the differential diagnosis?", False),
    ],
)
def test_views_of_one_day_are_not_compared(days, question, compared):
    films = [
        QueryImage(Image.fromarray(picture(name)), sha256=name, meta={"study_date": day})
        for name, day in zip(("clear", "both"), days, strict=True)
    ]
    answer = Agent(small_rag(), see=read).answer(films, question)
    assert ("compare_images" in tools_of(answer)) is compared
    looks = [row["args"]["image"] for row in answer.trace if row["tool"] == "read_findings"]
    assert looks == ([0, 1] if compared and not any(days) else [-1])  # of known days the latest is read


def film(name: str, day: str = "", patient: str = "", **meta: str) -> QueryImage:
    told = {"study_date": day, "patient_id": patient, **meta}
    return QueryImage(Image.fromarray(picture(name)), sha256=f"{name}{day}{patient}", meta=told)


@pytest.mark.parametrize("turned", [False, True])
def test_an_earlier_film_does_not_change_what_the_latest_shows(turned):
    films = [film("clear", "20200105"), film("both", "2021-03-10")]
    alone = Agent(small_rag(), see=read).answer(films[1:], "Is there a pleural effusion?")
    answer = Agent(small_rag(), see=read).answer(films[::-1] if turned else films, "Is there a pleural effusion?")
    assert answer.text == alone.text and answer.context.kept == alone.context.kept and not alone.reason
    one, other = (1, 2) if turned else (2, 1)
    assert answer.reason == f"read off image {one}: image {other} is of an earlier day"
    assert [row["args"] for row in answer.trace] == [row["args"] for row in alone.trace]


def test_views_of_one_day_are_read_together():
    views = [film("clear", "20210310"), film("both", "2021-03-10"), film("left")]  # and what has no date
    answer = Agent(small_rag(), see=read).answer(views, "Is there a pleural effusion?")
    assert "read off" not in answer.reason and len(answer.context.query.images) == 3


def test_two_studies_are_compared_and_the_latest_is_read():
    views = [
        film("both", "20210310", view="PA"),
        film("clear", "20200105", view="PA"),
        film("clear", "20210310", view="LL"),
    ]
    answer = Agent(small_rag(), see=lambda images: {"Effusion": len(images) / 4}).answer(views, "What has changed?")
    told = [row for row in answer.trace if row["tool"] == "compare_images"]
    assert [(row["args"]["first"], row["args"]["second"]) for row in told] == [(1, 0)]
    assert "0.25 in the earlier image, 0.25 in the later" in told[0]["said"]  # frontal with frontal
    seen = next(row["said"] for row in answer.trace if row["tool"] == "read_findings")
    assert "There is a pleural effusion (the reader's probability: 0.50)" in seen  # both views of the later study


def test_films_of_two_patients_are_told_and_not_read_together():
    films = [film("clear", "20200105", "P1"), film("both", "20210310", "P5")]
    answer = Agent(small_rag(), see=read).answer(films, "What has changed?")
    assert answer.status == "abstained" and "different patients" in answer.reason and not answer.trace
    answer = Agent(small_rag(), see=read).answer(films, "Is there a pleural effusion?")
    assert answer.reason.endswith("image 1 is of an earlier day, and not all are of one patient")
    same_day = [film("clear", "20210310", "P1"), film("both", "20210310", "P5")]
    assert Agent(small_rag(), see=read).answer(same_day, "Is there a pleural effusion?").status == "abstained"
    let = Agent(small_rag(misfit="answer"), see=read).answer(films, "What has changed?")
    assert "compare_images failed: images 1 and 2 are of different patients" in str(let.trace)


def test_the_history_has_reports_alone_one_of_each_day():
    kept = {"patient": "P1", "date": "2020-01-05"}
    studies = [
        Study("films:1", {}, **kept), Study("reps:1", {"findings": "There is a left pleural effusion."}, **kept),
        Study("fhir:1", {"findings": "There is a left pleural effusion."}, patient="P1", date="2020-01-05T10:15:00Z"),
        Study("reps:own", {"findings": "Clear."}, patient="P1", meta={"accession": "A2"}),
        Study("reps:2", {"findings": "Clear."}, patient="P1", date="2021-03-10T08:00:00+01:00"),
    ]  # fmt: skip
    query = Query("Is it new?", (film("both", "20210310", "P1", accession="A2"),))
    desk = Desk(small_rag(studies=studies), query)
    assert [study.id for study in desk.studies] == ["fhir:1"]


def test_without_a_reader_the_reports_of_look_alikes_tell_the_change():
    studies = [Study(f"iu:{name}{n}", {"findings": SAYS[name]}) for name in ("clear", "both") for n in range(9)]
    answer = Agent(small_rag(domain="other", studies=studies)).answer(
        [picture("clear"), picture("both")], "Is the pleural effusion new?"
    )
    told = next(row for row in answer.trace if row["tool"] == "compare_images")["said"]
    assert "effusion is new" in told and "look-alikes" in told


def test_a_series_is_compared_pair_by_pair_and_evidence_is_kept_per_image():
    series = [picture("clear"), picture("left"), picture("both")]
    answer = Agent(small_rag(), see=read, budget=Budget(steps=14)).answer(
        series, "How has the pleural effusion changed?"
    )
    pairs = [(row["args"]["first"], row["args"]["second"]) for row in answer.trace if row["tool"] == "compare_images"]
    assert pairs == [(0, 1), (1, 2)]
    assert [row["args"]["image"] for row in answer.trace if row["tool"] == "read_findings"] == [0, 1, 2]
    assert len({piece["image"] for row in answer.trace for piece in row.get("kept", ())}) > 1


def test_pairs_that_look_like_the_pair_are_found_by_both_images():
    answer = Agent(small_rag(), see=read, policy=Script(("compare_images", {}))).answer(
        [picture("left"), picture("both")], "What has changed?"
    )
    first = next(hit.item for hit in answer.context.kept if hit.retriever == "similar-pairs")
    assert first.id.startswith("iu:both")


def test_earlier_studies_of_the_patient_are_evidence_with_what_changed():
    answer = Agent(small_rag()).answer(picture("left"), "What is known of the pleural effusion?", patient="p1")
    row = next(row for row in answer.trace if row["tool"] == "patient_history")
    assert "4 earlier studies" in row["said"] and "resolved" in row["said"]
    assert {"iu:clear1"} <= {piece["id"] for piece in row["kept"]}
    assert "patient_history" not in tools_of(Agent(small_rag()).answer(picture("left"), EFFUSION))


def test_privacy_mode_shows_no_report_and_no_passage(graph):
    from medrag.testing import FakeGenerator

    calls = [
        '{"tool": "search_text", "args": {"query": "What is a pleural effusion?"}}',
        '{"tool": "search_similar", "args": {"goal": "Is there a pleural effusion?"}}',
        '{"tool": "look_up", "args": {"id": "iu:left0"}}',
        '{"tool": "walk_graph", "args": {"term": "pleural effusion"}}',
        '{"tool": "patient_history", "args": {}}',
        '{"tool": "answer", "args": {"text": "Fluid in the pleural space [E1]."}}',
    ]
    rag = small_rag(graph=graph, generator=FakeGenerator(calls), private=True)
    answer = Agent(rag, policy="llm").answer(picture("left"), "What is a pleural effusion?", patient="p1")
    assert {hit.item.kind for hit in answer.context.kept} <= {"concept", "triple"} and answer.context.kept
    shown = "\n".join(prompt.question for prompt in rag.generator.prompts)
    assert "There is a left pleural effusion" not in shown and "common cause" not in shown


def test_a_trace_is_json_lines_and_text(tmp_path):
    answer = Agent(small_rag()).answer(picture("left"), EFFUSION)
    write_jsonl(answer.trace, tmp_path / "trace.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "trace.jsonl").read_text(encoding="utf-8").splitlines()]
    assert rows == [dict(row) for row in answer.trace] == answer.to_dict()["trace"]
    text = trace_text(rows)
    assert text == trace_text(answer.trace) and "1. " in text and "+ [E1]" in text
    assert max(map(len, text.splitlines())) <= 100


def test_events_come_in_the_order_of_the_nodes():
    stages = [event.stage for event in Agent(small_rag()).stream(picture("left"), EFFUSION)]
    assert stages[-2:] == ["planned", "answer"] and len(stages) % 3 == 2
    assert stages[:-2] == ["planned", "called", "verified"] * ((len(stages) - 2) // 3)


def test_the_pipeline_opens_the_loop():
    rag = small_rag()
    assert rag.answer(picture("left"), EFFUSION, agent=True, budget=Budget(steps=1)).usage["steps"] == 1
    assert not rag.answer(picture("left"), EFFUSION).trace
    with pytest.raises(SettingsError, match="agent=True"):
        rag.answer(None, EFFUSION, policy="rules")
    with pytest.raises(SettingsError, match="no policy 'rule'"):
        rag.answer(None, EFFUSION, agent=True, policy="rule")
    for agent in (True, False):
        with pytest.raises(SettingsError, match=r"'polcy'.*did you mean 'policy'"):
            rag.answer(None, EFFUSION, agent=agent, polcy="rules")


@pytest.mark.parametrize("question", ["Is there a pleural effusion?", "What has changed?"])
def test_of_a_patient_without_a_film_no_other_patients_report_speaks(question):
    answer = Agent(small_rag(texts=[*TEXTS, *STUDIES])).answer(None, question, patient="p0")
    assert {hit.item.patient for hit in answer.context.kept if isinstance(hit.item, Study)} == {"p0"}
    assert answer.status == "answered" and all(one.item.id.endswith(("0", "history#0")) for one in answer.citations)


@pytest.mark.parametrize(
    ("patient", "exclude"), [("nobody", ()), ("p0", ["iu:left0", "iu:right0", "iu:both0", "iu:clear0"])]
)
def test_of_a_patient_without_a_report_nobody_elses_is_read_and_the_answer_says_so(patient, exclude):
    rag = small_rag(texts=[*TEXTS, *STUDIES])
    answer = Agent(rag).answer(None, "Is there a pleural effusion?", patient=patient, exclude=exclude)
    assert not any(isinstance(hit.item, Study) for hit in answer.context.kept)
    assert "no report of this patient" in answer.reason
    assert "no report of" not in Agent(rag).answer(None, "Is there a pleural effusion?").reason
