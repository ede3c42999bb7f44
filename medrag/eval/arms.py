"""The systems that a task is put to: medrag with and without retrieval, sanity checks that break one thing, or anything callable.

An arm is made once and then called with each example. It never sees a reference, except ``oracle-context``, which is shown it as
evidence on purpose: what is lost there is lost by the generator, not by retrieval.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import importlib
import inspect
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medrag._util.files import sha256_text
from medrag._util.near import meant
from medrag.errors import GeneratorError, SettingsError
from medrag.eval.tasks import Example, Output
from medrag.types import Answer, Context, Hit, Query, Study

if TYPE_CHECKING:
    from PIL.Image import Image

    from medrag.pipeline import MedRAG

K = 3  # pieces of evidence of the arms that do not select
GRAPH, PAGES = ("graph",), ("dense", "lexical")
Asked = Sequence[Example]
Together = Callable[[Asked], list[Output]]  # several examples at once: generators write faster so


@dataclass(frozen=True)
class Arm:
    """A name, what it says of itself in results, and the call."""

    name: str
    settings: Mapping[str, Any]
    together: Together

    def __call__(self, example: Example) -> Output:
        return self.together([example])[0]


def one_by_one(call: Callable[[Example], Output]) -> Together:
    """An arm's function of several examples, made of one of a single example."""
    return lambda examples: [call(example) for example in examples]


class FirstK:
    """A selector that keeps the first k hits and thinks nothing of them."""

    def __init__(self, k: int = K) -> None:
        self.k = k

    def select(self, query: Query, hits: Sequence[Hit], budget: int) -> Context:
        kept = tuple(hit for hit in hits if not {hit.item.doc, hit.item.id} & query.exclude)[: self.k]
        return Context(query, kept)


def make_arm(name: str, rag: Callable[[], MedRAG], examples: Sequence[Example], seed: int = 0) -> Arm:
    """An arm by name, or ``module:function`` of a callable that takes (image paths, question) and returns a text or an Answer.

    ``rag`` opens the pipeline; it is not called for arms that need none. Raises SettingsError for a name that nothing has.
    """
    if ":" in name:
        return _own(name)
    check_named(name)
    opened = rag()
    made = ARMS[name](opened, examples, seed)
    return Arm(name, {"generator": opened.generator.name, "fingerprint": opened.fingerprint, "seed": seed}, made)


def check_named(name: str) -> None:
    """Raises SettingsError for the name of an arm that there is not."""
    if name not in ARMS:
        raise SettingsError(f"there is no arm {name!r}", meant(name, ARMS, "medrag eval list names them"))


def _own(name: str) -> Arm:
    """A function of one's own. Where its file is changed it is another arm: what it answered before is not its answer any more."""
    module, _, attribute = name.partition(":")
    try:
        function = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise SettingsError(f"arm {name!r}: {error}", "name a function that Python can import") from error
    if not callable(function):
        raise SettingsError(f"arm {name!r} is a {type(function).__name__}, no function", "name one that can be called")

    def call(example: Example) -> Output:
        try:
            said = function([str(path) for path in example.images] or None, example.question)
        except Exception as error:  # somebody's own code: one example that fails is no end of a run
            raise GeneratorError(
                f"{name}: {type(error).__name__}: {error}", "mend the function, then run again"
            ) from error
        if not isinstance(said, str | Answer):
            raise GeneratorError(f"{name} returned {said!r:.80}, which is no answer", "return a text, or an Answer")
        return output_of(said) if isinstance(said, Answer) else Output(str(said))

    return Arm(name, {"callable": name, "source": _source(module, function)}, one_by_one(call))


def _source(module: str, function: Any) -> str:
    """A hash of the files that a function and the module that it was named in come from; of its text where there is no file (a notebook)."""
    within = {module, getattr(inspect.unwrap(function), "__module__", "") or module}
    files = {Path(getattr(sys.modules.get(one), "__file__", None) or "") for one in within}
    if found := sorted(file.read_bytes().hex() for file in files if file.is_file()):
        return sha256_text(*found)[:16]
    with contextlib.suppress(OSError, TypeError):
        return sha256_text(inspect.getsource(function))[:16]
    return ""


