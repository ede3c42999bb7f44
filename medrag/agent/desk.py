"""The workbench of one run: the opened index by kind of source, the question's images, and what the tools share.

It holds pixels and open files, so it is made anew when a run goes on. Retrievers are told apart by their names, as routes
do: "similar…" looks at images, "pages…" and "graph…" are those, every other one searches texts.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from medrag import private
from medrag._util.days import day_of
from medrag.errors import MedragError
from medrag.latest import days_of, is_own, latest, narrowed, of_the_latest
from medrag.retrieve import fuse
from medrag.select import AdaptiveSelector, same_words
from medrag.types import Context, Drop, Hit, Item, Passage, Query, QueryImage, Route, Study
from medrag.vlms._changed import change_told
from medrag.vlms._evidence import is_report

if TYPE_CHECKING:
    from PIL.Image import Image

    from medrag.calibration import Choice
    from medrag.pipeline import MedRAG

    See = Callable[[Sequence[Image]], Mapping[str, float]]
    Judge = Callable[[Hit], str]  # why a hit is no evidence; "" where it is

DEPTH = 40  # hits asked of a retriever before what was shown is left out
MIN_CROP = 16  # pixels a side
ANOTHER = "a report of another patient"
UNREPORTED = "the index holds no report of this patient that may be read"
SAME = 0.9  # of the words that two reports of one day share, from which they are one


class Desk:
    """One question's images and settings over an opened `medrag.MedRAG`."""

    def __init__(self, rag: MedRAG, query: Query, *, patient: str = "", see: See | None = None) -> None:
        self.rag, self.asked, self._see = rag, query, see
        told = [str(image.meta.get("patient_id", "")) for image in query.images]
        self.patient = patient or next(filter(None, told), "")
        self.shown: frozenset[str] = frozenset()  # ids that a run has seen already; the loop keeps it up to date
        self.heard: frozenset[str] = frozenset()  # corpora that the evidence has of the very thing that is searched for

    @functools.cached_property
    def route(self) -> Route:
        """Of the question as it was asked."""
        return self.rag.router.route(self.asked)

    @functools.cached_property
    def query(self) -> Query:
        """The question with its domain, where the router is sure of one."""
        return dataclasses.replace(self.asked, domain=self.route.asks)

    @property
    def images(self) -> tuple[QueryImage, ...]:
        return self.asked.images

    def withheld(self, hit: Hit) -> str:
        """Why a hit is kept from every model: by privacy mode, or as a report of another patient where this one's are asked about; else empty."""
        if self.rag.settings.private and private.split([hit])[1]:
            return private.WITHHELD
        others = self.patient and not self.images and not self._own & {hit.item.id, hit.item.doc}
        return ANOTHER if others and self._of_a_patient(hit) else ""

    def _of_a_patient(self, hit: Hit) -> bool:
        """Whether it is a report, or is taken from one."""
        store = self.rag.store
        return is_report(hit) or bool(store and any(isinstance(one, Study) for one in store.items.get([hit.item.doc])))

    @property
    def unreported(self) -> str:
        """That a patient who is asked about without an image has no report here; empty where that is not so, and in privacy mode, which reads none."""
        asked = self.patient and not self.images and not self.rag.settings.private
        return UNREPORTED if asked and not self.studies else ""

    def shown_as(self, hits: Sequence[Hit]) -> Sequence[Hit]:
        """Kept hits as a model may read them."""
        return private.shown(Context(self.asked, tuple(hits))).kept if self.rag.settings.private else hits

    def counted(self, context: Context) -> Context:
        """The evidence of a run with how often look-alike studies report what was asked."""
        return self.rag.counted(context, self.route)

    def cut(self, context: Context) -> Context:
        """The context with no more pieces than the calibration, where there is one, was made with for such a question."""
        known = self.rag.calibration
        return known.cut(context, self.rag.calibrated_sort(context)) if known else context

    def sources(self, kind: str) -> list[str]:
        """Names of the retrievers of one kind: similar, pages, graph or text."""
        return [name for name in self.rag.retrievers if _kind(name) == kind]

    def search(
        self, kind: str, text: str, k: int, images: tuple[QueryImage, ...] = (), judge: Judge | None = None
    ) -> Context:
        """Hits of one kind of source that were not shown before: those that ``judge`` finds no fault with go to the selector,
        and the k best that it keeps come back; what either refused is in ``dropped`` with the reason."""
        query = dataclasses.replace(self.query, text=text, images=images, exclude=self.asked.exclude | self.shown)
        names = self.sources(kind)
        weights = self.rag.router.route(query).weights
        weights = {name: weights.get(name, 0.0) or 1.0 for name in names}  # who asks a source by name wants it asked
        good: dict[str, list[Hit]] = {}
        refused: dict[str, Drop] = {}
        for name in names:
            hits = self.rag.retrievers[name].retrieve(query, DEPTH)
            reasons = [self.withheld(hit) or (judge(hit) if judge else "") for hit in hits]
            passed = [hit for hit, reason in zip(hits, reasons, strict=True) if not reason]
            good[name] = [dataclasses.replace(hit, rank=rank) for rank, hit in enumerate(passed, 1)]
            refused |= {hit.item.id: Drop(hit, reason) for hit, reason in zip(hits, reasons, strict=True) if reason}
        context = self._selector.select(query, fuse.rrf(good, self._weighed(weights), self.rag.settings.rrf_c))
        kept = self._other_sources_first(context.kept) if kind == "text" else context.kept
        return dataclasses.replace(context, kept=kept[:k], dropped=(*context.dropped, *refused.values()))

    def _other_sources_first(self, hits: Sequence[Hit]) -> tuple[Hit, ...]:
        """In the order found, but corpora that were not heard of the thing that is asked about come before those that were."""
        return tuple(sorted(hits, key=lambda hit: corpus_of(hit.item) in self.heard))

    def _weighed(self, weights: dict[str, float]) -> dict[str, float]:
        return self._choice.over(weights) if self._choice else weights

    @functools.cached_property
    def _choice(self) -> Choice | None:
        """What the calibration chose for such questions."""
        return self.rag.calibration.choice(self.route.asks) if self.rag.calibration else None

    @functools.cached_property
    def _selector(self) -> AdaptiveSelector:
        """The pipeline's, without the rules that guess from scores where relevance ends: each hit is judged by itself here."""
        chosen = self._choice.select if self._choice else {}
        return AdaptiveSelector(self.rag.settings.select).moved({**chosen, "gaps": {}, "shares": {}})

    def pick(self, image: int) -> tuple[QueryImage, ...]:
        """One of the question's images, counted from 0; those of the latest day for -1. Raises ValueError for another number."""
        if not -1 <= image < len(self.images):
            raise ValueError(f"there is no image {image}: there are {len(self.images)}, counted from 0")
        return tuple(self.images[n] for n in latest(self.images)) if image < 0 else (self.images[image],)

    def of_one_day(self, image: QueryImage) -> tuple[QueryImage, ...]:
        """The images of the question that are of the same day as one of them, by their files."""
        return tuple(
            one for one, day in zip(self.images, days_of(self.images), strict=True) if [day] == days_of([image])
        )

    def read_from(self, context: Context) -> Context:
        """The context with the images that an answer is read off: those of the latest day, unless it is the generator that has to tell what changed."""
        if change_told(context.query.text, context):
            return dataclasses.replace(context, query=narrowed(context.query, note=False))
        return dataclasses.replace(context, query=of_the_latest(context.query, self.rag.generator))

    def crop(self, image: int, box: tuple[float, float, float, float]) -> QueryImage:
        """A region of an image; ``box`` is left, top, right, bottom as shares of width and height, 0–1.

        Raises ValueError for a box that is none, or smaller than `MIN_CROP` pixels.
        """
        from medrag._util.images import load_image

        picture = self.pick(max(image, 0))[0]
        width, height = picture.image.size
        x0, y0, x1, y1 = box
        corners = (round(x0 * width), round(y0 * height), round(x1 * width), round(y1 * height))
        if (
            not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1)
            or min(corners[2] - corners[0], corners[3] - corners[1]) < MIN_CROP
        ):
            raise ValueError(
                f"box {box}: give left < right and top < bottom within 0–1, at least {MIN_CROP} pixels a side"
            )
        cut = load_image(picture.image.crop(corners))
        return dataclasses.replace(cut, source=picture.source, meta={**picture.meta, "box": list(corners)})

    @functools.cached_property
    def see(self) -> See | None:
        """What reads findings off the images: given, or of an encoder of the recipe that ships a reader. Of other images
        than chest films it would say anything, so the router must be sure."""
        if self.query.domain != "chest-xray" or not self.images:
            return None
        return self._see or reader_of(self.rag)

    @property
    def usual(self) -> Mapping[str, float]:
        """How likely each finding is on a usual film, by what reads them; empty where it does not say."""
        return getattr(getattr(self.see, "__self__", None), "usual", {})

    @functools.cached_property
    def studies(self) -> list[Study]:
        """The patient's reports in the index, before the day that the images' files name; undated ones come first, one of a day that says the same
        as another is left out. Privacy mode reads no report."""
        if not self.patient or self.rag.store is None or self.rag.settings.private:
            return []
        today, found = max(days_of(self.images), default=""), list[Study]()
        own = (
            one
            for one in self.rag.store.items.iterate(["study"])
            if isinstance(one, Study) and self._is_history(one, today)
        )
        for study in sorted(own, key=lambda s: (day_of(s.date), s.id)):
            if not any(_same_report(study, other) for other in found):
                found.append(study)
        return found

    @functools.cached_property
    def _own(self) -> set[str]:
        """Ids and documents of the patient's reports."""
        return {name for study in self.studies for name in (study.id, study.doc)}

    def _is_history(self, study: Study, today: str) -> bool:
        """Whether it is an earlier report of the patient, and none of the study that is asked about."""
        if study.patient != self.patient or study.id in self.asked.exclude or not study.text.strip():
            return False
        day = day_of(study.date)
        return not (today and day and day >= today) and not is_own(study, self.images)

    def linker(self) -> Any:
        """The graph's linker; None where there is no graph."""
        return next(
            (one for name in self.sources("graph") if (one := getattr(self.rag.retrievers[name], "linker", None))), None
        )


