"""Answers from the labels of look-alike pictures: which class a picture is likeliest of, and whether it is of the one that is asked about.

It speaks of other pictures and says so. What is asked beyond the class (where, how many, what to do) labels do not tell.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from medrag.types import Hit, ImageRecord, Item, Labelled
from medrag.vlms._ask import Ask
from medrag.vlms._past_labels import beyond
from medrag.vlms._vote import cite_keys, phrase
from medrag.vlms._words import stem_set

NOTE = "This rests on their labels, not on the image itself."
LIKELY = 0.6  # share of the look-alikes from which a vote is more than a draw
NAMED = 3  # labels that an answer names
_PICTURE = r"(?:image|picture|photo(?:graph)?|slide|tile|patch|smear|scan|film|sample|specimen|section|lesion)"
_CLASS = r"(?:diagnos[ie]s|class(?:ification)?|label|category|grade|stage|type|kind|sort|disease|condition|entity|lesion|tumou?r|tissue|cells?|organ|pathology)"
_ASKS = re.compile(
    rf"^(?!.*\b(?:treat|therap|drug|medic|surg|proced|stain|view|plane|modalit|contrast))\W*(?:what|which)(?: (?:is|are) (?:shown|seen|pictured|depicted|visible)(?: (?:here|(?:in|on) (?:this|the) {_PICTURE}))?"
    rf"|(?:'s| is| are) (?:this|these(?: (?:two|three|images|pictures))?|it|that|the (?:most )?(?:likely |likeliest |probable |main )*{_CLASS}|this {_PICTURE})(?: of (?:this|the) {_PICTURE})?"
    rf"|(?: [\w-]+){{0,2}} {_CLASS}(?: of(?: [\w-]+){{1,3}}?)?(?: (?:is|are) (?:this|these|it|shown|seen|pictured)(?: (?:here|{_PICTURE}|(?:in|on) (?:this|the) {_PICTURE}))?|(?: does| do) (?:this|the) {_PICTURE} show)"
    rf"|(?: do| does) (?:you see|(?:this|the) {_PICTURE} (?:show|depict|represent)))\W*$"
    rf"|^\W*(?:please )?(?:classify|diagnose|identify|grade|label|name) (?:this|the|it)(?: {_PICTURE}| {_CLASS})?\W*$",
    re.IGNORECASE,
)
_IS_THIS = re.compile(
    rf"^\W*(?:is|are|was|were)(?:n't)? (?:this|it|these|that|the (?:{_PICTURE}|{_CLASS}))\b", re.IGNORECASE
)
_NOT_WHAT = re.compile(r"^\W*(?:how|where|when|why|who)\b", re.IGNORECASE)
_WHICH_ONE = re.compile(r"^\W*which\b[^?]{0,40}? (?:is|are|shows?)\b", re.IGNORECASE)
_DENIES = re.compile(r"(?<!or )\b(?:not|no)\b(?! or\b)|n't\b|\b(?:rule|ruled) out\b|\bexclud", re.IGNORECASE)
GENERAL = stem_set(  # what any class may be called: of "Is this lesion a melanoma?"
    "lesion lesions disease type kind grade stage class category tissue tumor image picture photo slide film scan sample specimen section case "
    "condition disorder diagnosis"
)
WORTH = stem_set(  # what every class is or is not: a class only of an atlas that is divided so
    "benign malignant malignancy normal abnormal abnormality healthy cancer cancerous neoplasm neoplastic pathological diseased"
)


@dataclass(frozen=True, slots=True)
class Asked(Labelled):
    """Labels beside a closed question that some of them answer. ``such`` say what is asked, ``against`` are known to say that it is not so; what
    the others say of it is not known. ``denied``: ``such`` say themselves that the finding is not there, as the question has it ("without …")."""

    against: tuple[str, ...] = ()
    denied: bool = False


@dataclass(frozen=True, slots=True)
class Several(Labelled):
    """The labels beside each of several images, with its number; what it inherits is those of all of them."""

    each: tuple[tuple[int, Labelled], ...] = ()
    silent: tuple[int, ...] = ()  # the images beside which too few labelled pictures look alike

    @property
    def text(self) -> str:
        """One sentence of it."""
        return "; ".join(f"image {n}: {one.text}" for n, one in self.each)


def is_label(item: Item) -> bool:
    """Whether an item is a picture that comes with no words but its label: these are no report and no caption."""
    return isinstance(item, ImageRecord) and item.text.strip() == str(item.meta.get("label", "")).strip()


def of_class(
    ask: Ask, labelled: Labelled | None, alike: Sequence[tuple[str, Hit]], question: str = ""
) -> list[str]:  # fmt: skip
    """What the labels of look-alike pictures answer, in sentences; empty where they do not tell, or something else is asked. ``question`` is as it was
    asked, with its manners."""
    if labelled is None:
        return []
    several = isinstance(labelled, Several)
    each = labelled.each if isinstance(labelled, Several) else ((0, labelled),)
    compared = several and ask.sort == "open" and _compares(ask, labelled)
    said = []
    for n, one in each:
        if beyond(ask, one):
            continue
        place = f" (image {n})" if n else ""
        if ask.sort == "closed" and isinstance(one, Asked) and not ask.either:
            said.append(_whether(ask, one, alike, question or ask.text, place))
        elif compared or _names(ask, one, alike, several=several):
            said.append(_which(one, alike, place))
    return [*said, *_silent(labelled), NOTE] if said else []


def _silent(labelled: Labelled) -> list[str]:
    images = labelled.silent if isinstance(labelled, Several) else ()
    return [f"Too few labelled pictures look like image {' and '.join(map(str, images))}."] if images else []


def of_kind(ask: Ask, labelled: Labelled | None, alike: Sequence[tuple[str, Hit]]) -> list[str]:
    """The classes, where a closed question asks of the picture for something that they are no yes or no to: "Is this benign?" of melanoma and nevus."""
    if labelled is None or ask.sort != "closed" or not _IS_THIS.match(ask.text) or beyond(ask, labelled):
        return []
    known = stem_set(" ".join(label for label, _ in labelled.labels)) | GENERAL | WORTH
    return classes(labelled, alike) if known & {*ask.finding} else []


def classes(labelled: Labelled, alike: Sequence[tuple[str, Hit]]) -> list[str]:
    """The commonest labels of the look-alikes, of each image by itself."""
    if isinstance(labelled, Several):
        return [*(_which(one, alike, f" (image {n})") for n, one in labelled.each), *_silent(labelled), NOTE]
    return [_which(labelled, alike), NOTE]


def names_all(ask: Ask) -> bool:
    """Whether an open question asks what the picture is of, and nothing else of it."""
    return bool(ask.broad or _ASKS.match(ask.text))


def _names(ask: Ask, labelled: Labelled, alike: Sequence[tuple[str, Hit]], *, several: bool) -> bool:
    """Whether it asks what the picture is of; one draft of several pictures would be of none of them."""
    unwritten = several or all(
        isinstance(hit.item, ImageRecord) for _, hit in alike
    )  # there is no report to draft from
    named = ask.sort == "open" and names_all(ask)
    chosen = ask.either and labelled.asked is not None  # "melanoma or nevus?"
    return bool(named or chosen or (ask.sort == "report" and unwritten))


def _compares(ask: Ask, labelled: Labelled) -> bool:
    """Whether it asks of several images what each of them is: "Compare these two", "Which of these is a melanoma?"."""
    known = stem_set(" ".join(label for label, _ in labelled.labels))
    which = bool(_WHICH_ONE.match(ask.text)) and bool(known & {*ask.finding})
    return which or (not ask.topic and not _NOT_WHAT.match(ask.text))


def _which(labelled: Labelled, alike: Sequence[tuple[str, Hit]], place: str = "") -> str:
    (best, count), *others = labelled.labels
    asked = [(label, dict(labelled.labels).get(label, 0)) for label in labelled.such if label != best]
    shown = dict.fromkeys([*others[: NAMED - 1], *asked])
    rest = [f"{number} {label}{_keys(label, labelled, alike)}" for label, number in shown]
    look = f"{count} of the {labelled.alike} pictures that look most alike are labelled"
    if others and others[0][1] == count:
        return f"Uncertain{place}, as no label leads: {', '.join([f'{look} {best}{_keys(best, labelled, alike)}', *rest])}."
    opening = "Likely" if count >= LIKELY * labelled.alike else "Uncertain, most often"
    said = f"{opening} {best}{place}: {look} so{_keys(best, labelled, alike)}"
    return f"{said}{'; ' if rest else ''}{', '.join(rest)}."


def _whether(ask: Ask, labelled: Asked, alike: Sequence[tuple[str, Hit]], question: str, place: str = "") -> str:
    near, usual = labelled.asked or (0, 0)
    share, base = near / labelled.alike, usual / max(labelled.drawn, 1)
    such = "".join(_keys(label, labelled, alike).strip() for label in labelled.such)
    said = f"{near} of the {labelled.alike} pictures that look most alike are labelled {_as(ask, labelled, question)}{f' {such}' if such else ''}"
    most = "" if labelled.labels[0][0] in labelled.such else f"; {_most(labelled, alike)}"
    there = share >= LIKELY
    clear = there or (
        _speaks_against(labelled) and share <= base
    )  # more than usual among them is no sign of its absence
    opening = _opening(ask, question, there=there != labelled.denied) if clear else "Uncertain"
    return f"{opening}{place}: {said}, where {100 * base:.0f} % of all are{most}."


def _speaks_against(labelled: Asked) -> bool:
    """Whether most look-alikes bear labels that are known to say otherwise, and none that says what is asked leads."""
    counts, best = dict(labelled.labels), labelled.labels[0][1]
    leads = any(counts.get(label) == best for label in labelled.such)
    return not leads and sum(counts.get(label, 0) for label in labelled.against) >= LIKELY * labelled.alike


def _as(ask: Ask, labelled: Asked, question: str) -> str:
    """What the counted pictures are labelled as; by name where the question denies something."""
    if labelled.denied:
        return labelled.such[0] if len(labelled.such) == 1 else f"as without {phrase(ask)}"
    denies = ask.negated or _DENIES.search(question)
    return f"as {phrase(ask)}" if denies and phrase(ask) != "this" else "as such"


def _most(labelled: Labelled, alike: Sequence[tuple[str, Hit]]) -> str:
    """The commonest label; on a tie those that share its place."""
    best = labelled.labels[0][1]
    first = [label for label, count in labelled.labels if count == best]
    if len(first) == 1:
        return f"the commonest label among them is {first[0]}, {best}{_keys(first[0], labelled, alike)}"
    named = [f"{best} {label}{_keys(label, labelled, alike)}" for label in first[:NAMED]]
    return f"no label leads among them: {', '.join(named)}"


def _opening(ask: Ask, question: str, *, there: bool) -> str:
    """Yes or no, and the class by its name where "yes" could mean either: "Is it not a melanoma?"."""
    name = phrase(ask)
    if _DENIES.search(question) and name != "this":
        return f"Likely {'' if there else 'not '}{name}"
    return "Likely no" if there == ask.negated else "Likely yes"


def _keys(label: str, labelled: Labelled, alike: Sequence[tuple[str, Hit]]) -> str:
    """The evidence that bears the label, of the pictures that were counted."""
    counted = (pair for pair in alike if pair[1].item.id in labelled.nearest)
    found = [key for key, hit in counted if hit.item.meta.get("label") == label]
    return f" {cite_keys(found)}" if found else ""
