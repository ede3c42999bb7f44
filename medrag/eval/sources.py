"""Examples of each task, read from a folder with the data pack's layout. What is learned from training data is not here.

A source takes (folder, split, task) and returns examples in a fixed order. ``split`` is looked up where the source keeps its splits:
``splits.json`` (IU X-Ray), ``vqa_<split>.jsonl``, ``<split>.json`` (VQA-RAD), ``<split>.docs.gz`` (NFCorpus).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from medrag.corpora import questions, realdata
from medrag.errors import CorpusError, SettingsError
from medrag.eval import collections, hops, linking, own, page_questions, routing
from medrag.eval.tasks import Example, NoExample, Task, check_split

Source = Callable[[Path, str, Task], list[Example]]


def iu_reports(data: Path, split: str, task: Task) -> list[Example]:
    """One example for each study that has both a picture and a report."""
    twins = training_texts() if split != "train" else frozenset()
    return [
        Example(
            study.uid,
            study.uid,
            task.question,
            study.text,
            _views(study, task),
            own_ids(study),
            _tags(study, twins),
            study.text,
        )
        for study in iu_studies(data, split, task)
        if study.images and study.text
    ]


def iu_studies(data: Path, split: str, task: Task) -> tuple[realdata.Study, ...]:
    """IU X-Ray's studies of a split. Raises NoExample, with the splits there are, for another."""
    root = data / "noncommercial/iu_xray"
    named = realdata.json_file(root / "splits.json")
    check_split(task, root, split, named if isinstance(named, dict) else ())
    return realdata.studies(data, split)


def iu_closed(data: Path, split: str, task: Task) -> list[Example]:
    """The questions of ``vqa_<split>.jsonl``, or where there is none those made of what the reports say or deny."""
    known = {study.uid: study for study in iu_studies(data, split, task) if study.images}
    path, asked = realdata.iu_vqa_file(data, split), []
    if path.is_file():
        for place, row in realdata.json_lines(path):
            with realdata.told(place):
                asked.append((str(row["uid"]), str(row["question"]), questions.meant(row["answer"])))
    else:
        asked = [(c.uid, c.question, c.answer) for study in known.values() for c in questions.from_report(study)]
    return _closed(task, known, [(uid, question, answer, "") for uid, question, answer in asked])


def iu_balanced(data: Path, split: str, task: Task) -> list[Example]:
    """Each finding asked of as many studies with as without it: the question alone tells nothing."""
    known = {study.uid: study for study in iu_studies(data, split, task) if study.images and study.text}
    made = questions.balanced(list(known.values()))
    return _closed(task, known, [(c.uid, c.question, c.answer, c.topic.removeprefix("mesh:")) for c in made])


def _closed(task: Task, known: dict[str, realdata.Study], asked: list[tuple[str, str, str, str]]) -> list[Example]:
    return [
        Example(
            f"{uid}/{n}",
            uid,
            question,
            answer,
            _views(known[uid], task),
            own_ids(known[uid]),
            (topic,) if topic else (),
            known[uid].text,
        )
        for n, (uid, question, answer, topic) in enumerate(asked)
        if uid in known
    ]


def vqa_rad(data: Path, split: str, task: Task) -> list[Example]:
    """Questions of one kind (``options: {answers: closed | open}``). ``held``: of train.json those pictures that nothing was trained on.

    Other splits may ask about pictures that train.json has too, as the published test part does: a tag tells them apart, where MEDRAG_DATA names the training pack.
    """
    root, part = data / "open/vqa_rad", "train" if split == "held" else split
    if files := sorted(path.stem for path in root.glob("*.json")):
        check_split(task, root, split, ("held", *files))
    rows = list(enumerate(realdata.vqa_rad(data, part), 1))
    if split == "held":
        held = realdata.vqa_rad_held(data)
        rows = [(number, row) for number, row in rows if row["image_name"] in held]
    closed = task.options.get("answers", "closed") == "closed"
    taught = None if split == "held" else _taught_pictures()
    made = []
    for n, (number, row) in enumerate(rows):
        with realdata.told(f"{root / part}.json, question {number}"):
            answer, name = questions.as_text(row["answer"]), str(row["image_name"])
            tags = (str(row["image_organ"]).lower(), *str(row["question_type"]).lower().split(", "))
            if taught is not None:
                tags += ("picture trained on" if name in taught else "picture not trained on",)
            example = Example(
                f"{row['qid']}/{n}", name, str(row["question"]), answer, (root / "images" / name,), (), tags
            )
        if answer and (answer in ("yes", "no")) == closed:
            made.append(example)
    return made


