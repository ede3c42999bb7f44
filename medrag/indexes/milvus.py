"""Milvus behind medrag's index contract: vectors in a collection of a server (or a file, by Milvus Lite), a partition for each corpus and domain.

Wang et al., *Milvus: A Purpose-Built Vector Data Management System* (SIGMOD 2021). Knows ids and vectors only. With ``index: FLAT`` the answers
are those of `medrag.indexes.flat.FlatIndex`: candidates come in single precision and are scored again in double precision, ties are ordered by id.
What is deleted is hidden here at once and taken out of the collection by `save`. What it does not know: words (BM25 stays a file), pages of several vectors.
"""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from medrag._util import offline
from medrag._util.files import write_json
from medrag._util.places import home
from medrag.errors import MissingDependency, SettingsError
from medrag.indexes._partitions import Look, corpus_in, grouped, looks, named, partition_of
from medrag.indexes.ids import IdTable, Row, matrix, padded

if TYPE_CHECKING:
    from medrag.protocols import Vectors

FILE = "elsewhere.json"  # what lies outside the folder, and where
TOKEN = "MEDRAG_MILVUS_TOKEN"  # user:password or an API key; kept out of recipes
BYTES = 16 << 20  # of vectors in one message
NAMES = 1000  # ids looked up at a time; filters of more look for whole partitions
FILTERS = 8  # remembered
MOST = 16_384  # neighbours that Milvus gives
SLACK = 1e-5  # how far single precision may be off for unit vectors


