"""Present, absent or uncertain: golden sentences, and properties over triggers × findings."""

from __future__ import annotations

import itertools

import negex
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrag._util.polarity import DENYING, clauses, mentions, polarity
from medrag._util.text import words

FINDINGS = (
    "effusion", "pleural effusion", "pneumothorax", "focal consolidation", "mass", "nodule", "rib fracture", "cardiomegaly", "edema",
    "hemorrhage", "drusen", "atypical cells", "opacity", "XXXX line", "hiatal hernia",
)  # fmt: skip
DENIALS = (
    "No {}.", "There is no {}.", "There is no evidence of {}.", "No definite {} is seen.", "Without {}.", "Negative for {}.", "Free of {}.",
    "The lungs are clear of {}.", "Absence of {}.", "Neither scarring nor {}.", "The patient denies {}.", "No evidence to suggest {}.",
    "No new or enlarging {}.", "{} is not seen.", "{} was not identified.", "{} is absent.", "{} has resolved.", "{} is no longer visible.",
    "{} has been ruled out.", "{}: none.", "No XXXX {}.", "No sign of any acute {} at this time.", "Lack of {}.", "Interval resolution of {}.",
)  # fmt: skip
CLAIMS = (
    "{}.", "There is {}.", "Small {} is present.", "Stable {}.", "Findings are consistent with {}.", "No change in the {}.",
    "No significant interval change in {}.", "Worsening {} on the left.", "Lungs with {}.", "{} is unchanged.", "Not only {}.",
)  # fmt: skip
DOUBTS = (
    "Possible {}.", "{} cannot be excluded.", "Cannot exclude {}.", "{} is not excluded.", "Cannot yet exclude {}.", "Suspicious for {}.", "May represent {}.",
    "{} versus scarring.", "Scarring vs {}.", "{} is unlikely.", "Likely {}.", "Rule out {}.", "Question of {}.", "{}?", "It is difficult to exclude {}.",
    "{} cannot be entirely ruled out.",
)  # fmt: skip

GOLDEN = [
    ("There is no focal consolidation, pleural effusion, or pneumothorax.", "pneumothorax", "absent"),
    ("No pneumothorax, there is a small effusion.", "effusion", "present"),
    ("No effusion, and the heart is enlarged.", "enlarged", "present"),
    ("No pneumothorax identified, small left effusion is present.", "effusion", "present"),
    ("No effusion or pneumothorax is seen.", "pneumothorax", "absent"),
    ("No consolidation, pneumothorax, and effusion are seen.", "effusion", "absent"),
    ("Possible effusion without pneumothorax.", "effusion", "uncertain"),
    ("Possible effusion without pneumothorax.", "pneumothorax", "absent"),
    ("There are opacities, that could represent a cavitary lesion.", "cavitary lesion", "uncertain"),
    ("There are opacities, that could represent a cavitary lesion.", "opacities", "present"),
    ("The heart is not enlarged.", "heart", "present"),
    ("The heart is not enlarged.", "enlarged", "absent"),
    ("Non-displaced rib fracture.", "displaced", "absent"),
    ("Non-displaced rib fracture.", "rib fracture", "present"),
    ("No suspicious pulmonary nodules.", "nodule", "absent"),
    ("No effusion, possible small nodule.", "nodule", "uncertain"),
    ("There are no XXXX of a pleural effusion.", "pleural effusion", "absent"),
    ("No acute abnormality except a small effusion.", "effusion", "present"),
    ("No definite opacity although lung volumes are low.", "lung volumes", "present"),
    ("No cavitary lesions, but nodules are seen.", "nodules", "present"),
    ("Opacities in both bases at the costophrenic angles, atelectasis versus pneumonia.", "opacities", "present"),
    ("No effusion on the left; effusion on the right.", "effusion", "present"),
    ("The lungs are not clear.", "clear", "absent"),
    ("It is not clear whether there is an effusion.", "effusion", "uncertain"),
]


@pytest.mark.parametrize(("sentence", "finding", "expected"), GOLDEN)
def test_golden_sentences(sentence: str, finding: str, expected: str) -> None:
    assert polarity(sentence, finding) == expected


@pytest.mark.parametrize(("pattern", "finding"), itertools.product(DENIALS, FINDINGS))
def test_a_denied_finding_is_absent(pattern: str, finding: str) -> None:
    assert polarity(pattern.format(finding), finding) == "absent"


