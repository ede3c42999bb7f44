"""A user's own questions, reports or judged queries as one file: what evaluation asks, a calibration is learned from, and preference pairs are made of.

A table (.csv, .tsv) or JSON (.jsonl, .ndjson, or a list in .json), one question a row: `NAMES` lists what columns may be called, other columns are not looked
at. A file is read whole or not at all: what is measured must not depend on which rows could be read. It asks nobody anything.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from medrag._util.near import meant as near
from medrag.corpora import questions, realdata
from medrag.corpora._files import USUAL, picture_named, present, read_table, spellings
from medrag.corpora._picture_tables import said
from medrag.errors import BadRecord, CorpusError, SettingsError

Kind = Literal["closed", "open", "report"]
NAMES: dict[
    str, tuple[str, ...]
] = {  # what a column is for → what it may be called, in any case, with blanks or - for _
    "id": ("id", "qid", "question_id"),
    "question": ("question", "query"),
    "reference": ("answer", "reference", "ground_truth"),
    "report": USUAL["report"],
    "findings": ("findings",),
    "impression": ("impression",),
    "images": USUAL["images"],
    "relevant": ("relevant", "relevant_docs", "relevant_ids"),
    "kind": ("kind",),
    "group": ("group",),
    "patient": USUAL["patient"],
    "study": USUAL["study"],
    "split": ("split",),
    "tags": ("tags", "tag"),
    "exclude": ("exclude",),
    "found_for": ("found_for",),
}
WHAT = "What is this?"  # what a picture with nothing but a label asks
JUDGED = {"question", "reference", "report", "findings", "impression", "relevant"}
TABLES, LINES = {".csv": ",", ".tsv": "\t"}, (".jsonl", ".ndjson")
SUFFIXES = (*TABLES, *LINES, ".json")
MENDS = (
    "each row has a question with its answer or its relevant documents, or an image with its report or its label; a task file maps columns of other names "
    "(options: {columns: {answer: NAME}})"
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Own:
    """One row. ``reference`` is yes or no, a short answer, or a report; ``report`` the study's own, beside a question; ``relevant`` {document or page: grade}.
    A row with relevant documents and no answer is of kind ranking.

    ``group`` is what intervals are drawn over: the patient, else the study, else the first picture, else the question itself.
    """

    id: str
    group: str
    question: str  # empty where a report alone is given
    reference: str
    images: tuple[Path, ...]
    kind: Kind | Literal["ranking"]
    report: str = ""
    patient: str = ""
    study: str = ""
    split: str = ""
    tags: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    found_for: tuple[Path, ...] = ()
    relevant: dict[str, int] = field(default_factory=dict)


def read_own(
    path: Path,
    columns: Mapping[str, str] | None = None,
    images: str = "",
    *,
    kind: str = "",
    encoding: str = "utf-8",
    delimiter: str = "",
) -> list[Own]:
    """The rows of a file, in its order. Pictures are looked for beside the file and in images/ there, or in the folder ``images``; several are a list, or stand in one cell
    with ``;`` between them. ``columns`` names the column of a role of `NAMES` ("answer" for reference, too).

    An answer is closed where it is yes or no, or another of `medrag.corpora.questions.LABELS` (present, absent …; 1 and 0 where each of the file is a label), unless ``kind`` or
    a column of this name says what all are. A table of classes, which asks nothing and gives pictures with a label, asks `WHAT` of each. Rows that repeat a report with another picture are one study. Raises SettingsError for a role that there is not, CorpusError,
    naming the line, for a row that is no question, an id that comes twice, and pictures that are not there.
    """
    rows = _named_rows(path, columns or {}, encoding, delimiter)
    judged = {"reference", "relevant"}
    labels = all(
        _is_label(row.get("reference")) for _, row in rows if "question" in row and judged & row.keys() != {"relevant"}
    )
    folder, found, studies = path.parent / images, dict[str, Own](), dict[tuple[str, str], str]()
    for number, (place, row) in enumerate(rows, 1):
        with realdata.told(place, MENDS):
            one = _own(row, str(number), folder, labels, kind)
            if one.kind == "report" and one.study and not one.question:
                again = found.get(studies.setdefault((one.study, one.reference), one.id))
                if again:  # one more picture of the study
                    found[again.id] = replace(again, images=(*again.images, *one.images))
                    continue
            if one.id in found:
                raise ValueError(f"there is another question with the id {one.id!r}")
        found[one.id] = one
    _check_pictures(path, folder, found.values())
    return list(found.values())


def only_questions(path: Path) -> list[str]:
    """What a file asks, each question once, with an answer or without one."""
    rows = _named_rows(path, {}, "utf-8", "")
    found = list(dict.fromkeys(str(row["question"]).strip() for _, row in rows if "question" in row))
    if not found:
        raise CorpusError(
            f"{path}: has no column of questions", "call it question, or give a text file with a question a line"
        )
    return found


def _named_rows(
    path: Path, columns: Mapping[str, str], encoding: str, delimiter: str
) -> list[tuple[str, dict[str, Any]]]:
    """(place, values by role) of each row. Raises CorpusError for a file without rows, and for a column that none of them has."""
    raw = list(_rows(path, encoding, delimiter))
    if not raw:
        raise CorpusError(f"{path}: holds no question", MENDS)
    given = {_role(role): column for role, column in columns.items()}
    have = list(dict.fromkeys(str(name) for _, row in raw for name in row))
    if lacking := [column for column in given.values() if column not in have]:
        raise CorpusError(f"{path}: there is no column {lacking[0]!r}", f"found: {', '.join(have[:12])}")
    _check_spelling(path, have, given)
    found = [(place, _by_role(row, given)) for place, row in raw]
    if any(row.keys() & JUDGED for _, row in found):
        return found
    return [(place, _asked(row, cells)) for (place, row), (_, cells) in zip(found, raw, strict=True)]


def _asked(found: dict[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of a table of classes, a picture with its label, as the open question of what it shows."""
    have = {spelled: value for name, value in row.items() for spelled in spellings(name)}
    label = next((have[name] for name in USUAL["label"] if not _empty(have.get(name))), None)
    if "images" not in found or label is None or (isinstance(label, str) and not said(label)):
        return found
    return {"question": WHAT, "reference": label, "kind": "open"} | found


