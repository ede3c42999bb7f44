"""A recipe → an index on disk, in stages that a kill at any moment does not spoil.

1. read: every corpus into ``items/<corpus>.jsonl`` of the workspace, whole or not at all; what is there is not read again
2. store: items into ``items.db``, concepts and statements into ``graph.db``; where the recipe wants it, what the texts state too: read off
   each corpus into ``said/<corpus>-said.jsonl`` with the finished graph as the dictionary, then added to it
3. encode: in batches through the vector cache, so that no vector is computed twice
4. index: one folder for each index of the recipe
5. finish: the manifest, written last; then the new folder takes the place of the old one, which serves until then

Knows the order of things only: readers, encoders, indexes and the graph do the work (medrag/_stages.py). Two builds are
equal when the ``content_hash`` of their manifests is: a hash over items, vectors, words and graph rows, in any order
(`medrag.indexes.content`), without the paths of files. Vectors count bit for bit: the same list of items gives the same, a killed and resumed build
therefore too; after `append` or another order of corpora a real encoder may differ in the last digits.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import re
import shutil
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from medrag import models, plugins
from medrag._filling import encode_spread, fill_index
from medrag._growing import Growing, Grown
from medrag._origin import refuse_to_replace, remember
from medrag._saying import add_said
from medrag._shortfalls import shortfalls
from medrag._stages import Log, Reading, Skip, Storing, by_kind
from medrag._swap import one_line, recover, swap
from medrag._util.files import UNWRITABLE, sha256_text
from medrag._util.places import built, expand, in_part
from medrag._util.progress import track
from medrag.errors import (
    BadRecord,
    CorpusError,
    IndexMismatch,
    IndexMissing,
    IndexProblem,
    MedragError,
    SettingsError,
)
from medrag.indexes.content import tables_digest
from medrag.indexes.manifest import FORMAT, Manifest, read_manifest, verify_files
from medrag.indexes.records import FILE as RECORDS
from medrag.indexes.records import Records
from medrag.indexes.store import discard, recipe_of, writing
from medrag.settings import CorpusSettings, Recipe, completed, parse

if TYPE_CHECKING:
    from medrag.encoders.spread import Spread
    from medrag.protocols import Corpus, Encoder, Report

READERS = 4  # raised when a reader or the chunker yields other items from the same files


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What a build did. ``counts``: items by kind; ``fresh`` is False where the index was up to date already."""

    name: str
    folder: Path
    counts: Mapping[str, int]
    skipped: tuple[Skip, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)  # by stage
    content_hash: str = ""
    fresh: bool = True


def build(
    recipe: Recipe, folder: Path | None = None, *, fresh: bool = False, report: Report | None = None,
    spread: Spread | None = None, file: Path | None = None, replace: bool = False,
) -> BuildReport:  # fmt: skip
    """Builds the index of a recipe, or returns at once where nothing changed since it was built.

    ``fresh`` reads every corpus again and forgets deletions; vectors are still taken from the cache. ``report`` is
    called for each record that is skipped. ``spread`` has several processes or a Ray cluster encode. ``file`` is that of
    the recipe: an index of the same name that another file made is left alone, unless it is to be replaced. Raises
    SettingsError, ModelMissing, CorpusError (a path that is not there, no corpus has an item, or nothing can be read any
    more of one that the index holds), IndexLocked, and MedragError where nothing can be written.
    """
    folder, recipe = folder or built(recipe.name), completed(recipe).placed(Path())
    with writing(folder) as work, one_line(folder):
        if file and not replace:
            refuse_to_replace(recipe.name, folder, file)
        done = _Build(recipe, folder, work, report, spread).run(fresh=fresh)
        if file:
            remember(folder, file)
        return done


