"""Images of several days: which are read, and what is said of the others."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from PIL import Image

from medrag._util.days import day_of
from medrag.latest import is_own, latest, narrowed, of_the_latest, put_aside, strangers
from medrag.types import ImageRecord, Passage, Query, QueryImage, Study

SEVERAL = SimpleNamespace(many_images=True)


def asked(*days: str, question: str = "Is there an effusion?", patients: str = "") -> Query:
    told = [{"study_date": day, "patient_id": patients[n : n + 1]} for n, day in enumerate(days)]
    return Query(question, tuple(QueryImage(Image.new("L", (4, 4)), meta=meta) for meta in told))


def test_dates_that_were_taken_out_are_none() -> None:
    assert [day_of(date) for date in ("00010101", "0001-01-01", "19000228", "20200230", "", None, "2020-01", "9999-12-31")] == [
        "", "", "1900-02-28", "", "", "", "", ""
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("days", "kept"),
    [
        (("20200105", "20210310"), [1]),
        (("20210310", "20200105", "2021-03-10"), [0, 2]),
        (("20210310", "20210310"), [0, 1]),
        (("", ""), [0, 1]),
        (("00010101", "20210310"), [0, 1]),
        (("", "20200105", "20210310"), [0, 2]),
    ],
)
def test_which_images_are_the_latest(days: tuple[str, ...], kept: list[int]) -> None:
    query = asked(*days)
    assert latest(query.images) == kept
    assert [one.image for one in narrowed(query).images] == [query.images[n].image for n in kept]
    assert (narrowed(query) is query) == (len(kept) == len(days)) != bool(put_aside(narrowed(query)))


def test_what_was_put_aside_is_said() -> None:
    assert put_aside(narrowed(asked("20200105", "20200105", "20210310"))) == (
        "read off image 3: images 1 and 2 are of an earlier day"
    )
    assert put_aside(narrowed(asked("20200105", "20210310", patients="ab"))).endswith("not all are of one patient")
    assert not put_aside(narrowed(asked("20200105", "20210310"), note=False))


def test_who_can_tell_what_changed_keeps_all_of_them() -> None:
    days = ("20200105", "20210310")
    assert len(of_the_latest(asked(*days, question="Is the effusion new?")).images) == 1
    assert len(of_the_latest(asked(*days, question="Is the effusion new?"), SEVERAL).images) == 2
    assert len(of_the_latest(asked(*days), SEVERAL).images) == 1
    assert len(of_the_latest(asked(*days, question="What has changed?")).images) == 2


def test_two_patients_are_not_read_together() -> None:
    assert strangers(asked("20210310", "20210310", patients="ab"))
    assert not strangers(asked("20210310", "20210310", patients="aa"))
    assert not strangers(asked("20210310", "20210310", patients="a"))


def test_the_questions_own_study_is_known_by_its_numbers() -> None:
    meta = {"accession": "A1", "study_uid": "1.2.3", "patient_id": "P1"}
    images = (QueryImage(Image.new("L", (4, 4)), meta=meta),)
    own = (
        Study("fhir:dr-1", {}, patient="P1", meta={"accession": "A1"}), Study("reps:A1", {}), Passage("reps:A1~0", "reps:A1", "Clear.", meta={"uid": "A1"}), Study("films:1.2.3", {}),
        Passage("fhir:dr-1~0", "fhir:dr-1", "Clear.", meta={"study_uid": "1.2.3"}), ImageRecord("films:1.2.3#1", "films:1.2.3", "", "a.dcm"),
    )  # fmt: skip
    assert all(is_own(item, images) for item in own)
    others = (
        Study("fhir:dr-2", {}, patient="P1", meta={"accession": "A2"}), Study("reps:A1", {}, patient="P2"),
        Passage("book:A1~2", "book:A1", "Clear."), Study("reps:", {}),
    )  # fmt: skip
    assert not any(is_own(item, images) for item in others)
    dated = (QueryImage(images[0].image, meta={**meta, "study_date": "20220601"}),)
    days = {"2021-03-10": False, "2022-06-01T23:00:00Z": True, "2022-05-31": True, "2022-06-04": True, "": True}
    assert {day: bool(is_own(Study("reps:A1", {}, date=day), dated)) for day in days} == days
    assert not is_own(own[1], (QueryImage(Image.new("L", (4, 4))),))


def test_a_number_that_stands_for_none_or_for_two_studies_makes_nothing_ones_own() -> None:
    def film(**meta: str) -> list[QueryImage]:
        return [QueryImage(Image.new("L", (4, 4)), meta=meta)]

    def study(**meta: str) -> Study:
        return Study("r:7", {"findings": "Clear."}, meta=meta)

    assert is_own(study(accession="A100"), film(accession="A100"))
    assert not is_own(study(accession="ANON"), film(accession="ANON"))
    assert not is_own(study(accession="0"), film(accession="0"))
    assert not is_own(study(accession="A100", study_uid="1.2.3"), film(accession="A100", study_uid="1.2.4"))


def test_one_patient_may_be_written_in_two_ways() -> None:
    films = tuple(QueryImage(Image.new("L", (4, 4)), meta={"patient_id": one}) for one in ("P007", "p007"))
    assert not strangers(Query("Is there a mass?", films))
    other = QueryImage(Image.new("L", (4, 4)), meta={"patient_id": "P008"})
    assert strangers(Query("Is there a mass?", (*films, other)))


@pytest.mark.parametrize(
    ("question", "text", "places"),
    [
        ("Is there an effusion in the second image?", "Is there an effusion?", [1]),
        ("Is there an effusion in image 2?", "Is there an effusion?", [1]),
        ("Is the 1st film normal?", "Is this image normal?", [0]),
        ("Is the nodule on the scan 2 cm large?", "Is the nodule on the scan 2 cm large?", [0, 1]),
        ("Was there an effusion on the X-ray 2 weeks ago?", "Was there an effusion on the X-ray 2 weeks ago?", [0, 1]),
        ("Are there in this x-ray two nodules?", "Are there in this x-ray two nodules?", [0, 1]),
        ("Is there an effusion?", "Is there an effusion?", [0, 1]),
        ("Is there an effusion in the third image?", "Is there an effusion in the third image?", [0, 1]),
        ("Is the effusion larger in the second image?", "Is the effusion larger in the second image?", [0, 1]),
        ("Is there an effusion in the first or the second image?", "Is there an effusion in the first or the second image?", [0, 1]),
    ],
)  # fmt: skip
def test_a_question_about_one_of_the_images_is_read_off_that_one(question: str, text: str, places: list[int]) -> None:
    query = asked("", "", question=question)
    found = of_the_latest(query)
    assert found.text == text
    assert [one.image for one in found.images] == [query.images[n].image for n in places]
    assert bool(put_aside(found)) == (len(places) == 1)
    assert of_the_latest(query, SEVERAL) is query  # who sees all of them is asked as it is
