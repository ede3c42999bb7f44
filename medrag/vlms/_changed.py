"""What changed between two images, from evidence that sets both beside each other: a small model has never seen a pair, and would guess.

The evidence is what the search loop's comparisons say of a findings reader's probabilities ("Pleural effusion is new: …"), one
for each study and the next, in the order of their days; where no images were compared, what the patient's own reports say (_history.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from medrag._util.findings import ASKED, label_of
from medrag._util.manner import plainly
from medrag.prompts import REFUSAL
from medrag.types import Context
from medrag.vlms._ask import parse
from medrag.vlms._evidence import GIVEN, HISTORY, READER
from medrag.vlms._history import course_told

CHANGE = re.compile(  # of a question about the course of something
    r"\b(?:chang\w+|progress\w*|regress\w*|worse\w*|better|improv\w+|increas\w+|decreas\w+|resolv\w+|new|stable|unchanged|"
    r"compar\w+|differen(?:ces?|t|tly)|prior|previous\w*|earlier|since|over time)\b",
    re.IGNORECASE,
)
COURSE = re.compile(  # the same of a question that comes with images of several days
    rf"{CHANGE.pattern}|\b(?:differ|before|cleared|gone|disappeared|appeared|developed|still|persist\w*|same|bigger|larger|smaller|grown|shrunk|second|both)\b",
    re.IGNORECASE,
)
_SAID = re.compile(
    r"(?P<name>[A-Z][\w ,'-]*?) is (?P<word>new|resolved|unchanged|possibly (?:new|resolved|unchanged)|unchanged or (?:new|resolved)|in doubt): "
    r"probability \d\.\d+ in the (?:first|earlier) image, \d\.\d+ in the (?:second|later)"
)
_NEITHER = re.compile(r"In neither image: (?P<names>[^.]*)")
_DOUBT = re.compile(r"In doubt: (?P<names>[^.]*)")
UNCOMPARED = "Nothing compares these images: agent=True (`--agent`) does."
UNTOLD = "These images were compared, but what changed cannot be told"  # begins what says why not, and what helps
ALONE = "One image does not tell how this changed."
_FILMS = r"(?:films?|images?|pictures?|stud(?:y|ies)|scans?|x-?rays?|radiographs?)"
_OPEN = re.compile(  # "on different sides" compares no images
    rf"\b(?:chang\w+|progress\w*|evolution|evolved)\b|\bcompar\w+\b(?=.*\b(?:{_FILMS}|prior|previous|earlier|before|two|both|them|these|last|old|baseline)\b)"
    rf"|\binterval (?:progress|improv|develop|growth|increase|decrease|worsen|resol)\w*|^\W*(?:what|which(?: findings?)?) (?:is|are) new\b|\bhow do (?:the|these) (?:two |both )?{_FILMS} differ\b|^\W*what(?:'s| is| are) (?:the )?differen(?:ces?|t)\W*$|^\W*which (?:one|of (?:them|these|the two)|{_FILMS}) (?:is|looks?|shows?) (?:the )?(?:more |less )?(?:worse|worst|better|best|newer|older|later|earlier|severe|normal|abnormal)\b"
    r"|\bdifferen(?:ces?|t) (?:from|between the (?:two |both )?(?:films|images|pictures|studies|scans|x-?rays|radiographs))\b",
    re.IGNORECASE,
)
_THERE = re.compile(  # changes that a picture shows by itself: degenerative ones, and those that are seen on it
    r"\b(?:kinds?|types?|sorts?) of changes\b|\b(?!(?:interval|temporal|serial|overall|general)\b)(?:\w+(?:ive|ous|ic|al|ar|ary|ed)|bony|disc|tissue|lung|bone) changes?\b"
    r"|\bchanges? (?:is |are |can be |do you )?(?:seen?|visible|shown|present|noted|evident|identified)\b",
    re.IGNORECASE,
)
_TIMES = re.compile(
    r"\b(?:since|prior|previous\w*|earlier|between|compar\w+|over time|from|two|both|last)\b", re.IGNORECASE
)
_BARE = re.compile(  # yes or no, and nothing but a course: "Is it worse?"
    r"^\W*(?:is|are|was|were|has|have|did|does) (?:(?:it|this|that|they|these|he|she|anything|something|(?:the|this) (?:patient|film|image|picture|lesion|finding))|(?P<thing>(?:[\w-]+ ){0,5}?[\w-]+)) "
    r"(?:(?:been|gotten|got|become|becoming|getting|any|significantly|clearly|much|still) )*"
    r"(?:better or worse|worse or better|worse(?:n(?:ed|ing))?|better|improv(?:ed|ing)|changed|changing|resolved|resolving|progress(?:ed|ing)|bigger|smaller|larger|unchanged|stable|new|cleared|gone"
    r"|(?<=\bhas )(?:increased|decreased)|(?:increased|decreased)(?= in size| since))"
    r"(?: (?:in size|now|yet|since|from|than (?=before|last|previously|(?:on |in )?(?:the )?(?:last|previous|prior|earlier|old))|compared)\b[^?.;]*)?\W*$|^\W*(?:(?:(?:is|are|was|were) there|has there been) (?:any |an? )?|any )(?:interval )?(?:change|improvement|worsening|progress(?:ion)?)(?: (?:since|from|compared)\b[^?.;]*)?\W*$",
    re.IGNORECASE,
)
_DID = re.compile(
    r"^\W*did (?:it|this|they|(?:the )?(?:[\w-]+ ){0,3}[\w-]+) (?:(?:get|become) (?:any )?(?:worse|better|bigger|smaller|larger)|resolve|improve|progress|worsen|change|clear)(?: (?:since|from|compared)\b[^?.;]*)?\W*$",
    re.IGNORECASE,
)
_GONE = re.compile(
    rf"{COURSE.pattern}|\b(?:when|history|past|old|grow\w*)\b", re.IGNORECASE
)  # how it went by the reports
_CLOSED = (  # how a finding's course is asked about, and the verdicts of which that is true
    (re.compile(r"\b(?:unchanged|stable|same)\b", re.IGNORECASE), ("unchanged", "")),
    (re.compile(r"\b(?:new|appeared|developed)\b", re.IGNORECASE), ("new",)),
    (re.compile(r"\b(?:resolved|gone|disappeared|cleared)\b", re.IGNORECASE), ("resolved",)),
    (re.compile(r"\b(?:still|persist\w*)\b", re.IGNORECASE), ("unchanged",)),
    (re.compile(r"\b(?:chang\w+|differen\w+)\b", re.IGNORECASE), ("new", "resolved")),
)


class _Compared(NamedTuple):
    """One piece of evidence that compares: its key, which images it is of, the sentence of each finding, and what is left open."""

    key: str
    which: str
    said: dict[str, re.Match[str]]
    neither: tuple[str, ...]
    doubt: tuple[str, ...]  # too faint to tell


def asks_change(question: str) -> bool:
    """Whether it asks, openly, what differs from another image.

    >>> [asks_change(text) for text in ("What has changed?", "What degenerative changes are there?", "What changes are seen since the prior film?")]
    [True, False, True]
    """
    course = question if _TIMES.search(question) else _THERE.sub("", question)
    return parse(question).sort == "open" and bool(_OPEN.search(course))


def asks_course(question: str) -> bool:
    """Whether it asks, yes or no, for nothing but a course, which no single picture shows.

    >>> [asks_course(text) for text in ("Is it worse?", "Has the effusion resolved?", "Is there a new nodule?", "Is the heart enlarged?")]
    [True, True, False, False]
    """
    asked = plainly(question)
    if _DID.match(asked):
        return True
    found = _BARE.match(asked) if parse(question).sort == "closed" else None
    steady = found and re.search(
        r"\b(?:fracture|spine)\b.*\bstable\b", asked, re.IGNORECASE
    )  # of bones it is no course
    return bool(found and not steady and (found["thing"] is None or label_of(found["thing"])))


def change_told(question: str, context: Context) -> str:
    """The answer by the evidence that compares the images, with its keys; empty where there is none, and for what it says nothing of, as a size."""
    compared = _compared(context)
    if not compared and any(hit.retriever == HISTORY for _, hit in context):
        return _by_reports(question, context)
    if compared and asks_change(question):
        return " ".join(_course(one, len(compared) > 1) for one in compared)
    label, kind = label_of(question), next((right for asked, right in _CLOSED if asked.search(question)), None)
    if not label or kind is None or parse(question).sort != "closed":
        return ""
    name = re.sub(r"^an? ", "", ASKED[label][0]) if label in ASKED else ""
    told = [(one, text) for one in compared if (text := _of(one, name))]
    if not told:
        return ""
    sentences = [f"{_before(one, len(compared) > 1)}{text} [{one.key}]." for one, text in told]
    last = told[-1][0]  # of several, what is asked is how the latest differs from the one before
    return " ".join([f"{_verdict(last, name, kind)} [{last.key}].", *sentences])


def _by_reports(question: str, context: Context) -> str:
    """How what is asked about went, by the patient's reports; empty where no course is asked for."""
    bare = _BARE.match(plainly(question))
    openly = asks_change(question) or bool(bare and (bare["thing"] or "anything") in ("anything", "something"))
    return course_told(question, context, COURSE.sub(" ", question), openly) if openly or _GONE.search(question) else ""


