"""Look-alike images lead to their studies, however many slices a study has."""

import numpy as np
from PIL import Image

from medrag.retrieve.search import Memo
from medrag.retrieve.similar import Similar
from medrag.types import ImageRecord, Query, QueryImage, Study


class Shelf:
    """A store of 3 studies with 40 slices each, and one picture that belongs to none; scores fall with the id."""

    def __init__(self):
        self.images = [ImageRecord(f"c:s{s}#{n:02}", f"c:s{s}", "", "x.png") for s in range(3) for n in range(40)]
        self.images.append(ImageRecord("c:alone", "c:nowhere", "", "x.png"))
        self.known = {
            item.id: item for item in (*self.images, *(Study(f"c:s{s}", {"findings": "Clear."}) for s in range(3)))
        }
        self.items = self

    def index(self, _):
        return self

    def get(self, ids):
        return [self.known[id_] for id_ in dict.fromkeys(ids) if id_ in self.known]

    def search(self, vectors, k, allowed=None):
        found = self.images[:k]
        return np.array([[1.0 - n / 1000 for n in range(len(found))]]), [[image.id for image in found]]


class Blind:
    modality = "image"

    def encode_queries(self, queries):
        return np.ones((len(queries), 1), dtype=np.float32)


def retrieve(k, **query):
    image = QueryImage(Image.new("L", (4, 4)), sha256="a")
    return Similar(Shelf(), "image", Memo(Blind())).retrieve(Query("", (image,), **query), k)


def test_each_study_comes_once_with_its_best_image():
    hits = retrieve(4)
    assert [hit.item.id for hit in hits] == ["c:s0", "c:s1", "c:s2", "c:alone"]
    assert [hit.rank for hit in hits] == [1, 2, 3, 4]
    assert hits[0].score == 1.0 and hits[1].score == 1.0 - 40 / 1000


def test_fewer_are_asked_for_than_there_are():
    assert [hit.item.id for hit in retrieve(2)] == ["c:s0", "c:s1"]


def test_an_excluded_study_is_not_found_through_its_images():
    assert [hit.item.id for hit in retrieve(3, exclude=frozenset(["c:s0"]))] == ["c:s1", "c:s2", "c:alone"]


def test_no_image_no_hits():
    assert Similar(Shelf(), "image", Memo(Blind())).retrieve(Query("a question"), 3) == []


class Ward(Shelf):
    """Films without reports, and reports of two other corpora."""

    def __init__(self):
        self.images = [ImageRecord(f"films:{n}#0", f"films:{n}", "", "x.dcm") for n in range(3)]
        films = [
            Study(f"films:{n}", {}, patient=f"P{n}", meta={"study_uid": f"1.2.{n}", "accession": f"A{n}"})
            for n in range(3)
        ]
        reports = [
            Study("fhir:dr-0", {"findings": "Clear."}, patient="P0", meta={"accession": "A0"}),
            Study("fhir:dr-9", {"findings": "Not of P1."}, patient="P9", meta={"accession": "A1"}),
            Study("reps:A1", {"findings": "Mass."}, patient="P1", meta={"uid": "A1"}),
            Study("reps:A2", {"findings": "Whose?"}, meta={"uid": "A2"}),
        ]
        self.known, self.items = {item.id: item for item in (*self.images, *films, *reports)}, self

    def iterate(self, kinds):
        return (item for item in self.known.values() if item.kind in kinds)


def look_alikes(exclude=(), **meta):
    query = Query("", (QueryImage(Image.new("L", (4, 4)), sha256="a", meta=meta),), exclude=frozenset(exclude))
    return [hit.item.id for hit in Similar(Ward(), "image", Memo(Blind())).retrieve(query, 3)]


def test_films_have_their_report_from_another_corpus_by_their_numbers():
    assert look_alikes() == ["fhir:dr-0", "reps:A1", "films:2"]
    assert look_alikes(["reps:A1"]) == ["fhir:dr-0", "films:1", "films:2"]


def test_the_questions_own_study_is_no_look_alike():
    assert look_alikes(accession="A0", patient_id="P0") == ["reps:A1", "films:2"]
    assert look_alikes(study_uid="1.2.2") == ["fhir:dr-0", "reps:A1"]