@pytest.mark.parametrize(("pattern", "finding"), itertools.product(CLAIMS, FINDINGS))
def test_a_claimed_finding_is_present(pattern: str, finding: str) -> None:
    assert polarity(pattern.format(finding), finding) == "present"


@pytest.mark.parametrize(("pattern", "finding"), itertools.product(DOUBTS, FINDINGS))
def test_a_doubted_finding_is_uncertain(pattern: str, finding: str) -> None:
    assert polarity(pattern.format(finding), finding) == "uncertain"


@given(
    st.lists(st.sampled_from(FINDINGS), min_size=1, max_size=6, unique=True),
    st.sampled_from(["or", "and"]),
    st.booleans(),
)
def test_no_item_of_a_denied_list_is_present(found: list[str], joint: str, seen: bool) -> None:
    listed = f"{', '.join(found[:-1])}, {joint} {found[-1]}" if len(found) > 1 else found[0]
    sentence = f"No {listed}{' is seen' if seen else ''}."
    assert {polarity(sentence, finding) for finding in found} == {"absent"}


@given(st.text(max_size=200), st.integers(0, 200), st.integers(1, 30))
def test_any_span_of_any_text_has_a_polarity_and_clauses_cover_it(text: str, start: int, length: int) -> None:
    assert polarity(text, (start, start + length)) in ("present", "absent", "uncertain")
    assert "".join(text[a:b] for a, b in clauses(text)) == text


@given(st.sampled_from(DENIALS), st.sampled_from(FINDINGS))
def test_what_denies_is_noticed_before_it_is_read(pattern: str, finding: str) -> None:
    assert not DENYING.isdisjoint(words(pattern.format(finding)))


def test_every_listed_denial_is_noticed() -> None:
    texts = [*(f"{phrase} effusion." for phrase in negex.BEFORE), *(f"Effusion {phrase}." for phrase in negex.AFTER)]
    denials = [text for text in texts if polarity(text, "effusion") == "absent"]
    assert [text for text in denials if DENYING.isdisjoint(words(text))] == []


@given(st.sampled_from(DENIALS), st.sampled_from(FINDINGS))
def test_case_and_white_space_do_not_matter(pattern: str, finding: str) -> None:
    sentence = pattern.format(finding)
    assert polarity(sentence.upper(), finding) == polarity(sentence.replace(" ", "  "), finding) == "absent"


def test_a_phrase_is_found_as_whole_words_and_in_the_plural() -> None:
    assert mentions("Masses and a mass, no massive edema.", "mass") == [(0, 6), (13, 17)]
    assert mentions("anything", "") == []


def test_a_phrase_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ValueError, match="does not occur"):
        polarity("Lungs are clear.", "effusion")


