"""Training questions with their answers and pictures: what preference pairs and rewards are made from.

Of the real-data pack: published and label-made questions about IU X-Ray's training studies, their reports, and VQA-RAD's questions
without the pictures that are held back. Own questions come from a file (`medrag.corpora.own`). It asks nobody anything.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from medrag.corpora import questions, realdata
from medrag.corpora.own import Kind, read_own
from medrag.errors import CorpusError, SettingsError

ALL = "all"  # the split of all rows
REPORT_ASK = "Write the findings and impression of this chest X-ray."


@dataclass(frozen=True, slots=True)
class Asked:
    """One training question. ``reference`` is yes or no, a short answer, or a report; ``exclude`` ids are never evidence.

    What evidence is worth is learned where it is sometimes right and sometimes not: ``report`` is a text of the study itself that stands
    among what is found, and ``found_for`` are another patient's pictures, for which evidence is found in place of its own.
    """

    id: str
    group: str  # the study or picture
    question: str
    reference: str
    images: tuple[str, ...]
    kind: Kind
    exclude: tuple[str, ...] = ()
    report: str = ""
    found_for: tuple[str, ...] = ()
    patient: str = ""  # whose studies in the index are never evidence
    study: str = ""  # the same, by its id


def training_questions(data: Path, sets: Sequence[str], limit: int = 0, seed: int = 0) -> list[Asked]:
    """Questions of the named sets (see `SETS`), in random order; ``limit`` is shared evenly among the sets.

    A set may name its own number instead: ``iu_report=90``. Raises SettingsError for an unknown set, CorpusError where the pack is not there.
    """
    chosen: list[Asked] = []
    data = data.absolute()  # pairs name pictures, and are read from elsewhere
    shared = [name for name in sets if "=" not in name]
    for named in sets:
        name, _, most = named.partition("=")
        if name not in SETS or not (most.isdecimal() or name == named):
            raise SettingsError(
                f"there is no set of questions {named!r}", f"known: {', '.join(SETS)}; NAME=NUMBER for a part"
            )
        own = list(SETS[name](data))
        random.Random(f"{seed}/{name}").shuffle(own)
        share = int(most) if most else (limit + len(shared) - 1 - shared.index(name)) // len(shared)
        chosen += own[:share] if limit or most else own
    random.Random(seed).shuffle(chosen)
    return chosen


def with_own_report(asked: Iterable[Asked], data: Path) -> list[Asked]:
    """Closed questions of the pack about IU X-Ray studies once more, the study's own report among their evidence."""
    texts = {f"iu/{uid}": study.text for uid, study in _films(data).items()}
    return [_reported(one, texts[one.group]) for one in asked if one.kind == "closed" and one.group in texts]


def with_study_report(asked: Iterable[Asked], rows: Iterable[Asked]) -> list[Asked]:
    """Closed questions of one's own once more, with the report that another row gives of the same study; one that carries a report was asked with it."""
    texts = {(one.patient, one.study): one.reference for one in rows if one.kind == "report" and one.study}
    found = [(one, texts.get((one.patient, one.study))) for one in asked if one.kind == "closed" and not one.report]
    return [_reported(one, text) for one, text in found if text]


def _reported(one: Asked, text: str) -> Asked:
    return replace(one, id=f"{one.id}+own", report=text)


def with_others_evidence(asked: Iterable[Asked], seed: int = 0, apart: bool = True) -> list[Asked]:
    """Closed questions once more, each with what is found for the pictures of another patient, of the same set where sets are kept ``apart``."""
    again: list[Asked] = []
    sets: dict[str, list[Asked]] = {}
    for one in asked:
        if one.kind == "closed" and one.images:
            sets.setdefault(one.id.partition("/")[0] if apart else "", []).append(one)
    for some in sets.values():
        for one in some:
            if others := [other for other in some if _strangers(one, other)]:
                other = random.Random(f"{seed}/{one.id}").choice(others)
                exclude = (*one.exclude, *other.exclude)
                again.append(replace(one, id=f"{one.id}+other", exclude=exclude, found_for=other.images, report=""))
    return again


def _strangers(one: Asked, other: Asked) -> bool:
    return one.group != other.group and not (one.patient and one.patient == other.patient)


def own_questions(path: Path, split: str = "", limit: int = 0, seed: int = 0) -> tuple[list[Asked], int]:
    """`read_questions`, at most ``limit`` of them (0: all), drawn with the seed and in the file's order; and how many that leaves out."""
    found = read_questions(path, split)
    count = min(limit or len(found), len(found))
    places = sorted(random.Random(seed).sample(range(len(found)), count))
    return [found[n] for n in places], len(found) - count


