"""Preference pairs: when to trust what was retrieved, and when the picture. Made from a generator's own answers.

With y the truth, a_r the answer with evidence t, a_0 without, a_n with evidence and a picture x* that shows nothing:

    cm         a_r = y, a_n = y      chosen (x, t) → a_r    rejected (x*, t) → a_n     it was copied, not seen
    oa1        a_r = y, a_0 ≠ y      chosen (x, t) → a_r    rejected (x) → a_0         the evidence was needed
    oa2        a_0 = y, a_r ≠ y      chosen (x) → a_0       rejected (x, t) → a_r      the evidence misled
    kbpt       a_0 = y, a_r ≠ y      chosen (x, t) → a_0    rejected (x, t) → a_r      and stood in the prompt
    plausible                        chosen (x, t) → y      rejected (x, t) → a plausible hallucination
    lesion     a_r = y, shown        chosen (x, t) → a_r    rejected (x̃, t) → a_r      x̃: noise where the finding is
    unaided                          chosen (x) → y         rejected (x) → a plausible hallucination
    unreadable a_r = y               chosen (x*, t) → the refusal   rejected (x*, t) → a_n   nothing was there to be seen

cm, oa1, oa2: MMed-RAG (arXiv 2410.13085); kbpt: RULE (arXiv 2407.05131); plausible, lesion and weights: MMedPO (arXiv 2412.06141).
unaided and unreadable are medrag's own: cm alone says which answer a picture that shows nothing must not give, not what to say
instead, and plausible alone moves answers with evidence away from those without. unreadable is made of noise alone: another patient's
picture can be read. Two answers to one picture that mean the same make no pair. It loads no model: pictures for x* and x̃ are made from
seeds and maps.
"""

from __future__ import annotations

import dataclasses
import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medrag._util.files import atomic_open
from medrag.errors import SettingsError
from medrag.prompts import REFUSAL, Prompt, make_prompt
from medrag.score.closed import parse
from medrag.score.reliance import right as clinically_right
from medrag.score.reliance import same_meaning
from medrag.tune.answers import Judge, Piece, Told
from medrag.tune.hallucinate import Hallucinate, plausible
from medrag.tune.judge import who_judged
from medrag.tune.relevance import Relevance, urgency, weights
from medrag.types import Context, Hit, Query

KINDS = ("cm", "oa1", "oa2", "kbpt", "plausible", "lesion", "unaided", "unreadable")
FILE = "pairs.jsonl"
Pictures = Callable[
    [Told], tuple[str, ...]
]  # paths of the pictures that take the place of a question's own; () where there are none


@dataclass(frozen=True, slots=True)
class Side:
    """What the model sees on one side of a pair, and the answer that is preferred or not."""

    images: tuple[str, ...]  # paths
    evidence: tuple[Piece, ...]
    answer: str

    def prompt(self, question: str, domain: str = "", looks: bool = True) -> Prompt:
        """The prompt as the pipeline would word it; ``looks``: for a model that sees pictures."""
        hits = tuple(Hit(piece.item(), 0.0, n, "kept") for n, piece in enumerate(self.evidence, 1))
        return make_prompt(question, Context(Query(question, domain=domain), hits), looks=looks and bool(self.images))


@dataclass(frozen=True, slots=True)
class Pair:
    """One preference, with why it was made and from what."""

    id: str
    kind: str
    question: str
    domain: str
    chosen: Side
    rejected: Side
    weight: float = 1.0
    reason: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def line(self) -> str:
        """One line of JSON; ``prompt`` is the chosen side's question and evidence as text, for readers and other trainers."""
        prompt = self.chosen.prompt(self.question, self.domain).user_text()
        return json.dumps(dataclasses.asdict(self) | {"prompt": prompt}, ensure_ascii=False)

    @classmethod
    def of(cls, line: str) -> Pair:
        """The inverse of `line`; raises KeyError or TypeError for a line of another shape."""
        raw = {name: value for name, value in json.loads(line).items() if name != "prompt"}
        return cls(**{**raw, "chosen": _side(raw["chosen"]), "rejected": _side(raw["rejected"])})


def _side(raw: dict[str, Any]) -> Side:
    return Side(tuple(raw["images"]), tuple(Piece(**one) for one in raw["evidence"]), raw["answer"])


