"""Reads a UMLS release (a folder of RRF files) as a stream: one Concept a CUI, then one Triple a relation.

MRCONSO is needed; MRSTY (semantic types), MRDEF (definitions) and MRREL (relations) are read where they are present;
each may be gzip. Concepts are put together by a merge of the files in CUI order, as releases are sorted; a file that is
not sorted is first sorted through a temporary database on disk. In memory stand the names by CUI and nothing else.

Columns: UMLS Reference Manual, chapter 3 (https://www.ncbi.nlm.nih.gov/books/NBK9685/). There, REL and RELA say what the
*second* concept of a row is to the first. MRREL states most facts in both directions; here each comes in one.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from medrag.corpora._terms import BROKEN_ARCHIVE, CUI, Term, concept, curie, open_binary, signature, triple
from medrag.errors import BadRecord, CorpusError
from medrag.protocols import Report
from medrag.types import Item

FIELDS = {"MRCONSO": 18, "MRREL": 16, "MRSTY": 6, "MRDEF": 8}
# what says nothing (siblings, qualifiers, deleted, "not related") and what the other direction says already
SKIPPED = frozenset({"SIB", "AQ", "QB", "XR", "DEL", "SY", "RL"})
_BROAD = {"CHD": ("is_a", False), "PAR": ("is_a", True), "RN": ("narrower_than", False), "RB": ("narrower_than", True)}
_RELA = {
    "isa": ("is_a", False), "inverse_isa": ("is_a", True), "has_part": ("part_of", True), "may_be_treated_by": ("may_treat", True),
    "may_be_prevented_by": ("may_prevent", True), "cause_of": ("due_to", True), "mapped_from": ("mapped_to", True),
    "has_manifestation": ("manifestation_of", True), "gene_associated_with_disease": ("disease_has_associated_gene", True),
}  # fmt: skip
_KEPT_OF = frozenset({"part_of", "manifestation_of"})  # the usual direction of these ends in "of"


class Rrf:
    """A UMLS subset or release. ``languages``, ``suppress`` (flags that are left out) and ``sources`` (SABs; empty: all)
    filter MRCONSO; ``relations`` keeps only these RELs or RELAs of MRREL.

    Raises CorpusError when the folder has no MRCONSO.
    """

    def __init__(
        self,
        name: str,
        path: str | Path,
        *,
        languages: Sequence[str] = ("ENG",),
        suppress: Sequence[str] = ("O", "E", "Y"),
        sources: Sequence[str] = (),
        relations: Sequence[str] = (),
    ) -> None:
        self.name, self.path = name, Path(path)
        self.languages, self.suppress = frozenset(languages), frozenset(suppress)
        self.sources, self.relations = frozenset(sources), frozenset(relations)

    def signature(self) -> str:
        options = [sorted(o) for o in (self.languages, self.suppress, self.sources, self.relations)]
        return signature(self.path, "rrf/1", self.name, options)

    def read(self, report: Report) -> Iterator[Item]:
        """Every concept in CUI order, then the relations between concepts that were kept, in file order.

        A fact that MRREL states from both ends comes twice with the same id; the graph keeps one.
        """
        names: dict[int, str] = {}
        for term in self._concepts(report):
            names[_number(term.id)] = term.name
            yield concept(self.name, term)
        if not names:
            raise CorpusError(
                f"{self.path}: MRCONSO holds no concept that the options keep", "check 'languages' and 'sources'"
            )
        yield from self._relations(names, report)

    # concepts ------------------------------------------------------------------------------------------------

    def _concepts(self, report: Report) -> Iterator[Term]:
        if (main := _file(self.path, "MRCONSO")) is None:
            raise CorpusError(f"{self.path} has no MRCONSO.RRF", "point 'path' at the META folder of a UMLS release")
        with contextlib.ExitStack() as stack:
            types = _Follow(self._sorted("MRSTY", stack, report))
            definitions = _Follow(self._sorted("MRDEF", stack, report))
            for cui, group in itertools.groupby(_by_cui(main, "MRCONSO", stack, report), key=lambda row: row[0]):
                tuis, texts = types.of(cui), definitions.of(cui)
                if term := self._term(cui, group):
                    term.types = [row[1] for row in tuis]
                    term.definition = next((row[5] for row in self._good(texts)), "")
                    yield term

    def _sorted(self, kind: str, stack: contextlib.ExitStack, report: Report) -> Iterator[list[str]]:
        path = _file(self.path, kind)
        return iter(()) if path is None else _by_cui(path, kind, stack, report)

    def _good(self, rows: list[list[str]]) -> Iterator[list[str]]:
        """Definitions of the sources that are kept, by the name of the source."""
        kept = (row for row in rows if row[6] not in self.suppress and (not self.sources or row[4] in self.sources))
        return iter(sorted(kept, key=lambda row: row[4]))

    def _term(self, cui: str, group: Iterator[list[str]]) -> Term | None:
        """The names of one CUI: preferred first (TS=P, STT=PF, ISPREF=Y), the others as synonyms; codes as references."""
        rows = [r for r in group if r[1] in self.languages and r[16] not in self.suppress]
        rows = [r for r in rows if r[14].strip() and (not self.sources or r[11] in self.sources)]
        if not rows:
            return None
        rows.sort(key=lambda r: (r[2] != "P", r[4] != "PF", r[6] != "Y"))  # stable: then in file order
        texts = list(dict.fromkeys(" ".join(r[14].split()) for r in rows))
        references = [curie(r[11], r[13]) for r in rows if r[13] and r[13] != "NOCODE"]
        return Term(f"UMLS:{cui}", texts[0], texts[1:], [f"UMLS:{cui}", *references])

    # relations -----------------------------------------------------------------------------------------------

    def _relations(self, names: dict[int, str], report: Report) -> Iterator[Item]:
        if (path := _file(self.path, "MRREL")) is None:
            return
        last: set[tuple[int, str, int]] = set()
        first = ""
        for row in _rows(path, "MRREL", report):
            if row[0] != first:  # repeated facts stand together: rows are sorted by the first concept
                first, last = row[0], set()
            fact = self._fact(row)
            if fact and fact[0] in names and fact[2] in names and fact not in last:
                last.add(fact)
                subject, relation, target = fact
                yield triple(self.name, _cui(subject), names[subject], relation, _cui(target), names[target])

    def _fact(self, row: list[str]) -> tuple[int, str, int] | None:
        """(subject, relation, object) of a row in its usual direction; None where the row is not wanted."""
        rel, rela = row[3], row[7]
        wanted = not ({rel, rela}.isdisjoint(self.relations)) if self.relations else rel not in SKIPPED
        if not wanted or row[0] == row[4] or row[14] in self.suppress or (self.sources and row[10] not in self.sources):
            return None
        if not CUI.fullmatch(row[4]):
            return None
        name, swapped = direction(rel, rela)
        first, second = _number(row[0]), _number(row[4])
        return (first, name, second) if swapped else (second, name, first)


@functools.lru_cache(maxsize=4096)
def direction(rel: str, rela: str) -> tuple[str, bool]:
    """The relation's usual name, and whether the *first* concept of the row is its subject.

    >>> direction("PAR", "inverse_isa"), direction("RO", "finding_site_of"), direction("RO", "has_finding_site")
    (('is_a', True), ('has_finding_site', True), ('has_finding_site', False))
    """
    if not rela:
        return _BROAD.get(rel, ("related_to", False))
    if rela in _RELA:
        return _RELA[rela]
    if rela.endswith("_of") and rela not in _KEPT_OF and not rela.startswith("has_"):
        return f"has_{rela.removesuffix('_of')}", True
    return rela, False


class _Follow:
    """The rows of a sorted file that belong to each CUI of another sorted file, asked for in order."""

    def __init__(self, rows: Iterator[list[str]]) -> None:
        self._rows = rows
        self._next = next(rows, None)

    def of(self, cui: str) -> list[list[str]]:
        found: list[list[str]] = []
        while self._next is not None and self._next[0] <= cui:
            if self._next[0] == cui:
                found.append(self._next)
            self._next = next(self._rows, None)
        return found


def _number(cui: str) -> int:
    return int(cui[-7:])


def _cui(number: int) -> str:
    return f"UMLS:C{number:07d}"


def _file(folder: Path, kind: str) -> Path | None:
    """``MRCONSO.RRF`` or ``MRCONSO.RRF.gz``, or None."""
    return next((folder / name for name in (f"{kind}.RRF", f"{kind}.RRF.gz") if (folder / name).is_file()), None)


def _by_cui(path: Path, kind: str, stack: contextlib.ExitStack, report: Report) -> Iterator[list[str]]:
    """The rows in the order of their first column; sorted on disk first where the file is not."""
    rows = _rows(path, kind, report)
    return rows if _is_sorted(path) else _sorted_on_disk(rows, stack)


def _is_sorted(path: Path) -> bool:
    last = b""
    with open_binary(path) as handle, contextlib.suppress(*BROKEN_ARCHIVE):
        for line in handle:
            key = line[:8]
            if key < last:
                return False
            last = key
    return True


def _sorted_on_disk(rows: Iterator[list[str]], stack: contextlib.ExitStack) -> Iterator[list[str]]:
    """A stable sort by CUI through a temporary database, so that memory does not grow with the file."""
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="medrag-rrf-"))
    base = sqlite3.connect(Path(folder) / "rows.db")
    stack.callback(base.close)
    base.execute("PRAGMA journal_mode=OFF")
    base.execute("CREATE TABLE rows (cui TEXT, line TEXT)")
    base.executemany("INSERT INTO rows VALUES (?, ?)", ((row[0], "|".join(row)) for row in rows))
    for (line,) in base.execute("SELECT line FROM rows ORDER BY cui, rowid"):
        yield line.split("|")


def _rows(path: Path, kind: str, report: Report, shown: int = 3) -> Iterator[list[str]]:
    """The rows of an RRF file as fields; of each kind of bad row the first few are reported, then only their number."""
    wanted = FIELDS[kind]
    problems: Counter[str] = Counter()
    number, last = 0, ""

    def bad(problem: str) -> None:
        problems[problem] += 1
        if problems[problem] <= shown:
            report(BadRecord(f"{path}:{number}", problem))

    with open_binary(path) as handle:
        try:
            for raw in handle:
                number += 1
                try:
                    row = raw.decode("utf-8").rstrip("\r\n").split("|")
                except UnicodeDecodeError:
                    bad("the row is not UTF-8")
                    continue
                if len(row) < wanted:
                    bad(f"the row has fewer than the {wanted} fields of {kind}")
                elif not row[0] or (row[0] != last and not CUI.fullmatch(row[0])):
                    bad("the first field is not a CUI")
                else:
                    last = row[0]
                    yield row
        except BROKEN_ARCHIVE:
            bad("the archive is cut short or damaged here")
    for problem, count in sorted(problems.items()):
        if count > shown:
            report(BadRecord(str(path), f"{count - shown:,} more: {problem}"))
