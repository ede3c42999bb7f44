"""How often look-alike studies report a finding: counted over others' studies of the same domain, against what is usual."""

from __future__ import annotations

import dataclasses
import gc
import weakref
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from medrag._util.odds import logit
from medrag._util.remember import forget
from medrag.calibration import Calibration, Logistic, Sort
from medrag.indexes.items import ItemStore
from medrag.pipeline import MedRAG
from medrag.prompts import make_prompt
from medrag.retrieve.frequency import FEWEST, Frequencies, _reported, log_odds
from medrag.route import DomainRouter
from medrag.select import AdaptiveSelector
from medrag.settings import PipelineSettings, override
from medrag.testing import FakeGenerator
from medrag.types import Context, Frequency, Hit, Item, Query, QueryImage, Study

FILM = QueryImage(Image.new("L", (8, 8)), sha256="a", meta={"modality": "DX", "body_part": "CHEST"})
ILL, WELL = "Small left pleural effusion.", "The lungs are clear. No pleural effusion."


def study(n: int, text: str, domain: str = "chest-xray") -> Study:
    return Study(f"c:{n}", {"findings": text}, domain=domain)


class Alike:
    """Studies by how much their pictures look like the question's: the first most."""

    name = "similar"

    def __init__(self, studies: Sequence[Item], best: float = 0.9) -> None:
        self.studies, self.best = studies, best

    def retrieve(self, query: Query, k: int) -> list[Hit]:
        found = [one for one in self.studies if one.id not in query.exclude][:k]
        return [Hit(one, self.best - n / 1000, n + 1, self.name) for n, one in enumerate(found)]


def counts(tmp_path: Path, near: Sequence[Study], far: Sequence[Study], most: int = 100) -> Frequencies:
    items = ItemStore.create(tmp_path / "items.db")
    items.put_many((one, "c") for one in (*near, *far))
    return Frequencies(Alike([*near, *far]), items, most, 0.9995)


def asked(text: str, domain: str = "chest-xray", exclude: Sequence[str] = ()) -> Query:
    return Query(text, (FILM,), frozenset(exclude), domain)


@pytest.fixture
def half(tmp_path: Path) -> Frequencies:
    """Of the 100 studies that look most alike half report an effusion, of the 300 others none."""
    near = [study(n, ILL if n % 2 else WELL) for n in range(100)]
    return counts(tmp_path, near, [study(n, WELL) for n in range(100, 400)])


def test_look_alike_studies_are_counted_beside_all(half: Frequencies) -> None:
    found = half.of(asked("Is there a pleural effusion?"))
    assert found is not None and (found.alike, found.usual) == ((50, 100), (50, 400))
    assert found.lift == pytest.approx(logit(0.5) - logit(0.125), abs=0.1)
    assert found.text == "of the 100 studies that look most alike 50 % report pleural effusion, of all studies 12.5 %"
    assert half.of(asked("Is there a pneumothorax?")) is None  # nobody reports one


def test_a_turned_question_is_moved_the_other_way(half: Frequencies) -> None:
    there, free = (half.of(asked(text)) for text in ("Is there an effusion?", "Are the lungs free of effusion?"))
    assert there and free and free.lift == pytest.approx(-there.lift)


def test_a_side_is_counted_by_itself(half: Frequencies) -> None:
    left, right = (half.of(asked(f"Is there a {side} pleural effusion?")) for side in ("left", "right"))
    assert left and left.alike == (50, 100) and right is None


@pytest.mark.parametrize(
    "query",
    [
        asked("What is an effusion?"),
        asked("Write the findings."),
        asked("Is the effusion larger than before?"),
        asked("Has the effusion resolved?"),
        asked("Is there an effusion?", domain=""),
        asked("Is there an effusion?", domain="ct"),
        Query("Is there an effusion?", domain="chest-xray"),
    ],
)
def test_other_questions_and_other_pictures_are_not_counted_for(half: Frequencies, query: Query) -> None:
    assert half.of(query) is None


def test_what_is_usual_is_counted_once_and_keeps_no_index_open(half: Frequencies) -> None:
    forget()
    for _ in range(2):
        half.of(asked("Is there an effusion?"))
    known = _reported.cache_info()
    assert (known.misses, known.hits) == (1, 1)
    other = Frequencies(half.similar, half.items, 100, 0.9995)
    other.of(asked("Is there an effusion?"))
    seen = weakref.ref(other)
    del other
    gc.collect()
    assert seen() is None


def test_few_studies_say_nothing(tmp_path: Path) -> None:
    few = counts(tmp_path, [study(n, ILL) for n in range(FEWEST - 1)], [])
    few.similar = None  # type: ignore[assignment] - so look-alikes are not even searched
    assert few.of(asked("Is there an effusion?")) is None


