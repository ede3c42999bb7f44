"""The path of one question, on one screen: route → retrieve → fuse → select → generate → cite.

This file knows the parts only by their contracts (protocols.py); how they are put together from a recipe, copied and closed stands in _opened.py.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, overload

from medrag import private
from medrag._around import Asked, Clock, as_they_come, check_asked, check_options, naming, telling
from medrag._opened import Opened
from medrag._util.text import count_tokens
from medrag._util.which_image import asks_which
from medrag._util.whole import whole, whole_pieces
from medrag.confidence import influence, sort_of
from medrag.errors import MedragError, SettingsError
from medrag.finish import Finish
from medrag.latest import of_the_latest, strangers
from medrag.misfit import misfit, unpictured
from medrag.prompts import REFUSAL, Prompt, evidence_tokens, make_prompt
from medrag.query import make_query, page_crops
from medrag.retrieve import fuse
from medrag.route import question_kind
from medrag.types import Answer, Context, Hit, Query, Route

if TYPE_CHECKING:
    from PIL.Image import Image

    from medrag.agent.chat import Chat
    from medrag.protocols import Generator, Selector

WHICH = "which of several images it is on is not told: ask about each alone, such as “in the second image”"
SIMILAR = "similar"  # the retriever of pictures that look alike


@dataclass(frozen=True, slots=True, eq=False)
class Event:
    """A stage that was reached: routed (Route), found (hits by retriever), selected (Context), token (str), answer (Answer)."""

    stage: Literal["routed", "found", "selected", "token", "answer"]
    data: Any


class MedRAG(Opened):
    """An opened index with everything that answers from it.

    >>> rag = MedRAG.open("sample")
    >>> print(rag.answer("chest.dcm", "Are there masses in the lungs?"))
    """

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

        context = self._select(query, self._fuse(rankings, self._weights(route)))
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
        hits = allowed(self._fuse(rankings, route.weights))[:wanted]
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

    def _weights(self, route: Route) -> Mapping[str, float]:
        """The route's weights with what the calibration chose for the domain."""
        choice = self.calibration.choice(route.asks) if self.calibration else None
        return choice.over(route.weights) if choice else route.weights

    def _fuse(self, rankings: Mapping[str, list[Hit]], weights: Mapping[str, float]) -> list[Hit]:
        if self.settings.fusion == "weighted":
            return fuse.weighted(rankings, weights)
        return fuse.rrf(rankings, weights, self.settings.rrf_c)

    def _select(self, query: Query, hits: list[Hit]) -> Context:
        allowed, withheld = private.split(hits) if self.settings.private else (hits, ())
        context = self._selector(query.domain).select(query, allowed, self.settings.select.budget)
        context = self.calibration.cut(context, self.calibrated_sort(context)) if self.calibration else context
        return dataclasses.replace(context, dropped=(*context.dropped, *withheld)) if withheld else context

    def _selector(self, domain: str) -> Selector:
        """The selector with what the calibration chose for the domain; one of one's own as it is."""
        choice = self.calibration.choice(domain) if self.calibration else None
        moved = getattr(self.selector, "moved", None)
        return moved(choice.select) if choice and moved else self.selector

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
        selector = self._selector(query.domain)
        shown = [hit for hit in allowed if selector.select(query, [hit], self.settings.select.budget).kept]
        ids = {hit.item.id for hit in shown}
        dropped = tuple(drop for drop in context.dropped if drop.hit.item.id not in ids)
        tokens = context.tokens + evidence_tokens(*shown)
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
        if not context.tokens:  # the caller chose it
            context = dataclasses.replace(context, tokens=evidence_tokens(*context.kept))
        usage = {"context_tokens": context.tokens, "answer_tokens": count_tokens(said.text)}
        return Answer(
            said.text, said.status, said.citations, context, route, self.generator.name, said.reason, usage, clock.laps,
            self.fingerprint, said.claims, said.confidence,
        )  # fmt: skip

    @functools.cached_property
    def finish(self) -> Finish:
        """What makes an answer of a text."""
        infers = self.entailment.check if self.entailment else None
        return Finish(self.settings, self.generator, self.calibration, infers)

    def influence(self, answer: Answer) -> dict[str, float]:
        """What each piece of evidence did to the answer to a closed question; see `medrag.confidence.influence`."""
        return influence(self.generator, answer.context, private=self.settings.private)


def _loop(name: str) -> Any:
    """A module of the search loop, which stands a floor above: taken by its name when it is asked for, as a plug-in is."""
    return importlib.import_module(f"medrag.agent.{name}")


@functools.lru_cache(maxsize=4)
def open_cached(name: str) -> MedRAG:
    """`MedRAG.open(name)`, kept for the next call."""
    return MedRAG.open(name)
