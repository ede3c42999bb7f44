"""The first stages of a build (see medrag/build.py): read a corpus, store the items.

Each takes what it needs and says what came; the order, the lock and the manifest are `medrag.build`'s.
"""

from __future__ import annotations

import errno
import gzip
import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from medrag._filling import batches
from medrag._util import apart
from medrag._util.files import atomic_open, sha256_text, write_json
from medrag._util.parts import Part
from medrag._util.progress import track
from medrag._util.unseen import without_unseen
from medrag.errors import BadRecord, CorpusError
from medrag.indexes.content import Tally, tables_digest
from medrag.indexes.records import FILE as RECORDS
from medrag.indexes.records import Records
from medrag.indexes.store import ItemStore
from medrag.settings import ChunkSettings
from medrag.types import (
    Concept,
    Document,
    ImageRecord,
    Item,
    Page,
    Study,
    Triple,
    item_from_json,
    item_to_json,
    names_of,
)

if TYPE_CHECKING:
    from medrag.graph.build import GraphBuilder
    from medrag.protocols import Corpus, Report

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # nothing more can be written
STATEMENTS = "statements.jsonl.gz"  # concepts and statements by corpus, where corpora have labels
CAME_BEFORE = "this id came before"
STORED = ("passage", "page", "image", "study")  # kinds that are always in items.db


@dataclass(frozen=True, slots=True)
class Skip:
    """One record that is not in the index, and why."""

    corpus: str
    source: str
    problem: str


@dataclass
class Log:
    """What a build has to tell: records that were skipped, and warnings."""

    report: Report | None = None
    skipped: list[Skip] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def skip(self, corpus: str, problem: BadRecord) -> None:
        source, what = (text.encode("utf-8", "backslashreplace").decode() for text in (problem.source, problem.problem))
        self.skipped.append(Skip(corpus, source, what))  # a file's name may hold bytes that are no UTF-8
        if self.report:
            self.report(problem)

    def skipping(self, corpus: str) -> Report:
        return lambda problem: self.skip(corpus, problem)


# 1. read -------------------------------------------------------------------------------------------------------