def _check_spelling(path: Path, have: Sequence[str], given: Mapping[str, str]) -> None:
    """Raises CorpusError for a column that nothing takes and whose name is nearly that of a role that no column fills: imgae."""
    spelled = {name: spellings(name) for name in have if name not in given.values()}
    filled = {
        role for role, names in NAMES.items() if any({*names} & {*one} for one in spelled.values())
    } | given.keys()
    if "reference" in filled:
        filled |= {"report", "findings", "impression"}  # beside an answer nobody need give them
    open_ = [name for role, names in NAMES.items() if role not in filled for name in names]
    taken = {name for names in NAMES.values() for name in names}
    for column, names in spelled.items():
        near = next((known for known in open_ for name in names if not taken & {*names} and _alike(name, known)), "")
        if near:
            raise CorpusError(
                f"{path}: nothing takes the column {column!r}, which is nearly called {near!r}",
                f"rename it {near}, or otherwise if something else is meant; a task file maps columns of other names (options: {{columns: {{{near}: {column}}}}})",
            )


def _alike(name: str, known: str) -> bool:
    """Whether a name is another one misspelled: as many words, each nearly the same. Short ones are not: pid is no id."""
    words = list(zip(name.split("_"), known.split("_"), strict=False))
    return (
        len(known) > 3
        and name.count("_") == known.count("_")
        and all(difflib.SequenceMatcher(None, one, other).ratio() >= 0.8 for one, other in words)
    )