def make_pairs(
    told: Iterable[Told], kinds: Sequence[str] = KINDS, *, unseen: Pictures = lambda one: (), lesion: Pictures = lambda one: (),
    right: Judge = clinically_right, same: Judge = same_meaning, hallucinate: Hallucinate = plausible,
    relevance: Relevance = urgency, low: float = 0.5, high: float = 1.5, most: int = 0,
) -> list[Pair]:  # fmt: skip
    """The pairs of all questions, weighted; of each kind the first ``most`` (0: all).

    ``unseen`` and ``lesion`` give the paths of x* and x̃. ``right`` and ``same`` judge (a language model may: any callable). Raises
    SettingsError for an unknown kind and for weights outside a positive range around 1.
    """
    check_kinds(kinds)
    found: list[Pair] = []
    counted: Counter[str] = Counter()
    for one in told:
        for pair in _pairs_of(one, kinds, unseen, lesion, right, same, hallucinate):
            if not most or counted[pair.kind] < most:
                counted[pair.kind] += 1
                found.append(pair)
    scores = [relevance(pair.question, pair.chosen.answer, pair.rejected.answer) for pair in found]
    weighed = zip(found, weights(scores, low, high), strict=True)
    return [dataclasses.replace(pair, weight=w, provenance=_judged(pair.provenance, right)) for pair, w in weighed]


def _judged(provenance: Mapping[str, Any], right: Judge) -> dict[str, Any]:
    """With ``judges``: who said of each of the model's answers whether it is right."""
    said = ((name, text) for name, text in provenance["answers"].items() if text is not None)
    return {**provenance, "judges": {name: who_judged(right, text, provenance["reference"]) for name, text in said}}


def check_kinds(kinds: Sequence[str]) -> None:
    """Raises SettingsError for a kind of pair that there is not."""
    if strange := set(kinds) - set(KINDS):
        raise SettingsError(f"there is no kind of pair {sorted(strange)[0]!r}", f"known: {', '.join(KINDS)}")


def _pairs_of(
    told: Told, kinds: Sequence[str], unseen: Pictures, lesion: Pictures, right: Judge, same: Judge, hallucinate: Hallucinate
) -> Iterator[Pair]:  # fmt: skip
    asked, seen = told.asked, told.asked.images
    helped, alone = right(told.using, asked.reference), right(told.without, asked.reference)
    blind = told.unseen is not None and right(told.unseen, asked.reference)
    with_evidence, bare = Side(seen, told.evidence, told.using), Side(seen, (), told.without)
    if "cm" in kinds and helped and blind and told.evidence and (images := unseen(told)):
        copied = Side(images, told.evidence, str(told.unseen))
        yield _pair(told, "cm", with_evidence, copied, "right with evidence also when the picture shows nothing")
    if told.evidence and not same(told.using, told.without):
        kept = Side(seen, told.evidence, told.without)
        if helped and not alone and "oa1" in kinds:
            yield _pair(told, "oa1", with_evidence, bare, "right with evidence, wrong without")
        if alone and not helped and "oa2" in kinds:
            yield _pair(told, "oa2", bare, with_evidence, "right without evidence, wrong with it")
        if alone and not helped and "kbpt" in kinds:
            yield _pair(told, "kbpt", kept, with_evidence, "misled by the evidence in its prompt")
    for kind, evidence, right_already in (
        ("plausible", told.evidence, told.using if helped else ""),
        ("unaided", (), told.without if alone else ""),
    ):
        truth = right_already or worded(asked.reference)
        repeated = kind == "unaided" and not told.evidence  # the same sides as plausible's
        wrong = hallucinate(told, truth) if kind in kinds and not repeated else ""
        # a report with one invented finding may still pass for right, so there another meaning is enough
        if wrong and not same(wrong, truth) and (asked.kind == "report" or not right(wrong, asked.reference)):
            chosen, rejected = (Side(seen, evidence, text) for text in (truth, wrong))
            yield _pair(told, kind, chosen, rejected, "a plausible hallucination in place of the truth")
    said = "" if told.unseen_images else told.unseen or ""
    if "unreadable" in kinds and said and REFUSAL not in said and (images := unseen(told)):
        refused, answered = (Side(images, told.evidence, text) for text in (REFUSAL, said))
        yield _pair(told, "unreadable", refused, answered, "an answer though the picture shows nothing")
    if "lesion" in kinds and helped and (images := lesion(told)):
        hidden = Side(images, told.evidence, told.using)
        yield _pair(told, "lesion", with_evidence, hidden, "the same answer with the finding's region under noise")