def reader_of(rag: MedRAG) -> See | None:
    """The findings reader of the first encoder that has one. Its weights are loaded at the first use."""
    from medrag.encoders.findings import FindingsReader

    named = [encoder.model for encoder in rag.recipe.encoders.values()] if rag.recipe else []
    for name in filter(None, dict.fromkeys([rag.settings.graph_sees, *named])):
        with contextlib.suppress(MedragError):
            return FindingsReader(name).findings
    return None


def subject_of(item: Item) -> str:
    """What a text is about: the heading of a book's passage, the title of another."""
    heading = str(getattr(item, "section", "")) if getattr(item, "page", None) else ""
    return heading or str(getattr(item, "title", ""))


def corpus_of(item: Item) -> str:
    """The corpus that an item's id names."""
    return item.id.partition(":")[0]


def note_hit(id: str, title: str, text: str, retriever: str) -> Hit:
    """What a model or a comparison says, as evidence that can be cited."""
    return Hit(Passage(f"agent:{id}#0", f"agent:{id}", text, title=title), 1.0, 1, retriever)


def _kind(name: str) -> str:
    return next((kind for kind in ("similar", "pages", "graph") if name.startswith(kind)), "text")


def _same_report(study: Study, other: Study) -> bool:
    """Whether two corpora hold one report: of one day, in the same words."""
    return day_of(study.date) == day_of(other.date) != "" and same_words(study.text, other.text, SAME)