def _rows(path: Path, encoding: str, delimiter: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, cells) of each row."""
    suffix = path.suffix.lower()
    if suffix in TABLES:
        for line, row in read_table(path, encoding, delimiter or TABLES[suffix]):
            if isinstance(row, BadRecord):
                raise CorpusError(row.message, row.hint)
            yield f"{path}, line {line}", row
    elif suffix in LINES:
        yield from realdata.json_lines(path, MENDS)
    elif suffix == ".json":
        with realdata.told(path, MENDS):
            rows = json.loads(path.read_text(encoding="utf-8-sig"))
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise TypeError("is no list of objects with fields")
        yield from ((f"{path}, question {n}", row) for n, row in enumerate(rows, 1))
    else:
        raise CorpusError(f"{path}: is no file of questions", f"write {', '.join(SUFFIXES)}")


def _by_role(row: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
    """What a row gives, by what it is for; of several names the first that is not empty. A column that is mapped to a role has no other."""
    left = ((name, value) for name, value in row.items() if name not in given.values() and not _empty(value))
    free = {spelled: value for name, value in left for spelled in spellings(name)}
    found: dict[str, Any] = {}
    for role, names in NAMES.items():
        value = row.get(given[role]) if role in given else next((free[n] for n in names if n in free), None)
        if not _empty(value):
            found[role] = value
    return found


def _empty(value: Any) -> bool:
    return value is None or value in ("", []) or value != value  # NaN, as tables of numbers are saved


def _role(named: str) -> str:
    for role, names in NAMES.items():
        if named == role or named in names:
            return role
    raise SettingsError(
        f"columns: there is no role {named!r}",
        near(named, [name for names in NAMES.values() for name in names], f"known: {', '.join(NAMES)}"),
    )


def _own(row: Mapping[str, Any], number: str, folder: Path, labels: bool, wanted: str) -> Own:
    question, answer, report = _text(row, "question"), row.get("reference"), _report(row)
    relevant, pictures = _grades(row.get("relevant")), _pictures(row, "images", folder)
    kind = _kind(row, answer, report, labels, wanted)
    if answer is None and not report and not relevant:
        raise ValueError("there is no answer, no report and no relevant document")
    if answer is not None and not question and kind != "report":
        raise ValueError("the answer has no question")
    if answer is None and not report and not question and not pictures:
        raise ValueError("nothing is asked")
    patient, study, id = (_text(row, name) for name in ("patient", "study", "id"))
    if kind == "ranking":
        reference = ""
    elif kind == "report":
        reference = report or questions.as_text(answer)
        study = study or id  # a table of reports calls its studies so
    else:
        reference = questions.meant(answer) if kind == "closed" else questions.as_text(answer)
    if not reference and kind != "ranking":
        raise ValueError("the answer is empty")
    return Own(
        id or number,
        _text(row, "group") or patient or study or (str(pictures[0]) if pictures else id or number),
        question,
        reference,
        pictures,
        kind,
        "" if kind == "report" else report,
        patient,
        study,
        _text(row, "split"),
        tuple(_names(row.get("tags"))),
        tuple(_names(row.get("exclude"))),
        _pictures(row, "found_for", folder),
        relevant,
    )


def _kind(row: Mapping[str, Any], answer: object, report: str, labels: bool, wanted: str) -> Kind | Literal["ranking"]:
    if answer is None and not report:
        return "ranking"
    if given := _text(row, "kind") or wanted:
        if given not in get_args(Kind):
            raise ValueError(f"there is no kind {given!r}; known: {', '.join(get_args(Kind))}")
        return given  # type: ignore[return-value]
    if answer is None:
        return "report"
    number = questions.as_text(answer) in ("0", "1")  # of things, perhaps
    return "closed" if labels or (_is_label(answer) and not number) else "open"


def _is_label(answer: object) -> bool:
    try:
        return len(questions.as_text(answer).split()) == 1 and bool(questions.meant(answer))
    except (TypeError, ValueError):
        return False


def _report(row: Mapping[str, Any]) -> str:
    """A report in one text, or its findings and impression."""
    return _text(row, "report") or " ".join(filter(None, (_text(row, name) for name in ("findings", "impression"))))


def _grades(value: object) -> dict[str, int]:
    """Relevant documents with their grades: an object, or names, each of grade 1."""
    if isinstance(value, dict):
        return {str(name): _grade(grade) for name, grade in value.items()}
    return dict.fromkeys(_names(value), 1)


def _grade(value: Any) -> int:
    """A grade as a number; one that is cut to a whole number would make what is relevant irrelevant."""
    try:
        if (grade := float(value)).is_integer() and grade >= 0:
            return int(grade)
    except (TypeError, ValueError, OverflowError):
        pass
    raise ValueError(f"the grade {value!r:.40} is none: grades are whole numbers, 1 and above is relevant")


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name, "")
    if not isinstance(value, str | int | float):
        raise TypeError(f"{name} is no text")
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if whole else value).strip()


def _pictures(row: Mapping[str, Any], role: str, folder: Path) -> tuple[Path, ...]:
    """Where its pictures lie: in the folder, or in one called images inside it."""
    named = _names(row.get(role))
    return tuple(picture_named(name, (folder, folder / "images")) or folder / name for name in named)


def _names(value: object) -> list[str]:
    """Several names of one cell: a list, or text with ; between them."""
    if value is None:
        return []
    if isinstance(value, int | float):
        value = str(int(value))
    if isinstance(value, str):
        return [part for one in value.split(";") if (part := one.strip())]
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise TypeError(f"{json.dumps(value, default=str)[:40]} is no list of names")
    return value


def _check_pictures(path: Path, folder: Path, found: Any) -> None:
    missing = [picture for one in found for picture in (*one.images, *one.found_for) if not present(picture)]
    if missing:
        raise CorpusError(
            f"{path}: {len(missing)} of its pictures are not there, the first {missing[0]}",
            f"put them where they are named, beside the file, or name their folder in a task file (options: {{images: FOLDER}}); now they are looked for in {folder}",
        )
