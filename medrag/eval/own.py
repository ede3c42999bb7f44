"""Tasks made of a user's own file (`medrag.corpora.own`), its examples, and baselines that need no training data but that file.

``question-only`` and ``constant-report`` answer each fifth of the groups from the other four, and say nothing of one group alone. ``majority`` is the commonest answer of the file itself:
a constant that was chosen from what is measured, which makes it harder to beat and never easier.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from medrag.corpora.own import SUFFIXES, Own, read_own
from medrag.errors import CorpusError, SettingsError
from medrag.eval.tasks import Example, Kind, Output, Task
from medrag.types import Item, page_id

SOURCE, ALL = "own", "all"  # the name of the source, and of the split of all rows
FOLDS = 5
LEARNED = ("question-only", "constant-report")  # baselines that learn from the other groups of the file
REPORT_ASK = "Write the findings and impression of this image."
_SCORED: dict[Kind, dict[str, Any]] = {
    "closed": {"measures": ("closed", "abstention", "grounding", "cost"), "headline": "accuracy", "baselines": ("majority", "question-only"), "sanity": ("blank-image-none", "wrong-patient-context")},
    "open": {"measures": ("open", "grounding", "cost"), "headline": "token_f1", "baselines": ("majority", "question-only")},
    "report": {
        "measures": ("factuality", "findings", "entities", "bleu", "rouge-l", "meteor", "cider", "grounding", "cost"), "headline": "factuality",
        "baselines": ("constant-report", "nearest-report"), "sanity": ("blank-image", "wrong-patient-context", "oracle-context"),
    },
    "ranking": {"measures": ("ranking",), "headline": "ndcg@10", "baselines": ("random",)},
}  # fmt: skip

_ABOUT = {"report": "Reports", "ranking": "Judged queries"}


def is_file(named: str | Path) -> bool:
    """Whether a task is named by a file of questions."""
    return Path(named).suffix.lower() in SUFFIXES


def own_tasks(path: str | Path) -> list[Task]:
    """A task for each kind of question that a file holds, each with the usual measures and baselines. Raises CorpusError as `read_own` does."""
    file = Path(path).expanduser().resolve()
    rows = read_own(file)
    kinds: list[Kind] = sorted({one.kind for one in rows} | {"ranking" for one in rows if one.relevant})
    return [
        Task(
            name=file.stem if len(kinds) == 1 else f"{file.stem}-{kind}",
            kind=kind,
            about=f"{_ABOUT.get(kind, f'{kind.capitalize()} questions')} of {file.name}",
            source=SOURCE,
            split=ALL,
            question=REPORT_ASK,
            licence="",
            options={"file": str(file), "only": True},
            **_SCORED[kind],
        )
        for kind in kinds
    ]


def questions(data: Path, split: str, task: Task) -> list[Example]:
    """The rows of a ``file`` (with ``columns``, ``images``, ``encoding``, ``delimiter``), read as the task's kind; with ``only`` those alone that are of this kind by themselves.

    Of a ``split`` other than all those whose column says so. ``data`` is not looked at.
    """
    options, read = {**task.options}, ("columns", "images", "encoding", "delimiter")
    if strange := sorted(set(options) - {"file", "only", *read}):
        raise SettingsError(f"{task.name}: there is no option {strange[0]!r}", f"known: file, only, {', '.join(read)}")
    if "file" not in options:
        raise SettingsError(f"{task.name}: its options name no file", "options: {file: questions.csv}")
    kind = "" if options.get("only") or task.kind == "ranking" else task.kind
    rows = read_own(Path(options["file"]), kind=kind, **{name: options[name] for name in read if name in options})
    splits = sorted({one.split for one in rows} - {""})
    if split not in (ALL, *splits):
        raise CorpusError(f"{options['file']}: there is no split {split!r}", f"known: {', '.join((ALL, *splits))}")
    wanted = [one for one in rows if split in (ALL, one.split)]
    if task.kind == "ranking":
        return [replace(_example(one, task), reference=one.relevant) for one in wanted if one.relevant]
    return [_example(one, task) for one in wanted if one.kind == task.kind]


def _example(one: Own, task: Task) -> Example:
    truth = one.reference if one.kind == "report" else one.report
    return Example(
        one.id, one.group, one.question or task.question or REPORT_ASK, one.reference, one.images, one.exclude, one.tags, truth, one.patient, one.study
    )  # fmt: skip


def in_index(examples: Sequence[Example], items: Iterable[Item]) -> list[Example]:
    """Judged queries with their documents as an index calls them: ``corpus:document``, or its page, ``corpus:document#p3``.

    A file may leave the corpus out where the rest is of one document alone. What must not be found is not judged. Raises CorpusError for a document that
    the index does not hold, or holds in several corpora.
    """
    known: dict[str, set[str]] = {}
    for item in items:
        page = page_id(item.id)
        for name, spelled in ((item.doc, item.doc), (page, page), (page or item.doc, item.id)):
            if name:
                known.setdefault(spelled, set()).add(name)
                known.setdefault(spelled.partition(":")[2], set()).add(name)
    found = []
    for example in examples:
        grades = {}
        for name, grade in example.reference.items():
            meant = known.get(name) or known.get(page_id(name)) or set()
            if len(meant) != 1:
                problem = f"holds {name!r} in several corpora" if meant else f"does not hold {name!r}"
                raise CorpusError(
                    f"the index {problem}, which is relevant to {example.question!r}",
                    "name documents as `medrag index search` does",
                )
            grades[next(iter(meant))] = grade
        if kept := {name: grade for name, grade in grades.items() if name not in example.exclude}:
            found.append(replace(example, reference=kept))
    if not found:
        raise CorpusError("every relevant document is of the very study or patient that asks", "name others")
    return found


def out_of_fold(
    examples: Sequence[Example], answer: Callable[[Sequence[Example], Sequence[Example]], list[Any]]
) -> list[Any]:
    """What ``answer`` makes of (others, these) for each fifth of the groups, in the examples' order. Of one group alone nothing is said: it would be answered from its own right answers."""
    folds = {group: n % FOLDS for n, group in enumerate(dict.fromkeys(example.group for example in examples))}
    said: dict[str, Any] = {}
    for fold in range(FOLDS):
        these = [one for one in examples if folds[one.group] == fold]
        others = [one for one in examples if folds[one.group] != fold]
        if these and not others:
            return [Output("", None, "abstained")] * len(examples)
        said |= zip((one.id for one in these), answer(others, these) if these else [], strict=True)
    return [said[example.id] for example in examples]


def untaught(result: Mapping[str, Any]) -> list[str]:
    """The baselines of a result that had no other group to learn from: their scores say nothing."""
    mine = result["settings"]["task"]["source"] == SOURCE and result["groups"] == 1
    return [name for name in result["baselines"] if mine and name in LEARNED]