class MilvusIndex:
    """Inner-product search in a collection of Milvus.

    ``uri``: ``http://HOST:19530``, or a file for Milvus Lite (default: ``milvus.db`` among what medrag builds). ``index`` and ``params``: Milvus'
    index type and its build parameters (``HNSW`` with ``{M: 16, efConstruction: 200}`` …); ``search``: its search parameters (``{ef: 64}``).
    """

    by_domain = True  # `add` takes the domains of ids

    def __init__(
        self, uri: str = "", *, index: str = "FLAT", params: Mapping[str, Any] | None = None,
        search: Mapping[str, Any] | None = None, collection: str = "", dim: int | None = None,
    ) -> None:  # fmt: skip
        self.uri = uri or str(home() / "milvus.db")
        self.kind, self.params, self.effort_of = index.upper(), dict(params or {}), dict(search or {})
        self.collection, self.dim = collection or f"medrag_{uuid.uuid4().hex[:16]}", dim
        self._hidden: set[str] = set()
        self._client_: Any = None
        self._partitions: set[str] = set()
        self._members: dict[str, set[str]] = {}  # the ids in each partition, once a filter needs them
        self._looks: dict[frozenset[str] | None, list[Look]] = {}  # by what is allowed
        self._unsynced = False

    def __len__(self) -> int:
        if self.dim is None:
            return 0
        self._sync()
        with self._told():
            rows = self._client.query(self.collection, filter="", output_fields=["count(*)"])
        return int(rows[0]["count(*)"]) - len(self._hidden)

    def add(self, ids: Sequence[str], vectors: Vectors, domains: Mapping[str, str] | None = None) -> None:
        """Writes; an id that is there already gets its new vector. ``domains`` of ids, where they are known, say in which partition of its corpus a
        vector lies. Raises SettingsError where Milvus refuses."""
        if not len(ids):
            return
        matrix(vectors, self.dim, len(ids))
        new = self.dim is None
        if self.dim is None:
            self.dim = int(vectors.shape[1])
            new = self._create()
        self._members, self._looks = {}, {}
        if not new:
            self._leave(ids, domains or {})
        self._unsynced = True
        step = max(1, BYTES // (4 * self.dim))
        for start in range(0, len(ids), step):
            part = dict(zip(ids[start : start + step], vectors[start : start + step], strict=True))  # the last of twins
            for name, some in grouped(part, domains or {}).items():
                self._write(name, [{"id": item, "vector": np.asarray(part[item], np.float32)} for item in some])
        self._hidden.difference_update(ids)

    def _leave(self, ids: Sequence[str], domains: Mapping[str, str]) -> None:
        """Takes ids out of the other partitions of their corpus: their domain may have changed. Flushed, since Milvus Lite takes what is deleted
        and written in one go for not deleted."""
        with self._told():
            there = self._client.list_partitions(self.collection)
            for start in range(0, len(ids), NAMES):
                for name, some in grouped(ids[start : start + NAMES], domains).items():
                    for other in there:
                        if other != name and corpus_in(other) == corpus_in(name):
                            self._client.delete(self.collection, ids=some, partition_name=other)
                            self._unsynced = True
        self._sync()

    def _write(self, partition: str, rows: list[dict[str, Any]]) -> None:
        with self._told():
            if partition not in self._partitions:
                if not self._client.has_partition(self.collection, partition):
                    self._client.create_partition(self.collection, partition)
                self._partitions.add(partition)
            self._client.upsert(self.collection, rows, partition_name=partition)

    def delete(self, ids: Sequence[str]) -> int:
        """How many of the ids were there. They are never found again; the collection loses them when this is saved."""
        there = self._present(set(ids) - self._hidden)
        self._hidden |= there
        self._looks = {}
        return len(there)

    def _present(self, ids: Collection[str]) -> set[str]:
        """Those of the ids that are in the collection."""
        if self.dim is None:
            return set()
        self._sync()
        found, wanted = set(), sorted(ids)
        with self._told():
            for start in range(0, len(wanted), NAMES):
                some = named(wanted[start : start + NAMES])
                found |= {row["id"] for row in self._client.query(self.collection, filter=some, output_fields=["id"])}
        return found

    def search(
        self, vectors: Vectors, k: int, *, allowed: Collection[str] | None = None, exclude: Collection[str] = (),
        corpora: Collection[str] = (),
    ) -> tuple[NDArray[np.float32], list[list[str]]]:  # fmt: skip
        """Scores (n, k') best first and as many ids a row, of ``allowed`` (None: all) without ``exclude``; ``corpora`` (none: all)
        looks into their partitions alone, and so does a filter as far as it allows whole ones. Filters take part in the search; ties are ordered by id."""
        if self.dim is None or k < 1 or not len(vectors) or (allowed is not None and not allowed):
            return padded([([], [])] * len(vectors))
        queries = np.ascontiguousarray(matrix(vectors, self.dim), dtype=np.float32)
        self._sync()
        without = f"not ({named(exclude)})" if exclude else ""
        found = []
        for partitions, some in self._within(allowed, corpora):
            wanted = " and ".join(filter(None, (some, without)))
            found.append([self._best(query, k, wanted, partitions) for query in queries])
        return padded([_merged(rows, k) for rows in zip(*found, strict=True)] if found else [([], [])] * len(vectors))

    def _within(self, allowed: Collection[str] | None, corpora: Collection[str]) -> list[Look]:
        """What has to be looked into, without what is hidden; a few ids are named in any case."""
        if len(allowed or ()) + len(self._hidden) > NAMES:
            found = self._known(None if allowed is None else frozenset(allowed))
        else:
            ids = [named(allowed)] if allowed is not None else []
            hidden = [f"not ({named(self._hidden)})"] if self._hidden else []
            found = [([], " and ".join(ids + hidden))]
        if not corpora:
            return found
        wanted = {partition_of(f"{name}:") for name in corpora}
        with self._told():
            there = [one for one in self._client.list_partitions(self.collection) if corpus_in(one) in wanted]
        inside = [([one for one in names or there if one in there], some) for names, some in found]
        return [look for look in inside if look[0]]

    def _known(self, allowed: frozenset[str] | None) -> list[Look]:
        """`looks`, worked out once for each filter."""
        if (found := self._looks.get(allowed)) is None:
            if not self._members:
                with self._told():
                    there = self._client.list_partitions(self.collection)
                self._members = {name: ids for name in there if (ids := self._ids_in(name))}
            if len(self._looks) >= FILTERS:
                self._looks = {}
            found = self._looks[allowed] = looks(self._members, allowed, self._hidden)
        return found

    def _ids_in(self, partition: str) -> set[str]:
        return {item for rows in self._read(["id"], MOST, [partition]) for item in (row["id"] for row in rows)}

    def _best(self, query: Vectors, k: int, wanted: str, partitions: list[str]) -> Row:
        """The k best; asks again, for more, until the k-th is clearly better than the worst that came."""
        depth = min(MOST, k + 16)
        while True:
            with self._told():
                (hits,) = self._client.search(
                    self.collection, [query], limit=depth, filter=wanted, partition_names=partitions or None,
                    output_fields=["vector"] if self.kind == "FLAT" else [],
                    search_params={"metric_type": "IP", "params": self.effort_of}, consistency_level="Eventually",
                )  # fmt: skip
            scores = np.array([hit["distance"] for hit in hits], np.float64)
            worst = float(scores[-1]) + SLACK if len(scores) else -np.inf
            if self.kind == "FLAT" and hits:
                rows = np.array([hit["entity"]["vector"] for hit in hits], np.float32)
                scores = rows.astype(np.float64) @ query.astype(np.float64)
            table = IdTable([hit["id"] for hit in hits])
            found = table.best(scores, np.arange(len(hits)), k)
            if len(hits) < depth or depth == MOST or self.kind != "FLAT" or found[0][-1] > worst:
                return found
            depth = min(MOST, depth * 4)

    def rows(self, size: int = 1000) -> Iterator[tuple[list[str], Vectors]]:
        """Everything that is there, some at a time, in no order that means anything."""
        if self.dim is None:
            return
        self._sync()
        for rows in self._read(["id", "vector"], size):
            kept = [row for row in rows if row["id"] not in self._hidden]
            if kept:
                yield [row["id"] for row in kept], np.array([row["vector"] for row in kept], np.float32)

    def _read(
        self, fields: list[str], size: int, partitions: list[str] | None = None
    ) -> Iterator[list[dict[str, Any]]]:
        with self._told():
            several = self._client.query_iterator(
                self.collection, batch_size=size, output_fields=fields, partition_names=partitions
            )
            while rows := several.next():
                yield rows
            several.close()

    @property
    def _client(self) -> Any:
        if self._client_ is None:
            self._client_ = _connected(self.uri)
        return self._client_

    def _create(self) -> bool:
        """Whether there was no such collection before."""
        from pymilvus import DataType

        with self._told():
            if self._client.has_collection(self.collection):
                return False
            schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
            schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=4096)
            schema.add_field("vector", DataType.FLOAT_VECTOR, dim=self.dim)
            index = self._client.prepare_index_params()
            index.add_index("vector", index_type=self.kind, metric_type="IP", params=self.params)
            self._client.create_collection(self.collection, schema=schema, index_params=index)
        return True

    def _sync(self) -> None:
        """What was written is in sealed segments, which alone are searched exactly, and every later search sees it."""
        if self._unsynced:
            with self._told():
                self._client.flush(self.collection)
                self._client.load_collection(self.collection)
                self._settle()
            self._unsynced = False

    def _settle(self) -> None:
        """Waits until the servers have caught up with the last write."""
        self._client.query(self.collection, filter="", output_fields=["count(*)"], consistency_level="Strong")

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """What Milvus refuses in one line."""
        from pymilvus.exceptions import MilvusException

        try:
            yield
        except (MilvusException, ValueError) as error:
            raise _problem(self.uri, error) from error

    def reserve(self, folder: Path) -> None:
        """Writes down where the vectors will lie, so that `drop` finds them if this is never finished."""
        folder.mkdir(parents=True, exist_ok=True)
        kept = {"uri": self.uri, "collection": self.collection, "dim": self.dim, "index": self.kind}
        write_json(folder / FILE, {"kind": "milvus", **kept, "params": self.params, "search": self.effort_of})

    def save(self, folder: Path) -> None:
        """Takes what was deleted out of the collection, and writes ``elsewhere.json``: where it is, and how it is searched."""
        self._sync()
        gone = sorted(self._hidden)
        with self._told():
            for start in range(0, len(gone), NAMES):
                self._client.delete(self.collection, filter=named(gone[start : start + NAMES]))
            if gone:
                self._settle()
        self._hidden = set()
        self.reserve(folder)

    @classmethod
    def open(cls, folder: Path) -> MilvusIndex:
        """The saved index. Raises SettingsError where Milvus is not reached or has lost the collection."""
        kept = json.loads((folder / FILE).read_text(encoding="utf-8"))
        kept.pop("kind")
        index = cls(**kept)
        if index.dim is not None:
            with index._told():
                there = index._client.has_collection(index.collection)
                if there:
                    index._client.load_collection(index.collection)
            if not there:
                raise SettingsError(f"Milvus at {index.uri} has no collection {index.collection}", "build it again")
        return index

    @classmethod
    def drop(cls, folder: Path, heir: Path | None = None) -> None:
        """Deletes the collection of a folder that goes, unless its heir uses it too."""
        kept = json.loads((folder / FILE).read_text(encoding="utf-8"))
        inherited = heir / FILE if heir else None
        if inherited and inherited.is_file() and json.loads(inherited.read_text())["collection"] == kept["collection"]:
            return
        index = cls(kept["uri"], collection=kept["collection"])
        with index._told():
            if index._client.has_collection(index.collection):
                index._client.drop_collection(index.collection)


