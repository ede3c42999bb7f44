"""Training questions with their answers and pictures: what preference pairs and rewards are made from.

Of the real-data pack: published and label-made questions about IU X-Ray's training studies, their reports, and VQA-RAD's questions
without the pictures that are held back. Own questions come as JSON lines of the same fields. It asks nobody anything.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

from medrag.corpora import questions, realdata
from medrag.errors import SettingsError

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
    kind: Literal["closed", "open", "report"]
    exclude: tuple[str, ...] = ()
    report: str = ""
    found_for: tuple[str, ...] = ()


def training_questions(data: Path, sets: Sequence[str], limit: int = 0, seed: int = 0) -> list[Asked]:
    """Questions of the named sets (see `SETS`), in random order; ``limit`` is shared evenly among the sets.

    A set may name its own number instead: ``iu_report=90``. Raises SettingsError for an unknown set, CorpusError where the pack is not there.
    """
    chosen: list[Asked] = []
    shared = [name for name in sets if "=" not in name]
    for named in sets:
        name, _, most = named.partition("=")
        if name not in SETS or not (most.isdigit() or name == named):
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
    """Closed questions about IU X-Ray studies once more, the study's own report among their evidence."""
    films = _films(data)
    found = [(one, films.get(one.group.partition("/")[2])) for one in asked if one.kind == "closed"]
    return [replace(one, id=f"{one.id}+own", report=study.text) for one, study in found if study]


def with_others_evidence(asked: Iterable[Asked], seed: int = 0) -> list[Asked]:
    """Closed questions once more, each with what is found for the pictures of another patient of the same set."""
    again: list[Asked] = []
    sets: dict[str, list[Asked]] = {}
    for one in asked:
        if one.kind == "closed" and one.images:
            sets.setdefault(one.id.partition("/")[0], []).append(one)
    for some in sets.values():
        for one in some:
            others = [other for other in some if other.group != one.group]
            if others:
                other = random.Random(f"{seed}/{one.id}").choice(others)
                exclude = (*one.exclude, *other.exclude)
                again.append(replace(one, id=f"{one.id}+other", exclude=exclude, found_for=other.images))
    return again


def read_questions(path: Path) -> list[Asked]:
    """Own questions: JSON lines with the fields of `Asked`. Raises SettingsError, naming the line that lacks one."""
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        try:
            if line.strip():
                found.append(asked_of(json.loads(line)))
        except (TypeError, KeyError, ValueError) as error:
            names = ", ".join(field.name for field in fields(Asked))
            raise SettingsError(f"{path}, line {number}: {error}", f"each line has {names}") from error
    return found


def asked_of(raw: dict[str, object]) -> Asked:
    """A question from its JSON fields; raises KeyError or TypeError for fields that are missing or unknown."""
    lists = {name: tuple(map(str, raw.get(name) or ())) for name in ("images", "exclude", "found_for")}  # type: ignore[call-overload]
    return Asked(**{**raw, **lists})  # type: ignore[arg-type]


def _iu_vqa(data: Path) -> Iterator[Asked]:
    known = _films(data)
    for n, row in enumerate(realdata.iu_vqa(data)):
        answer = questions.answer_of(questions.worded(row["answer"]))
        if row["uid"] in known and "XXXX" not in row["question"]:
            yield _about(known[row["uid"]], f"iu_vqa/{n}", row["question"], answer, "closed")


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
        name, answer = str(row["image_name"]), str(row["answer"]).strip()
        if name in held or not answer:
            continue
        closed = answer.lower() in ("yes", "no")
        kind: Literal["closed", "open"] = "closed" if closed else "open"
        reference = answer.lower() if closed else answer
        yield Asked(f"vqa_rad/{n}", f"vqa_rad/{name}", str(row["question"]), reference, (str(folder / name),), kind)


def _films(data: Path) -> dict[str, realdata.Study]:
    return {study.uid: study for study in realdata.studies(data, "train") if study.images and study.text}


def _about(study: realdata.Study, name: str, question: str, reference: str, kind: Literal["closed", "report"]) -> Asked:
    """At most two views, the frontal one first; the index may know the study under any of three ids."""
    ordered = sorted(study.images, key=lambda one: one[1] != "Frontal")
    own = (f"iu_xray:{study.uid}", f"openi:CXR{study.uid}", f"openi:{study.uid}")
    return Asked(name, f"iu/{study.uid}", question, reference, tuple(str(path) for path, _ in ordered[:2]), kind, own)


SETS: dict[str, Callable[[Path], Iterator[Asked]]] = {
    "iu_vqa": _iu_vqa, "iu_balanced": _iu_balanced, "iu_report": _iu_report, "vqa_rad": _vqa_rad,
}  # fmt: skip