def told_or_refused(question: str, context: Context) -> str:
    """`change_told`; the refusal, with its reason, where what changed is asked of several images that nothing compares, or that the comparison cannot
    tell, or a course of a picture of whose past nothing is known."""
    if told := change_told(question, context):
        return told
    several = len(context.query.images) > 1
    untold = next(
        (hit.item.text for hit in context.kept if hit.retriever == READER and hit.item.text.startswith(UNTOLD)), ""
    )
    if several and untold and (asks_change(question) or asks_course(question)):
        return f"{untold} {REFUSAL}"
    known = any(hit.retriever in GIVEN for hit in context.kept)
    if several and (asks_change(question) or (asks_course(question) and not known)):
        return f"{UNCOMPARED} {REFUSAL}"
    return f"{ALONE} {REFUSAL}" if asks_course(question) and not known else ""


def _compared(context: Context) -> list[_Compared]:
    rows = []
    for key, hit in context:
        text = hit.item.text if hit.retriever == READER else ""
        said = {one["name"].lower(): one for one in _SAID.finditer(text)}
        neither, doubt = (_names(pattern.search(text)) for pattern in (_NEITHER, _DOUBT))
        if said or neither or doubt:
            which = str(getattr(hit.item, "title", "")).partition(" (")[0]
            rows.append(_Compared(key, which, said, neither, doubt))
    return rows


