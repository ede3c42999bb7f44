"""Open-i chest X-ray reports: XML, one a study. Images are not part of the collection that is read here."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from medrag._util.bombs import Member, unpacked
from medrag._util.images import one_line
from medrag.corpora import _files as files
from medrag.corpora._report_parts import bare_uid, clean, parse_xml, text_of
from medrag.errors import BadRecord, CorpusError
from medrag.protocols import Report
from medrag.types import Item, Study


@dataclass(frozen=True, slots=True)
class OpenIReports:
    """Open-i chest X-ray reports (Demner-Fushman et al., JAMIA 2016): a folder of XML, one XML, or the .tgz itself.

    ``uids`` names a list (text, one a line, or JSON) of the studies that may come out, as ``1000`` or ``CXR1000``.
    The archive is streamed, in its own order; a folder is read in the order of its numbers.
    """

    name: str
    path: Path
    uids: str = ""
    domain: str = "chest-xray"
    license: str = ""

    _LIMIT: ClassVar[int] = 4_000_000  # bytes of one report; real ones have about 6,000

    def signature(self) -> str:
        listed = [files.option_path(self.uids, self.path)] if self.uids else []
        return files.signature_of(self, [*files.discover(self.path, (".xml",)), *listed])

    def read(self, report: Report) -> Iterator[Item]:
        """Studies with their sections, MeSH headings as labels, and the ids of their images."""
        wanted = None
        if self.uids:
            wanted = {bare_uid(one) for one in files.read_ids(files.option_path(self.uids, self.path))}
        seen: set[str] = set()
        for where, raw in self._documents(report):
            try:
                study = self._study(where, raw)
            except BadRecord as error:
                report(files.whole(self.path, Path(where), error))
                continue
            if wanted is not None and str(study.meta["uid"]) not in wanted:
                continue
            if study.id in seen:
                report(BadRecord(where, f"the study {study.id} comes a second time", "remove one of the two"))
                continue
            seen.add(study.id)
            yield study

    def _documents(self, report: Report) -> Iterator[tuple[str, bytes]]:
        """(where, XML) of each report."""
        if self.path.is_file() and self.path.suffix != ".xml":
            yield from self._archive(report)
            return
        for file in files.discover(self.path, (".xml",)):
            try:
                yield str(file), file.read_bytes()
            except OSError as error:
                report(files.whole(self.path, file, files.os_problem(file, error)))

    def _archive(self, report: Report) -> Iterator[tuple[str, bytes]]:
        """The XML members of the archive as they stream by."""
        try:
            with unpacked(self.path) as stream, tarfile.open(fileobj=stream, mode="r|", tarinfo=Member) as bundle:
                for member in bundle:
                    if not member.isfile() or not member.name.endswith(".xml"):
                        continue
                    where = f"{self.path}:{member.name}"
                    if member.size > self._LIMIT:
                        report(BadRecord(where, f"has {member.size:,} bytes, which is no report", "remove it"))
                    elif handle := bundle.extractfile(member):
                        yield where, handle.read()
                while stream.read(1 << 20):  # to the end: only there a cut or changed archive shows
                    pass
        except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
            raise CorpusError(f"{self.path}: is a damaged archive: {one_line(error)}", "fetch it again") from error

    def _study(self, where: str, raw: bytes) -> Study:
        """One report. Raises BadRecord."""
        root = parse_xml(raw, where)
        node = root.find("uId")
        uid = bare_uid(node.get("id", "") if node is not None else "")
        if not uid:
            raise BadRecord(where, "names no uId, so it is no Open-i report", "remove it, or check the reader")
        sections: dict[str, str] = {}
        for part in root.iter("AbstractText"):
            name, text = part.get("Label", "").lower(), " ".join("".join(part.itertext()).split())
            if name and text:
                sections[name] = f"{sections[name]} {text}" if name in sections else text
        identity = f"{self.name}:CXR{uid}"
        automatic = sorted({text_of(node) for node in root.iter("automatic")} - {""})
        return Study(
            id=identity,
            sections=sections,
            images=tuple(f"{identity}#{files.safe_id(node.get('id', ''))}" for node in root.iter("parentImage")),
            labels=tuple(dict.fromkeys(filter(None, (text_of(node) for node in root.iter("major"))))),
            domain=self.domain,
            source=where,
            meta=clean(
                {"uid": uid, "mesh_automatic": automatic, "license": self.license or root.findtext("licenseURL")}
            ),
        )