def output_of(answer: Answer, chance: float | None = None) -> Output:
    """What a result keeps of an answer."""
    from medrag.prompts import keyless

    kept = tuple(
        {
            "key": key,
            "id": hit.item.id,
            "retriever": "+".join(hit.sources),
            "score": round(hit.score, 5),
            "text": hit.item.text,
        }
        for key, hit in answer.context
    )
    cited = [{"key": c.key, "id": c.item.id, "support": c.support} for c in answer.citations]
    details = {
        "keyed": answer.text,
        "cited": cited,
        "domain": answer.route.domain,
        "confidence": answer.confidence,
        "claims": [{"text": one.text, "keys": one.keys, "verdict": one.verdict} for one in answer.claims],
        "timings": dict(answer.timings),
        "usage": dict(answer.usage),
    }
    return Output(keyless(answer.text), chance, answer.status, kept, details)


def outputs_of(rag: MedRAG, answers: Sequence[Answer]) -> list[Output]:
    """The same for several answers, with P(yes) of closed questions where the generator knows it."""
    ask = getattr(rag.generator, "probabilities_yes", None)
    wanted = [
        n
        for n, answer in enumerate(answers)
        if ask and answer.context.query.images and is_closed(answer.context.query.text)
    ]
    chances: dict[int, float | None] = {}
    if ask and wanted:
        from medrag.confidence import closed_prompt

        contexts = [answers[n].context for n in wanted]
        prompts = [closed_prompt(context, private=rag.settings.private) for context in contexts]
        pictures = [[one.image for one in context.query.images] for context in contexts]
        chances = dict(zip(wanted, ask(prompts, pictures), strict=True))
    return [output_of(answer, chances.get(n)) for n, answer in enumerate(answers)]


def is_closed(question: str) -> bool:
    """Whether a question asks for yes or no."""
    from medrag.route import question_kind

    return question_kind(question) == "closed"


def _with(rag: MedRAG, **changes: Any) -> MedRAG:
    """The same pipeline with some parts exchanged."""
    from medrag.pipeline import MedRAG

    names = ("retrievers", "router", "selector", "generator", "settings", "store", "recipe", "encoders")
    parts: dict[str, Any] = {name: getattr(rag, name) for name in names}
    return MedRAG(**parts | changes)


def _without(rag: MedRAG, *names: str) -> dict[str, Any]:
    return {name: one for name, one in rag.retrievers.items() if name not in names}


def _router_for(rag: MedRAG, names: Sequence[str], weights: Mapping[str, float] | None = None) -> Any:
    """The router with weights for these retrievers only, some of them set."""
    router = rag.router
    if not hasattr(router, "retrievers"):
        return router
    other: Any = copy.copy(router)
    other.retrievers = tuple(names)
    other.overrides = {**other.overrides, **(weights or {})}
    return other


def limited_to(
    rag: MedRAG, retrievers: Mapping[str, Any], weights: Mapping[str, float] | None = None, **changes: Any
) -> MedRAG:
    """The same pipeline with these retrievers alone, weighed by its router or by ``weights``, and other settings changed."""
    return _with(rag, retrievers=dict(retrievers), router=_router_for(rag, list(retrievers), weights), **changes)


def _asked(rag: MedRAG, pictures: Callable[[Example], list[Image] | None] | None = None) -> Together:
    def together(examples: Asked) -> list[Output]:
        wanted = [((pictures or _pictures)(example), example.question, example.exclude) for example in examples]
        return outputs_of(rag, rag.answers(wanted))

    return together


def _pictures(example: Example) -> Any:
    return list(example.images) or None


def _none(rag: MedRAG, examples: Sequence[Example], seed: int) -> Together:
    return _asked(limited_to(rag, {}))


def _fixed(rag: MedRAG, examples: Sequence[Example], seed: int) -> Together:
    return _unselected(rag, K)


def _fixed_ten(rag: MedRAG, examples: Sequence[Example], seed: int) -> Together:
    return _unselected(rag, 10)


