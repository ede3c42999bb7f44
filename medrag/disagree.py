"""Whether the reports among the evidence say the opposite of each other about the finding that is asked about: told with the answer, decided by nobody here.

Rules over words, those of the extractive answerer: a closed question's finding, and what each report says of it. A textbook takes no side, and what
one patient's reports say on one day and another is a course, no disagreement.
"""

from __future__ import annotations

from medrag.types import Context
from medrag.vlms._ask import parse
from medrag.vlms._evidence import HISTORY, collect, is_report
from medrag.vlms._stance import stance


def disagreement(context: Context) -> str:
    """Which evidence affirms what other evidence denies; empty where none does."""
    ask = parse(context.query.text)
    if ask.sort != "closed" or not ask.finding:
        return ""
    views: dict[str, set[str]] = {"present": set(), "absent": set()}
    for sentence in collect(context):
        view = stance(ask, sentence.text) if is_report(sentence.hit) and sentence.hit.retriever != HISTORY else None
        if view in views:
            views[view].add(sentence.key)
    pro, contra = (sorted(views[view] - views[other], key=_number) for view, other in (("present", "absent"), ("absent", "present")))  # fmt: skip
    return f"the evidence disagrees: {', '.join(pro)} for it, {', '.join(contra)} against it" if pro and contra else ""


def _number(key: str) -> int:
    return int(key[1:])