def test_a_study_does_not_count_for_its_own_picture(half: Frequencies) -> None:
    found = half.of(asked("Is there an effusion?", exclude=["c:1"]))
    assert found and found.alike == (49, 100)  # another takes its place
    half.similar.best = 0.9999  # type: ignore[attr-defined]
    found = half.of(asked("Is there an effusion?"))
    assert found and found.alike == (50, 99)


@given(st.integers(0, 200), st.integers(0, 200), st.integers(0, 500))
def test_more_of_them_never_lower_the_odds(one: int, other: int, usual: int) -> None:
    low, high = sorted((one, other))
    assert log_odds(low, 200, usual, 500) <= log_odds(high, 200, usual, 500)


@given(st.integers(200, 500), st.integers(200, 500), st.floats(0.05, 0.95))
def test_what_is_as_usual_moves_little(near: int, drawn: int, share: float) -> None:
    seen, usual = round(share * near), round(share * drawn)
    assert abs(log_odds(seen, near, usual, drawn)) < 0.5
    assert log_odds(seen, near, usual, drawn) == pytest.approx(-log_odds(near - seen, near, drawn - usual, drawn))


def rag(items: ItemStore, similar: Alike, **settings: object) -> MedRAG:
    shelf = SimpleNamespace(items=items, manifest=SimpleNamespace(content={}, content_hash=""))
    chosen = override(PipelineSettings(), {"calibration": "off", **settings})  # type: ignore[call-arg]
    generator = FakeGenerator(["No."])
    return MedRAG(
        {"similar": similar}, DomainRouter(["similar"]), AdaptiveSelector(chosen.select), generator, chosen, shelf
    )  # type: ignore[arg-type, dict-item]


def test_the_context_says_it_and_the_prompt_too(half: Frequencies) -> None:
    similar: Alike = half.similar  # type: ignore[assignment]
    context, _ = rag(half.items, similar, alike=100).selected(FILM, "Is there a pleural effusion?")
    assert context.frequency and context.frequency.alike == (50, 100)
    told = make_prompt(context.query.text, context).user_text()
    assert f"Counted: {context.frequency.text}." in told
    bare = make_prompt(context.query.text, dataclasses.replace(context, frequency=None)).user_text()
    assert "Counted" not in bare


def test_it_can_be_switched_off_and_needs_look_alike_studies_to_be_asked(half: Frequencies) -> None:
    similar: Alike = half.similar  # type: ignore[assignment]
    off, _ = rag(half.items, similar, alike=0).selected(FILM, "Is there a pleural effusion?")
    assert off.frequency is None
    unasked = rag(half.items, similar)
    unasked.router.overrides = {"similar": 0.0}  # type: ignore[attr-defined]
    assert unasked.selected(FILM, "Is there a pleural effusion?")[0].frequency is None


@pytest.mark.parametrize(("depth", "counts"), [(0, False), (3, True), (None, True)])
def test_what_is_not_retrieved_for_is_not_counted_for(half: Frequencies, depth: int | None, counts: bool) -> None:
    similar: Alike = half.similar  # type: ignore[assignment]
    calibrated = rag(half.items, similar, alike=100)
    vars(calibrated)["calibration"] = Calibration({}, 0.1, {"closed": Sort(Logistic({}, {}, 1.0), {}, depth)})
    context, _ = calibrated.selected(FILM, "Is there a pleural effusion?")
    assert (context.frequency is not None) == counts


def test_the_answer_says_it_on_paper_and_in_json(half: Frequencies) -> None:
    similar: Alike = half.similar  # type: ignore[assignment]
    answer = rag(half.items, similar, alike=100).answer(FILM, "Is there a pleural effusion?")
    line = "Of the 100 studies that look most alike 50 % report pleural effusion, of all studies 12.5 %."
    assert line in " ".join(str(answer).split()) and line in answer._repr_html_()
    counted = answer.to_dict()["context"]["frequency"]
    assert (counted["alike"], counted["usual"]) == ([50, 100], [50, 400])


def test_the_words_of_the_question_make_no_key() -> None:
    said = Context(Query("q"), frequency=Frequency("effusion [E2]", (1, 100), (1, 100), 0.0))
    assert "[E2]" not in make_prompt("q", said).user_text()


def test_a_study_that_is_left_out_is_not_usual_either(half: Frequencies) -> None:
    found = half.of(asked("Is there an effusion?", exclude=[f"c:{n}" for n in range(1, 41, 2)]))
    assert found and (found.alike, found.usual) == ((30, 100), (30, 380))
