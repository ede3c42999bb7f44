"""Image → studies with look-alike images, or whose words lie near the image in a common space.

An image that belongs to no study stands for itself. The question's own study, told by its numbers, is no look-alike; films that came
without their report have the one of another corpus that bears their accession number or study UID.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from medrag.latest import is_own, numbers_of, patient_of
from medrag.retrieve.search import Memo, ranked, search_allowed
from medrag.types import Hit, Item, Query, Study, names_of

if TYPE_CHECKING:
    from medrag.indexes.store import Store

PER_STUDY = 3  # images asked for each study wanted: a study has one to four views


class Similar:
    """Cosine similarity of image embeddings; the best image of a study gives the study its score."""

    def __init__(self, store: Store, index: str, encoder: Memo, name: str = "similar") -> None:
        self.store, self.index, self.encoder, self.name = store, index, encoder, name

    def retrieve(self, query: Query, k: int) -> list[Hit]:
        """At most k hits, one a study; scores are cosines in [−1, 1]. No image, no hits."""
        if not query.images:
            return []
        index, vectors = self.store.index(self.index), self.encoder.query(query)

        def find(n: int, allowed: Collection[str] | None) -> tuple[list[float], list[str]]:
            scores, ids = index.search(vectors, n, allowed=allowed)
            return list(scores[0]), ids[0]

        ask = PER_STUDY * k
        while True:
            images = search_allowed(find, self.store.items, query, ask)
            best = [(item, score) for item, score in self._reported(images, query) if not is_own(item, query.images)]
            if len(best) >= k or len(images) < ask:
                return ranked(best[:k], self.name)
            ask *= 4  # a series of slices: many images, few studies

    def _reported(self, images: Sequence[tuple[Item, float]], query: Query) -> list[tuple[Item, float]]:
        """The studies of the images, with the report of another corpus in the place of one that has no text."""
        rows: dict[str, tuple[Item, float]] = {}
        for item, score in self._by_study(images):
            bare = item.kind == "study" and not item.text.strip() and numbers_of(item.meta)
            reports = self.store.items.get([self._reports.of(item)]) if bare else []
            found = next((report for report in reports if not names_of(report) & query.exclude), item)
            rows.setdefault(found.id, (found, score))
        return list(rows.values())

    @functools.cached_property
    def _reports(self) -> Reports:
        """Read once, where a film without a report is found."""
        return Reports(item for item in self.store.items.iterate(["study"]) if isinstance(item, Study))

    def _by_study(self, images: Sequence[tuple[Item, float]]) -> list[tuple[Item, float]]:
        """The studies of the images, or an image that has none, each with the score of its best image."""
        docs = self.store.items.get([image.doc for image, _ in images])
        studies = {item.id: item for item in docs if item.kind == "study"}
        best: dict[str, tuple[Item, float]] = {}
        for image, score in images:
            item = studies.get(image.doc, image)
            best.setdefault(item.id, (item, score))
        return list(best.values())


class Reports:
    """Ids of reports by the numbers of the examination that they are of."""

    def __init__(self, studies: Iterable[Study]) -> None:
        self._known: dict[tuple[str, str], list[tuple[str, str]]] = {}
        self._uids: dict[str, str] = {}
        for study in studies:
            if study.text.strip():
                if uid := str(study.meta.get("study_uid") or ""):
                    self._uids[study.id] = uid
                for pair in numbers_of(study.meta) | {("uid", study.id.partition(":")[2])}:
                    self._known.setdefault(pair, []).append((study.id, patient_of(study)))

    def of(self, film: Item) -> str:
        """The report with an accession number or study UID of the film's, and not of another patient; empty where there is none. What a table
        calls its rows by may be either number: then the patient must be the same, too."""
        numbers, whose = sorted(numbers_of(film.meta), reverse=True), patient_of(film)  # the study UID first
        uid = next((number for name, number in numbers if name == "study_uid"), "")
        sure = (
            id_
            for pair in numbers
            for id_, patient in self._known.get(pair, ())
            if patient in ("", whose) and not (uid and self._uids.get(id_, uid) != uid)
        )
        rows = (
            id_ for _, one in numbers for id_, patient in self._known.get(("uid", one), ()) if patient == whose != ""
        )
        return next(itertools.chain(sure, rows), "")
