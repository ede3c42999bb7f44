"""FHIR R4 DiagnosticReport resources to studies: one resource, a Bundle, or NDJSON; a file or a folder.

``conclusion`` is the impression; the text of ``presentedForm`` (else the narrative) is split by its headings.
Resources of other types are passed over, withdrawn reports reported. Nothing is fetched: an attachment with a url only has no text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

from medrag.corpora import _files as files
from medrag.corpora._report_parts import decoded, json_lines, sections_of, tell_silent
from medrag.errors import BadRecord
from medrag.protocols import Report
from medrag.types import Item, Study

_SUFFIXES = (".json", ".ndjson", ".jsonl")
_WITHDRAWN = ("entered-in-error", "cancelled")  # statuses of reports that say nothing of a patient


@dataclass(frozen=True, slots=True)
class FhirReports:
    """DiagnosticReports (https://hl7.org/fhir/R4/diagnosticreport.html); ``domain`` is that of all of them."""

    name: str
    path: Path
    domain: str = "other"
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
        if file.suffix != ".json":
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
        """The DiagnosticReports of a resource, a Bundle or a list."""
        if isinstance(raw, dict) and raw.get("resourceType") == "Bundle":
            entries = raw.get("entry")
            raw = [e.get("resource") for e in entries if isinstance(e, dict)] if isinstance(entries, list) else []
        for one in raw if isinstance(raw, list) else [raw]:
            if not isinstance(one, dict) or not isinstance(one.get("resourceType"), str):
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
            patient = str(subject.get("reference") or "").removeprefix("Patient/")
        except (AttributeError, TypeError) as error:
            raise BadRecord(
                f"{where} ({identity})", "its fields do not have FHIR's shapes", "validate the resource"
            ) from error
        if not sections:
            raise BadRecord(
                f"{where} ({identity})", "the DiagnosticReport holds no text", "give conclusion or presentedForm.data"
            )
        meta = {"code": code, "status": resource.get("status"), "license": self.license}
        return Study(
            id=f"{self.name}:{files.safe_id(identity)}",
            sections=sections,
            labels=labels,
            patient=patient,
            date=str(date),
            domain=self.domain,
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
            sections["impression"] = conclusion
        return {name: " ".join(body.split()) for name, body in sections.items()}


def _attachment(form: dict[str, Any], where: str) -> str:
    """The words of a text attachment; "" for other types (a PDF belongs into a PDF corpus)."""
    kind = str(form.get("contentType") or "text/plain").partition(";")[0]
    if kind not in ("text/plain", "text/html", "text/markdown") or not form.get("data"):
        return ""
    text = decoded(str(form["data"]), where).decode("utf-8", "replace")
    return _stripped(text) if kind == "text/html" else text


def _stripped(html: str) -> str:
    """XHTML narrative without its tags."""
    lines = re.sub(r"(?i)<(?:br|/p|/div|/tr|/li|/h\d)[^>]*>", "\n", html)
    return unescape(re.sub(r"<[^>]+>", " ", lines)).strip()


def _concept(concept: dict[str, Any]) -> str:
    """The words of a CodeableConcept."""
    codings = concept.get("coding") or [{}]
    return str(concept.get("text") or codings[0].get("display") or codings[0].get("code") or "")