class Reading:
    """The items of one corpus in ``<name>.jsonl``, whole or not at all, and beside them ``<name>.json``: of what.

    ``out`` is what was deleted: only what was rid of no more than that counts as known.
    """

    def __init__(self, folder: Path, name: str, log: Log) -> None:
        self.name, self.lines, self.log = name, folder / f"{name}.jsonl", log
        self.out: Collection[str] = ()
        self._about = self.lines.with_suffix(".json")
        self._parts = folder / f"{name}.parts"

    def known(self) -> dict[str, Any]:
        """Signature, counts and skipped records of what was read; nothing unless it is complete."""
        try:
            about: dict[str, Any] = json.loads(self._about.read_text(encoding="utf-8"))
            whole = self.lines.stat().st_size == about["size"] and set(about.get("without", ())) <= set(self.out)
            return about if whole else {}
        except (OSError, ValueError, KeyError):
            return {}

    def read(
        self, corpus: Corpus | None, signature: str, chunking: ChunkSettings, *, fresh: bool, held: bool = False
    ) -> dict[str, int]:
        """How many items of each kind; reads the corpus unless the same was read before. No corpus: as read before.

        Raises CorpusError where nothing can be read of a corpus that the index ``held``; what was read before stays.
        """
        about = self.known()
        if corpus is None or (about and not fresh and about["signature"] == signature):
            for skip in about["skipped"]:
                self.log.skip(self.name, BadRecord(skip["source"], skip["problem"]))
        else:
            before = len(self.log.skipped)
            counts = self._write(corpus, chunking, fresh=fresh, held=held)
            skipped = [asdict(skip) for skip in self.log.skipped[before:]]
            signed = "" if counts is None else signature  # a corpus that was left out is tried again by the next build
            size = self.lines.stat().st_size
            about = {"signature": signed, "counts": counts or {}, "skipped": skipped, "size": size}
            write_json(self._about, about)
        if not about["counts"]:
            self.log.warnings.append(f"the corpus {self.name!r} has no item")
        found: dict[str, int] = about["counts"]
        return found

    def items(self) -> Iterator[Item]:
        with self.lines.open("rb") as stream:
            for line in stream:
                yield item_from_json(line.decode())

    def purge(self, names: Collection[str]) -> None:
        """Takes what was deleted, items and documents, out of what was read: its text is then nowhere in the workspace."""
        about = self.known()
        new = set(names) - set(about.get("without", ()))
        if not about or not new:
            return
        counts = Counter(about["counts"])
        if any(_named(self.lines, new)):
            with atomic_open(self.lines) as stream, self.lines.open("rb") as before:
                gone = {number: item.kind for number, item in _named(self.lines, new)}
                stream.writelines(line for number, line in enumerate(before) if number not in gone)
                self._about.unlink()
            counts.subtract(gone.values())
        about |= {"counts": dict(+counts), "size": self.lines.stat().st_size, "without": sorted(names)}
        write_json(self._about, about)
        for path in self._parts.glob("*.jsonl"):
            if any(_named(path, new)):
                path.unlink()  # it is read again when the corpus is

    def _write(self, corpus: Corpus, chunking: ChunkSettings, *, fresh: bool, held: bool) -> dict[str, int] | None:
        """How many items of each kind; None where the corpus cannot be read and is left out."""
        counts: Counter[str] = Counter()
        before = len(self.log.skipped)
        try:
            with atomic_open(self.lines) as stream:
                if hasattr(corpus, "parts"):
                    self._write_parts(corpus, chunking, stream, counts, fresh=fresh)
                else:
                    whole = corpus.read(self.log.skipping(self.name))
                    self._write_items(track(self._read(whole, corpus), f"read {self.name}"), chunking, stream, counts)
                if held and not counts and (skipped := self.log.skipped[before:]):
                    first = skipped[0]
                    raise CorpusError(f"no record can be read: {first.source}: {first.problem}", "mend its files")
                self._about.unlink(missing_ok=True)
        except CorpusError as problem:
            if held:
                message = f"the corpus {self.name!r} cannot be read any more, so the index stays as it was"
                raise CorpusError(f"{message}: {problem.message}", problem.hint) from problem
            self.log.warnings.append(f"the corpus {self.name!r} was left out: {problem}")
            self.log.skip(self.name, BadRecord(self.name, problem.message, problem.hint))
            self._about.unlink(missing_ok=True)
            with atomic_open(self.lines):
                return None
        return dict(counts)

    def _write_items(
        self, items: Iterable[Item], chunking: ChunkSettings, stream: IO[Any], counts: Counter[str]
    ) -> None:
        unseen, first = 0, ""
        for item in items:
            for piece in self._pieces(item, chunking):
                if line := self._line(piece):
                    line, count = without_unseen(line)
                    stream.write(line)
                    counts[piece.kind] += 1
                    unseen, first = unseen + count, first or (item.id if count else "")
        if unseen:
            problem = f"{unseen:,} characters that nobody sees (zero-width, direction marks) were taken out of the texts, the first here"
            self.log.skip(self.name, BadRecord(first, problem))

    def _write_parts(
        self, corpus: Any, chunking: ChunkSettings, stream: IO[Any], counts: Counter[str], *, fresh: bool
    ) -> None:
        """A corpus that comes in parts, such as files: those that were read before are taken from there, also by a build that was cut off."""
        wanted = set()
        for key, signature in track(corpus.parts(), f"read {self.name}"):
            part = Part(self._parts / sha256_text(key)[:24], sha256_text(signature, chunking.model_dump_json()))
            if fresh or not part.known():
                before, own = len(self.log.skipped), Counter[str]()
                with part.writing() as lines:
                    read = apart.part(corpus, key, self.log.skipping(self.name))
                    self._write_items(self._read(read, corpus), chunking, lines, own)
                part.finish(dict(own), [asdict(skip) for skip in self.log.skipped[before:]])
            else:
                for skip in part.about["skipped"]:
                    self.log.skip(self.name, BadRecord(skip["source"], skip["problem"]))
            part.copy_to(stream)
            counts.update(part.about["counts"])
            wanted.add(part.lines.name)
            wanted.add(part.note.name)
        for path in self._parts.glob("*"):
            if path.name not in wanted:
                path.unlink()

    def _read(self, items: Iterator[Item], corpus: Corpus) -> Iterator[Item]:
        """The items. A file that the system does not give is told as the corpus', not as the workspace's."""
        try:
            yield from items
        except OSError as error:
            if error.errno in FULL:  # a reader's scratch file
                raise
            where = error.filename or corpus.name
            raise CorpusError(
                f"{where}: cannot be read: {error.strerror or error}", "check the corpus' path"
            ) from error

    def _line(self, item: Item) -> bytes:
        try:
            return item_to_json(item).encode() + b"\n"
        except (UnicodeEncodeError, TypeError, ValueError) as error:
            self.log.skip(self.name, BadRecord(item.id, f"cannot be written as JSON: {error}"))
            return b""

    def _pieces(self, item: Item, chunking: ChunkSettings) -> Iterator[Item]:
        """What is kept of an item: itself, unless it is a whole document, and the passages that it is cut into."""
        if not isinstance(item, Document):
            yield item
        if isinstance(item, Document | Page) or (isinstance(item, Study) and chunking.studies):
            from medrag.corpora.chunk import chunk

            try:
                yield from chunk(item, chunking)
            except BadRecord as problem:
                self.log.skip(self.name, problem)


