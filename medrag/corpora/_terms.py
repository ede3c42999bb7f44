"""What every ontology reader shares: the term, identifiers as CURIEs, the cut below chosen roots, and the way to items.

A `Term` is a row under construction. Its identifier is a CURIE (``HP:0002202``); items get the corpus name in front
(``hpo:HP:0002202``), while the ends of a `Triple` stay CURIEs, so that one corpus can speak of the terms of another.
Nothing here knows a file format or the graph that is built from the items.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from medrag._util.bombs import unpacked
from medrag._util.files import sha256_text
from medrag.errors import BadRecord, CorpusError
from medrag.protocols import Report
from medrag.types import Concept, Triple

CUI = re.compile(r"C\d{7}")
BROKEN_ARCHIVE = (EOFError, gzip.BadGzipFile, zlib.error)

_PREFIX = {
    "UMLS_CUI": "UMLS", "SCTID": "SNOMEDCT_US", "SNOMED_CT": "SNOMEDCT_US", "SNOMEDCT": "SNOMEDCT_US", "MSH": "MESH",
    "NCI": "NCIT", "ORDO": "Orphanet", "ORPHA": "Orphanet", "ORPHANET": "Orphanet", "MEDDRA": "MedDRA", "ICD-10": "ICD10",
    "ICD-9": "ICD9", "ICD-O": "ICDO", "MIM": "OMIM", "HPO": "HP", "HGNC_ID": "HGNC",
}  # fmt: skip
# statements about how an ontology is kept, or that deny what their name says
SKIPPED_RELATIONS = frozenset(
    {"excluded_subClassOf", "seeAlso", "should_conform_to", "never_in_taxon", "subPropertyOf", "inverseOf"}
)


@dataclass(slots=True)
class Term:
    """One term while its file is read; ``relations`` are (name, CURIE of the other end)."""

    id: str
    name: str
    synonyms: list[str] = field(default_factory=list)
    xrefs: list[str] = field(default_factory=list)
    definition: str = ""
    types: list[str] = field(default_factory=list)
    relations: list[tuple[str, str]] = field(default_factory=list)
    meta: dict[str, Any] = field(default_factory=dict)


def add_term(terms: dict[str, Term], term: Term, where: str, report: Report) -> None:
    """Adds a term; one whose id came before adds to the first, as OBO has it. Another name is reported and kept as a synonym."""
    first = terms.setdefault(term.id, term)
    if first is term:
        return
    if term.name not in ("", first.name):
        report(
            BadRecord(
                where, f"{term.id} comes again under another name; {first.name!r} is kept, {term.name!r} is a synonym"
            )
        )
        first.synonyms.append(term.name)
    first.definition = first.definition or term.definition
    for name in ("synonyms", "xrefs", "types", "relations"):
        getattr(first, name).extend(getattr(term, name))
    first.meta |= (
        {"alt_ids": [*first.meta.get("alt_ids", ()), *term.meta["alt_ids"]]} if term.meta.get("alt_ids") else {}
    )


def settle_alternatives(terms: Mapping[str, Term]) -> None:
    """Relations to a former id of a term (``alt_id``) lead to the term; a former id that two terms claim leads nowhere."""
    holders: dict[str, set[str]] = defaultdict(set)
    for term in terms.values():
        for former in term.meta.get("alt_ids", ()):
            holders[former].add(term.id)
    now = {former: one for former, (one, *more) in holders.items() if not more and former not in terms}
    for term in terms.values() if now else ():
        term.relations = [(name, now.get(target, target)) for name, target in term.relations]


def curie(prefix: str, local: str) -> str:
    """A CURIE with one spelling of each prefix: ``("SNOMEDCT_US_2023_03_01", "1")`` → ``SNOMEDCT_US:1``."""
    prefix = re.sub(r"^(SNOMEDCT_US)_[\d_]+$", r"\1", prefix.strip())
    prefix = _PREFIX.get(prefix, prefix)
    local = local.strip()
    return local if local.upper().startswith(f"{prefix.upper()}:") else f"{prefix}:{local}"


def normal_curie(text: str) -> str:
    """The CURIE in its usual spelling; text without a prefix comes back as it is."""
    prefix, colon, local = text.strip().partition(":")
    return curie(prefix, local) if colon else prefix


def iri_curie(iri: str) -> str:
    """``http://purl.obolibrary.org/obo/MONDO_0005061`` and its like as a CURIE."""
    if "://" not in iri:
        return normal_curie(iri)
    tail = re.split(r"[/#]", iri)[-1]
    if "_" in tail:
        return curie(*tail.split("_", 1))
    parts = [part for part in re.split(r"[/#]", iri) if part]
    return curie(parts[-2].upper(), parts[-1]) if "identifiers.org" in iri and len(parts) > 2 else tail