def _merged(rows: Sequence[Row], k: int) -> Row:
    """The k best of several rows, ties in the order of their ids."""
    scores, ids = [score for found, _ in rows for score in found], [item for _, found in rows for item in found]
    return IdTable(ids).best(np.array(scores, np.float32), np.arange(len(ids)), k)


def _connected(uri: str) -> Any:
    """A client. Raises MissingDependency, SettingsError where nobody answers, OfflineError for another machine where that is forbidden."""
    try:
        from pymilvus import MilvusClient
        from pymilvus.exceptions import MilvusException
    except ModuleNotFoundError as error:
        raise MissingDependency("kind 'milvus' needs the package pymilvus", 'pip install "medrag[milvus]"') from error
    import logging

    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # it prints a traceback for what is told in one line here
    if "://" in uri:
        offline.refuse_if_asked(urlsplit(uri).hostname or "")
    else:
        uri = str(Path(uri).expanduser())
        Path(uri).parent.mkdir(parents=True, exist_ok=True)
    try:
        return MilvusClient(uri, token=os.environ.get(TOKEN, ""), timeout=10)
    except (MilvusException, ValueError) as error:
        raise _problem(uri, error) from error


def _problem(uri: str, error: Exception) -> SettingsError:
    said = " ".join(str(getattr(error, "message", "") or error).split())[:200]
    return SettingsError(f"Milvus at {uri}: {said}", f"start it, set options: {{uri: …}}, or give {TOKEN}")
