"""A calibration: how far an answer can be believed, how much evidence is read, and when to be silent. Made by `medrag calibrate`.

It belongs to one index, generator and setting of the pipeline, by a fingerprint, and carries a seal of its own content: made for
another, or changed by hand, it is refused. It holds numbers alone, no text of a question. How they were found: `medrag.eval.calibrate`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medrag._util.files import sha256_text, write_json
from medrag._util.odds import chance
from medrag.errors import IndexMismatch, SettingsError
from medrag.prompts import evidence_tokens
from medrag.types import Context, Drop

NAME = "calibration.json"
LATER = frozenset({"graph", "usual"})  # what files that were written earlier do not name: it is not asked of them
NEVER = 1.01  # a confidence that no answer reaches
KNOWN = 30  # questions about a domain from which on a confidence speaks of it


@dataclass(frozen=True, slots=True)
class Logistic:
    """Logistic regression over named signals; one that is missing counts as its mean of the calibration."""

    weights: Mapping[str, float]
    means: Mapping[str, float]
    bias: float

    def probability(self, signals: Mapping[str, float]) -> float:
        """P(right), 0–1."""
        shift = sum(w * (signals.get(name, self.means[name]) - self.means[name]) for name, w in self.weights.items())
        return chance(self.bias + shift)


@dataclass(frozen=True, slots=True)
class Sort:
    """What was found for one sort of question (see `medrag.confidence.sort_of`), or for those of the sort about one domain."""

    confidence: Logistic
    thresholds: Mapping[str, float | None]  # risk → lowest confidence that is answered; None: none is enough
    depth: int | None  # pieces of evidence that are read at most; 0: do not retrieve, None (early files): all selected
    report: Mapping[str, Any] = field(default_factory=dict)  # the figures of the fit


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen on judged queries: ``weights`` of the retrievers that are asked, and fields of `medrag.settings.SelectSettings`."""

    weights: Mapping[str, float]
    select: Mapping[str, Any]
    report: Mapping[str, Any] = field(default_factory=dict)  # what the queries that did not choose say of it

    def over(self, weights: Mapping[str, float]) -> dict[str, float]:
        """The weights with the chosen ones; a retriever that is not asked stays so."""
        return {name: self.weights.get(name, weight) if weight > 0 else weight for name, weight in weights.items()}


@dataclass(frozen=True, slots=True)
class Calibration:
    """``made_for`` is what it was made with (`medrag.MedRAG.calibrated_for`), ``delta`` the chance that a guarantee fails.

    ``choices`` are by domain, "" for all questions.
    """

    made_for: Mapping[str, str]
    delta: float
    sorts: Mapping[str, Sort]
    about: Mapping[str, Any] = field(default_factory=dict)
    choices: Mapping[str, Choice] = field(default_factory=dict)

    def choice(self, domain: str) -> Choice | None:
        """How questions about a domain are fused and selected, where that was chosen for them or for all."""
        return self.choices.get(domain) or self.choices.get("")

    def write(self, path: Path) -> None:
        """Whole or not at all, with its seal."""
        raw = dataclasses.asdict(self)
        if not self.choices:
            del raw["choices"]
        write_json(path, {**raw, "seal": _seal(raw)})

    def named(self, sort: str, domain: str) -> str:
        """What is known of such questions about this domain, by name; of all of the sort where there were too few of the domain."""
        own = of_domain(sort, domain)
        return own if own in self.sorts else sort

    def knows(self, sort: str, domain: str) -> bool:
        """Whether it can tell how sure such answers are: of pictures, where more than a few of this domain were among those it was learned from (which early files do not say)."""
        if sort not in self.sorts:
            return False
        known = self.sorts[sort].report.get("domains")
        return sort == "text" or known is None or known.get(domain, 0) >= KNOWN

    def cut(self, context: Context, sort: str) -> Context:
        """The context with no more pieces than the confidences of this sort of question were learned from."""
        depth = self.sorts[sort].depth if sort in self.sorts else None
        if depth is None or len(context.kept) <= depth:
            return context
        reason = f"more than the calibration was made with ({depth} for {sort} questions)"
        dropped = tuple(Drop(hit, reason) for hit in context.kept[depth:])
        tokens = evidence_tokens(*context.kept[:depth])
        return dataclasses.replace(
            context, kept=context.kept[:depth], dropped=(*context.dropped, *dropped), tokens=tokens
        )

    def retrieves(self, sort: str) -> bool:
        """Whether this sort of question was found to be answered best with what is retrieved; so it is where nothing is known."""
        return sort not in self.sorts or self.sorts[sort].depth != 0

    def threshold(self, sort: str, risk: float) -> float:
        """The least confidence of an answer whose risk is to be at most ``risk``; above 1 where none is enough.

        Nothing is sure enough of a sort of question that was not calibrated. Raises SettingsError for a risk that was not.
        """
        if sort not in self.sorts:
            return NEVER
        known = self.sorts[sort].thresholds
        if f"{risk:g}" not in known:
            raise SettingsError(
                f"the risk {risk:g} was not calibrated",
                f"known: {', '.join(known)}; or medrag calibrate --risk {risk:g}",
            )
        found = known[f"{risk:g}"]
        return NEVER if found is None else found


def of_domain(sort: str, domain: str) -> str:
    """The name of a sort's questions about one domain.

    >>> of_domain("closed", "chest-xray"), of_domain("closed", "")
    ('closed, chest-xray', 'closed')
    """
    return f"{sort}, {domain}" if domain else sort


def read_calibration(path: Path) -> Calibration:
    """Raises SettingsError where there is none, IndexMismatch where it was changed."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        seal = raw.pop("seal")
        if seal != _seal(raw):
            raise IndexMismatch(f"{path} was changed since it was written", "medrag calibrate")
        sorts = {
            name: Sort(**{**one, "confidence": Logistic(**one["confidence"])}) for name, one in raw.pop("sorts").items()
        }
        choices = {domain: Choice(**one) for domain, one in raw.pop("choices", {}).items()}
        return Calibration(**raw, sorts=sorts, choices=choices)
    except OSError as error:
        raise SettingsError(f"there is no calibration {path}", "medrag calibrate makes one") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise IndexMismatch(f"{path} is no calibration: {error}", "medrag calibrate") from error


def open_calibration(named: str, usual: Path | None, made_for: Mapping[str, str]) -> Calibration | None:
    """The calibration that a setting names: a path, "auto" (the ``usual`` one where it fits what is open), or "off".

    Raises IndexMismatch where a path names one of another index, generator or setting.
    """
    if named == "off" or (named == "auto" and (usual is None or not usual.is_file())):
        return None
    found = read_calibration(usual if named == "auto" and usual else Path(named).expanduser())
    known = found.made_for if isinstance(found.made_for, Mapping) else {}  # an early file has one hash of all
    others = sorted(
        name
        for name in {*known, *made_for}
        if known.get(name) != made_for.get(name) and (name in known or name not in LATER)
    )
    if known and not others:
        return found
    if named == "auto":
        return None
    raise IndexMismatch(f"{named} was made for another {' and '.join(others)}", "medrag calibrate makes one for this")


def _seal(raw: Mapping[str, Any]) -> str:
    return sha256_text(json.dumps(raw, sort_keys=True))