def _named(lines: Path, names: Collection[str]) -> Iterator[tuple[int, Item]]:
    """The items of a file that are deleted with one of the names, each with the number of its line."""
    signs = [json.dumps(name, ensure_ascii=False).encode("utf-8", "surrogatepass")[:-1] for name in names]
    with lines.open("rb") as stream:
        for number, line in enumerate(stream):
            if any(sign in line for sign in signs):
                item = item_from_json(line.decode())
                if not names_of(item).isdisjoint(names):
                    yield number, item


# 2. store ------------------------------------------------------------------------------------------------------


class Storing:
    """``items.db`` and, once a concept or a statement comes, ``graph.db``. ``content``: their hashes."""

    def __init__(
        self, folder: Path, indexed: Collection[str], deleted: Collection[str], log: Log, *, labelled: bool = False
    ) -> None:
        self.folder, self.log, self.deleted, self.labelled = folder, log, deleted, labelled
        self.kinds = {*STORED, *indexed}
        self.gone: set[str] = set()  # those of ``deleted`` that were met
        self.content: dict[str, str] = {}
        self._items = ItemStore.create(folder / "items.db")
        self._graph: GraphBuilder | None = None
        self._seen: set[str] = set()
        self._states: dict[str, str] = {}
        self._tally = Tally()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RECORDS).unlink(missing_ok=True)

    def add(self, name: str, items: Iterable[Item]) -> dict[str, int]:
        """Takes the items of a corpus; how many of each kind went in."""
        counts: Counter[str] = Counter()
        for batch in batches(items):
            kept = [without(item, self.deleted) for item in batch if self._wanted(item) and self._first(name, item)]
            counts.update(item.kind for item in kept)
            for item in kept:
                self._tally.add(name, placeless(item))
            self._items.put_many((item, name) for item in kept if item.kind in self.kinds)
            self._states.update(states(kept))
            self._state(name, [item for item in kept if isinstance(item, Concept | Triple)])
        return dict(sorted(counts.items()))

    def finish(self) -> None:
        self._items.close()
        self.content["items"] = self._tally.digest
        with closing(Records(self.folder / RECORDS)) as records:
            records.keep("items", self._tally)
            records.note(self._states)
        if self._graph is not None:
            self._graph.finish()
            self.content["graph"] = tables_digest(self.folder / "graph.db")

    def close(self) -> None:
        """Gives up what was not finished; after `finish` it does nothing."""
        self._items.close()
        if self._graph is not None:
            self._graph.close()

    def _wanted(self, item: Item) -> bool:
        named = names_of(item).intersection(self.deleted)
        self.gone |= named
        return not named

    def _first(self, corpus: str, item: Item) -> bool:
        """The graph joins what comes again; an item of the store comes once."""
        if item.kind not in self.kinds:
            return True
        if item.id in self._seen:
            self.log.skip(corpus, BadRecord(item.id, f"{CAME_BEFORE}; the first record is kept"))
            return False
        self._seen.add(item.id)
        return True

    def _state(self, corpus: str, statements: list[Concept | Triple]) -> None:
        from medrag.graph import GraphStore

        if statements:
            self._graph = self._graph or GraphStore.create(self.folder / "graph.db")
            self._graph.add(statements)
            if self.labelled:  # what `medrag.access` makes the graph of some corpora from
                with gzip.open(self.folder / STATEMENTS, "at", compresslevel=1, encoding="utf-8") as lines:
                    lines.writelines(f"{corpus}\t{item_to_json(one)}\n" for one in statements)


def without(item: Item, deleted: Collection[str]) -> Item:
    """A study less those of its images that are deleted; any other item as it is."""
    if not isinstance(item, Study) or not set(item.images) & set(deleted):
        return item
    kept = [n for n, image in enumerate(item.images) if image not in deleted]
    paths = item.meta.get("paths", ())
    meta = {**item.meta, "paths": [paths[n] for n in kept]} if len(paths) == len(item.images) else dict(item.meta)
    return replace(item, images=tuple(item.images[n] for n in kept), meta=meta)


def placeless(item: Item) -> str:
    """An item without the paths of its files: where they lie is no content."""
    line = item_to_json(item)
    if isinstance(item, Concept | Triple):
        return line
    raw = json.loads(line)
    raw.pop("source", None)
    raw["meta"].pop("paths", None)
    return json.dumps(raw, sort_keys=True)


def states(items: Iterable[Item]) -> dict[str, str]:
    """In what state the files of pictures are, by id: size and time of the last change; empty for a file that is not there."""
    found = {}
    for item in items:
        if isinstance(item, ImageRecord):
            try:
                about = Path(item.source).stat()
                found[item.id] = f"{about.st_size} {about.st_mtime_ns}"
            except OSError:
                found[item.id] = ""
    return found


def by_kind(counts: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Counts by corpus and kind → counts by kind."""
    total: Counter[str] = Counter()
    for one in counts.values():
        total.update(one)
    return dict(sorted(total.items()))