def _unselected(rag: MedRAG, k: int) -> Together:
    """The first k hits, whatever a calibration says of how many are worth reading."""
    settings = rag.settings.model_copy(update={"calibration": "off", "risk": None})
    return _asked(limited_to(rag, _without(rag, *GRAPH), selector=FirstK(k), settings=settings))


def _adaptive(rag: MedRAG, examples: Sequence[Example], seed: int) -> Together:
    return _asked(limited_to(rag, _without(rag, *GRAPH)))


def _tuned(rag: MedRAG, examples: Sequence[Example], seed: int) -> Together:
    """``adaptive`` with the small model that was tuned on preferences in the place of the pipeline's generator."""
    from medrag.vlms import open_generator

    return _adaptive(_with(rag, generator=open_generator("medrag-small-pt")), examples, seed)


def _agent(rag: MedRAG, examples: Sequence[Example], seed: int) -> Together:
    """The search loop over the sources of ``adaptive``; its last prompt has the same budget of evidence."""
    searching = limited_to(rag, _without(rag, *GRAPH))

    def together(asked: Asked) -> list[Output]:
        answers = [
            searching.answer(_pictures(example), example.question, exclude=tuple(example.exclude), agent=True)
            for example in asked
        ]
        return outputs_of(searching, answers)

    return together


def _graph(rag: MedRAG, examples: Sequence[Example], seed: int) -> Together:
    if "graph" not in rag.retrievers:
        raise SettingsError(
            "the arm adaptive+graph needs a graph, and the recipe has none", "name a recipe with ontologies"
        )
    found = copy.copy(rag.retrievers["graph"])
    if hasattr(found, "see") and found.see is None:
        from medrag.encoders.findings import FindingsReader

        found.see = FindingsReader().read
    router = _router_for(rag, list(rag.retrievers), {"graph": 1.0})  # a report's request, too, is asked of the graph
    return _asked(_with(rag, retrievers=rag.retrievers | {"graph": found}, router=router))


def _pages(rag: MedRAG, examples: Sequence[Example], seed: int) -> Together:
    found = {name: one for name, one in rag.retrievers.items() if name in PAGES}
    if not found:
        raise SettingsError(
            "the arm pages needs an index of passages, and the recipe has none", "name a recipe with books"
        )
    return _asked(limited_to(rag, found))


def _text_only(rag: MedRAG, examples: Sequence[Example], seed: int) -> Together:
    return _asked(limited_to(rag, _without(rag, *GRAPH)), lambda _: None)


def _whatever(rag: MedRAG) -> dict[str, Any]:
    """Answers are asked for although the picture shows nothing."""
    return {"settings": rag.settings.model_copy(update={"misfit": "answer"})}


def _noise(rag: MedRAG, examples: Sequence[Example], seed: int) -> Together:
    import numpy as np
    from PIL import Image

    def pictures(example: Example) -> list[Image.Image] | None:
        draw = np.random.default_rng([seed, *example.id.encode()])
        return [Image.fromarray(draw.integers(0, 256, (256, 256), dtype=np.uint8)) for _ in example.images] or None

    return _asked(limited_to(rag, _without(rag, *GRAPH), **_whatever(rag)), pictures)


def _blank(rag: MedRAG, examples: Sequence[Example], seed: int) -> Together:
    from PIL import Image

    return _asked(
        limited_to(rag, _without(rag, *GRAPH), **_whatever(rag)),
        lambda example: [Image.new("L", (256, 256), 127) for _ in example.images] or None,
    )


def _blank_none(rag: MedRAG, examples: Sequence[Example], seed: int) -> Together:
    return _blank(limited_to(rag, {}), examples, seed)


def _told(rag: MedRAG, evidence: Callable[[Example], Sequence[Hit]]) -> Together:
    """Answers with evidence that is put there rather than found; reports are put there as an image finds them."""
    from medrag.query import make_query

    def together(examples: Asked) -> list[Output]:
        queries = [make_query(_pictures(example), example.question, example.exclude) for example in examples]
        routes = [rag.router.route(query) for query in queries]
        contexts = [
            Context(
                dataclasses.replace(query, domain=route.asks),
                tuple(evidence(example)),
            )
            for example, query, route in zip(examples, queries, routes, strict=True)
        ]
        return outputs_of(rag, rag.answers_from(contexts, routes))

    return together