def append(
    recipe: Recipe, corpora: Sequence[CorpusSettings], folder: Path | None = None, *, report: Report | None = None
) -> BuildReport:
    """Adds corpora to a built index; only they are read and encoded. The index remembers them as part of its recipe, but
    a `build` from a recipe that does not name them leaves them out again, and says so."""
    folder, recipe = folder or built(recipe.name), completed(recipe)
    with suppress(IndexMissing):
        recipe = recipe_of(read_manifest(folder))
    all_of_them = {corpus.name: corpus.model_dump(mode="json") for corpus in (*recipe.corpora, *corpora)}
    grown = {**recipe.model_dump(mode="json"), "corpora": list(all_of_them.values())}
    return build(parse(Recipe, grown, "the recipe with the new corpora"), folder, report=report)


def delete(folder: Path, names: Collection[str], *, report: Report | None = None) -> BuildReport:
    """Takes items out of a built index, by id or by document; statements of the graph that come from them go too.

    They stay out when the index is built again, until it is built with ``fresh``. Corpora are neither read nor
    touched. Raises IndexMissing, SettingsError where nothing has such a name.
    """
    recipe = recipe_of(read_manifest(folder))
    with writing(folder) as work, one_line(folder):
        return _Build(recipe, folder, work, report).run(delete=names)


def compact(folder: Path, *, report: Report | None = None) -> BuildReport:
    """Builds a grown index anew from what was read: what was deleted takes no room any more, an inverted file is trained on what is there now, and
    ``factory: auto`` chooses again. Corpora are neither read nor touched; deletions stay. Raises IndexMissing."""
    recipe = recipe_of(read_manifest(folder))
    with writing(folder) as work, one_line(folder):
        return _Build(recipe, folder, work, report).run(compact=True)


