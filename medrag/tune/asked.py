"""Training questions with their answers and pictures: what preference pairs and rewards are made from.

Of the real-data pack: published and label-made questions about IU X-Ray's training studies, their reports, and VQA-RAD's questions
without the pictures that are held back. Own questions come as JSON lines of the same fields. It asks nobody anything.
"""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from medrag.corpora import questions, realdata
from medrag.errors import SettingsError

REPORT_ASK = "Write the findings and impression of this chest X-ray."


@dataclass(frozen=True, slots=True)
class Asked:
    """One training question. ``reference`` is yes or no, a short answer, or a report; ``exclude`` ids are never evidence."""

    id: str
    group: str  # the study or picture
    question: str
    reference: str
    images: tuple[str, ...]
    kind: Literal["closed", "open", "report"]
    exclude: tuple[str, ...] = ()


def training_questions(data: Path, sets: Sequence[str], limit: int = 0, seed: int = 0) -> list[Asked]:
    """Questions of the named sets (see `SETS`), in random order; ``limit`` is shared evenly among the sets.

    Raises SettingsError for an unknown set, CorpusError where the pack is not there.
    """
    chosen: list[Asked] = []
    for place, name in enumerate(sets):
        if name not in SETS:
            raise SettingsError(f"there is no set of questions {name!r}", f"known: {', '.join(SETS)}")
        own = list(SETS[name](data))
        random.Random(f"{seed}/{name}").shuffle(own)
        chosen += own[: (limit + len(sets) - 1 - place) // len(sets)] if limit else own
    random.Random(seed).shuffle(chosen)
    return chosen


def read_questions(path: Path) -> list[Asked]:
    """Own questions: JSON lines with the fields of `Asked`. Raises SettingsError, naming the line that lacks one."""
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            if line.strip():
                found.append(asked_of(json.loads(line)))
        except (TypeError, KeyError, ValueError) as error:
            names = ", ".join(field.name for field in dataclasses.fields(Asked))
            raise SettingsError(f"{path}, line {number}: {error}", f"each line has {names}") from error
    return found


def asked_of(raw: dict[str, object]) -> Asked:
    """A question from its JSON fields; raises KeyError or TypeError for fields that are missing or unknown."""
    lists = {name: tuple(map(str, raw.get(name) or ())) for name in ("images", "exclude")}  # type: ignore[call-overload]
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
