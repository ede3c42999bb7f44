"""What speaks for an answer, as numbers: the generator's odds with and without evidence, what the image's reader sees, what the evidence says, how such questions are usually answered.

`signals` are taken the same way when `medrag calibrate` fits and when a question is answered. They are log odds where they can be,
turned so that positive means yes; a generator that knows no probabilities leaves its own out. Nothing here decides: see
`medrag.calibration`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from medrag._util import usual
from medrag._util.odds import logit
from medrag.private import shown
from medrag.prompts import Prompt, make_prompt
from medrag.route import question_kind
from medrag.score import closed
from medrag.vlms._ask import parse
from medrag.vlms._evidence import is_report
from medrag.vlms._stance import ORDER
from medrag.vlms._vote import strongest_view

if TYPE_CHECKING:
    from medrag.calibration import Calibration
    from medrag.types import Context, Hit, Route

TURNED = ("given", "alone", "votes", "reader", "alike", "usual")  # signals that are positive for yes


def sort_of(context: Context) -> str:
    """What sort of confidence an answer can have: ``closed`` (yes or no about an image), ``report``, or ``text``."""
    return sort_asked(context.query.text, bool(context.query.images))


def sort_asked(question: str, pictured: bool) -> str:
    """The same of a question, asked with pictures or without."""
    if not pictured:
        return "text"
    sort = parse(question).sort
    return "report" if sort == "report" else "closed" if question_kind(question) == "closed" else "text"


def votes(question: str, kept: Iterable[Hit]) -> float:
    """Reports that say yes less those that say no, over one more than all that speak of it: −1 to 1, by their number."""
    ask = parse(question)
    told = [(hit.item.doc, found[0]) for hit in kept if is_report(hit) and (found := strongest_view(ask, hit))]
    told.sort(key=lambda one: -ORDER.index(one[1]))
    views = list(dict(told).values())  # one view for each report, whatever its parts: the strongest
    balance = (views.count("present") - views.count("absent")) * (-1 if ask.negated else 1)
    return balance / (1 + len(views))


def closed_signals(
    generator: Any, contexts: Sequence[Context], routes: Sequence[Route], *, private: bool = False
) -> list[dict[str, float]]:
    """Signals of closed questions about images, for each context: ``given`` and ``alone`` (log odds of yes with the evidence and
    without), ``reader``, ``votes``, ``alike`` (what look-alike studies add), ``usual`` (what the question's words alone say) and ``chest``. In privacy mode the generator is shown what it is shown when it answers."""
    alone = [dataclasses.replace(context, kept=(), frequency=None, labelled=None) for context in contexts]
    odds = iter(log_odds(generator, [*contexts, *alone], private=private))
    first, second = ([next(odds) for _ in contexts] for _ in range(2))
    shift = getattr(generator, "reader_shift", None)
    found = []
    for n, (context, route) in enumerate(zip(contexts, routes, strict=True)):
        said = {"votes": votes(context.query.text, context.kept), "chest": float(route.domain == "chest-xray")}
        said["alike"] = context.frequency.lift if context.frequency else 0.0
        said["usual"] = usual.log_odds(context.query.text)
        said |= {name: value for name, value in (("given", first[n]), ("alone", second[n])) if value is not None}
        if shift:
            said["reader"] = shift(
                closed_prompt(context, private=private), [image.image for image in context.query.images]
            )
        found.append(said)
    return found


def influence(generator: Any, context: Context, *, private: bool = False) -> dict[str, float]:
    """Leave one out: what each piece of evidence adds to the log odds of yes, by its key, the piece that moves the answer most first.

    Empty where the question is not a closed one about an image, or the generator knows no probabilities.
    """
    if sort_of(context) != "closed" or not context.kept:
        return {}
    kept = context.kept
    less = [dataclasses.replace(context, kept=kept[:n] + kept[n + 1 :]) for n in range(len(kept))]
    whole, *others = log_odds(generator, [context, *less], private=private)
    moved = {f"E{n}": whole - odds for n, odds in enumerate(others, 1) if whole is not None and odds is not None}
    return dict(sorted(moved.items(), key=lambda one: -abs(one[1])))


def log_odds(generator: Any, contexts: Sequence[Context], *, private: bool = False) -> list[float | None]:
    """Log odds of yes for each context; None where the generator knows no probability. Those alike are asked once."""
    ask = getattr(generator, "probabilities_yes", None)
    if ask is None or not contexts:
        return [None] * len(contexts)
    places: dict[tuple[Any, ...], int] = {}
    wanted = [places.setdefault(_same(context), len(places)) for context in contexts]
    firsts = [contexts[wanted.index(n)] for n in range(len(places))]
    prompts = [closed_prompt(context, private=private) for context in firsts]
    chances = ask(prompts, [[image.image for image in context.query.images] for context in firsts])
    return [None if (p := chances[n]) is None else logit(p) for n in wanted]


def closed_prompt(context: Context, *, private: bool) -> Prompt:
    """What a generator is asked for its probability of yes by; in privacy mode it is shown what it is shown when it answers."""
    return make_prompt(context.query.text, shown(context) if private else context)


def _same(context: Context) -> tuple[Any, ...]:
    query = context.query
    return (
        query.text,
        tuple(image.sha256 or id(image) for image in query.images),
        tuple(h.item.id for h in context.kept),
        context.frequency,
        context.labelled,
    )


def confidence(
    calibration: Calibration, generator: Any, text: str, context: Context, route: Route, *, private: bool = False
) -> float | None:
    """P(right) of an answer, 0–1; None for a sort of question, or a domain, that was not calibrated, and for a closed one that says neither yes nor no, or whose
    generator's odds are not known where the calibration rests on them."""
    sort = sort_of(context)
    if not calibration.knows(sort, context.query.domain):
        return None
    said = closed.parse(text) if sort == "closed" else ""
    if sort == "closed" and not said:
        return None
    seen = closed_signals(generator, [context], [route], private=private)[0] if said else {}
    found = answer_signals(text, context, route, seen)
    learned = calibration.sorts[calibration.named(sort, context.query.domain)].confidence
    return None if "given" in learned.weights and "given" not in found else learned.probability(found)


def answer_signals(text: str, context: Context, route: Route, seen: Mapping[str, float]) -> dict[str, float]:
    """Signals of an answer, taken so when a calibration is made and when it is used. ``seen`` are those of a closed question, empty for others.

    A generator that knows no probabilities leaves out what tells most, so that the signals of texts stand beside the others.
    """
    said = closed.parse(text) if seen else ""
    turned = oriented(seen, said == "yes") if said else {}
    return turned if "given" in turned else turned | text_signals(context, route)


def oriented(signals: Mapping[str, float], yes: bool) -> dict[str, float]:
    """Signals of a closed question turned towards the answer that was given, with what a line needs beside them: agreement, and which
    answer it is, for a yes and a no are not wrong equally often, on a chest film less than elsewhere."""
    sign = 1.0 if yes else -1.0
    turned = {name: sign * value if name in TURNED else value for name, value in signals.items()}
    given, alone = turned.get("given"), turned.get("alone")
    if given is not None and alone is not None:
        turned["weaker"] = min(given, alone)
    return turned | {"yes": float(yes), "chest yes": signals["chest"] * yes}


def text_signals(context: Context, route: Route) -> dict[str, float]:
    """Signals of an answer from texts: how well the best evidence fits the question, and whether its sources agree on it."""
    best: dict[str, float] = {}
    for hit in context.kept:
        for parent in hit.parents or (hit,):
            best[f"best {parent.retriever}"] = max(best.get(f"best {parent.retriever}", -math.inf), parent.score)
    agreed = len(context.kept[0].sources) if context.kept else 0
    return {"evidence": float(len(context.kept)), "agreed": float(agreed), "route": logit(route.confidence), **best}
