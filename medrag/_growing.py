"""A built index changed by what was added to its corpora or taken out, in place of building all of it anew: only the difference is read, encoded and indexed.

The folder that serves stays as it is: files that do not change get a second name in the new one, the others are copied and grown. Where this does
not do, `grow` says so and everything is built: what the graph is made of has changed; a new corpus stands before an old one; the same id comes twice;
pages of several vectors lose something; or more has changed, now and since the last whole build, than a quarter of the index (an inverted file keeps the
centroids it was trained with). `medrag index compact` builds the whole.
"""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from medrag import plugins
from medrag._filling import add_items
from medrag._stages import CAME_BEFORE, STATEMENTS, Log, Reading, placeless, states, without
from medrag._util.files import linked, sha256_text
from medrag.errors import BadRecord
from medrag.indexes.items import ItemStore
from medrag.indexes.manifest import Manifest
from medrag.indexes.records import FILE as RECORDS
from medrag.indexes.records import Records
from medrag.indexes.store import recipe_of
from medrag.settings import Recipe
from medrag.types import ImageRecord, Item, item_from_json, names_of

if TYPE_CHECKING:
    from medrag.protocols import Encoder

GRAPH = {"concept", "triple", "statement"}  # kinds that the graph is made of
SHARE = 0.25  # of the items that may change before everything is built anew


@dataclass
class Delta:
    """What differs: ids that go, items that come, by their corpora."""

    gone: dict[str, list[Item]] = field(default_factory=dict)
    come: dict[str, list[Item]] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(len(items) for items in (*self.gone.values(), *self.come.values()))

    @property
    def kinds(self) -> set[str]:
        return {item.kind for items in (*self.gone.values(), *self.come.values()) for item in items}


@dataclass(frozen=True)
class Grown:
    """What a whole build would say of the grown index."""

    counts: dict[str, dict[str, int]]
    content: dict[str, str]


