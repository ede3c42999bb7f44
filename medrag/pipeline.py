"""The path of one question, on one screen: route → retrieve → fuse → select → generate → cite.

This file knows the parts only by their contracts (protocols.py); `MedRAG.open` puts them together from a recipe.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import importlib
import json
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from medrag import private
from medrag._around import Asked, Clock, Closed, as_they_come, check_asked, check_options, name_of, naming, telling
from medrag._util import offline, usual
from medrag._util.files import sha256_file, sha256_text
from medrag._util.places import beside, share
from medrag._util.text import count_tokens
from medrag._util.which_image import asks_which
from medrag._util.whole import whole, whole_pieces
from medrag.audit import AuditLog
from medrag.calibration import NAME as CALIBRATION
from medrag.calibration import Calibration, open_calibration
from medrag.confidence import influence, sort_of
from medrag.errors import MedragError, SettingsError
from medrag.finish import Finish
from medrag.indexes.manifest import read_manifest
from medrag.latest import of_the_latest, strangers
from medrag.misfit import misfit, unpictured
from medrag.prompts import REFUSAL, Prompt, evidence_block, make_prompt
from medrag.query import make_query, page_crops
from medrag.retrieve import fuse
from medrag.route import question_kind
from medrag.settings import PipelineSettings, Recipe
from medrag.types import Answer, Context, Hit, Query, Route, Where

if TYPE_CHECKING:
    from PIL.Image import Image

    from medrag.agent.chat import Chat
    from medrag.indexes.store import Store
    from medrag.protocols import Generator, Retriever, Router, Selector
    from medrag.retrieve.search import Memo

WEIGHED = (  # settings that change what an answer is worth: a calibration is made for them
    "retrievers", "weights", "k", "fusion", "rrf_c", "alike", "expand", "graph_sees", "page_fusion", "page_images", "margin", "select", "max_tokens", "private",
)  # fmt: skip
ADDED = (
    "link_near",
    "graph_alike",
    "unsupported",
)  # later ones: they count where they are set, so that calibrations made before hold
WHICH = "which of several images it is on is not told: ask about each alone, such as “in the second image”"
SIMILAR = "similar"  # the retriever of pictures that look alike


@dataclass(frozen=True, slots=True, eq=False)
class Event:
    """A stage that was reached: routed (Route), found (hits by retriever), selected (Context), token (str), answer (Answer)."""

    stage: Literal["routed", "found", "selected", "token", "answer"]
    data: Any


class MedRAG:
    """An opened index with everything that answers from it.

    >>> rag = MedRAG.open("sample")
    >>> print(rag.answer("chest.dcm", "Are there masses in the lungs?"))
    """

    def __init__(
        self, retrievers: Mapping[str, Retriever], router: Router, selector: Selector, generator: Generator,
        settings: PipelineSettings | None = None, store: Store | None = None, recipe: Recipe | None = None,
        encoders: Mapping[str, Memo] | None = None,
    ) -> None:  # fmt: skip
        self.retrievers, self.router, self.selector, self.generator = dict(retrievers), router, selector, generator
        self.settings = settings or PipelineSettings()  # type: ignore[call-arg]
        self.store, self.recipe, self.encoders = store, recipe, dict(encoders or {})
        self.audit: AuditLog | None = None
        self.part: Where | None = None  # of the index, where it is not all that is searched
        # it is closed with any of these groups; the first is its own, of `audited` copies and of what was opened from them
        self._groups: tuple[weakref.WeakSet[MedRAG], ...] = (weakref.WeakSet([self]),)

    @classmethod
    def open(
        cls, name_or_recipe: str | Path | Recipe, *, model: Any = None, build: bool = False,
        audit: str | Path | None = None, **overrides: Any,
    ) -> MedRAG:  # fmt: skip
        """Opens the built index of a recipe; ``overrides`` are fields of `medrag.settings.PipelineSettings`.

        ``model`` is a generator: a name ("extractive", "medrag-small"), ``"openai:NAME"``, a hub id, a folder, a LangChain
        chat model, or any object with ``stream``. Nothing is downloaded. ``build=True`` builds what is not built.
        ``access``: the labels that the asker holds (`medrag.access`). ``audit``: a file that gets two lines for each question (`medrag.audit`).

        Raises IndexMissing, IndexMismatch or IndexCorrupt for the index, ModelMissing for weights that are not here,
        SettingsError for a setting that nothing reads.
        """
        from medrag.assemble import assemble

        offline.enforce_if_asked()
        opened = cls(**assemble(name_or_recipe, model, build, overrides))
        opened.audit = AuditLog.open(audit) if audit else None
        return opened

    def seen_by(self, access: Collection[str]) -> MedRAG:
        """The same index, settings, encoders and generator for one who holds these labels (see `medrag.access`).

        Raises SettingsError for a pipeline that was closed or not opened from a recipe, and for one label that is given as it is.
        """
        seen = self._opened_for(access)
        return seen._listed(*seen._groups, *self._groups)

    def within(self, **wanted: str) -> MedRAG:
        """The same over a part of its index: the items of a ``domain``, a ``license``, a ``patient``, of the days from ``since`` to ``until``
        (see `medrag.retrieve.within`). Nothing else is found, by answers, searches and chats; look-alike studies are not counted; the history of a
        patient (``patient=`` of the search loop) is read from all of his studies.

        Raises SettingsError for what is no day or no such field, and where nothing is asked for.
        """
        from medrag.retrieve.within import narrowed, within

        part = copy.copy(self)
        part.part = narrowed(self.part, wanted)
        part.retrievers = within(self.retrievers, part.part, self.store.items if self.store else None)
        part.__dict__.pop("fingerprint", None)
        part.__dict__["_counts"] = None
        return part._listed(*self._groups)

    def _opened_for(self, access: Collection[str]) -> MedRAG:
        from medrag.assemble import assemble

        iter(self.retrievers)  # a closed one says so
        if self.recipe is None:
            raise SettingsError("labels are of a recipe's corpora, and there is none", "use MedRAG.open")
        if isinstance(access, str):
            raise SettingsError(f"access is the text {access!r}", f"give a list of labels: [{access!r}]")
        settings = self.settings.model_dump(exclude={"model", "model_options"}) | {"access": tuple(sorted(access))}
        seen = type(self)(**assemble(self.recipe, self.generator, False, settings, self.encoders))
        seen.audit = self.audit
        return seen.within(**dataclasses.asdict(self.part)) if self.part else seen

    @property
    def outdated(self) -> bool:
        """Whether it is to be opened anew: it was closed, or another index has taken its place. Raises IndexMissing where none is there any more."""
        if self.closed:
            return True
        if self.store is None:
            return False
        whole: Store = getattr(self.store, "_whole", self.store)  # of which this may be the part that one may see
        return read_manifest(whole.folder).content_hash != whole.manifest.content_hash

    def reopened(self) -> MedRAG:
        """The same over the index as it lies on disk now, with encoders, generator, router and selector, and retrievers of one's own.

        Raises what `open` raises, IndexMismatch where the recipe of the index is another now.
        """
        fresh = self._opened_for(self.settings.access)
        own = {
            name: one
            for name, one in self.retrievers.items()
            if not type(getattr(one, "inner", one)).__module__.startswith("medrag.")
        }
        fresh.retrievers, fresh.settings = {**fresh.retrievers, **own}, self.settings
        fresh.router, fresh.selector = self.router, self.selector
        return fresh

    @property
    def closed(self) -> bool:
        """Whether `close` was called, of this one or of the one that it is a copy of."""
        return isinstance(self.retrievers, Closed)

    def close(self) -> None:
        """Lets files, and what encoders remember, go; whoever asks it afterwards, or a copy for others (`seen_by`, `audited`), is told so.

        A copy by `audited` is the same index: closing it closes all. Closing twice does nothing.
        """
        if self.closed:
            return
        graph, encoders = getattr(self.retrievers.get("graph"), "store", None), self.encoders
        self.encoders, self.retrievers = {}, Closed()
        for copied in list(self._groups[0]):
            copied.close()
        for one in (self.store and self.store.items, graph):
            if callable(close := getattr(one, "close", None)):
                close()
        for memo in encoders.values():
            memo.forget()

    def __enter__(self) -> MedRAG:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def audited(self, audit: AuditLog | None) -> MedRAG:
        """The same pipeline with another audit log, or none."""
        same = copy.copy(self)
        same.audit = audit
        return same._listed(*self._groups)

    def _listed(self, *groups: weakref.WeakSet[MedRAG]) -> MedRAG:
        """Itself, to be closed with any of the groups."""
        self._groups = groups
        for group in groups:
            group.add(self)
        return self

    def answer(
        self, image: Any = None, question: str = "", *, exclude: Sequence[str] = (), agent: bool = False, **options: Any
    ) -> Answer:
        """The cited answer to a question about an image.

        ``image``: a path (DICOM or any common format), bytes, PIL image, numpy array (H, W) or (H, W, 3), a list of
        these, or None for a question about text alone. ``exclude``: ids of studies, documents or items that must
        not be used (a study must not answer from itself). ``agent=True`` searches in several turns; ``options`` are then
        those of `medrag.agent.graph.Agent` (``policy``, ``budget``, ``tools`` …), and the run's ``patient`` and ``thread``.

        Raises ImageError for an image that cannot be read, GeneratorError when the language model fails, SettingsError
        for options without ``agent=True``, and for those that nothing reads.
        """
        if options or agent:
            loop = _loop("graph").Agent
            check_options(loop, options, agent)
            if not agent:
                raise SettingsError(f"{next(iter(options))!r} is an option of the search loop", "add agent=True")
            run = {name: options.pop(name) for name in ("patient", "thread") if name in options}
            made: Answer = loop(self, **options).answer(image, question, exclude=exclude, **run)
            return made
        for event in self._watched(question, self._stages(image, question, exclude, telling)):
            if event.stage == "answer":
                return event.data  # type: ignore[no-any-return]
        raise AssertionError("the stream always ends with an answer")

    def chat(self, **options: Any) -> Chat:
        """A session of questions that may lean on each other, with memory of the evidence; see `medrag.agent.chat.Chat`.

        Raises SettingsError for an option that nothing reads.
        """
        check_options(_loop("graph").Agent, options, also=("exclude", "patient"))
        session: Chat = _loop("chat").Chat(self, **options)
        return session

    def stream(self, image: Any = None, question: str = "", *, exclude: Sequence[str] = ()) -> Iterator[Event]:
        """The same path, stage by stage; the last event carries the answer. What a generator of one's own raises comes as it is.

        The search loop's steps come from `medrag.agent.graph.Agent.stream`.
        """
        return self._watched(question, self._stages(image, question, exclude))

    def _watched(self, question: str, events: Iterator[Event]) -> Iterator[Event]:
        return self.audit.watched(question, self.settings.access, events) if self.audit else events

    def _stages(
        self,
        image: Any,
        question: str,
        exclude: Sequence[str],
        failing: Callable[[Generator], Any] = contextlib.nullcontext,
    ) -> Iterator[Event]:
        clock = Clock()
        query = of_the_latest(make_query(image, question, exclude), self.generator)
        clock.lap("read")

        route = self._route(query)
        clock.lap("route")
        yield Event("routed", route)

        query = dataclasses.replace(query, domain=route.asks)
        rankings = {} if self.misfit(query, route) else self._retrieve(query, route, clock, self.settings.k)
        yield Event("found", rankings)

        context = self._select(query, self._fuse(rankings, route))
        clock.lap("select")
        context = self.counted(context, route)
        clock.lap("count")
        yield Event("selected", context)

        pieces: list[str] = []
        with failing(self.generator):
            for piece in self._generate(context, route):
                pieces.append(piece)
                yield Event("token", piece)
            text = "".join(pieces)
        clock.lap("generate")
        yield Event("answer", self._finish(text, context, route, clock))

    @overload
    def answers(self, asked: Sequence[Asked], *, return_errors: Literal[False] = False) -> list[Answer]: ...
    @overload
    def answers(self, asked: Sequence[Asked], *, return_errors: bool) -> list[Answer | MedragError]: ...
    def answers(self, asked: Sequence[Asked], *, return_errors: bool = False) -> Sequence[Answer | MedragError]:
        """Answers to several (image, question, exclude): evidence is found one by one, the texts are written together where the generator can.

        Raises what `answer` raises, and then gives none of them. With ``return_errors`` each is asked by itself, and what it raises, a MedragError,
        stands in its answer's place.
        """
        check_asked(asked)
        if return_errors:
            return [self._answer_or_error(*one) for one in asked]
        with self._failing([question for _, question, _ in asked]):
            found = [self._selected(image, question, exclude) for image, question, exclude in asked]
        return self.answers_from([context for context, _ in found], [route for _, route in found])

    def _answer_or_error(self, image: Any, question: str, exclude: Sequence[str]) -> Answer | MedragError:
        try:
            return self.answer(image, question, exclude=exclude)
        except MedragError as error:
            return error

    def selected(self, image: Any, question: str, exclude: Sequence[str] = ()) -> tuple[Context, Route]:
        """The evidence that the generator would be shown, and the route to it; nothing is written."""
        with self._failing([question]):
            context, route = self._selected(image, question, exclude)
        if self.audit:
            self.audit.searched(context.query, context.kept, self.fingerprint, self.settings.access)
        return context, route

    def _selected(self, image: Any, question: str, exclude: Sequence[str]) -> tuple[Context, Route]:
        stages = {}
        for event in self._stages(image, question, exclude):
            stages[event.stage] = event.data
            if event.stage == "selected":
                break
        return stages["selected"], stages["routed"]

    def answers_from(self, contexts: Sequence[Context], routes: Sequence[Route]) -> list[Answer]:
        """`answer_from` for several contexts at once."""
        contexts = [private.permitted(one) for one in contexts] if self.settings.private else contexts
        with self._failing([one.query.text for one in contexts]):
            made = self._written(contexts, routes)
        return [self._noted(one) for one in made]

    def _written(self, contexts: Sequence[Context], routes: Sequence[Route]) -> list[Answer]:
        """The answers, of which no line is noted yet: where one fails, nobody gets the others."""
        together = getattr(self.generator, "batch", None)
        grounded = [n for n, (c, r) in enumerate(zip(contexts, routes, strict=True)) if self._grounded(c, r)]
        if together is None or len(grounded) < 2:
            return [self._written_from(context, route) for context, route in zip(contexts, routes, strict=True)]
        asked = [self._asked(contexts[n]) for n in grounded]
        with telling(self.generator):
            texts = together([prompt for prompt, _ in asked], [images for _, images in asked])
            written = dict(zip(grounded, map(whole, texts), strict=True))
        return [
            self._finish(written.get(n, REFUSAL), context, route, Clock())
            for n, (context, route) in enumerate(zip(contexts, routes, strict=True))
        ]

    def answer_from(self, context: Context, route: Route | None = None) -> Answer:
        """The answer to ``context.query`` from evidence that the caller chose: nothing is searched or selected.

        Raises GeneratorError when the language model fails.
        """
        context = private.permitted(context) if self.settings.private else context
        with self._failing([context.query.text]):
            made = self._written_from(context, route or self.router.route(context.query))
        return self._noted(made)

    def _written_from(self, context: Context, route: Route) -> Answer:
        clock = Clock()
        with telling(self.generator):
            text = "".join(self._generate(context, route))
        clock.lap("generate")
        return self._finish(text, context, route, clock)

    def _failing(self, questions: Sequence[str]) -> contextlib.AbstractContextManager[None]:
        return self.audit.failing(questions, self.settings.access) if self.audit else contextlib.nullcontext()

    def _noted(self, answer: Answer) -> Answer:
        if self.audit:
            self.audit.answered(answer, self.settings.access)
        return answer

    def retrieve(
        self, question: str = "", image: Any = None, *, k: int | None = None, exclude: Sequence[str] = ()
    ) -> list[Hit]:
        """The fused hits for a question, an image, or both, best first; at most k, no selection. Images are read as `answer` reads them.

        Each retriever is asked for k hits, and never for fewer than the setting ``k``. Raises SettingsError for a k that is no whole number.
        """
        return self._searched(make_query(image, question, exclude), k, list)

    def readable(self, question: str, k: int | None = None) -> list[Hit]:
        """As `retrieve`, of what another language model may read: in privacy mode the k best statements and definitions alone."""
        return self._searched(make_query(None, question), k, private.visible if self.settings.private else list)

    def _searched(self, query: Query, k: int | None, allowed: Callable[[list[Hit]], list[Hit]]) -> list[Hit]:
        if k is not None and not hasattr(k, "__index__"):
            raise SettingsError(f"k is {k!r}", "give a whole number")
        query = of_the_latest(query, self.generator)
        route = self._route(query)
        query = dataclasses.replace(query, domain=route.asks)
        wanted = self.settings.k if k is None else max(k, 0)
        rankings = self._retrieve(query, route, Clock(), max(self.settings.k, wanted))
        hits = allowed(self._fuse(rankings, route))[:wanted]
        if self.audit:
            self.audit.searched(query, hits, self.fingerprint, self.settings.access)
        return hits

    def _route(self, query: Query) -> Route:
        """The route; meanwhile the encoders read what the retrievers are going to ask them."""
        for memo in self.encoders.values():
            memo.ahead(query)
        return self.router.route(query)

    def _retrieve(self, query: Query, route: Route, clock: Clock, k: int) -> dict[str, list[Hit]]:
        """The rankings of the sources that the route asks, all at a time; each lap of the clock is what one took longer than those before it."""
        asked, found = [name for name in self.retrievers if route.weights.get(name, 0.0) > 0], dict[str, list[Hit]]()

        def ask(name: str) -> list[Hit]:
            with naming(name, self.retrievers[name]):
                return self.retrievers[name].retrieve(query, k)

        for name, hits in as_they_come(ask, asked):
            found[name] = hits
            clock.lap(f"retrieve {name}")
        return {name: found[name] for name in asked}

    def _fuse(self, rankings: Mapping[str, list[Hit]], route: Route) -> list[Hit]:
        if self.settings.fusion == "weighted":
            return fuse.weighted(rankings, route.weights)
        return fuse.rrf(rankings, route.weights, self.settings.rrf_c)

    def _select(self, query: Query, hits: list[Hit]) -> Context:
        allowed, withheld = private.split(hits) if self.settings.private else (hits, ())
        context = self.selector.select(query, allowed, self.settings.select.budget)
        context = self.calibration.cut(context, self.calibrated_sort(context)) if self.calibration else context
        return dataclasses.replace(context, dropped=(*context.dropped, *withheld)) if withheld else context

    def calibrated_sort(self, context: Context) -> str:
        """The questions that the calibration holds this one to be like."""
        sort = sort_of(context)
        return self.calibration.named(sort, context.query.domain) if self.calibration else sort

    def counted(self, context: Context, route: Route) -> Context:
        """The context with how often look-alike studies report what is asked, and how look-alike pictures are labelled, where "similar" is among the
        sources that are asked."""
        asked = self._counts is not None and route.weights.get(SIMILAR, 0.0) > 0
        if asked and self.calibration:
            asked = self.calibration.retrieves(self.calibrated_sort(context))
        if not asked or self.misfit(context.query, route):
            return context
        frequencies, labels = self._counts
        labelled = labels.of(context.query, route.each)
        context = dataclasses.replace(context, frequency=frequencies.of(context.query), labelled=labelled)
        return (
            self._shown(context, labels.evidence(context.query, labelled, context.kept, route.each))
            if labelled
            else context
        )

    def _shown(self, context: Context, counted: list[Hit]) -> Context:
        """The context with counted pictures that an answer names and the selector had no room for; one that is no evidence by itself stays out."""
        allowed = private.split(counted)[0] if self.settings.private else counted
        query = context.query if len(context.query.images) < 2 else dataclasses.replace(context.query, domain="")
        shown = [hit for hit in allowed if self.selector.select(query, [hit], self.settings.select.budget).kept]
        ids = {hit.item.id for hit in shown}
        dropped = tuple(drop for drop in context.dropped if drop.hit.item.id not in ids)
        tokens = context.tokens + sum(count_tokens(evidence_block("E1", hit)) for hit in shown)
        return dataclasses.replace(context, kept=(*context.kept, *shown), dropped=dropped, tokens=tokens)

    @functools.cached_property
    def _counts(self) -> Any:
        from medrag.retrieve.frequency import Frequencies
        from medrag.retrieve.labelled import Labels
        from medrag.retrieve.similar import Similar

        if self.store is None or SIMILAR not in self.retrievers or not self.settings.alike:
            return None
        s, similar = self.settings, self.retrievers[SIMILAR]
        same = s.select.same_image
        index = self.store.index(similar.index) if isinstance(similar, Similar) else None
        return Frequencies(similar, self.store.items, s.alike, same), Labels(similar, self.store.items, same, index)

    def _generate(self, context: Context, route: Route) -> Iterator[str]:
        if not self._grounded(context, route):
            yield REFUSAL
            return
        yield from whole_pieces(self.generator.stream(*self._asked(context)))

    def _grounded(self, context: Context, route: Route) -> bool:
        """Whether the generator is asked at all: where there is evidence, or an image that it can see and the question is about."""
        if self.misfit(context.query, route):
            return False
        about_image = not route.retrieves or question_kind(context.query.text) != "definition"
        return bool(context.kept) or (self._looks(context) and about_image)

    def misfit(self, query: Query, route: Route) -> str:
        """Why the pictures cannot answer the question, or that it needs one; empty where they may, or where that is not asked."""
        if self.settings.misfit != "abstain":
            return ""
        if not query.images:
            return unpictured(query.text)
        each = (f"image {n}: {why}" for n, one in enumerate(route.each, 1) if (why := misfit(query.text, one)))
        several = len(query.images) > 1 and not getattr(self.generator, "many_images", False)
        which = WHICH if several and asks_which(query.text) else ""
        return misfit(query.text, route.shows) or next(each, "") or strangers(query) or which

    def _looks(self, context: Context) -> bool:
        return bool(context.query.images) and self.generator.sees_images

    def _asked(self, context: Context) -> tuple[Prompt, list[Image]]:
        """What the generator is given: the prompt, the question's images, and pages of the evidence where it takes several images."""
        looks = self._looks(context)
        context = private.shown(context) if self.settings.private else context
        several = getattr(self.generator, "many_images", False) and not self.settings.private
        pages = page_crops(context, self.settings.page_images) if several else {}
        prompt = make_prompt(
            context.query.text,
            context,
            self.settings.max_tokens,
            self.settings.seed,
            looks=looks,
            pictured=tuple(pages),
        )
        return prompt, [*(image.image for image in context.query.images), *pages.values()]

    def _finish(self, text: str, context: Context, route: Route, clock: Clock) -> Answer:
        said = self.finish(text, context, route)
        if said.status == "abstained" and (why := self.misfit(context.query, route)):
            said = said._replace(reason=why)
        clock.lap("cite")
        usage = {"context_tokens": context.tokens, "answer_tokens": count_tokens(said.text)}
        return Answer(
            said.text, said.status, said.citations, context, route, self.generator.name, said.reason, usage, clock.laps,
            self.fingerprint, said.claims, said.confidence,
        )  # fmt: skip

    @functools.cached_property
    def finish(self) -> Finish:
        """What makes an answer of a text."""
        return Finish(self.settings, self.generator, self.calibration)

    @functools.cached_property
    def calibration(self) -> Calibration | None:
        """The calibration that the settings name and that fits; see `medrag.calibration.open_calibration`.

        Raises SettingsError for a ``risk`` without one, or that it does not know.
        """
        name = self.recipe.name if self.recipe else ""
        places = (beside(name, CALIBRATION), share() / "indexes" / name / CALIBRATION) if name else ()
        usual = next((path for path in places if path.is_file()), None)
        found = open_calibration(self.settings.calibration, usual, self.calibrated_for)
        if self.settings.risk is not None:
            if found is None:
                raise SettingsError(
                    "risk needs a calibration, and there is none of this index, model and settings", "medrag calibrate"
                )
            for sort in found.sorts:
                found.threshold(
                    sort, self.settings.risk
                )  # that the risk is among those calibrated is said before anything is written
        return found

    @functools.cached_property
    def calibrated_for(self) -> dict[str, str]:
        """What an answer's worth depends on, by name: hashes of the items and of the graph of the index, of how it was built, of the generator, the settings and the table of usual answers, and the router's name. The same on every machine."""
        settings = self.settings.model_dump(
            mode="json",
            include={
                *WEIGHED,
                *(one for one in ADDED if getattr(self.settings, one) != PipelineSettings.model_fields[one].default),
            },
        )
        if self.settings.select.mmr is None:
            del settings["select"]["mmr"]
        found = {"generator": getattr(self.generator, "fingerprint", "") or self.generator.name}
        found["settings"] = sha256_text(json.dumps(settings, sort_keys=True))[:16]
        found["usual"] = sha256_file(usual.PATH)[:16]
        if self.store:
            found["items"] = self.store.manifest.content.get("items", "")[:16]
            found |= {"graph": graph[:16]} if (graph := self.store.manifest.content.get("graph")) else {}
        if self.recipe:
            found |= {"index": self.recipe.fingerprint(corpora=False), "router": self.recipe.router}
        return found

    def influence(self, answer: Answer) -> dict[str, float]:
        """What each piece of evidence did to the answer to a closed question; see `medrag.confidence.influence`."""
        return influence(self.generator, answer.context, private=self.settings.private)

    @functools.cached_property
    def fingerprint(self) -> str:
        """Changes when the index, the generator, a setting or the calibration does."""
        index = self.store.manifest.content_hash if self.store else ""
        settings = json.dumps(self.settings.model_dump(), sort_keys=True, default=name_of)
        generator = getattr(self.generator, "fingerprint", "") or self.generator.name
        known = json.dumps(dataclasses.asdict(self.calibration), sort_keys=True) if self.calibration else ""
        part = json.dumps(dataclasses.asdict(self.part), sort_keys=True) if self.part else ""
        return sha256_text(index, generator, settings, known, *filter(None, (part,)))[:16]


def _loop(name: str) -> Any:
    """A module of the search loop, which stands a floor above: taken by its name when it is asked for, as a plug-in is."""
    return importlib.import_module(f"medrag.agent.{name}")


@functools.lru_cache(maxsize=4)
def open_cached(name: str) -> MedRAG:
    """`MedRAG.open(name)`, kept for the next call."""
    return MedRAG.open(name)
