"""FHIR R4 DiagnosticReport resources to studies: one resource, Bundles, or NDJSON; a file or a folder.

``conclusion`` belongs to the impression; the text of ``presentedForm`` (else the narrative) is split by its headings.
Resources of other types are passed over, withdrawn reports reported. Nothing is fetched: an attachment with a url only has no text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

from medrag._util.text import sentences
from medrag.corpora import _files as files
from medrag.corpora._report_parts import decoded, json_lines, sections_of, tell_silent
from medrag.errors import BadRecord
from medrag.protocols import Report
from medrag.types import Item, Study

_SUFFIXES = (".json", ".ndjson", ".jsonl")
_PATIENT = re.compile(r"^(?:.*/)?Patient/([^/]+)(?:/_history/[^/]*)?$")  # relative, absolute, of one version
_UID = re.compile(r"(?:urn:oid:)?(\d+(?:\.\d+){2,})$")
_DOMAINS = (  # of what a report's code and category say; the first that fits
    ("ct", re.compile(r"\b(?:CTA?|computed tomography)\b", re.IGNORECASE)),
    ("mr", re.compile(r"\b(?:MRI?|MRA|NMR|magnetic resonance)\b", re.IGNORECASE)),
    ("ultrasound", re.compile(r"\b(?:R?US|ultra-?sound|ultrasonography|sonogra\w+|echocardiogra\w+)\b", re.IGNORECASE)),
    ("chest-xray", re.compile(
        r"(?=.*\b(?:chest|thorax|lungs?|ribs?)\b).*\b(?:XR|CXR|CR|DX|x-?rays?|radiograph\w*|plain films?|views?|PA|AP|lateral|portable)\b"
        r"|\bCXR\b", re.IGNORECASE | re.DOTALL)),
)  # fmt: skip
_WITHDRAWN = ("entered-in-error", "cancelled")  # statuses of reports that say nothing of a patient


@dataclass(frozen=True, slots=True)
class FhirReports:
    """DiagnosticReports (https://hl7.org/fhir/R4/diagnosticreport.html); ``domain`` overrides what their codes and categories say."""

    name: str
    path: Path
    domain: str = ""
    license: str = ""

    def signature(self) -> str:
        return files.signature_of(self, files.discover(self.path, _SUFFIXES))

    def read(self, report: Report) -> Iterator[Item]:
        """A study for each DiagnosticReport that holds text."""
        seen: set[str] = set()
        for file in files.discover(self.path, _SUFFIXES):
            for where, resource in self._resources(file, report):
                try:
                    study = self._study(where, resource, file)
                    if study.id in seen:
                        raise BadRecord(where, f"the report {study.id} comes a second time", "remove one of the two")
                except BadRecord as error:
                    report(error)
                    continue
                seen.add(study.id)
                tell_silent(where, study.sections, report)
                yield study

    def _resources(self, file: Path, report: Report) -> Iterator[tuple[str, dict[str, Any]]]:
        """(where, resource) of every DiagnosticReport of a file."""
        if file.suffix.lower() != ".json":
            for where, raw in json_lines(self.path, file, "utf-8", report):
                yield from self._reports(where, raw, report)
            return
        try:
            raw = files.load_json(files.read_text(file, "utf-8"), str(file))
        except BadRecord as error:
            report(files.whole(self.path, file, error))
            return
        yield from self._reports(str(file), raw, report)

    def _reports(self, where: str, raw: Any, report: Report) -> Iterator[tuple[str, dict[str, Any]]]:
        """The DiagnosticReports of a resource, a Bundle or a list, and of those inside them."""
        left = [raw]
        while left:
            one = left.pop()
            if isinstance(one, dict) and one.get("resourceType") == "Bundle":
                entries = one.get("entry")
                one = [e.get("resource") for e in entries if isinstance(e, dict)] if isinstance(entries, list) else []
            if isinstance(one, list):
                left += reversed(one)
            elif not isinstance(one, dict) or not isinstance(one.get("resourceType"), str):
                report(BadRecord(where, "is no FHIR resource", "give DiagnosticReports, a Bundle or NDJSON"))
            elif one["resourceType"] == "DiagnosticReport":
                yield where, one

    def _study(self, where: str, resource: dict[str, Any], file: Path) -> Study:
        """One report. Raises BadRecord."""
        identity = str(resource.get("id") or "")
        if not identity:
            raise BadRecord(where, "a DiagnosticReport has no id", "give each resource its id")
        if resource.get("status") in _WITHDRAWN:
            raise BadRecord(
                f"{where} ({identity})", f"the report is marked {resource['status']!r}", "leave withdrawn reports out"
            )
        try:
            sections = self._sections(resource, where)
            period, subject = resource.get("effectivePeriod") or {}, resource.get("subject") or {}
            date = resource.get("effectiveDateTime") or period.get("start") or resource.get("issued") or ""
            labels = tuple(filter(None, map(_concept, resource.get("conclusionCode") or [])))
            code = _concept(resource.get("code") or {})
            domain = self.domain or domain_of([resource.get("code") or {}, *_several(resource.get("category"))])
            numbers = {"accession": _accession(resource), "study_uid": _study_uid(resource)}
            patient = _PATIENT.sub(r"\1", str(subject.get("reference") or ""))
        except (AttributeError, TypeError) as error:
            raise BadRecord(
                f"{where} ({identity})", "its fields do not have FHIR's shapes", "validate the resource"
            ) from error
        if not sections:
            raise BadRecord(
                f"{where} ({identity})", "the DiagnosticReport holds no text", "give conclusion or presentedForm.data"
            )
        meta = {"code": code, "status": resource.get("status"), "license": self.license, **numbers}
        return Study(
            id=f"{self.name}:{files.safe_id(identity)}",
            sections=sections,
            labels=labels,
            patient=patient,
            date=str(date),
            domain=domain,
            source=str(file),
            meta={key: value for key, value in meta.items() if value},
        )

    def _sections(self, resource: dict[str, Any], where: str) -> dict[str, str]:
        """The report's text by section."""
        texts = [_attachment(form, where) for form in resource.get("presentedForm") or []]
        text = "\n".join(filter(None, texts)) or _stripped(str((resource.get("text") or {}).get("div") or ""))
        conclusion = str(resource.get("conclusion") or "").strip()
        sections = sections_of(text)
        if conclusion:
            if " ".join(sections.get("findings", "").split()) == " ".join(conclusion.split()):
                del sections["findings"]
            sections["impression"] = _joined(conclusion, sections.get("impression", ""))
        return {name: " ".join(body.split()) for name, body in sections.items()}


def domain_of(concepts: list[dict[str, Any]]) -> str:
    """medrag's domain of a report by the words and codes of its code and category; "other", which is used with every picture, where they do not tell.

    >>> domain_of([{"text": "XR Chest 2 Views"}]), domain_of([{"text": "CT chest"}]), domain_of([{"text": "Progress note"}])
    ('chest-xray', 'ct', 'other')
    """
    said = "\n".join(_every_word(concept) for concept in concepts)
    return next((domain for domain, pattern in _DOMAINS if pattern.search(said)), "other")


def _every_word(concept: dict[str, Any]) -> str:
    """Text, displays and codes of a CodeableConcept."""
    codings = [str(coding.get(name) or "") for coding in concept.get("coding") or [] for name in ("display", "code")]
    return " ".join([str(concept.get("text") or ""), *codings])


def _several(value: Any) -> list[Any]:
    """A list as it is, one of a kind as a list (FHIR before R4 has some so), nothing as an empty one."""
    return value if isinstance(value, list) else [value] if value else []


def _accession(resource: dict[str, Any]) -> str:
    """The accession number among its own identifiers, or of what it was ordered by."""
    based = [one.get("identifier") for one in _several(resource.get("basedOn"))]
    for one in filter(None, [*_several(resource.get("identifier")), *based]):
        said = _every_word(one.get("type") or {})
        if "ACSN" in said.split() or "accession" in said.lower():
            return str(one.get("value") or "").strip()
    return ""


def _study_uid(resource: dict[str, Any]) -> str:
    """The DICOM UID of the imaging study that it reports, by the identifier or the id of what it refers to."""
    for one in [*_several(resource.get("imagingStudy")), *_several(resource.get("study"))]:
        named = (
            str((one.get("identifier") or {}).get("value") or ""),
            str(one.get("reference") or "").rpartition("/")[2],
        )
        for found in filter(None, map(_UID.match, named)):
            return found[1]
    return ""


def _joined(first: str, second: str) -> str:
    """Two texts as one; where every sentence of one stands in the other, the other."""
    said, other = ({sentence.rstrip(".").lower() for sentence in sentences(text)} for text in (first, second))
    if said <= other or other <= said:
        return second if said < other else first
    return f"{first}{'' if first.endswith(('.', '!', '?', ':', ';')) else '.'} {second}"


def _attachment(form: dict[str, Any], where: str) -> str:
    """The words of a text attachment; "" for other types (a PDF belongs into a PDF corpus)."""
    kind, _, parameters = str(form.get("contentType") or "text/plain").lower().partition(";")
    if (kind := kind.strip()) not in ("text/plain", "text/html", "text/markdown") or not form.get("data"):
        return ""
    named = re.search(r"charset\s*=\s*[\"']?([^\s\"';]+)", parameters)
    charset = named[1] if named else "utf-8"
    try:
        text = decoded(str(form["data"]), where).decode(charset, "replace")
    except (LookupError, UnicodeError) as error:
        raise BadRecord(where, f"its attachment names the charset {charset!r}", "store it as UTF-8") from error
    return _stripped(text) if kind == "text/html" else text


def _stripped(html: str) -> str:
    """The words of HTML, without its tags and what no reader of the page sees."""
    seen = re.sub(r"(?is)<!--.*?(?:-->|\Z)|<(style|script|title)\b.*?(?:</\1\s*>|\Z)", " ", html)
    lines = re.sub(r"(?i)<(?:br|/p|/div|/tr|/li|/h\d)[^>]*>", "\n", seen)
    return unescape(re.sub(r"<[^>]+>", " ", lines)).strip()


def _concept(concept: dict[str, Any]) -> str:
    """The words of a CodeableConcept."""
    codings = concept.get("coding") or [{}]
    return str(concept.get("text") or codings[0].get("display") or codings[0].get("code") or "")