class _Build:
    """One build of one recipe: what the stages share."""

    def __init__(
        self, recipe: Recipe, folder: Path, work: Path, report: Report | None, spread: Spread | None = None
    ) -> None:
        self.spread = spread
        self.recipe, self.folder, self.work, self.log = recipe, folder, work, Log(self._tell)
        self._report_to, self._left_out = report, list[BadRecord]()
        self.next = work / "next"
        self.seconds: dict[str, float] = {}
        self.encoders = _encoders(recipe)
        self.readings = {one.name: Reading(work / "items", one.name, self.log) for one in recipe.corpora}

    def run(self, *, fresh: bool = False, delete: Collection[str] = (), compact: bool = False) -> BuildReport:
        recover(self.folder, self.work)
        old = self._old()
        deleted = self._deleted(old, fresh) | set(delete)
        stay = [_still_out(deleted)] if deleted and not delete and not compact else []
        for reading in self.readings.values():
            reading.out = deleted
        # deleting and compacting need no corpus, only what was read of it, unless a build that did not end read something else since
        reread = old is None or not (delete or compact) or self._key(self._read_so_far()) != old.key
        corpora = _open(self.recipe) if reread else {}
        signatures = self._signatures(corpora)
        if old and corpora and (delete or compact) and self._key(signatures) != old.key:
            raise IndexMismatch(
                f"what was read for the index {self.recipe.name!r} is gone, and its corpora have changed since",
                "build it anew first, from its recipe: medrag index build",
            )
        intact = old is not None and not fresh and not compact and self._intact(old)
        if old and intact and not delete and self._key(signatures) == old.key:
            self._purge(deleted)
            return _unchanged(old, self.folder, stay)
        self.log.warnings += stay
        if left_out := sorted(set(old.counts if old else ()) - set(self.readings)):
            self.log.warnings.append(f"the old index held {', '.join(left_out)}, which the recipe does not name")
        discard(self.next, self.folder)
        with self._timed("read"):
            for name, reading in self.readings.items():
                held = bool(old and old.counts.get(name))
                with self._own(name, corpora.get(name)):
                    reading.read(corpora.get(name), signatures.get(name, ""), self.recipe.chunk, fresh=fresh, held=held)
        key = self._key(self._read_so_far())
        with self._timed("grow"):
            grown = self._grown(old, deleted, delete) if old and intact else None
        counts, content = (grown.counts, grown.content) if grown else self._whole(old, deleted, delete, fresh=fresh)
        dims = {name: encoder.dim for name, encoder in self.encoders.items()}
        with self._timed("finish"):
            manifest = self._manifest(key, counts, content, dims, deleted)
            manifest = manifest.write(self.next, self.folder if grown else None)
            swap(self.next, self.folder, self.work)
            shutil.rmtree(in_part(self.folder), ignore_errors=True)
            self._purge(deleted)
        return self._report(manifest)

    def _purge(self, deleted: Collection[str]) -> None:
        """What was deleted goes out of the workspace too."""
        for name, reading in self.readings.items():
            said = Reading(self.work / "said", f"{name}-said", self.log)
            said.out = deleted
            for one in (reading, said):
                one.purge(deleted)

    def _grown(self, old: Manifest, deleted: Collection[str], now: Collection[str]) -> Grown | None:
        """The index that is there, changed by what differs; None where everything must be built."""
        growing = Growing(self.recipe, old, self.folder, self.next, self.encoders, self.log)
        return growing.grow(self.readings, self._read_so_far(), deleted, now)

    def _whole(
        self, old: Manifest | None, deleted: Collection[str], now: Collection[str], *, fresh: bool
    ) -> tuple[dict[str, dict[str, int]], dict[str, str]]:
        """Stages 2 to 4 of everything: what went in by corpus and kind, and the hashes of its content."""
        with self._timed("store"):
            counts, content = self._store(deleted, now)
        if self.recipe.graph.said:
            with self._timed("said"):
                self._say(counts, content, deleted, fresh=fresh)
        with self._timed("open encoders"):
            for encoder in self.encoders.values():
                _ = encoder.dim
        before = recipe_of(old).indexes if old else {}
        for name, settings in self.recipe.indexes.items():
            if self.spread and settings.encoder:
                with self._timed(f"encode {name}"):
                    how, encoder = self.recipe.encoders[settings.encoder], self.encoders[settings.encoder]
                    encode_spread(self.next, settings, how, encoder, self.spread)
            with self._timed(f"index {name}"):
                kept = self.folder / name if before.get(name) == settings else None
                content[f"index {name}"] = fill_index(
                    self.next, name, settings, self.encoders.get(settings.encoder), self.log, kept
                )
        with closing(Records(self.next / RECORDS)) as records:
            records.tell("signatures", self._read_so_far())
        return counts, content

    def _old(self) -> Manifest | None:
        """The manifest of the index that is there; None where there is none or it cannot be read."""
        try:
            return read_manifest(self.folder)
        except IndexMissing:
            return None
        except IndexProblem as problem:
            why = f"the old index was not used: {problem.message}; what was deleted from it comes back"
            self.log.warnings.append(why)
            return None

    def _intact(self, manifest: Manifest) -> bool:
        try:
            verify_files(self.folder, manifest, thorough=True)
            return True
        except IndexProblem as problem:
            self.log.warnings.append(f"the old index was not used: {problem.message}")
            return False

    def _deleted(self, old: Manifest | None, fresh: bool) -> set[str]:
        """What was deleted from the old index and stays out."""
        if fresh and old and old.deleted:
            how_many = "1 deletion is" if len(old.deleted) == 1 else f"{len(old.deleted):,} deletions are"
            self.log.warnings.append(f"{how_many} forgotten: {_first(old.deleted)}")
        return set(old.deleted) if old and not fresh else set()

    def _signatures(self, corpora: Mapping[str, Corpus]) -> dict[str, str]:
        """What the items of each corpus depend on; empty for one that is there and cannot be read, which `Reading` leaves out.

        Raises CorpusError for the only one, and for one that is not there.
        """
        chunking, found = self.recipe.chunk.model_dump_json(), dict[str, str]()
        settings = {one.name: one for one in self.recipe.corpora}
        for name, corpus in corpora.items():
            try:
                own = _in_order(settings[name]).model_dump_json(exclude={"access"})
                with self._own(name, corpus):
                    found[name] = sha256_text(str(READERS), own, chunking, corpus.signature())
            except CorpusError:
                if len(corpora) == 1 or not expand(settings[name].path).exists():
                    raise
                found[name] = ""
        return found

    @contextmanager
    def _own(self, name: str, corpus: Corpus | None) -> Iterator[None]:
        """Whatever else a reader of one's own raises, as SettingsError that names it."""
        try:
            yield
        except MedragError:
            raise
        except Exception as error:
            made = corpus is None or type(corpus).__module__.startswith("medrag.")
            if made or getattr(error, "errno", None) in UNWRITABLE:
                raise
            reader = next(one.reader for one in self.recipe.corpora if one.name == name)
            line = " ".join(f"{type(error).__name__}: {error}".split())
            raise SettingsError(
                f"the reader {reader!r} of the corpus {name!r} failed: {line}",
                "mend it: it is a medrag.protocols.Corpus",
            ) from error

    def _read_so_far(self) -> dict[str, str]:
        """The signatures of what lies in the workspace."""
        return {name: str(reading.known().get("signature", "")) for name, reading in self.readings.items()}

    def _key(self, signatures: Mapping[str, str]) -> str:
        encoders = {name: encoder.fingerprint for name, encoder in self.encoders.items()}
        from medrag.graph.said import VERSION

        said = [VERSION] if self.recipe.graph.said else []
        return sha256_text(
            str(FORMAT), self.recipe.fingerprint(), json.dumps([signatures, encoders], sort_keys=True), *said
        )

    def _store(
        self, deleted: Collection[str], now: Collection[str]
    ) -> tuple[dict[str, dict[str, int]], dict[str, str]]:
        """Stage 2: what went in by corpus and kind, and the hashes of its content."""
        kinds = {kind for index in self.recipe.indexes.values() for kind in index.items}
        labelled = any(corpus.access for corpus in self.recipe.corpora)
        storing = Storing(self.next, kinds, deleted, self.log, labelled=labelled)
        counts = {}
        with closing(storing):
            for name, reading in self.readings.items():
                total = sum(reading.known()["counts"].values())
                counts[name] = storing.add(name, track(reading.items(), f"store {name}", total))
            if not any(counts.values()):
                raise self._no_item()
            if strange := sorted(set(now) - storing.gone):
                raise SettingsError(
                    f"nothing in the index {self.recipe.name!r} is named {strange[0]!r}",
                    "give the id of an item or of its document",
                )
            storing.finish()
        return counts, storing.content

    def _tell(self, problem: BadRecord) -> None:
        """Passes on what is skipped; a corpus that is left out as a whole is remembered."""
        if problem.source in self.readings:
            self._left_out.append(problem)
        if self._report_to:
            self._report_to(problem)

    def _no_item(self) -> CorpusError:
        """Why there is nothing to index: what is wrong with a whole corpus, else the first record that was skipped."""
        whole = next(iter(self._left_out), None)
        first = next((f": {skip.source}: {skip.problem}" for skip in self.log.skipped), "")
        why, hint = (f": {whole.message}", whole.hint) if whole else (first, "check the paths of the recipe")
        return CorpusError(f"no corpus of {self.recipe.name!r} has an item{why}", hint)

    def _say(
        self, counts: dict[str, dict[str, int]], content: dict[str, str], deleted: Collection[str], *, fresh: bool
    ) -> None:  # fmt: skip
        """Adds what the corpora's texts state to the graph; ``counts`` and ``content`` then know of it.

        The texts are linked anew only where they or the ontologies have changed.
        """
        path = self.next / "graph.db"
        if not path.exists():
            raise SettingsError(
                f"graph.said of {self.recipe.name!r} needs concepts to link to", "add an ontology to its corpora"
            )
        texts = {
            name: (sha256_text(content["graph"], str(reading.known()["signature"])), reading.items)
            for name, reading in self.readings.items()
            if {"study", "passage"} & counts[name].keys()
        }
        gained = add_said(self.recipe, path, texts, self.work / "said", self.log, deleted, fresh=fresh)
        for name, number in gained.items():
            counts[name]["statement"] = number
        content["graph"] = tables_digest(path)

    def _manifest(
        self,
        key: str,
        counts: Mapping[str, Mapping[str, int]],
        content: Mapping[str, str],
        dims: Mapping[str, int],
        deleted: Collection[str],
    ) -> Manifest:
        self.log.warnings += shortfalls(self.recipe, counts)
        return Manifest(
            name=self.recipe.name,
            recipe=self.recipe.model_dump(mode="json", exclude={"pipeline": {"model_options"}}),  # these may hold a key
            key=key,
            encoders={
                name: {"model": encoder.name, "fingerprint": encoder.fingerprint, "dim": dims[name]}
                for name, encoder in self.encoders.items()
            },
            counts=counts,
            content=content,
            content_hash=sha256_text(json.dumps(content, sort_keys=True)),
            skipped=tuple(asdict(skip) for skip in self.log.skipped),
            warnings=tuple(self.log.warnings),
            deleted=tuple(sorted(deleted)),
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            medrag=_version(),
        )

    def _report(self, manifest: Manifest) -> BuildReport:
        return BuildReport(
            name=self.recipe.name,
            folder=self.folder,
            counts=by_kind(manifest.counts),
            skipped=tuple(self.log.skipped),
            warnings=tuple(self.log.warnings),
            seconds=self.seconds,
            content_hash=manifest.content_hash,
        )

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[stage] = round(time.perf_counter() - start, 3)