@pytest.mark.parametrize(
    ("sentence", "finding", "expected"),
    [
        ("She declined surgery for the pneumothorax.", "pneumothorax", "present"),
        ("Declining lung function with known emphysema.", "emphysema", "present"),
        ("Costophrenic angle excluded and small effusion on the right.", "effusion", "present"),
        ("Nil by mouth with pneumonia.", "pneumonia", "present"),
        ("Denial of pain with rib fracture.", "rib fracture", "present"),
        ("Treatment of pneumonia was denied.", "pneumonia", "present"),
        ("Hardly any improvement of the effusion.", "effusion", "present"),
        ("Hardly any effusion.", "effusion", "absent"),
        ("The patient cannot lie flat with a large effusion.", "effusion", "present"),
        ("Patient declines chest pain.", "chest pain", "absent"),
        ("No pneumothorax following chest tube removal.", "chest tube", "absent"),
        ("Chest tube removal is planned.", "chest tube", "present"),
        ("Pneumonia has not been excluded.", "pneumonia", "uncertain"),
        ("Pneumonia excluded by CT.", "pneumonia", "absent"),
        ("Hepatitis B negative, HIV-negative.", "HIV", "absent"),
        ("Gram-negative pneumonia.", "pneumonia", "present"),
        ("The tuberculosis test is negative.", "tuberculosis", "absent"),
        ("Negative chest film for pneumonia.", "pneumonia", "absent"),
        ("False negative test for malaria.", "malaria", "present"),
        ("HIV negative man admitted for pneumonia.", "pneumonia", "present"),
        ("Nodule, Ø 5 mm, calcified mass.", "mass", "present"),
        ("Effusion –ve.", "effusion", "absent"),
        ("No effusion. Pneumothorax.", "pneumothorax", "present"),
        ("Possibility of tuberculosis should be excluded.", "tuberculosis", "uncertain"),
        ("Pneumonia must be ruled out.", "pneumonia", "uncertain"),
        ("No evidence of M. Tuberculosis infection.", "infection", "absent"),
        ("No effusion (small nodule at the left base).", "nodule", "present"),
        ("No nodules (small or large).", "nodules", "absent"),
        ("Effusion: no, Mass: yes", "mass", "present"),
        ("Effusion: yes, Mass: no", "effusion", "present"),
        ("Pneumothorax none.", "pneumothorax", "absent"),
        ("Absence of consolidation does not exclude pneumonia.", "pneumonia", "uncertain"),
        ("Absence of consolidation does not exclude pneumonia.", "consolidation", "absent"),
        ("CT negative for embolism, positive for pneumonia.", "pneumonia", "present"),
        ("No pneumonia, with bilateral effusions.", "effusions", "present"),
        ("No pneumonia, with or without effusion.", "pneumonia", "absent"),
        ("A man without pneumothorax presents with effusion.", "effusion", "present"),
        ("No edema despite effusion.", "effusion", "present"),
        ("Not responding to treatment for tuberculosis.", "tuberculosis", "present"),
        ("Cough, ? early pneumonia", "pneumonia", "uncertain"),
        ("No effusion other than a trace on the left.", "effusion", "present"),
        ("No effusion other than a pneumothorax.", "effusion", "absent"),
        ("[x] Pneumonia  [ ] Effusion", "effusion", "absent"),
        ("[x] Pneumonia  [ ] Effusion", "pneumonia", "present"),
        ("Pneumothorax: not assessed.", "pneumothorax", "uncertain"),
        ("The mediastinum was not assessed for adenopathy.", "adenopathy", "uncertain"),
        ("A skin fold mimics a pneumothorax.", "pneumothorax", "absent"),
        ("Seborrheic keratosis mimics melanoma.", "melanoma", "present"),
        ("Effusion (-), consolidation (+).", "effusion", "absent"),
        ("Effusion (-), consolidation (+).", "consolidation", "present"),
        ("Pneumothorax -ve.", "pneumothorax", "absent"),
        ("Suspected rib fracture not confirmed.", "fracture", "absent"),
        ("No acute disease, old rib fractures.", "fractures", "present"),
        ("No fracture, old or new.", "fracture", "absent"),
        ("No infiltrate, hyperinflated lungs.", "infiltrate", "absent"),
        ("Pneumonia has been excluded.", "pneumonia", "absent"),
        ("There is not enough evidence to exclude a mass.", "mass", "uncertain"),
        ("No pneumothorax, small left effusion.", "effusion", "present"),
        ("No pneumothorax, small left effusion.", "pneumothorax", "absent"),
        ("No pneumothorax, small effusion or consolidation.", "effusion", "absent"),
        ("The pneumothorax has nearly resolved.", "pneumothorax", "present"),
        ("Interval partial resolution of the effusion.", "effusion", "present"),
        ("The pneumonia has incompletely cleared.", "pneumonia", "present"),
        ("Improved, but not resolved, effusion.", "effusion", "present"),
        ("No resolution of the pneumonia.", "pneumonia", "present"),
        ("No change is noted in the small effusion.", "effusion", "present"),
        ("No interval changes of effusions.", "effusions", "present"),
        ("No changes of the effusion since the last film.", "effusion", "present"),
        ("There are no acute changes of congestive heart failure.", "failure", "absent"),
        ("No changes of emphysema.", "emphysema", "absent"),
        ("No change compared with the previous effusion.", "effusion", "present"),
        ("No growth of the nodule.", "nodule", "present"),
        ("The effusion is no longer loculated.", "effusion", "present"),
        ("The effusion is no longer seen.", "effusion", "absent"),
        ("There is no longer an effusion.", "effusion", "absent"),
        ("There isn't a pneumothorax.", "pneumothorax", "absent"),
        ("There isn\u2019t any effusion.", "effusion", "absent"),
        ("A fracture wasn't seen.", "fracture", "absent"),
        ("Pneumonia hasn't been excluded.", "pneumonia", "uncertain"),
        ("The effusion hasn't changed.", "effusion", "present"),
        ("The previously seen effusion is gone.", "effusion", "absent"),
        ("Effusion absent.", "effusion", "absent"),
        ("Effusion resolved.", "effusion", "absent"),
        ("Pleural effusion no longer seen.", "effusion", "absent"),
        ("Near-complete resolution of the right effusion with small residual.", "effusion", "present"),
        ("There is a 9 mm pulmonary nodule, not seen on prior exams.", "nodule", "present"),
        ("A nodule, not previously seen.", "nodule", "present"),
        ("A nodule is not seen on this film.", "nodule", "absent"),
        ("There is no pneumothorax and a large mass is seen in the left lung.", "mass", "present"),
        ("There is no pneumothorax and a large mass is seen in the left lung.", "pneumothorax", "absent"),
        ("7mm non calcified nodule.", "nodule", "present"),
        ("Non displaced rib fracture.", "rib fracture", "present"),
        ("The heart is non enlarged.", "enlarged", "absent"),
        ("Nothing to suggest pneumonia.", "pneumonia", "absent"),
        ("Pneumothorax? No.", "pneumothorax", "absent"),
        ("Findings are not due to pneumonia.", "pneumonia", "absent"),
        ("Removal of the chest tube with persistent pneumothorax.", "pneumothorax", "present"),
        ("Non\u2011displaced rib fracture.", "rib fracture", "present"),
    ],
)
def test_what_a_review_found(sentence, finding, expected):
    assert polarity(sentence, finding) == expected