def _pair(told: Told, kind: str, chosen: Side, rejected: Side, reason: str) -> Pair:
    asked = told.asked
    provenance = {
        "asked": asked.id, "group": asked.group, "reference": asked.reference, "run": told.key,
        "answers": {"using": told.using, "without": told.without, "unseen": told.unseen}, "chances": list(told.chances),
    }  # fmt: skip
    return Pair(f"{asked.id}/{kind}", kind, asked.question, told.domain, chosen, rejected, 1.0, reason, provenance)


def worded(reference: str) -> str:
    """A reference as an answer: "yes" is "Yes."."""
    text = reference.strip()
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


def drawn(pairs: Sequence[Pair], most: int = 0, balance: bool = True, seed: int = 0) -> list[Pair]:
    """At most ``most`` pairs of each kind (0: all), drawn at random, and of these as many that prefer yes as prefer no.

    Pairs are not made evenly: a reader that says no too often gives pairs that prefer yes, and a model tuned on them says yes
    whatever it sees. ``balance`` leaves out the surplus, drawn from all kinds; where one of the two answers is never preferred, all stay.
    """
    order, counted, kept = random.Random(seed).sample(range(len(pairs)), len(pairs)), Counter[str](), []
    for n in order:
        counted[pairs[n].kind] += 1
        if not most or counted[pairs[n].kind] <= most:
            kept.append(n)
    said = {n: parse(pairs[n].chosen.answer) for n in kept}
    sides = [[n for n in kept if said[n] == word] for word in ("yes", "no")]
    if balance and all(sides):
        fewer = min(map(len, sides))
        left = {n for side in sides for n in side[fewer:]}
        kept = [n for n in kept if n not in left]
    return [pairs[n] for n in sorted(kept)]


def write_pairs(pairs: Sequence[Pair], path: Path) -> dict[str, int]:
    """Writes JSON lines, whole or not at all; returns how many there are of each kind. Raises SettingsError for none, when older ones are gone, too."""
    with atomic_open(path, "w") as stream:
        stream.writelines(pair.line() + "\n" for pair in pairs)
    if not pairs:
        raise SettingsError("no pair came of the answers", "ask more questions, or make pairs of other kinds")
    return counts(pairs)


def read_pairs(path: Path, kinds: Sequence[str] = ()) -> list[Pair]:
    """The pairs of a file, of the named kinds alone (none named: all). Raises SettingsError for an unknown kind, and for a file that holds no pair of them."""
    check_kinds(kinds)
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
        held = [Pair.of(line) for line in lines if line.strip()]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"{path} holds no pairs: {error}", "medrag tune pairs writes them") from error
    if not held:
        raise SettingsError(f"{path} holds no pairs", "ask more questions with medrag tune pairs")
    found = [pair for pair in held if not kinds or pair.kind in kinds]
    if not found:
        has = ", ".join(kind for kind, count in counts(held).items() if count)
        raise SettingsError(f"{path} holds no pairs of the kinds {', '.join(kinds)}", f"it has: {has}")
    return found


def check_pictures(pairs: Iterable[Pair]) -> None:
    """Raises SettingsError where a picture of a pair does not lie where the pair says."""
    named = {path: pair.id for pair in pairs for side in (pair.chosen, pair.rejected) for path in side.images}
    if lost := [path for path in named if not Path(path).is_file()]:
        raise SettingsError(
            f"{len(lost)} pictures of the pairs are not there, the first {lost[0]} of {named[lost[0]]}",
            "put them back, or make the pairs again with medrag tune pairs",
        )


def counts(pairs: Iterable[Pair]) -> dict[str, int]:
    """How many pairs there are of each kind, all kinds named."""
    counted = Counter(pair.kind for pair in pairs)
    return {kind: counted[kind] for kind in KINDS}