def _in_order(corpus: CorpusSettings) -> CorpusSettings:
    """With its options as a manifest gives them back: sorted by name, at every depth."""
    return corpus.model_copy(update={"options": json.loads(json.dumps(corpus.options, sort_keys=True, default=str))})


def _encoders(recipe: Recipe) -> dict[str, Encoder]:
    """The encoders that an index uses; their weights are not loaded yet."""
    from medrag.encoders import open_encoder

    for name, index in recipe.indexes.items():
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
            raise SettingsError(f"indexes.{name}: not a name for a folder", "use small letters, digits, - and _")
        if (index.kind == "bm25") == bool(index.encoder):
            plugins.load("indexes", index.kind)  # says so where there is no such kind
            problem = "counts words and takes no encoder" if index.encoder else "needs an encoder"
            raise SettingsError(f"indexes.{name}: kind {index.kind!r} {problem}", "mend the recipe")
    for encoder in recipe.encoders.values():
        if not encoder.kind and "/" not in encoder.model:
            models.refuse_unknown(encoder.model)
    used = {index.encoder for index in recipe.indexes.values()}
    encoders = {name: open_encoder(settings) for name, settings in recipe.encoders.items() if name in used}
    for name, index in recipe.indexes.items():
        several = getattr(encoders.get(index.encoder), "several", False)
        if several != (index.kind == "multivector"):
            problem = f"kind {index.kind!r} does not fit an encoder of {'several vectors' if several else 'one vector'} an item"
            wanted = "set kind: multivector" if several else "name an encoder of kind pages or late-interaction"
            raise SettingsError(f"indexes.{name}: {problem}", wanted)
    return encoders


def _open(recipe: Recipe) -> dict[str, Corpus]:
    from medrag.corpora import open_corpus

    return {settings.name: open_corpus(settings) for settings in recipe.corpora}


def _version() -> str:
    try:
        return importlib.metadata.version("medrag")
    except importlib.metadata.PackageNotFoundError:  # run from a folder that was not installed
        return "unknown"


def _still_out(deleted: Collection[str]) -> str:
    """What a build tells of deletions that an earlier command made."""
    if len(deleted) == 1:
        return f"1 document or item stays deleted: {_first(deleted)} (--fresh brings it back)"
    return f"{len(deleted):,} documents or items stay deleted: {_first(deleted)} (--fresh brings them back)"


def _first(names: Collection[str]) -> str:
    return ", ".join(sorted(names)[:5]) + (" …" if len(names) > 5 else "")


def _unchanged(manifest: Manifest, folder: Path, stay: Sequence[str]) -> BuildReport:
    return BuildReport(
        name=manifest.name,
        folder=folder,
        counts=by_kind(manifest.counts),
        skipped=tuple(Skip(**skip) for skip in manifest.skipped),
        warnings=tuple(dict.fromkeys((*manifest.warnings, *stay))),
        content_hash=manifest.content_hash,
        fresh=False,
    )