def _names(found: re.Match[str] | None) -> tuple[str, ...]:
    return tuple(found["names"].split(", ")) if found else ()


def _before(one: _Compared, several: bool) -> str:
    """Which images a sentence is of, where there are more than two."""
    return f"{one.which}: " if several and one.which else ""


def _course(one: _Compared, several: bool) -> str:
    """Everything that one comparison says."""
    told = [f"{match[0]} [{one.key}]." for match in one.said.values()]
    if one.doubt and not told:
        told = [f"No finding clearly comes or goes [{one.key}]."]
    told += [f"{_left_open(one.doubt)} [{one.key}]."] if one.doubt else []
    return _before(one, several) + (" ".join(told) or f"No finding comes or goes [{one.key}].")


def _left_open(names: Sequence[str]) -> str:
    """Two are named; of more a list says less than their number."""
    return f"In doubt: {', '.join(names)}" if len(names) < 3 else f"{len(names)} other findings are too faint to tell"


def _of(one: _Compared, name: str) -> str:
    """What a comparison says of a finding; empty where it does not speak of it."""
    if name in one.said:
        return one.said[name][0]
    if name in one.doubt:
        return f"In doubt: {name}"
    return f"In neither image: {name}" if name in one.neither else ""


def _verdict(one: _Compared, name: str, kind: tuple[str, ...]) -> str:
    """Yes or No, and that it is in doubt where it is."""
    word = one.said[name]["word"] if name in one.said else "in doubt" if name in one.doubt else ""
    leaning = word.removeprefix("possibly ").partition(" or ")[0]
    if leaning == "in doubt":
        return "That is in doubt"
    return f"{'Yes' if leaning in kind else 'No'}{', but in doubt' if leaning != word else ''}"