class Growing:
    """One attempt: ``folder`` is the index that serves, ``new`` an empty place for the one that takes its place."""

    def __init__(
        self, recipe: Recipe, old: Manifest, folder: Path, new: Path, encoders: Mapping[str, Encoder], log: Log
    ) -> None:
        self.recipe, self.old, self.folder, self.new = recipe, old, folder, new
        self.encoders, self.log = encoders, log

    def grow(
        self, readings: Mapping[str, Reading], signatures: Mapping[str, str], deleted: Collection[str], now: Collection[str]
    ) -> Grown | None:  # fmt: skip
        """The counts and hashes of the grown index, or None where everything must be built; then nothing was written that matters.

        ``readings`` and their ``signatures``: what the corpora hold; ``deleted``: what stays out of it, of which ``now`` is new.
        """
        if not (self.folder / RECORDS).is_file() or not self._alike():
            return None
        with closing(Records(self.folder / RECORDS)) as records:
            built, since, files = records.about("signatures", {}), records.about("changed", 0), records.states()
        with closing(ItemStore.open(self.folder / "items.db")) as store:
            changed = {name for name in readings if built.get(name) != signatures[name]}
            if not self._may(readings, built, changed):
                return None
            delta = self._delta(store, readings, changed, set(built) - set(readings), deleted, now)
            if delta is None:
                return None
            for name in changed:
                _look_again(delta, name, store, files)
            if len(delta) + since > SHARE * max(1, len(store)) or self._clash(store, delta):
                return None
        return self._written(delta, signatures, since)

    def _alike(self) -> bool:
        """Whether the recipe differs from the built one's by its corpora alone, and its encoders are those of the index."""
        if self.recipe.graph.said or self.recipe.fingerprint(corpora=False) != recipe_of(self.old).fingerprint(
            corpora=False
        ):
            return False
        if any(c.access for c in self.recipe.corpora) != any(c.access for c in recipe_of(self.old).corpora):
            return False
        return all(self.old.encoders[name]["fingerprint"] == one.fingerprint for name, one in self.encoders.items())

    def _may(self, readings: Mapping[str, Reading], built: Mapping[str, str], changed: Collection[str]) -> bool:
        """Whether no changed corpus touches the graph, and new ones stand behind the old."""
        for name in {*changed, *(set(built) - set(readings))}:
            counts = readings[name].known().get("counts", {}) if name in readings else {}
            if GRAPH & {*self.old.counts.get(name, {}), *counts}:
                return False
        order = [name for name in readings if name in built]
        return order == [name for name in built if name in readings] and list(readings)[: len(order)] == order

    def _delta(
        self, store: ItemStore, readings: Mapping[str, Reading], changed: Collection[str], left: Collection[str],
        deleted: Collection[str], now: Collection[str],
    ) -> Delta | None:  # fmt: skip
        delta, out = Delta(), set(deleted)
        for name in left:
            delta.gone[name] = [item_from_json(line) for line in store.lines(name)]
        for name in changed:
            differs = _changed(store, name, readings[name], SHARE * len(store))
            if differs is None:
                return None
            delta.gone[name], come = differs
            delta.come[name] = [without(item, out) for item in come if not names_of(item) & out]
        for name in now:
            found = store.corpora_of(store.ids_of([name]))
            if not found or any(GRAPH & set(self.old.counts[corpus]) for corpus in found):
                return None
            for corpus, ids in found.items():
                known = {item.id for item in delta.gone.setdefault(corpus, [])}
                delta.gone[corpus] += (going := store.get(sorted(ids - known)))
                _shrink(delta, corpus, store, going)
        return delta

    def _clash(self, store: ItemStore, delta: Delta) -> bool:
        """Whether an id comes that another corpus has, one goes that hid another, or a page of several vectors loses something."""
        gone = {item.id for items in delta.gone.values() for item in items}
        come = [item.id for items in delta.come.values() for item in items]
        if len(set(come)) < len(come) or store.ids_of(set(come) - gone) & set(come):
            return True
        if gone and any(skip["problem"].startswith(CAME_BEFORE) for skip in self.old.skipped):
            return True
        several = any(getattr(encoder, "several", False) for encoder in self.encoders.values())
        return delta.kinds & GRAPH != set() or bool(several and gone)

    def _written(self, delta: Delta, signatures: Mapping[str, str], since: int) -> Grown:
        for skip in self.old.skipped:
            if skip["problem"].startswith(CAME_BEFORE):
                self.log.skip(skip["corpus"], BadRecord(skip["source"], skip["problem"]))
        self.new.mkdir(parents=True)
        for name in ("items.db", RECORDS):
            shutil.copyfile(self.folder / name, self.new / name)
        for name in ("graph.db", STATEMENTS):
            if (self.folder / name).exists():
                linked(self.folder / name, self.new / name)
        content = {"items": self._items(delta)}
        content |= {"graph": self.old.content["graph"]} if "graph" in self.old.content else {}
        for name in self.recipe.indexes:
            content[f"index {name}"] = self._index(name, delta)
        with closing(Records(self.new / RECORDS)) as records:
            records.tell("signatures", dict(signatures))
            records.tell("changed", since + len(delta))
        return Grown(self._counts(delta), content)

    def _items(self, delta: Delta) -> str:
        """Changes ``items.db``; the hash of what it holds then."""
        from medrag.indexes.content import Tally

        with closing(Records(self.new / RECORDS)) as records:
            tally = Tally(*records.tally("items"))
            for corpus, items in delta.gone.items():
                for item in items:
                    tally.count_out(bytes.fromhex(sha256_text(corpus, placeless(item))))
            for corpus, items in delta.come.items():
                for item in items:
                    tally.add(corpus, placeless(item))
            records.keep("items", tally)
            come = [item for items in delta.come.values() for item in items]
            records.note(states(come), [item.id for items in delta.gone.values() for item in items])
        with closing(ItemStore.reopen(self.new / "items.db")) as store:
            store.delete([item.id for items in delta.gone.values() for item in items])
            for corpus, items in delta.come.items():
                store.put_many((item, corpus) for item in items)
        return tally.digest

    def _index(self, name: str, delta: Delta) -> str:
        """Grows one index; the hash of what it holds then."""
        settings, source, target = self.recipe.indexes[name], self.folder / name, self.new / name
        wanted = settings.corpora or tuple(delta.come)
        come = [item for corpus in wanted for item in delta.come.get(corpus, ()) if item.kind in settings.items]
        gone = {item.id for items in delta.gone.values() for item in items}
        self._carry_skips(name, gone | {item.source for item in come if isinstance(item, ImageRecord)})
        with closing(Records(self.new / RECORDS)) as records, records.part(name) as tally:
            there = tally.remove(gone)
            if not there and not come:
                shutil.copytree(source, target, copy_function=linked)
            else:
                index = plugins.load("indexes", settings.kind).open(source)
                index.delete(sorted(there))
                add_items(index, self.encoders.get(settings.encoder), iter(come), self.new, name, tally, self.log)
                target.mkdir(exist_ok=True)
                index.save(target)
            tally.flush()
            return sha256_text(settings.model_dump_json(), tally.digest)

    def _carry_skips(self, name: str, gone: Collection[str]) -> None:
        """What could not be encoded before, and is not tried again, is told again; ``gone`` are ids, and files of pictures."""
        for skip in self.old.skipped:
            if skip["corpus"] == f"index {name}" and skip["source"] not in gone:
                self.log.skip(skip["corpus"], BadRecord(skip["source"], skip["problem"]))

    def _counts(self, delta: Delta) -> dict[str, dict[str, int]]:
        counts = {}
        for corpus in self.recipe.corpora:
            total = Counter(self.old.counts.get(corpus.name, {}))
            total.update(item.kind for item in delta.come.get(corpus.name, ()))
            total.subtract(item.kind for item in delta.gone.get(corpus.name, ()))
            counts[corpus.name] = {kind: number for kind, number in sorted(total.items()) if number}
        return counts


