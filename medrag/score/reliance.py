"""What a system's answers owe to what was retrieved: paired answers with and without it, and when an answer is right.

The rates are those of `medrag.score.grounding.Reliance`; here results are paired for it, judged clinically, and two scores are
added that it leaves out. MMed-RAG (arXiv 2410.13085) and RULE (arXiv 2407.05131) found answers right by BLEU or by keywords;
`right` reads yes and no, short answers and reports by the scorers of this package. It knows no pipelines and no files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from medrag.errors import SettingsError
from medrag.score.claims import compare
from medrag.score.closed import parse
from medrag.score.factuality import factuality_score, statement_agreement
from medrag.score.grounding import Reliance
from medrag.score.open_answers import normalised, stated
from medrag.score.overlap import means, ratio

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from medrag.score import Rows, Weights

SHORT = 8  # words up to which a reference is a phrase to be stated, not a report to be matched
REPORT = 0.45  # factuality from which a report counts as right: about one clinical error
ALIKE = 0.9  # agreement of words from which two texts that make no claims mean the same


def right(answer: str, reference: str) -> bool:
    """Whether an answer is clinically right: yes or no as its reference, the short reference stated, or a report with about one error.

    >>> right("No, the lungs are clear.", "no"), right("An axial MRI.", "MRI"), right("It is hard to say.", "no")
    (True, True, False)
    """
    if reference.strip().lower() in ("yes", "no"):
        return parse(answer) == reference.strip().lower()
    if len(reference.split()) <= SHORT:
        return normalised(answer) == normalised(reference) or stated(answer, reference)
    return factuality_score(answer, reference) >= REPORT


def same_meaning(one: str, other: str) -> bool:
    """Whether two answers to one question say the same, clinically: one yes or no, and no finding that only one of them has.

    >>> same_meaning("No.", "No, there is no effusion."), same_meaning("A left effusion.", "A right effusion.")
    (True, False)
    """
    said = parse(one), parse(other)
    if all(said) and said[0] != said[1]:
        return False
    compared = compare(one, other)
    if compared.answered and compared.stated:
        return compared.errors == 0 and not compared.contradicted
    if all(said):
        return True  # one of them says no more than yes or no
    return normalised(one) == normalised(other) or statement_agreement(one, other) >= ALIKE


class Paired(NamedTuple):
    """(without, with, with but another image or None) of each question, its reference, its group and its id."""

    answers: list[tuple[str, str, str | None]]
    references: list[str]
    groups: list[str]
    ids: list[str]


def paired(
    without: Iterable[Mapping[str, Any]],
    using: Iterable[Mapping[str, Any]],
    unseen: Iterable[Mapping[str, Any]] = (),
) -> Paired:
    """Answers to the questions that ``without`` and ``using`` retrieval share, as an evaluation keeps them.

    A line has ``id``, ``value``, ``reference`` and ``group``. ``unseen`` are answers with retrieval but without the image. Raises
    SettingsError where nothing is shared, or one id stands for two questions (`unlike`).
    """
    alone, blind = ({str(line["id"]): line for line in lines} for lines in (without, unseen))
    found = Paired([], [], [], [])
    for line in using:
        name = str(line["id"])
        if name not in alone:
            continue
        others = [alone[name], *([blind[name]] if name in blind else [])]
        if what := next(filter(None, (unlike(line, other) for other in others)), ""):
            raise SettingsError(f"{name} has two {what}s", "name results of one task, split and version")
        found.answers.append((alone[name]["value"], line["value"], blind[name]["value"] if name in blind else None))
        found.references.append(str(line["reference"]))
        found.ids.append(name)
        found.groups.append(str(line.get("group", name)))
    if not found.answers:
        raise SettingsError("the results share no question", "name results of one task and split")
    return found


def unlike(line: Mapping[str, Any], its: Mapping[str, Any]) -> str:
    """What two lines of one id do not share, for ids may be numbers of rows; one that failed, or of an early run, knows its right answer alone."""
    if line["reference"] != its["reference"]:
        return "right answer"
    failed = "failed" in (line.get("status"), its.get("status"))
    if failed or not {"question", "images"} <= line.keys() & its.keys():
        return ""
    if line["question"] != its["question"]:
        return "question"
    return "picture" if _shown(line, its) != _shown(its, line) else ""


def _shown(line: Mapping[str, Any], beside: Mapping[str, Any]) -> list[str]:
    """A line's pictures, by their content where both lines know it, else by their names."""
    if all(one.get("pictures") and all(one["pictures"]) for one in (line, beside)):
        return list(line["pictures"])
    return [PurePath(path).name for path in line["images"]]


@dataclass(frozen=True, slots=True)
class ReferenceUse:
    """over_reliance, help and copy_reference of `Reliance`, with copied_of_right, accuracy and accuracy_without.

    ``copied_of_right`` is #{a_n = a_r = y} / #{a_r = y}: of the right answers, the share that needed no image. ``copy_reference``
    has all questions below the line and so falls, too, when accuracy does. Rows as `Reliance` makes them.
    """

    name = "reference-use"
    right: Callable[[str, str], bool] = right

    def rows(self, answers: Sequence[tuple[str, str, str | None]], references: Sequence[str]) -> Rows:
        """(n, 3): whether the answers without, with, and with retrieval but another image are right; NaN where there is none."""
        return Reliance(right=self.right).rows(answers, references)

    def totals(self, rows: Rows, weights: Weights) -> dict[str, NDArray[np.float64]]:
        alone, helped, unseen = rows.T
        asked = helped * ~np.isnan(unseen)
        return {
            **Reliance(right=self.right).totals(rows, weights),
            "copied_of_right": ratio(weights @ (asked * np.nan_to_num(unseen)), weights @ asked),
            **means(("accuracy", "accuracy_without"), np.stack([helped, alone], axis=1), weights),
        }
