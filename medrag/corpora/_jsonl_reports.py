"""Reports as JSON lines, one study a line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medrag._util.files import sha256_text
from medrag._util.places import expand
from medrag.corpora import _files as files
from medrag.corpora._report_parts import (
    SECTIONS,
    clean,
    json_lines,
    readable,
    section_name,
    sections_of,
    strings,
    tell_silent,
)
from medrag.errors import BadRecord
from medrag.protocols import Report
from medrag.types import ImageRecord, Item, Study


@dataclass(frozen=True, slots=True)
class JsonlReports:
    """One study a line: ``id``, ``sections`` of any names (or ``findings``, ``impression`` … or one ``text``), ``images``
    (file names), ``labels``, ``patient``, ``date`` (ISO 8601), ``domain``. A file or a folder of .jsonl."""

    name: str
    path: Path
    images: str = ""
    domain: str = "other"
    encoding: str = "utf-8"
    license: str = ""

    def signature(self) -> str:
        found = files.discover(self.path, (".jsonl", ".ndjson"))
        pictures = {Path(image.source) for _, images in self._studies(lambda _: None) for image in images}
        return sha256_text("3", files.signature_of(self, [*found, *sorted(pictures)]))  # raised when it reads otherwise

    def read(self, report: Report) -> Iterator[Item]:
        """Each study, followed by its images; one that cannot be read is reported and no image of the study."""
        for study, images in self._studies(report):
            kept = [image for image in images if readable(image, report)]
            meta = clean({**study.meta, "paths": [image.source for image in kept]})
            yield replace(study, images=tuple(image.id for image in kept), meta=meta)
            yield from kept

    def _studies(self, report: Report) -> Iterator[tuple[Study, list[ImageRecord]]]:
        """Each study with the images that it names."""
        seen: set[str] = set()
        for file in files.discover(self.path, (".jsonl", ".ndjson")):
            for where, raw in json_lines(self.path, file, self.encoding, report):
                try:
                    study, images = self._study(where, raw, file)
                    if study.id in seen:
                        raise BadRecord(where, f"the study {study.id} comes a second time", "mend or remove the line")
                except BadRecord as error:
                    report(error)
                    continue
                seen.add(study.id)
                if isinstance(raw.get("text"), str) and not raw.get("sections"):
                    tell_silent(where, study.sections, report)
                yield study, images

    def _study(self, where: str, raw: Any, file: Path) -> tuple[Study, list[ImageRecord]]:
        if not isinstance(raw, dict):
            raise BadRecord(where, "is not a JSON object", "write one object with an id and its sections a line")
        if raw.get("id") is None or not str(raw["id"]).strip():
            raise BadRecord(where, "has no id", "give each study its own id")
        given = raw.get("sections") or {name: raw[name] for name in SECTIONS if raw.get(name)}
        if not given and isinstance(raw.get("text"), str):
            given = sections_of(raw["text"])
        if not isinstance(given, dict) or not all(isinstance(text, str) for text in given.values()):
            raise BadRecord(where, "its sections are not text by name", 'write "sections": {"findings": "…"}')
        names, labels = (strings(raw.get(key), where, key) for key in ("images", "labels"))
        if not given and not names:
            raise BadRecord(where, "has neither text nor images", "give sections, text or images")
        identity = f"{self.name}:{files.safe_id(str(raw['id']))}"
        domain = str(raw.get("domain") or self.domain)
        folder = expand(self.images, file.parent) if self.images else file.parent
        images = [ImageRecord(f"{identity}#{files.safe_id(n)}", identity, "", str(folder / n), domain) for n in names]
        study = Study(
            id=identity,
            sections=_sections(given),
            images=tuple(image.id for image in images),
            labels=labels,
            patient=str(raw.get("patient") or ""),
            date=str(raw.get("date") or ""),
            domain=domain,
            source=str(file),
            meta=clean({"paths": [image.source for image in images], "license": self.license}),
        )
        return study, images


def _sections(given: Mapping[str, str]) -> dict[str, str]:
    """Sections by medrag's names for them; two of one name are joined."""
    found: dict[str, str] = {}
    for name, text in given.items():
        if text := " ".join(text.split()):
            known = section_name(str(name))
            found[known] = f"{found[known]} {text}" if known in found else text
    return found