def _random_context(rag: MedRAG, examples: Sequence[Example], seed: int) -> Together:
    ids = sorted(study_ids(rag))

    def evidence(example: Example) -> list[Hit]:
        drawn = [
            one
            for one in random.Random(f"{seed}/{example.id}").sample(ids, min(K + 1, len(ids)))
            if one not in example.exclude
        ][:K]
        return [Hit(item, 0.0, n, "similar-random") for n, item in enumerate(rag.store.items.get(drawn), 1)]  # type: ignore[union-attr]

    return _told(rag, evidence)


def study_ids(rag: MedRAG) -> list[str]:
    """Ids of all reports of the index. Raises SettingsError where there is no index, or no report in it."""
    if rag.store is None:
        raise SettingsError("this arm draws from an index, and there is none", "name a recipe")
    found = [item.id for item in rag.store.items.iterate(kinds=("study",))]
    if not found:
        raise SettingsError("this arm draws reports, and the index has none", "name a recipe with reports")
    return found


def _wrong_patient(rag: MedRAG, examples: Sequence[Example], seed: int) -> Together:
    """The evidence that was found for somebody else: the next study of a shuffled circle."""
    finder = limited_to(rag, _without(rag, *GRAPH))
    circle = list(dict.fromkeys(example.group for example in examples))
    random.Random(seed).shuffle(circle)
    first = {example.group: example for example in reversed(examples)}
    after = dict(zip(circle, circle[1:] + circle[:1], strict=True))

    def evidence(example: Example) -> Sequence[Hit]:
        other = first[after[example.group]]
        for event in finder.stream(_pictures(other), example.question, exclude=(*other.exclude, *example.exclude)):
            if event.stage == "selected":
                return event.data.kept  # type: ignore[no-any-return]
        return ()

    return _told(rag, evidence)


def _oracle(rag: MedRAG, examples: Sequence[Example], seed: int) -> Together:
    """The study's own report as evidence: the sources put it into the example for this arm alone."""
    if not any(example.truth for example in examples):
        raise SettingsError(
            "the arm oracle-context needs the studies' own reports, and this task has none", "leave it out"
        )

    def evidence(example: Example) -> list[Hit]:
        text = example.truth
        return [Hit(Study(f"oracle:{example.group}", {"findings": text}), 1.0, 1, "similar-own")] if text else []

    return _told(rag, evidence)


Maker = Callable[["MedRAG", Sequence[Example], int], Together]
ARMS: dict[str, Maker] = {
    "none": _none, "fixed-k": _fixed, "fixed-10": _fixed_ten, "adaptive": _adaptive, "adaptive+graph": _graph, "agent": _agent, "tuned": _tuned, "pages": _pages,
    "text-only": _text_only, "noise-image": _noise, "blank-image": _blank, "blank-image-none": _blank_none,
    "random-context": _random_context, "wrong-patient-context": _wrong_patient, "oracle-context": _oracle,
}  # fmt: skip
ABOUT: dict[str, str] = {
    "none": "the generator and the image alone",
    "fixed-k": f"the first {K} fused hits, unselected",
    "fixed-10": "the first 10 fused hits, unselected",
    "adaptive": "routing, fusion and adaptive selection, without the graph",
    "adaptive+graph": "the same with the knowledge graph",
    "agent": "the search loop by rules over the same sources, several turns",
    "tuned": "adaptive, answered by medrag-small-pt, which was tuned on preferences",
    "pages": "passages of books alone",
    "text-only": "the question without its image; the small model then quotes evidence, as extractive does",
    "noise-image": "seeded noise in place of the image",
    "blank-image": "a grey picture in place of the image",
    "blank-image-none": "a grey picture and no retrieval",
    "random-context": f"{K} reports drawn at random as evidence",
    "wrong-patient-context": "what was found for another study as evidence",
    "oracle-context": "the study's own report as evidence",
}
