"""Questions with known answers, asked with 0, 1, … pieces of what was selected for each: whether the answer was right, and its signals.

Observations are lines of a file, and a run that was cut off goes on. `medrag.eval.calibrate` learns from them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from medrag._util.files import sha256_text, write_error
from medrag._util.odds import chance
from medrag._util.progress import track
from medrag.confidence import answer_signals, closed_signals, sort_of
from medrag.errors import CorpusError, SettingsError
from medrag.eval.lines import whole_lines
from medrag.eval.tasks import Example
from medrag.score.reliance import right

if TYPE_CHECKING:
    from medrag.pipeline import MedRAG
    from medrag.types import Context, Route


LISTS = ("right", "tokens", "raw", "signals")  # of `Observed`, by the number of pieces


@dataclass(frozen=True, slots=True)
class Observed:
    """One question: whether each answer was right, and its signals, by the number of pieces that were read."""

    id: str
    group: str
    sort: str
    right: tuple[bool, ...]
    tokens: tuple[int, ...]
    raw: tuple[float | None, ...]  # the generator's own probability of its answer
    signals: tuple[Mapping[str, float], ...]
    domain: str = ""


def observe(
    rag: MedRAG, examples: Sequence[Example], path: Path, depths: Sequence[int], at_once: int = 4
) -> list[Observed]:
    """Observations of all examples in order, one for each id; those that the file has of the same settings and the same question are not asked again.

    Raises SettingsError where the file holds observations of other settings, CorpusError where there is no example, and MedragError where there can be no such file.
    """
    if not examples:
        raise CorpusError("there is no question to calibrate with", "name another --task or --split")
    examples = list({one.id: one for one in examples}.values())
    chosen = {domain: asdict(one) for domain, one in rag.calibration.choices.items()} if rag.calibration else {}
    known = [json.dumps(one, sort_keys=True) for one in (rag.calibrated_for, list(depths), *filter(None, (chosen,)))]
    key = sha256_text(*known)[:16]
    done = _kept(path, key, examples, len(depths))
    wanted = [one for one in examples if one.id not in done]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(path, error, "name another --out or --work") from error
    with path.open("a", encoding="utf-8") as stream:
        found = zip(wanted, _observed(rag, wanted, depths, at_once), strict=True)
        for example, one in track(found, "observe", len(wanted)):
            stream.write(json.dumps({"key": key, "asked": example.asked(), **asdict(one)}) + "\n")
            stream.flush()
            done[one.id] = one
    return [done[one.id] for one in examples]


def _kept(path: Path, key: str, examples: Sequence[Example], depths: int) -> dict[str, Observed]:
    found: dict[str, Observed] = {}
    examples_by = {one.id: one for one in examples}
    for line in whole_lines(path):
        try:
            raw = json.loads(line)
        except (ValueError, RecursionError):
            continue  # broken: asked again
        if raw["key"] != key:
            raise SettingsError(f"{path} holds observations of another index, model or setting", "name another --work")
        told = all(isinstance(raw.get(name), str) for name in ("id", "sort", "domain"))
        if not told or any(not isinstance(raw.get(name), list) or len(raw[name]) != depths for name in LISTS):
            continue  # written by something else: asked again
        example = examples_by.get(raw["id"])
        if not example or raw.get("asked") != example.asked():
            continue
        lists = {name: tuple(raw[name]) for name in LISTS}
        found[raw["id"]] = Observed(raw["id"], example.group, raw["sort"], **lists, domain=raw["domain"])
    return found


def _observed(rag: MedRAG, examples: Sequence[Example], depths: Sequence[int], at_once: int) -> Iterator[Observed]:
    for start in range(0, len(examples), at_once):
        part = examples[start : start + at_once]
        found = [rag.selected([str(p) for p in one.images] or None, one.question, tuple(one.exclude)) for one in part]
        cut = [(_at(context, k), route) for context, route in found for k in depths]
        said = iter(_said(rag, [c for c, _ in cut], [r for _, r in cut]))
        for one, (context, _) in zip(part, found, strict=True):
            rows = [next(said) for _ in depths]
            tokens = tuple(sum(len(hit.item.text.split()) for hit in context.kept[:k]) for k in depths)
            good = tuple(right(text, str(one.reference)) for text, _, _ in rows)
            yield Observed(
                one.id,
                one.group,
                sort_of(context),
                good,
                tokens,
                tuple(p for _, p, _ in rows),
                tuple(s for _, _, s in rows),
                context.query.domain,
            )


def _at(context: Context, depth: int) -> Context:
    """The context with so many pieces; without any nothing was retrieved, and nothing counted."""
    if not depth:
        return replace(context, kept=(), frequency=None, labelled=None)
    return replace(context, kept=context.kept[:depth])


def _said(
    rag: MedRAG, contexts: Sequence[Context], routes: Sequence[Route]
) -> list[tuple[str, float | None, dict[str, float]]]:
    """Answer, the generator's probability of it, and signals; closed questions by P(yes) where it is known, for it is quicker."""
    closed = [n for n, context in enumerate(contexts) if sort_of(context) == "closed"]
    signals = (
        closed_signals(
            rag.generator, [contexts[n] for n in closed], [routes[n] for n in closed], private=rag.settings.private
        )
        if closed
        else []
    )
    seen = dict(zip(closed, signals, strict=True))
    found: dict[int, tuple[str, float | None, dict[str, float]]] = {}
    for n, one in seen.items():
        if "given" in one:
            p = chance(one["given"])
            text = "Yes." if p >= 0.5 else "No."
            found[n] = (text, max(p, 1 - p), answer_signals(text, contexts[n], routes[n], one))
    others = [n for n in range(len(contexts)) if n not in found]
    for n, answer in zip(
        others, rag.answers_from([contexts[n] for n in others], [routes[n] for n in others]), strict=True
    ):
        found[n] = (answer.text, None, answer_signals(answer.text, answer.context, answer.route, seen.get(n, {})))
    return [found[n] for n in range(len(contexts))]