def read_questions(path: Path, split: str = "") -> list[Asked]:
    """Own questions of a ``split`` ("all": of every one), from a file as `medrag.corpora.own` reads it; a row without an answer or a report
    teaches nothing and is left out.

    Raises CorpusError, naming the line that is no question; for a file with rows of another split than train where none is named, since
    those that measure are no training questions; and where no row is left.
    """
    rows = read_own(path.expanduser().absolute())
    splits = sorted({one.split for one in rows} - {""})
    if not split and set(splits) - {"train"}:
        raise CorpusError(
            f"{path}: has the split{'s' * (len(splits) > 1)} {', '.join(splits)}",
            "name with --split the one that is trained on, or --split all: what was trained on measures nothing",
        )
    if split not in ("", ALL, *splits):
        raise CorpusError(f"{path}: there is no split {split!r}", f"known: {', '.join((ALL, *splits))}")
    found = [
        Asked(
            one.id, one.group, one.question or REPORT_ASK, one.reference, tuple(map(str, one.images)), one.kind, one.exclude, one.report,
            tuple(map(str, one.found_for)), one.patient, one.study,
        )
        for one in rows
        if one.kind != "ranking" and split in ("", ALL, one.split)
    ]  # fmt: skip
    if not found:
        raise CorpusError(
            f"{path}: no row of it has an answer or a report, so it makes no pair",
            "give each question its answer, or each image its report",
        )
    return found


def asked_of(raw: dict[str, object]) -> Asked:
    """A question from its JSON fields; raises TypeError or ValueError for fields that are missing, unknown or of another sort."""
    lists = {name: _list(name, raw.get(name) or ()) for name in ("images", "exclude", "found_for")}
    one = Asked(**{**raw, **lists})  # type: ignore[arg-type]
    if wrong := [name for name in ("id", "group", "question", "reference", "report") if type(getattr(one, name)) is not str]:  # fmt: skip
        raise TypeError(f"no text: {', '.join(wrong)}")
    if one.kind not in get_args(Kind):
        raise ValueError(f"there is no kind {one.kind!r}; known: {', '.join(get_args(Kind))}")
    return one


def _list(name: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError(f"{name} is no list")
    return tuple(map(str, value))


def _iu_vqa(data: Path) -> Iterator[Asked]:
    known = _films(data)
    for n, (place, row) in enumerate(realdata.json_lines(realdata.iu_vqa_file(data, "train"))):
        with realdata.told(place):
            uid, question, answer = str(row["uid"]), str(row["question"]), questions.meant(row["answer"])
        if uid in known and "XXXX" not in question:
            yield _about(known[uid], f"iu_vqa/{n}", question, answer, "closed")


def _iu_balanced(data: Path) -> Iterator[Asked]:
    known = _films(data)
    for n, closed in enumerate(questions.balanced(list(known.values()))):
        yield _about(known[closed.uid], f"iu_balanced/{n}", closed.question, closed.answer, "closed")


def _iu_report(data: Path) -> Iterator[Asked]:
    for study in _films(data).values():
        yield _about(study, f"iu_report/{study.uid}", REPORT_ASK, study.text, "report")


def _vqa_rad(data: Path) -> Iterator[Asked]:
    held, folder = realdata.vqa_rad_held(data), data / "open/vqa_rad/images"
    for n, row in enumerate(realdata.vqa_rad(data)):
        with realdata.told(f"{folder.parent}/train.json, question {n + 1}"):
            name, question, answer = str(row["image_name"]), str(row["question"]), questions.as_text(row["answer"])
        kind: Kind = "closed" if answer in ("yes", "no") else "open"
        if answer and name not in held:
            yield Asked(f"vqa_rad/{n}", f"vqa_rad/{name}", question, answer, (str(folder / name),), kind)


def _films(data: Path) -> dict[str, realdata.Study]:
    return {study.uid: study for study in realdata.studies(data, "train") if study.images and study.text}


def _about(study: realdata.Study, name: str, question: str, reference: str, kind: Kind) -> Asked:
    """At most two views, the frontal one first; the index may know the study under any of three ids."""
    ordered = sorted(study.images, key=lambda one: one[1] != "Frontal")
    own = (f"iu_xray:{study.uid}", f"openi:CXR{study.uid}", f"openi:{study.uid}")
    return Asked(name, f"iu/{study.uid}", question, reference, tuple(str(path) for path, _ in ordered[:2]), kind, own)


SETS: dict[str, Callable[[Path], Iterator[Asked]]] = {
    "iu_vqa": _iu_vqa, "iu_balanced": _iu_balanced, "iu_report": _iu_report, "vqa_rad": _vqa_rad,
}  # fmt: skip
