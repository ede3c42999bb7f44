"""Questions asked once more with evidence that is put there: the study's own report, and what was found for another patient."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from medrag import MedRAG
from medrag.errors import SettingsError
from medrag.route import DomainRouter
from medrag.select import AdaptiveSelector
from medrag.testing import FakeGenerator, ListRetriever
from medrag.tune.answers import FILE, READ, again, answer_all, evidence_for
from medrag.tune.asked import Asked, training_questions, with_others_evidence
from medrag.types import ImageRecord, Query, Study

QUESTION = "Is there a pleural effusion?"
OWN = "Large left pleural effusion, its own report."


class ByPicture(ListRetriever):
    """Finds one report for each brightness, so that whose pictures were searched with can be told."""

    def retrieve(self, query: Query, k: int) -> Any:
        seen = query.images[0].image.getpixel((0, 0))
        return [dataclasses.replace(hit, rank=1) for hit in super().retrieve(query, k) if hit.item.id == f"iu:{seen}"]


def asked(folder: Path, n: int = 3) -> list[Asked]:
    for k in range(n):
        Image.new("L", (32, 32), k).save(folder / f"{k}.png")
    return [
        Asked(f"set/{k}", f"g{k}", QUESTION, "yes", (str(folder / f"{k}.png"),), "closed", (f"own:{k}",))
        for k in range(n)
    ]


def pipeline(retriever: Any) -> MedRAG:
    return MedRAG({"lexical": retriever}, DomainRouter(["lexical"]), AdaptiveSelector(), FakeGenerator(["No."]))


def test_evidence_of_another_patient_is_found_with_the_others_pictures_and_shown_with_the_own(tmp_path: Path) -> None:
    reports = [Study(f"iu:{n}", {"findings": f"A pleural effusion, number {n}."}) for n in range(3)]
    rag, questions = pipeline(ByPicture(reports, "lexical")), asked(tmp_path)
    others = with_others_evidence(questions)
    assert [one.id for one in others] == ["set/0+other", "set/1+other", "set/2+other"]
    for own, other in zip(questions, others, strict=True):
        assert other.images == own.images and other.found_for != own.images
        found, _ = evidence_for(rag, other)
        number = Path(other.found_for[0]).stem
        assert [hit.item.id for hit in found.kept] == [f"iu:{number}"]
        assert found.query.images[0].image.getpixel((0, 0)) == int(Path(own.images[0]).stem)
        assert {f"own:{number}", *own.exclude} <= found.query.exclude  # neither patient answers for himself


def test_the_own_report_stands_among_what_is_found_in_no_fixed_place(tmp_path: Path) -> None:
    words = ("one", "apical mass beside", "seen with rib fractures and", "old scars, also")
    rag = pipeline(
        ListRetriever(
            [Study(f"iu:{n}", {"findings": f"{w} a pleural effusion."}) for n, w in enumerate(words)], "lexical"
        )
    )
    first = asked(tmp_path, 1)[0]
    places = set()
    for n in range(12):
        kept = evidence_for(rag, dataclasses.replace(first, id=f"set/{n}+own", report=OWN))[0].kept
        assert len(kept) == READ
        places.add([hit.item.text for hit in kept].index(OWN))
    assert places == {0, 1, 2}


def test_both_go_into_one_file_with_the_first_answers_and_a_second_run_asks_nothing(tmp_path: Path) -> None:
    rag = pipeline(ListRetriever([Study("iu:0", {"findings": "A pleural effusion."})], "lexical"))
    questions = asked(tmp_path)
    answer_all(rag, questions, tmp_path / "out")
    answer_all(rag, with_others_evidence(questions), tmp_path / "out")
    before = len(rag.generator.prompts)  # type: ignore[attr-defined]
    told = answer_all(rag, questions + with_others_evidence(questions), tmp_path / "out")
    assert len(told) == 6 and len(rag.generator.prompts) == before  # type: ignore[attr-defined]


def test_no_question_is_asked_with_the_report_of_a_copy_of_its_picture(tmp_path: Path) -> None:
    (one,) = asked(tmp_path, 1)
    film = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 9), np.uint8)).resize((256, 256))
    film.save(one.images[0])
    film.resize((128, 128)).save(tmp_path / "copy.png")
    reports = [Study(f"iu:{n}", {"findings": "A pleural effusion."}) for n in range(2)]
    rag, copied = pipeline(ListRetriever(reports, "lexical")), ImageRecord("iu:0#0", "iu:0", "", f"{tmp_path}/copy.png")
    rag.store = SimpleNamespace(  # type: ignore[assignment]
        items=SimpleNamespace(iterate=lambda kinds: [copied]), manifest=SimpleNamespace(content_hash="", content={})
    )
    (told,) = answer_all(rag, [one], tmp_path / "out")
    assert [piece.id for piece in told.evidence] == ["iu:1"] and told.asked.exclude == ("own:0", "iu:0")
    answer_all(rag, [one], tmp_path / "out")
    assert len((tmp_path / "out" / FILE).read_text().splitlines()) == 1


def test_own_questions_are_told_apart_by_patient_and_given_the_report_of_their_own_study(tmp_path: Path) -> None:
    def one(id: str, patient: str, kind: str = "closed", **more: str) -> Asked:
        picture = tmp_path / f"{id.replace('/', '-')}.png"
        Image.new("L", (32, 32)).save(picture)
        text = OWN if kind == "report" else "yes"
        return Asked(id, more.pop("group", patient), QUESTION, text, (str(picture),), kind, patient=patient, **more)  # type: ignore[arg-type]

    rows = [
        one("1", "siteA/1", study="s1"), one("site/2", "siteA/5", study="s2", report="Its own."), one("3", "siteA/5", group="film 3"),
        one("4", "siteA/1", "report", study="s1"), one("5", "siteA/9", study="s1"),
    ]  # fmt: skip
    told = answer_all(pipeline(ListRetriever([], "lexical")), rows, tmp_path / "wrong")
    assert {one.asked.id: one.asked.report for one in told if one.asked.kind == "closed"}["1"] == ""
    (own,) = again(told, None, 5)
    assert (own.id, own.report) == ("1+own", OWN)  # of its own study and patient, and of nobody's pack
    rag = MedRAG(
        {"lexical": ListRetriever([], "lexical")},
        DomainRouter(["lexical"]),
        AdaptiveSelector(),
        FakeGenerator(["Yes."]),
    )
    found = {one.id: one for one in again(answer_all(rag, rows, tmp_path / "right"), None, 9)}
    assert found.keys() == {"1+other", "site/2+other", "3+other", "5+other"}
    assert found["site/2+other"].report == ""  # the other's evidence alone
    theirs = {name: Path(one.found_for[0]).stem for name, one in found.items()}
    assert theirs["3+other"] in ("1", "5") and theirs["site/2+other"] in ("1", "5")


def test_a_set_may_name_its_own_number(tmp_path: Path) -> None:
    for wrong in ("many", "²"):
        with pytest.raises(SettingsError, match=f"no set of questions 'iu_report={wrong}'"):
            training_questions(tmp_path, [f"iu_report={wrong}"])


@pytest.mark.data
def test_reports_of_training_studies_alone_are_put_there() -> None:
    import os

    from medrag.corpora import realdata
    from medrag.tune.asked import with_own_report

    data = Path(os.environ["MEDRAG_DATA"])
    questions = training_questions(data, ["iu_balanced=20", "vqa_rad=5", "iu_report=2"])
    texts = {f"iu/{study.uid}": study.text for study in realdata.studies(data, "train")}
    found = with_own_report(questions, data)
    assert len(questions) == 27 and len(found) == 20
    assert all(one.report == texts[one.group] for one in found)
