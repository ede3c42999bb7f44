"""Reports held against what the reader sees."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrag._util.findings import ASKED
from medrag.vlms._revise import SEEN, revised, seen
from medrag.vlms._stance import stance

NORMAL = [
    "Findings: The heart is normal in size.", "The lungs are clear.", "There is no pleural effusion or pneumothorax.",
    "Impression: No acute cardiopulmonary abnormality.",
]  # fmt: skip


def test_what_is_seen_stands_first_and_is_not_denied_behind() -> None:
    found = seen({"Effusion": 0.6, "Cardiomegaly": 0.3, "Nodule": 0.1, "normal": 0.9})
    assert list(found) == ["Effusion", "Cardiomegaly"]
    text = list(revised(NORMAL, found))
    assert text[:2] == ["Findings: There is a pleural effusion.", "There is cardiomegaly."]
    assert not any(stance(ask, sentence) == "absent" for sentence in text for ask in found.values())
    assert not any("No acute" in sentence or "clear" in sentence for sentence in text)
    assert text[2:] == ["There is no pneumothorax.", "Impression: Pleural effusion and cardiomegaly."]


@pytest.mark.parametrize(
    ("drafted", "left"),
    [
        ("There are no pleural effusions or pneumothoraces.", ["There are no pneumothoraces."]),
        ("No evidence of pneumothorax, pleural effusion, or consolidation.", ["No evidence of pneumothorax or consolidation."]),
        ("No pleural effusion is seen.", []),
        ("There is no acute bony abnormality.", ["There is no acute bony abnormality."]),
    ],
)  # fmt: skip
def test_what_else_a_sentence_denies_is_kept(drafted: str, left: list[str]) -> None:
    assert list(revised([drafted], seen({"Effusion": 0.6})))[1:] == left


def test_nothing_is_said_twice_in_a_section() -> None:
    drafted = [
        *NORMAL[:3],
        "No pneumothorax.",
        NORMAL[2],
        "There is a nodule.",
        NORMAL[3],
        NORMAL[3].removeprefix("Impression: "),
    ]
    assert list(revised(drafted, {})) == [*NORMAL[:3], "There is a nodule.", NORMAL[3]]


def test_a_report_of_nothing_seen_is_left_as_it_is() -> None:
    assert list(revised(NORMAL, seen({"Effusion": 0.1}))) == NORMAL


def test_an_impression_keeps_its_heading() -> None:
    drafted = ["Findings: The lungs are clear.", "Impression: No acute disease.", "Stable cardiomegaly."]
    text = list(revised(drafted, seen({"Cardiomegaly": 0.9})))
    assert text == ["Findings: There is cardiomegaly.", "Impression: Stable cardiomegaly."]


def test_beside_an_incidental_finding_the_lungs_may_be_clear() -> None:
    text = list(revised(NORMAL, seen({"mesh:Scoliosis": 0.9})))
    assert text == ["Findings: There is scoliosis.", NORMAL[0].removeprefix("Findings: "), *NORMAL[1:]]


@given(st.dictionaries(st.sampled_from(sorted(ASKED)), st.floats(0, 1)))
def test_every_likely_finding_is_stated_once(chances: dict[str, float]) -> None:
    text = list(revised(NORMAL, seen(chances)))
    for label, p in chances.items():
        said = sum(sentence.removeprefix("Findings: ") == f"There is {ASKED[label][0]}." for sentence in text)
        assert said == (p >= SEEN)
