"""What the readers of reports share: sections by their headings, XML, JSON lines, small checks."""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from medrag._util.images import check_image, one_line
from medrag.corpora import _files as files
from medrag.errors import BadRecord
from medrag.protocols import Report
from medrag.types import ImageRecord

SECTIONS = ("comparison", "indication", "findings", "impression")
SILENT = ("indication", "comparison", "technique")  # what is asked and how it was taken: no evidence of what is seen
_HEADING = re.compile(  # at the start of a line, after a sentence, or in capitals where none went before: "cough FINDINGS: …"
    r"(?m)(?:^[ \t]*|(?<=[.!?])[ \t]+|(?<=[a-z0-9)])[ \t]+(?=[A-Z][A-Z ]*:))"
    r"((?i:findings?|impressions?|conclusions?|indications?|clinical (?:history|indication|information)|history|comparisons?|technique"
    r"|reason for (?:the )?(?:exam|examination|study|test)))\s*:"
)
_ENDS = re.compile(r"\n[ \t]*(?=[A-Z][A-Z /]{2,}:)|(?<=\S)[ \t]*\n[ \t]*\n")  # a heading of another name, an empty line
_SAME = {"conclusion": "impression", "history": "indication", "clinical history": "indication",
         "clinical indication": "indication", "clinical information": "indication"}  # fmt: skip


def sections_of(text: str) -> dict[str, str]:
    """A report in one text, by its headings ("FINDINGS: …"); all of it as findings where it has none.

    What follows an indication, comparison or technique after an empty line or under a heading of another name is findings.
    """
    first, *parts = _HEADING.split("\n".join(text.splitlines()))
    sections: dict[str, list[str]] = {"findings": [first]}
    for heading, body in zip(parts[::2], parts[1::2], strict=True):
        name, end = section_name(heading), None
        if name in SILENT and (end := _ENDS.search(body)):
            sections["findings"].append(body[end.end() :])
        sections.setdefault(name, []).append(body[: end.start()] if end else body)
    joined = {name: "\n".join(filter(None, map(str.strip, bodies))) for name, bodies in sections.items()}
    return {name: body for name, body in joined.items() if body}


def tell_silent(where: str, sections: Collection[str], report: Report) -> None:
    """Reports a text that was divided into sections of which none says what is seen."""
    if sections and all(name in SILENT for name in sections):
        problem = f"no findings and no impression are found in its text, only {', '.join(sections)}"
        report(BadRecord(where, problem, "begin what is seen with a line FINDINGS: or IMPRESSION:"))


def section_name(heading: str) -> str:
    """What medrag calls a section of a report: "Conclusions" is the impression; one that it does not know keeps its name."""
    name = " ".join(heading.lower().split())
    one = name.removesuffix("s")
    if one.startswith("reason for "):
        return "indication"
    return "findings" if one == "finding" else _SAME.get(one, one if one in (*SECTIONS, *SILENT) else name)


def json_lines(root: Path, file: Path, encoding: str, report: Report) -> Iterator[tuple[str, Any]]:
    """(where, value) of each line that is JSON; the others, those of another encoding and those with NUL bytes are reported."""
    try:
        text = files.read_text(file, encoding, by_line=True)
    except BadRecord as error:
        report(files.whole(root, file, error))
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if files.undecoded([line]):
            report(BadRecord(f"{file}:{number}", f"the line is not {encoding} text", files.ENCODING_HINT))
        elif "\0" in line:
            report(BadRecord(f"{file}:{number}", "the line holds NUL bytes", "mend or remove the line"))
        elif line.strip():
            try:
                yield f"{file}:{number}", files.load_json(line, f"{file}:{number}")
            except BadRecord as error:
                report(error)


def parse_xml(raw: bytes, where: str) -> Any:
    """The root of an XML document, entity bombs refused. Raises BadRecord."""
    from defusedxml import ElementTree
    from defusedxml.common import DefusedXmlException

    if not raw.strip():
        raise BadRecord(where, "is empty", "fetch the file again")
    try:
        return ElementTree.fromstring(raw)
    except DefusedXmlException as error:
        raise BadRecord(where, "declares entities, which are refused", "remove its DOCTYPE") from error
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise BadRecord(
            where, f"is not well-formed XML: {one_line(error)}", "mend the file or fetch it again"
        ) from error


def decoded(data: str, where: str) -> bytes:
    """Base64 as bytes. Raises BadRecord."""
    try:
        return base64.b64decode(data, validate=False)
    except ValueError as error:
        raise BadRecord(where, "its attachment is not base64", "mend the record") from error


def readable(image: ImageRecord, report: Report) -> bool:
    """Whether the file of an image can be read; reported where not."""
    try:
        check_image(Path(image.source))
    except BadRecord as error:
        report(error)
        return False
    return True


def bare_uid(text: str) -> str:
    """A study's number without the CXR before it."""
    return text.strip().removeprefix("CXR")


def text_of(node: Any) -> str:
    """The text of an XML node with single spaces; empty where there is none."""
    return " ".join((node.text or "").split())


def strings(value: Any, where: str, key: str) -> tuple[str, ...]:
    """A list of strings. Raises BadRecord."""
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise BadRecord(where, f"its {key} are not a list of strings", f'write "{key}": ["…"]')
    return tuple(value)


def clean(meta: dict[str, Any]) -> dict[str, Any]:
    """Meta without empty values."""
    return {key: value for key, value in meta.items() if value not in ("", None, [], {})}
