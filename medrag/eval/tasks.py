"""A task: which examples, which question, which measures. Read from ``eval/tasks/<name>.yaml``; it runs nothing.

``split`` names one that the data folder lists; the index an answer is drawn from is the recipe's and stays the same
whatever folder is measured, so that held-out studies meet an index built from the training ones.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from medrag._util.files import sha256_file
from medrag._util.near import meant
from medrag._util.places import expand, share
from medrag.errors import CorpusError, SettingsError
from medrag.settings import Strict, parse, read_yaml

Kind = Literal["report", "closed", "open", "ranking", "linking", "routing", "selection", "hops"]


class NoExample(CorpusError):
    """The folder has no such split of a task, or one without an example."""


@dataclass(frozen=True, slots=True)
class Example:
    """One thing asked. ``group`` is what is drawn in a bootstrap: a study, a picture, a query."""

    id: str
    group: str
    question: str
    reference: Any  # text; for a ranking or selection {document: grade}; for a link a list of codes
    images: tuple[Path, ...] = ()
    exclude: tuple[str, ...] = ()  # ids that must not be retrieved: the study itself
    tags: tuple[str, ...] = ()  # parts of the task that are scored alone
    truth: str = ""  # the study's own report, for the arm oracle-context alone
    patient: str = ""  # whose studies in the index never answer
    study: str = ""  # the same, by its id with the corpus' name before it or without

    def asked(self) -> dict[str, Any]:
        """What an answer answers, as JSON has it: one that was kept is taken over where this is the same. Pictures go by their content."""
        pictures = [sha256_file(path)[:16] if path.is_file() else "" for path in self.images]
        return {
            "question": self.question,
            "reference": self.reference,
            "exclude": list(self.exclude),
            "pictures": pictures,
        }


@dataclass(frozen=True, slots=True)
class Output:
    """What an arm said. ``value`` is a text; for a ranking or selection {document: score}; for a link [[node, code, …], …]."""

    value: Any
    probability: float | None = None  # of "yes", where the arm knows it
    status: str = "answered"
    evidence: tuple[Mapping[str, Any], ...] = ()  # kept pieces: key, id, score, text
    details: Mapping[str, Any] = field(default_factory=dict)


class Task(Strict):
    """One benchmark, as its YAML file says."""

    name: str
    kind: Kind
    about: str
    source: str  # a loader of medrag.eval.sources
    split: str
    recipe: str = ""  # whose index is asked; empty: the task indexes its own documents
    question: str = ""  # what is asked of each study, where the examples bring no question
    views: Literal["both", "frontal"] = "both"
    measures: tuple[str, ...]
    headline: str  # the score that is read first
    baselines: tuple[str, ...] = ()
    sanity: tuple[str, ...] = ()
    licence: str
    options: dict[str, Any] = Field({})


def check_split(task: Task, folder: Path, split: str, known: Collection[str]) -> None:
    """Raises NoExample, which names the known splits, for another one; where none are known the files themselves will tell."""
    if known and split not in known:
        raise NoExample(f"{task.name}: {folder} has no split {split!r}", f"known: {', '.join(known)}")


def load_task(name_or_path: str | Path) -> Task:
    """A task by name or by the path of its YAML file. Raises SettingsError, naming the nearest known one."""
    path, folder = Path(name_or_path), share() / "eval" / "tasks"
    if path.suffix not in (".yaml", ".yml"):
        path = folder / f"{name_or_path}.yaml"
    if not path.is_file():
        known = sorted(p.stem for p in folder.glob("*.yaml"))
        raise SettingsError(f"there is no task {str(name_or_path)!r}", meant(str(name_or_path), known))
    task: Task = parse(Task, read_yaml(path), str(path))
    if file := task.options.get("file"):  # a relative one starts from the task's own folder
        task = task.model_copy(update={"options": {**task.options, "file": str(expand(str(file), path.parent))}})
    return task


def known_tasks() -> list[Task]:
    """All tasks that ship, by name."""
    return [load_task(path) for path in sorted((share() / "eval" / "tasks").glob("*.yaml"))]
