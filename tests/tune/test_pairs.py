"""Pairs by hand: which answers make which pair, what is filtered out, and that the same seed gives the same pictures."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from medrag import MedRAG
from medrag.errors import CorpusError, MedragError, SettingsError
from medrag.prompts import REFUSAL, make_prompt
from medrag.route import DomainRouter
from medrag.score.closed import parse
from medrag.score.reliance import right
from medrag.select import AdaptiveSelector
from medrag.testing import FakeGenerator, ListRetriever
from medrag.tune import answers, pixels
from medrag.tune.answers import FILE, Piece, Told, Unseen, answer_all, unattributed
from medrag.tune.asked import Asked, own_questions, read_questions, training_questions
from medrag.tune.hallucinate import borrowed, plausible
from medrag.tune.pairs import KINDS, Pair, Side, counts, drawn, make_pairs, read_pairs, write_pairs
from medrag.tune.relevance import urgency, weights
from medrag.tune.shown import LesionFiles, UnseenFiles
from medrag.types import Block, Context, Hit, ImageRecord, Page, Passage, Query, Study, Triple

QUESTION = "Is there a pleural effusion?"
EVIDENCE = (Piece("iu:1", "study", "iu:1", "There is a small left pleural effusion."),)


def told(without: str, using: str, unseen: str | None, reference: str = "yes", **more: Any) -> Told:
    asked = Asked("q", "g", more.pop("question", QUESTION), reference, ("a.png",), more.pop("kind", "closed"))
    return Told(asked, without, using, unseen, more.pop("evidence", EVIDENCE), "chest-xray", "key")


def kinds(one: Told, **more: Any) -> set[str]:
    return {pair.kind for pair in make_pairs([one], unseen=lambda _: ("x.png",), **more)}


@pytest.mark.parametrize(
    ("without", "using", "unseen", "expected"),
    [
        ("Yes.", "Yes.", "Yes.", {"cm", "unreadable"}),
        ("Yes.", "Yes.", "No.", {"unreadable"}),
        ("Yes.", "Yes.", REFUSAL, set()),
        ("No.", "Yes.", "No.", {"oa1", "unreadable"}),
        ("No.", "Yes.", "Yes.", {"cm", "oa1", "unreadable"}),
        ("Yes.", "No.", None, {"oa2", "kbpt"}),
        ("No.", "No.", None, set()),
        ("It is hard to say.", "Yes.", None, {"oa1"}),  # says neither: wrong, and not the same
    ],
)
def test_which_answers_make_which_pair(without: str, using: str, unseen: str | None, expected: set[str]) -> None:
    assert kinds(told(without, using, unseen)) == expected | {"plausible", "unaided"}


def test_without_evidence_there_is_nothing_to_rely_on() -> None:
    assert kinds(told("No.", "Yes.", "Yes.", evidence=())) == {"plausible", "unreadable"}


def test_another_patients_picture_can_be_read() -> None:
    one = dataclasses.replace(told("Yes.", "Yes.", "Yes."), unseen_images=("b.png",))
    assert kinds(one) == {"cm", "plausible", "unaided"}


def test_the_sides_see_what_the_papers_show_them() -> None:
    by_kind = {p.kind: p for p in make_pairs([told("No.", "Yes.", "Yes.")], unseen=lambda _: ("x.png",))}
    cm, oa1, unaided, unreadable = (by_kind[kind] for kind in ("cm", "oa1", "unaided", "unreadable"))
    assert unaided.chosen == Side(("a.png",), (), "Yes.") and unaided.rejected == Side(("a.png",), (), "No.")
    assert unreadable.chosen == Side(("x.png",), EVIDENCE, REFUSAL) and unreadable.rejected == cm.rejected
    assert cm.chosen.images == ("a.png",) and cm.rejected.images == ("x.png",)
    assert cm.chosen.evidence == cm.rejected.evidence == EVIDENCE and cm.chosen.answer == cm.rejected.answer == "Yes."
    assert (oa1.chosen.evidence, oa1.rejected.evidence) == (EVIDENCE, ())
    by_kind = {p.kind: p for p in make_pairs([told("Yes.", "No.", None)])}
    oa2, kbpt = by_kind["oa2"], by_kind["kbpt"]
    assert (oa2.chosen.evidence, oa2.rejected.evidence) == ((), EVIDENCE)
    assert kbpt.chosen.evidence == kbpt.rejected.evidence == EVIDENCE
    assert (kbpt.chosen.answer, kbpt.rejected.answer) == ("Yes.", "No.")


ANSWERS = st.sampled_from(["Yes.", "No.", "Yes, there is an effusion.", "No, the lungs are clear.", "Hard to say.", ""])


@settings(max_examples=25)
@given(ANSWERS, ANSWERS, st.none() | ANSWERS, st.sampled_from(["yes", "no"]))
def test_what_is_chosen_is_right_and_one_picture_never_prefers_between_two_answers_that_mean_the_same(
    without: str, using: str, unseen: str | None, reference: str
) -> None:
    for pair in make_pairs([told(without, using, unseen, reference)], unseen=lambda _: ("x.png",)):
        assert right(pair.chosen.answer, reference) or pair.chosen.answer == REFUSAL
        if pair.kind != "unreadable" and pair.chosen.images == pair.rejected.images:
            assert not right(pair.rejected.answer, reference)
            assert parse(pair.chosen.answer) != parse(pair.rejected.answer)
        assert 0.5 <= pair.weight <= 1.5


def test_a_judge_of_ones_own() -> None:
    asked: list[tuple[str, str]] = []

    def judge(answer: str, reference: str) -> bool:
        asked.append((answer, reference))
        return answer == "blue"

    one = told("red", "blue", None, "the colour of the sea", kind="open")
    assert kinds(one, right=judge, same=lambda a, b: a == b, hallucinate=lambda t, truth: "green") == {
        "oa1", "plausible", "unaided",
    }  # fmt: skip
    assert ("red", "the colour of the sea") in asked


def test_a_prompt_that_was_kept_is_worded_as_it_was() -> None:
    block = Block("Fluid sinks.", 3)
    items = (
        Study("iu:1", {"findings": "Clear lungs.", "impression": "Normal."}), Passage("p#1", "p", "Fluid sinks.", "A primer", page=3),
        Triple("t:1", "graph", "edema", "is_a", "finding"), Page("p#p3", "p", 3, (block,), 10, 10, "a.pdf", "A primer"),
        ImageRecord("p#f1", "p", "Figure 1, a film.", "a.pdf", page=3),
    )  # fmt: skip
    hits = tuple(Hit(item, 1.0, n, "dense") for n, item in enumerate(items, 1))
    side = Side(("a.png",), tuple(Piece.of(hit) for hit in hits), "Yes.")
    asked = make_prompt(QUESTION, Context(Query(QUESTION), hits))
    assert side.prompt(QUESTION).user_text() == asked.user_text() and side.prompt(QUESTION).system == asked.system


def test_counts_limits_and_unknown_kinds() -> None:
    many = [told("No.", "Yes.", None) for _ in range(5)]
    assert counts(make_pairs(many, ("oa1",), most=3)) == {**dict.fromkeys(KINDS, 0), "oa1": 3}
    with pytest.raises(SettingsError, match="oa3"):
        make_pairs([], ("oa3",))


@given(st.lists(st.sampled_from(["yes", "no"]), max_size=12), st.integers(0, 4))
def test_yes_is_preferred_as_often_as_no(references: list[str], most: int) -> None:
    pairs = make_pairs([told("No.", "Yes.", None, reference) for reference in references])
    found, unbalanced = drawn(pairs, most), drawn(pairs, most, balance=False)
    said = [parse(pair.chosen.answer) for pair in found]
    assert said.count("yes") == said.count("no") or len({parse(pair.chosen.answer) for pair in unbalanced}) == 1
    assert not most or max(counts(unbalanced).values()) <= most
    assert set(map(id, found)) <= set(map(id, unbalanced)) <= set(map(id, pairs))
    assert drawn(pairs, most) == found  # seeded


def test_pairs_are_read_as_they_were_written(tmp_path: Path) -> None:
    made = make_pairs([told("No.", "Yes.", "Yes.")], unseen=lambda _: ("x.png",))
    assert write_pairs(made, tmp_path / "pairs.jsonl")["oa1"] == 1
    assert read_pairs(tmp_path / "pairs.jsonl") == made
    assert [p.kind for p in read_pairs(tmp_path / "pairs.jsonl", ("cm",))] == ["cm"]
    assert '<evidence key=\\"E1\\"' in (tmp_path / "pairs.jsonl").read_text()
    with pytest.raises(SettingsError, match="lesion"):
        read_pairs(tmp_path / "pairs.jsonl", ("lesion",))
    (tmp_path / "pairs.jsonl").write_text("{}\n")
    with pytest.raises(SettingsError, match="holds no pairs"):
        read_pairs(tmp_path / "pairs.jsonl")


def test_unusual_ends_of_lines_within_a_text_are_part_of_it(tmp_path: Path) -> None:
    one = told("No.", "Yes.\u2028There is an effusion.\u0085", None)
    made = make_pairs([one])
    write_pairs(made, tmp_path / "pairs.jsonl")
    assert made and read_pairs(tmp_path / "pairs.jsonl") == made
    (tmp_path / FILE).write_text(one.line() + "\n", encoding="utf-8")
    assert answers.kept(tmp_path / FILE) == {one.asked.id: one}
    raw = {"id": "1", "group": "g", "question": "one\u2028two?", "reference": "yes", "kind": "closed"}
    (tmp_path / "own.jsonl").write_text(json.dumps(raw, ensure_ascii=False) + "\n", encoding="utf-8")
    assert read_questions(tmp_path / "own.jsonl")[0].question == raw["question"]


def test_a_report_borrows_a_finding_of_another_patient_and_does_not_contradict_itself() -> None:
    report = "Findings: The heart is normal in size. No pleural effusion. Impression: No acute disease."
    wrong = borrowed(report, ["The lungs are clear.", EVIDENCE[0].text], report)
    assert wrong.startswith("Findings: There is a small left pleural effusion.")
    assert "No pleural effusion" not in wrong and "heart is normal" in wrong
    assert borrowed(report, ["The lungs are clear."], report) == ""
    assert borrowed(EVIDENCE[0].text, [EVIDENCE[0].text], report) == ""  # it says so already
    one = told("", report, None, report, kind="report", question="Write a report.")
    assert plausible(one, report) == wrong
    assert [pair.rejected.answer for pair in make_pairs([one], ("plausible",))] == [wrong]


@settings(max_examples=25)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_weights_are_positive_and_keep_their_order(scores: list[float]) -> None:
    made = weights(scores)
    assert all(0.5 <= weight <= 1.5 for weight in made)
    order = np.argsort(scores, kind="stable")
    assert all(made[a] <= made[b] for a, b in itertools.pairwise(order))


def test_weights_by_hand() -> None:
    assert weights([1, 3]) == [0.5, 1.5] and weights([2, 2]) == [1, 1] and weights([]) == []
    assert weights([0, 1, 2]) == [0.5, 1, 1.5] and weights([0, 1, 2], 0.9, 1.1) == [0.9, 1, 1.1]
    with pytest.raises(SettingsError, match="positive range"):
        weights([1], low=-1)
    assert urgency("Is there cardiomegaly?", "Yes.", "No.") == 2


def test_noise_is_seeded_and_stays_in_its_mask() -> None:
    image = Image.fromarray(np.linspace(0, 255, 64 * 48).reshape(64, 48).astype(np.uint8))
    one, again, other = (np.asarray(pixels.noised(image, seed)) for seed in ("a", "a", "b"))
    assert (one == again).all() and (one != other).any()
    assert np.abs(np.corrcoef(one.ravel(), np.asarray(image).ravel())[0, 1]) < 0.25
    assert (np.asarray(pixels.noised(image, "a", kept=1)) == np.asarray(image)).all()
    heat = np.zeros((4, 4))
    heat[0, 0] = 1
    mask = pixels.lesion_mask(heat, image.size, 0.1)
    assert mask.shape == (64, 48) and 0 < mask.mean() <= 0.1 and mask[0, 0] and not mask[-1, -1]
    changed = np.asarray(pixels.noised(image.convert("RGB"), "a", mask=mask)) != np.asarray(image.convert("RGB"))
    assert changed.any() and not changed[~mask].any()
    assert not pixels.lesion_mask(np.ones((4, 4)), image.size).any()
    with pytest.raises(ValueError, match="between 0 and 1"):
        pixels.noised(image, "a", kept=2)


def test_least_similar_pictures_are_unlike_and_drawn() -> None:
    angles = np.linspace(0, np.pi, 40)
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    names = [str(n) for n in range(40)]
    pool = pixels.LeastSimilar(names, vectors, among=5)
    found = {pool.of(name) for name in names[:10]}
    assert found <= set(names[-5:]) and len(found) > 1
    assert pool.of("0") == pixels.LeastSimilar(names, vectors, among=5).of("0")
    with pytest.raises(ValueError, match="one picture"):
        pixels.LeastSimilar(["a"], vectors[:1]).of("a")


def questions(folder: Path, n: int = 4) -> list[Asked]:
    for k in range(n):
        Image.new("L", (32, 32), 40 * k).save(folder / f"{k}.png")
    return [
        Asked(f"q{k}", f"g{k}", QUESTION, "yes", (str(folder / f"{k}.png"),), "closed", (f"iu:{k}",)) for k in range(n)
    ]


def pipeline(generator: Any) -> MedRAG:
    reports = [Study(f"iu:{n}", {"findings": f"There is a pleural effusion, number {n}."}) for n in range(6)]
    return MedRAG(
        {"lexical": ListRetriever(reports, "lexical")}, DomainRouter(["lexical"]), AdaptiveSelector(), generator
    )


class Copier(FakeGenerator):
    """Says yes where evidence does, whatever the picture; no without evidence."""

    def stream(self, prompt: Any, images: Any = ()) -> Any:
        self.prompts.append(prompt)
        self.images.append(tuple(images))
        yield "Yes, there is an effusion [E1]." if prompt.context.kept else "No."


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full is Linux's")
def test_a_full_disk_and_a_read_only_folder_are_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / FILE).symlink_to("/dev/full")
    for folder, problem in ((tmp_path / "full", "No space left on device"), (Path("/sys/medrag"), "cannot write")):
        with pytest.raises(MedragError, match=problem) as caught:
            answer_all(pipeline(Copier()), questions(tmp_path), folder)
        assert "\n" not in str(caught.value) and "free space" in caught.value.hint


def test_a_copier_is_caught_and_a_run_that_was_cut_off_goes_on(tmp_path: Path) -> None:
    generator, asked = Copier(), questions(tmp_path)
    found = answer_all(pipeline(generator), asked, tmp_path / "out")
    assert len(generator.prompts) == 3 * len(asked)
    assert {(one.without, one.using, one.unseen) for one in found} == {
        ("No.", "Yes, there is an effusion.", "Yes, there is an effusion.")
    }
    assert all(f"iu:{n}" not in {piece.id for piece in one.evidence} for n, one in enumerate(found))  # never its own
    path = tmp_path / "out" / answers.FILE
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:2]) + lines[2][:40])
    again = Copier()
    second = answer_all(pipeline(again), asked, tmp_path / "out")
    assert len(again.prompts) == 6
    key = lambda told: (told.asked, told.without, told.using, told.unseen, told.evidence)  # noqa: E731
    assert [key(one) for one in second] == [key(one) for one in found]
    with pytest.raises(SettingsError, match="another"):
        answer_all(pipeline(again), asked, tmp_path / "out", Unseen(seed=7))
    files = UnseenFiles(tmp_path / "images", Unseen())
    made = make_pairs(second, unseen=files)
    assert counts(made) == {
        "cm": 4,
        "oa1": 4,
        "oa2": 0,
        "kbpt": 0,
        "plausible": 4,
        "lesion": 0,
        "unaided": 4,
        "unreadable": 4,
    }
    cm = next(pair for pair in made if pair.kind == "cm")
    blind = next(
        images
        for images in generator.images
        if images and images[0].tobytes() == Image.open(cm.rejected.images[0]).tobytes()
    )
    assert blind  # the file holds what the generator was shown


def test_an_unrelated_picture_in_place_of_noise(tmp_path: Path) -> None:
    asked = questions(tmp_path, 2)
    other = {one.images[0]: asked[1 - n].images[0] for n, one in enumerate(asked)}
    generator = Copier()
    unseen = Unseen("least-similar", others=other.__getitem__)
    found = answer_all(pipeline(generator), asked, tmp_path / "out", unseen)
    assert [one.unseen_images for one in found] == [asked[1].images, asked[0].images]
    shown = [images[0].tobytes() for images in generator.images[4:]]
    assert shown == [Image.open(other[one.images[0]]).tobytes() for one in asked]
    made = make_pairs(found, ("cm",), unseen=UnseenFiles(tmp_path / "images", unseen))
    assert [pair.rejected.images for pair in made] == [asked[1].images, asked[0].images]
    with pytest.raises(SettingsError, match="shows nothing"):
        Unseen("least-similar").pictures(asked[0])


class Knower(Copier):
    def probabilities_yes(self, prompts: Any, images: Any) -> list[float]:
        return [0.9 if prompt.context.kept else 0.2 for prompt in prompts]


def test_closed_questions_are_answered_by_their_probability_where_it_is_known(tmp_path: Path) -> None:
    generator = Knower()
    found = answer_all(pipeline(generator), questions(tmp_path, 2), tmp_path / "out")
    assert not generator.prompts and found[0].chances == (0.2, 0.9, 0.9) and found[0].using == "Yes."
    answer_all(pipeline(generator), questions(tmp_path, 2), tmp_path / "written", short=False)
    assert len(generator.prompts) == 6


def test_a_wrong_answer_is_not_asked_a_third_time(tmp_path: Path) -> None:
    generator = FakeGenerator(["No."])
    assert answer_all(pipeline(generator), questions(tmp_path, 2), tmp_path / "out")[0].unseen is None
    assert len(generator.prompts) == 4


def test_lesions_are_hidden_only_where_a_finding_is_asked_for_and_shown(tmp_path: Path) -> None:
    questions(tmp_path, 1)
    heat = np.eye(8)
    files = LesionFiles(tmp_path / "images", lambda image, label: heat, frozenset({"Effusion"}))

    def one(reference: str, question: str) -> Told:
        asked = Asked("q", "g", question, reference, (str(tmp_path / "0.png"),), "closed")
        return Told(asked, "No.", "Yes.", None, EVIDENCE, "chest-xray", "key")

    assert files(one("no", QUESTION)) == () and files(one("yes", "Is there a mass?")) == ()
    pairs = make_pairs([one("yes", QUESTION)], ("lesion",), lesion=files)
    assert len(pairs) == 1 and Path(pairs[0].rejected.images[0]).is_file()
    assert pairs[0].chosen.answer == pairs[0].rejected.answer == "Yes."
    assert files(one("yes", QUESTION)) == pairs[0].rejected.images


def test_an_encoder_says_where_a_finding_shows_by_its_name(tmp_path: Path) -> None:
    questions(tmp_path, 1)
    files = LesionFiles.named(tmp_path / "images", "similarity:medrag-small")
    film = np.full((256, 256), 90, np.uint8)
    film[160:, 20:110] = 230
    maps = [files.heat(Image.fromarray(film), label) for label in ("Effusion", "mesh:Scoliosis")]
    assert maps[0].shape == maps[1].shape and all(np.abs(each).max() <= 1 and np.ptp(each) > 0 for each in maps)
    assert not np.allclose(*maps)  # the words matter
    asked = Asked("q", "g", "Is there scoliosis?", "yes", (str(tmp_path / "0.png"),), "closed")
    (hidden,) = files(Told(asked, "No.", "Yes.", None, EVIDENCE, "chest-xray", "key"))
    assert Path(hidden).is_file()


def test_answers_lose_what_was_attributed_afterwards() -> None:
    assert unattributed("Yes, a mass [E1]. Reports of look-alike studies [E2, E3] say otherwise.") == "Yes, a mass."
    assert unattributed("The evidence of a mass is clear [E1].") == "The evidence of a mass is clear."


OWN = {"id": "1", "group": "g", "question": "q?", "reference": "yes", "images": ["a.png"], "kind": "closed"}


def test_own_questions(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    path.write_text(json.dumps({**OWN, "report": "A mass.", "found_for": ["a.png"], "patient": 7}) + "\n")
    picture = str(tmp_path / "a.png")
    asked = Asked("1", "g", "q?", "yes", (picture,), "closed", (), "A mass.", (picture,), "7")
    assert read_questions(path) == [asked]
    path.write_text('{"images": ["a.png"], "report": "Clear lungs."}\n')
    (report,) = read_questions(path)
    assert (report.kind, report.reference, report.report) == ("report", "Clear lungs.", "")
    assert report.question.startswith("Write the findings")


def rows(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "own.jsonl"
    path.write_text("".join(json.dumps({"question": "q?", "answer": "yes", **row}) + "\n" for row in rows))
    return path


def test_rows_of_several_splits_are_not_trained_on_unless_one_is_named(tmp_path: Path) -> None:
    path = rows(tmp_path, {"id": "a", "split": "train"}, {"id": "b", "split": "test"}, {"id": "c"})
    with pytest.raises(CorpusError, match=r"has the splits test, train → name with --split"):
        read_questions(path)
    with pytest.raises(CorpusError, match=r"no split 'tset' → known: all, test, train"):
        read_questions(path, "tset")
    assert [one.id for one in read_questions(path, "train")] == ["a"]
    assert [one.id for one in read_questions(path, "all")] == ["a", "b", "c"]
    for only in ({"split": "test"}, {"split": "test"}, {"id": "c"}), ({"split": "test"},):
        rows(tmp_path, *({"id": str(n), **row} for n, row in enumerate(only)))
        with pytest.raises(CorpusError, match=r"has the split test → name with --split"):
            read_questions(path)
    rows(tmp_path, {"id": "a", "split": "train"}, {"id": "c"})
    assert [one.id for one in read_questions(path)] == ["a", "c"]
    rows(tmp_path, {"answer": None, "relevant": ["reps:1"]})
    with pytest.raises(CorpusError, match="makes no pair"):
        read_questions(path)


def test_a_limit_is_drawn_with_the_seed(tmp_path: Path) -> None:
    path = rows(tmp_path, *({"id": str(n), "answer": "yes" if n < 30 else "no"} for n in range(60)))
    found, left_out = own_questions(path, limit=12)
    assert (len(found), left_out) == (12, 48) and {one.reference for one in found} == {"yes", "no"}
    assert [int(one.id) for one in found] == sorted(int(one.id) for one in found)
    assert found == own_questions(path, limit=12)[0] != own_questions(path, limit=12, seed=1)[0]
    for limit in (0, 60, 99):
        assert own_questions(path, limit=limit) == (read_questions(path), 0)


def test_pictures_are_named_wherever_pairs_are_read_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    rows(tmp_path, {"images": ["a.png"]})
    monkeypatch.chdir(tmp_path)
    (one,) = read_questions(Path("own.jsonl"))
    assert one.images == (str(tmp_path / "a.png"),)
    (blind,) = UnseenFiles(Path("images"), Unseen())(Told(one, "", "Yes.", "Yes.", (), "", ""))
    assert Path(blind).is_absolute() and Path(blind).is_file()


def test_a_question_is_asked_again_where_its_picture_was_replaced(tmp_path: Path) -> None:
    asked, generator = questions(tmp_path, 2), Copier()
    first = answer_all(pipeline(generator), asked, tmp_path / "out")[1]
    before = UnseenFiles(tmp_path / "images", Unseen())(first)
    Image.new("L", (32, 32), 250).save(asked[1].images[0])
    generator.prompts.clear()
    second = answer_all(pipeline(generator), asked, tmp_path / "out")[1]
    assert len(generator.prompts) == 3 and second.pictures != first.pictures
    assert UnseenFiles(tmp_path / "images", Unseen())(second) != before  # made of the picture that is there now
    generator.prompts.clear()
    older = (tmp_path / "out" / FILE).read_text().replace('"pictures": ', '"left": ').splitlines()
    lines = [json.dumps({k: v for k, v in json.loads(line).items() if k != "left"}) for line in older]
    (tmp_path / "out" / FILE).write_text("\n".join(lines) + "\n")
    answer_all(pipeline(generator), asked, tmp_path / "out")
    assert not generator.prompts  # lines of before do not say what was looked at


def test_nothing_to_write_is_told_and_leaves_no_older_pairs(tmp_path: Path) -> None:
    write_pairs(make_pairs([told("No.", "Yes.", None)]), tmp_path / "pairs.jsonl")
    with pytest.raises(SettingsError, match="no pair came of the answers"):
        write_pairs([], tmp_path / "pairs.jsonl")
    with pytest.raises(SettingsError, match="holds no pairs"):
        read_pairs(tmp_path / "pairs.jsonl")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[1, 2]", r"line 1: \[1, 2\] is no object"),
        ("{", "line 1: Expecting"),
        (json.dumps({**OWN, "images": {"a": 1}}), r"line 1: \{.* is no list of names"),
        (json.dumps(OWN) + "\n\n" + json.dumps(OWN), "line 3: there is another question with the id '1'"),
        (None, r"own\.jsonl: No such file"),
    ],
)
def test_a_line_that_is_no_question_is_named_with_what_mends_it(
    tmp_path: Path, text: str | bytes | None, told: str
) -> None:
    path = tmp_path / "own.jsonl"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(CorpusError, match=rf"{told}.* → each row has a question"):
        read_questions(path)


def test_own_questions_may_be_saved_with_a_byte_order_mark(tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "own.jsonl").write_bytes(b"\xef\xbb\xbf" + json.dumps(OWN).encode() + b"\r\n")
    assert [one.id for one in read_questions(tmp_path / "own.jsonl")] == ["1"]


def test_published_answers_of_one_word_are_read_as_labels(tmp_path: Path) -> None:
    folder = tmp_path / "open/vqa_rad"
    folder.mkdir(parents=True)
    answers_ = ("Yes.", "No.", "no", "MRI", True, "")
    rows = [{"image_name": f"{n}.png", "question": "q?", "answer": answer} for n, answer in enumerate(answers_)]
    (folder / "train.json").write_text(json.dumps(rows))
    found = sorted(training_questions(tmp_path, ["vqa_rad"]), key=lambda one: one.id)
    assert [(one.kind, one.reference) for one in found] == [
        ("closed", "yes"), ("closed", "no"), ("closed", "no"), ("open", "MRI")
    ]  # fmt: skip
    (folder / "train.json").write_text(json.dumps([{**rows[0], "answer": None}]))
    with pytest.raises(CorpusError, match=r"train\.json, question 1: the answer None is no text"):
        training_questions(tmp_path, ["vqa_rad"])


def test_pair_lines_round_trip() -> None:
    pair = make_pairs([told("Yes.", "No.", None)])[0]
    assert Pair.of(pair.line()) == pair


@pytest.mark.data
def test_training_questions_leave_out_what_is_held_back() -> None:
    import os

    from medrag.corpora import realdata
    from medrag.tune.asked import SETS

    data = Path(os.environ["MEDRAG_DATA"])
    found = training_questions(data, list(SETS), 40)
    assert len(found) == 40 and len({one.id for one in found}) == 40
    assert found == training_questions(data, list(SETS), 40) != training_questions(data, list(SETS), 40, seed=1)
    every = training_questions(data, ["vqa_rad"])
    held = realdata.vqa_rad_held(data)
    assert every and not {Path(one.images[0]).name for one in every} & held
    train = {study.uid for study in realdata.studies(data, "train")}
    assert {one.group for one in training_questions(data, ["iu_vqa", "iu_balanced"])} <= {f"iu/{uid}" for uid in train}


def test_a_borrowed_finding_stands_under_the_heading_whatever_is_left_out() -> None:
    report = "Findings: No pleural effusion. Heart size is normal. Impression: No acute disease."
    found = borrowed(report, ["There is a left pleural effusion."], "No pleural effusion. Heart size is normal.")
    assert found.startswith("Findings: There is a left pleural effusion. Heart size")


def test_a_map_with_a_plateau_hides_it() -> None:
    heat = np.zeros((8, 8), np.float32)
    heat[:2] = 1
    assert pixels.lesion_mask(heat, (64, 64))[:8].all()
    assert not pixels.lesion_mask(np.ones((8, 8)), (64, 64)).any()


def test_a_model_without_eyes_is_not_told_to_use_the_image() -> None:
    side = Side(("film.png",), (Piece("b:1", "passage", "b", "A mass is large."),), "")
    assert "Use the image" in side.prompt("Is there a mass?").system
    assert "Use the image" not in side.prompt("Is there a mass?", looks=False).system