def test_a_text_without_full_stops_is_read_around_the_finding():
    long = "the lungs are clear and " * 8000
    assert polarity(f"{long} no effusion, {long}", "effusion") == "absent"
    assert polarity(f"no nodule {long} effusion {long}", "effusion") == "present"


@pytest.mark.parametrize("finding", ["pneumothorax", "pleural effusion"])
def test_no_listed_phrase_that_denies_or_doubts_leaves_a_finding_present(finding):
    """The phrases of NegEx and ConText, as texts: medrag's own list plays no part in them."""
    before = [f"{phrase} {kind}{finding}." for phrase in negex.BEFORE for kind in ("", "small left ", "acute ")]
    after = [
        text.format(finding, phrase) for phrase in negex.AFTER for text in ("Left {} {}.", "Mild {} {}, rib fracture.")
    ]
    assert [text for text in (*before, *after) if polarity(text, finding) == "present"] == []


@pytest.mark.parametrize(
    ("sentence", "finding", "expected"),
    [
        ("The lungs are unremarkable for pneumothorax.", "pneumothorax", "absent"),
        ("The lungs are remarkable for a pneumothorax.", "pneumothorax", "present"),
        ("The lungs are unremarkable for age, there is an effusion.", "effusion", "present"),
        ("Test for pneumonia.", "pneumonia", "uncertain"),
        ("She tested positive for pneumonia.", "pneumonia", "present"),
        ("False negative test for malaria.", "malaria", "present"),
        ("Findings are inconsistent with pneumonia.", "pneumonia", "absent"),
        ("Findings are consistent with pneumonia.", "pneumonia", "present"),
        ("The lungs are clear excluding a small effusion.", "effusion", "present"),
        ("A film for excluding pneumothorax.", "pneumothorax", "uncertain"),
        ("Patients with pneumonia were excluded from the study.", "pneumonia", "absent"),
        ("He should be ruled out for pneumonia.", "pneumonia", "uncertain"),
        ("He was ruled out for pneumonia.", "pneumonia", "absent"),
        ("The patient did not develop pneumonia.", "pneumonia", "absent"),
        ("The effusion does not appear enlarged.", "effusion", "present"),
        ("The effusion has not been described as large.", "effusion", "present"),
        ("A nodule, not previously described.", "nodule", "present"),
        ("Nothing but an effusion.", "effusion", "present"),
        ("Nothing has changed in the effusion.", "effusion", "present"),
        ("Renal function declines in pneumonia.", "pneumonia", "present"),
        ("The opacity is not favored to represent pneumonia.", "opacity", "present"),
        ("The effusion has a low probability of malignancy.", "effusion", "present"),
        ("The effusion has a low probability of malignancy.", "malignancy", "uncertain"),
        ("Intubated without difficulty, pneumothorax on the left.", "pneumothorax", "present"),
        ("Not seen before, a nodule is present.", "nodule", "present"),
        ("Never seen: a nodule.", "nodule", "absent"),
        ("The pleural space is effusion-free.", "effusion", "absent"),
        ("Free air is present.", "air", "present"),
        ("Antibodies against pneumonia.", "pneumonia", "present"),
    ],
)  # fmt: skip
def test_phrases_and_their_false_friends(sentence: str, finding: str, expected: str) -> None:
    assert polarity(sentence, finding) == expected
