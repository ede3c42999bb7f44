"""Answers from the labels of look-alike pictures: which class a picture is likeliest of, and whether it is of the one that is asked about.

It speaks of other pictures and says so. What is asked beyond the class (where, how many, what to do) labels do not tell.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from medrag.types import Hit, ImageRecord, Labelled
from medrag.vlms._ask import Ask
from medrag.vlms._vote import cite_keys

NOTE = "This rests on their labels, not on the image itself."
LIKELY = 0.6  # share of the look-alikes from which a vote is more than a draw
NAMED = 3  # labels that an answer names
_PICTURE = r"(?:image|picture|photo(?:graph)?|slide|tile|patch|smear|scan|film|sample|specimen|section|lesion)"
_CLASS = r"(?:diagnos[ie]s|class(?:ification)?|label|category|grade|stage|type|kind|sort|disease|condition|entity|lesion|tumou?r|tissue|cells?|organ|pathology)"
_ASKS = re.compile(
    rf"^(?!.*\b(?:treat|therap|drug|medic|surg|proced|stain|view|plane|modalit|contrast))\W*(?:what|which)(?: (?:is|are) (?:shown|seen|pictured|depicted|visible)(?: (?:here|(?:in|on) (?:this|the) {_PICTURE}))?"
    rf"|(?:'s| is| are) (?:this|these|it|that|the (?:most )?(?:likely |likeliest |probable |main )*{_CLASS}|this {_PICTURE})(?: of (?:this|the) {_PICTURE})?"
    rf"|(?: [\w-]+){{0,2}} {_CLASS}(?: of(?: [\w-]+){{1,3}}?)?(?: (?:is|are) (?:this|these|it|shown|seen|pictured)(?: (?:here|{_PICTURE}|(?:in|on) (?:this|the) {_PICTURE}))?|(?: does| do) (?:this|the) {_PICTURE} show)"
    rf"|(?: do| does) (?:you see|(?:this|the) {_PICTURE} (?:show|depict|represent)))\W*$"
    rf"|^\W*(?:please )?(?:classify|diagnose|identify|grade|label|name) (?:this|the|it)(?: {_PICTURE}| {_CLASS})?\W*$",
    re.IGNORECASE,
)


def of_class(ask: Ask, labelled: Labelled | None, alike: Sequence[tuple[str, Hit]]) -> list[str]:
    """What the labels of look-alike pictures answer, in sentences; empty where they do not tell, or something else is asked."""
    if labelled is None:
        return []
    if ask.sort == "closed" and labelled.asked is not None and not ask.either:
        return _whether(ask, labelled, alike)
    unwritten = all(isinstance(hit.item, ImageRecord) for _, hit in alike)  # there is no report to draft from
    named = ask.sort == "open" and (ask.broad or _ASKS.match(ask.text))
    chosen = ask.either and labelled.asked is not None  # "melanoma or nevus?"
    return _which(labelled, alike) if named or chosen or (ask.sort == "report" and unwritten) else []


def _which(labelled: Labelled, alike: Sequence[tuple[str, Hit]]) -> list[str]:
    (best, count), *others = labelled.labels[:NAMED]
    opening = "Likely" if count >= LIKELY * labelled.alike else "Uncertain, most often"
    said = f"{opening} {best}: {count} of the {labelled.alike} pictures that look most alike are labelled so{_keys(best, labelled, alike)}"
    rest = [f"{number} {label}{_keys(label, labelled, alike)}" for label, number in others]
    return [f"{said}{'; ' if rest else ''}{', '.join(rest)}.", NOTE]


def _whether(ask: Ask, labelled: Labelled, alike: Sequence[tuple[str, Hit]]) -> list[str]:
    near, usual = labelled.asked or (0, 0)
    share = near / labelled.alike
    there = share >= LIKELY
    clear = there or share <= 1 - LIKELY
    opening = "Uncertain" if not clear else "Likely no" if there == ask.negated else "Likely yes"
    best, count = labelled.labels[0]
    such = "".join(_keys(label, labelled, alike).strip() for label in labelled.such)
    said = (
        f"{near} of the {labelled.alike} pictures that look most alike are labelled as such{f' {such}' if such else ''}"
    )
    base = f"{100 * usual / max(labelled.drawn, 1):.0f} % of all are"
    most = (
        ""
        if best in labelled.such
        else f"; the commonest label among them is {best}, {count}{_keys(best, labelled, alike)}"
    )
    return [f"{opening}: {said}, where {base}{most}.", NOTE]


def _keys(label: str, labelled: Labelled, alike: Sequence[tuple[str, Hit]]) -> str:
    """The evidence that bears the label, of the pictures that were counted."""
    counted = (pair for pair in alike if pair[1].item.id in labelled.nearest)
    found = [key for key, hit in counted if hit.item.meta.get("label") == label]
    return f" {cite_keys(found)}" if found else ""