def descendants(terms: Mapping[str, Term], roots: Iterable[str], relation: str = "is_a") -> set[str]:
    """The roots that exist and everything below them. Raises CorpusError for a root that is not a term."""
    children: dict[str, list[str]] = defaultdict(list)
    for term in terms.values():
        for name, parent in term.relations:
            if name == relation:
                children[parent].append(term.id)
    wanted = [normal_curie(root) for root in roots]
    if strange := [root for root in wanted if root not in terms]:
        raise CorpusError(
            f"the root {strange[0]} is not a term of this file", "correct the option 'roots' of the corpus"
        )
    kept: set[str] = set()
    while wanted:
        if (here := wanted.pop()) not in kept:
            kept.add(here)
            wanted.extend(children[here])
    return kept


def cut(terms: Mapping[str, Term], roots: Iterable[str], without: Iterable[str] = ()) -> set[str]:
    """What stands below the roots (everything, without any) and not below ``without``."""
    kept = descendants(terms, roots) if roots else set(terms)
    return kept - descendants(terms, without)


def items(
    corpus: str, terms: Mapping[str, Term], roots: Sequence[str] = (), without: Sequence[str] = ()
) -> Iterator[Concept | Triple]:
    """Each term as a Concept, followed by its relations as Triples; those of the `cut` only.

    A relation that leaves the cut is dropped; one to a term that the file never names keeps the CURIE as its name.
    """
    kept = cut(terms, roots, without)
    kept_only = bool(roots or without)
    for term in terms.values():
        if term.id not in kept:
            continue
        yield concept(corpus, term)
        for relation, target in dict.fromkeys(term.relations):
            if relation not in SKIPPED_RELATIONS and target != term.id and (target in kept or not kept_only):
                other = terms[target].name if target in terms else target
                yield triple(corpus, term.id, term.name, relation, target, other)


def concept(corpus: str, term: Term) -> Concept:
    """The term as an item; UMLS cross-references become CUIs."""
    xrefs = dict.fromkeys(term.xrefs)
    cuis = tuple(x[5:] for x in xrefs if x.startswith("UMLS:") and CUI.fullmatch(x[5:]))
    synonyms = dict.fromkeys(" ".join(s.split()) for s in term.synonyms)
    return Concept(
        id=f"{corpus}:{term.id}",
        name=term.name,
        synonyms=tuple(s for s in synonyms if s and s != term.name),
        cuis=cuis,
        definition=term.definition,
        types=tuple(dict.fromkeys(term.types)),
        xrefs=tuple(x for x in xrefs if not x.startswith("UMLS:")),
        meta=term.meta,
    )


def triple(corpus: str, subject_id: str, subject: str, relation: str, object_id: str, obj: str, **more: Any) -> Triple:
    """A statement whose document is the subject's entry in the corpus."""
    doc = f"{corpus}:{subject_id}"
    return Triple(f"{doc}#{relation}:{object_id}", doc, subject, relation, obj, subject_id, object_id, **more)


def signature(path: Path, *parts: Any) -> str:
    """Changes with the settings, and with the name, size or time of the file (of each file, for a folder)."""
    files = sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
    stats = [(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files if f.exists()]
    return sha256_text(*(repr(part) for part in (*parts, stats)))[:16]


def open_binary(path: Path) -> IO[bytes]:
    """A file, unpacked on the way when it is gzip. Raises CorpusError where it cannot be opened."""
    try:
        return unpacked(path)
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {error.strerror}", "check the 'path' of the corpus") from error


def lines(path: Path, report: Report) -> Iterator[tuple[int, str]]:
    """Numbered lines without their ends; one that is not UTF-8 and an archive that is cut short are reported."""
    with open_binary(path) as handle:
        number = 0
        try:
            for number, raw in enumerate(handle, start=1):
                try:
                    yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                except UnicodeDecodeError:
                    report(BadRecord(f"{path}:{number}", "the line is not UTF-8"))
        except BROKEN_ARCHIVE:
            report(
                BadRecord(str(path), f"the archive is cut short or damaged after line {number}", "fetch the file again")
            )