def _changed(store: ItemStore, name: str, reading: Reading, most: float) -> tuple[list[Item], list[Item]] | None:
    """The items of a corpus that go and come, by whole documents, in the order of the corpus; None where more than ``most`` differ."""
    before, after, found = {_short(line) for line in store.lines(name)}, set(), []
    for line in _lines(reading):
        after.add(short := _short(line))
        if short not in before:
            found.append(line)
            if len(found) > most:
                return None
    lost = [line for line in store.lines(name) if _short(line) not in after] if before - after else []
    docs = {item_from_json(line).doc for line in (*found, *lost)}
    there = list(store.lines(name, docs))
    wanted = {_short(line) for line in (*there, *found)}
    come = [item_from_json(line) for line in _lines(reading) if _short(line) in wanted] if there else map(item_from_json, found)  # fmt: skip
    return [item_from_json(line) for line in there], list(come)


def _shrink(delta: Delta, corpus: str, store: ItemStore, going: Collection[Item]) -> None:
    """Studies that lose an image but not themselves go and come, with all that is left of them, so that the order stays."""
    ids = {item.id for item in going}
    docs = {item.doc for item in going if item.kind == "image"} - ids
    for item in (item_from_json(line) for line in (store.lines(corpus, docs) if docs else ())):
        if item.id not in ids:
            delta.gone[corpus].append(item)
            delta.come.setdefault(corpus, []).append(without(item, ids))


def _look_again(delta: Delta, name: str, store: ItemStore, files: Mapping[str, str]) -> None:
    """Documents of a changed corpus whose pictures' files have changed, though their items have not, go and come."""
    known = {item.id for item in (*delta.gone[name], *delta.come[name])}
    there = [item for item in map(item_from_json, store.lines(name)) if item.kind == "image" and item.id not in known]
    now = states(there)
    docs = {item.doc for item in there if files.get(item.id, now[item.id]) != now[item.id]}
    other = [item_from_json(line) for line in store.lines(name, docs)] if docs else []
    delta.gone[name] += other
    delta.come[name] += other


def _short(line: str) -> bytes:
    return hashlib.blake2b(line.encode(), digest_size=16).digest()


def _lines(reading: Reading) -> Iterator[str]:
    """The items of a corpus as JSON, in order."""
    with reading.lines.open(encoding="utf-8") as stream:
        for line in stream:
            yield line.rstrip("\n")