def _taught_pictures() -> frozenset[str] | None:
    """Names of the VQA-RAD pictures that were trained on; None where the training pack is not there to tell."""
    pack = Path(os.environ.get("MEDRAG_DATA", ""))
    if not (pack / "open/vqa_rad/train.json").is_file():
        return None
    return frozenset(str(row["image_name"]) for row in realdata.vqa_rad(pack)) - realdata.vqa_rad_held(pack)


def iu_similar(data: Path, split: str, task: Task) -> list[Example]:
    """Each study's pictures look for training reports with the same findings: grade 2 for the same set, 1 for an F1 of a half or more."""
    pool = [study for study in realdata.studies(training_data(), "train") if study.images and study.text]
    made = []
    for study in iu_studies(data, split, task):
        if not (study.images and study.positive):
            continue
        shared = {
            f"iu_xray:{other.uid}": _grade(study.positive, other.positive) for other in pool if other.uid != study.uid
        }
        grades = {name: grade for name, grade in shared.items() if grade}
        tags = ("normal" if "normal" in study.positive else "abnormal",)
        if grades:
            made.append(Example(study.uid, study.uid, task.question, grades, _views(study, task), own_ids(study), tags))
    return made


def _grade(one: frozenset[str], other: frozenset[str]) -> int:
    overlap = 2 * len(one & other) / max(1, len(one) + len(other))
    return 2 if overlap == 1 else int(overlap >= 0.5)


def own_ids(study: realdata.Study) -> tuple[str, ...]:
    """The ids under which the index may know this very study."""
    return (f"iu_xray:{study.uid}", f"openi:CXR{study.uid}", f"openi:{study.uid}")


def _views(study: realdata.Study, task: Task) -> tuple[Path, ...]:
    ordered = sorted(study.images, key=lambda one: one[1] != "Frontal")
    return tuple(path for path, _ in ordered[: 1 if task.views == "frontal" else 2])


def _tags(study: realdata.Study, twins: frozenset[str]) -> tuple[str, ...]:
    normal = "normal" if "normal" in study.positive else "abnormal"
    return (normal, "twin of a training report" if folded(study.text) in twins else "no twin")


def folded(text: str) -> str:
    """A text in lower case with single spaces: equal for exact twins."""
    return " ".join(text.lower().split())


def training_texts() -> frozenset[str]:
    """The training reports, to tell exact twins from others."""
    return frozenset(folded(study.text) for study in realdata.studies(training_data(), "train"))


def training_data() -> Path:
    """The folder that MEDRAG_DATA names: what indexes and baselines were made from. Raises CorpusError where it is not set."""
    if not (named := os.environ.get("MEDRAG_DATA")):
        raise CorpusError("MEDRAG_DATA is not set", "set it to the folder of the data pack")
    return Path(named)


FOLDERS = {  # of a source whose data lie in one
    **dict.fromkeys(("iu_reports", "iu_closed", "iu_balanced", "iu_similar"), "noncommercial/iu_xray"), "vqa_rad": "open/vqa_rad",
    "nfcorpus": "noncommercial/nfcorpus", "bioasq": "open/bioasq", "medquad": "open/medquad", "held_pictures": "",
}  # fmt: skip
SOURCES: dict[str, Source] = {
    "iu_reports": iu_reports, "iu_closed": iu_closed, "iu_balanced": iu_balanced, "iu_similar": iu_similar, "vqa_rad": vqa_rad,
    "terms": linking.terms, "held_pictures": routing.held, "pages": page_questions.questions, "hops": hops.questions, own.SOURCE: own.questions,
    **{name: collections.source(name) for name in collections.COLLECTIONS},
}  # fmt: skip


def read(data: Path, split: str, task: Task) -> list[Example]:
    """The examples of a task. Raises SettingsError for a source that there is not, NoExample where the folder lacks the task's data, or has none under the split."""
    if task.source not in SOURCES:
        raise SettingsError(f"{task.name}: there is no source {task.source!r}", f"known: {', '.join(SOURCES)}")
    if task.source in FOLDERS and not (folder := data / FOLDERS[task.source]).is_dir():
        raise NoExample(f"{task.name}: {folder} is not there", "name a folder with the data pack's layout (--data)")
    if not (found := SOURCES[task.source](data, split, task)):
        raise NoExample(f"{task.name}: the split {split!r} of {data} holds no example", "name another with --split")
    return found
