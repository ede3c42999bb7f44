"""Milvus behind medrag's index contract: vectors in a collection of a server (or a file, by Milvus Lite), a partition for each corpus.

Wang et al., *Milvus: A Purpose-Built Vector Data Management System* (SIGMOD 2021). Knows ids and vectors only. With ``index: FLAT`` the answers
are those of `medrag.indexes.flat.FlatIndex`: candidates come in single precision and are scored again in double precision, ties are ordered by id.
What is deleted is hidden here at once and taken out of the collection by `save`. What it does not know: words (BM25 stays a file), pages of several vectors.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from medrag._util import offline
from medrag._util.files import sha256_text, write_json
from medrag._util.places import home
from medrag.errors import MissingDependency, SettingsError
from medrag.indexes.ids import IdTable, Row, matrix, padded

if TYPE_CHECKING:
    from medrag.protocols import Vectors

FILE = "elsewhere.json"  # what lies outside the folder, and where
TOKEN = "MEDRAG_MILVUS_TOKEN"  # user:password or an API key; kept out of recipes
BYTES = 16 << 20  # of vectors in one message
NAMES = 1000  # ids looked up at a time
MOST = 16_384  # neighbours that Milvus gives
SLACK = 1e-5  # how far single precision may be off for unit vectors


class MilvusIndex:
    """Inner-product search in a collection of Milvus.

    ``uri``: ``http://HOST:19530``, or a file for Milvus Lite (default: ``milvus.db`` among what medrag builds). ``index`` and ``params``: Milvus'
    index type and its build parameters (``HNSW`` with ``{M: 16, efConstruction: 200}`` …); ``search``: its search parameters (``{ef: 64}``).
    """

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
        self._unsynced = False

    def __len__(self) -> int:
        if self.dim is None:
            return 0
        self._sync()
        with self._told():
            rows = self._client.query(self.collection, filter="", output_fields=["count(*)"])
        return int(rows[0]["count(*)"]) - len(self._hidden)

    def add(self, ids: Sequence[str], vectors: Vectors) -> None:
        """Writes; an id that is there already gets its new vector. Raises SettingsError where Milvus refuses."""
        if not len(ids):
            return
        matrix(vectors, self.dim, len(ids))
        if self.dim is None:
            self.dim = int(vectors.shape[1])
            self._create()
        self._unsynced = True
        step = max(1, BYTES // (4 * self.dim))
        for start in range(0, len(ids), step):
            part = dict(zip(ids[start : start + step], vectors[start : start + step], strict=True))  # the last of twins
            for name, rows in _by_partition(part).items():
                self._write(name, rows)
        self._hidden.difference_update(ids)

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
        return len(there)

    def _present(self, ids: Collection[str]) -> set[str]:
        """Those of the ids that are in the collection."""
        if self.dim is None:
            return set()
        self._sync()
        found, wanted = set(), sorted(ids)
        with self._told():
            for start in range(0, len(wanted), NAMES):
                named = _in(wanted[start : start + NAMES])
                found |= {row["id"] for row in self._client.query(self.collection, filter=named, output_fields=["id"])}
        return found

    def search(
        self, vectors: Vectors, k: int, *, allowed: Collection[str] | None = None, exclude: Collection[str] = (),
        corpora: Collection[str] = (),
    ) -> tuple[NDArray[np.float32], list[list[str]]]:  # fmt: skip
        """Scores (n, k') best first and as many ids a row, of ``allowed`` (None: all) without ``exclude``; ``corpora`` (none: all)
        looks into their partitions alone. Filters take part in the search; ties are ordered by id."""
        if self.dim is None or k < 1 or not len(vectors) or (allowed is not None and not allowed):
            return padded([([], [])] * len(vectors))
        queries = np.ascontiguousarray(matrix(vectors, self.dim), dtype=np.float32)
        self._sync()
        hidden = {*self._hidden, *exclude}
        clauses = [_in(allowed)] if allowed is not None else []
        clauses += [f"not ({_in(hidden)})"] if hidden else []
        partitions = [partition_of(f"{name}:") for name in corpora]
        if partitions:
            with self._told():
                partitions = [one for one in partitions if self._client.has_partition(self.collection, one)]
            if not partitions:
                return padded([([], [])] * len(vectors))
        return padded([self._best(query, k, " and ".join(clauses), partitions) for query in queries])

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
        with self._told():
            several = self._client.query_iterator(self.collection, batch_size=size, output_fields=["id", "vector"])
            while rows := several.next():
                kept = [row for row in rows if row["id"] not in self._hidden]
                if kept:
                    yield [row["id"] for row in kept], np.array([row["vector"] for row in kept], np.float32)
            several.close()

    @property
    def _client(self) -> Any:
        if self._client_ is None:
            self._client_ = _connected(self.uri)
        return self._client_

    def _create(self) -> None:
        from pymilvus import DataType

        with self._told():
            if self._client.has_collection(self.collection):
                return
            schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
            schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=4096)
            schema.add_field("vector", DataType.FLOAT_VECTOR, dim=self.dim)
            index = self._client.prepare_index_params()
            index.add_index("vector", index_type=self.kind, metric_type="IP", params=self.params)
            self._client.create_collection(self.collection, schema=schema, index_params=index)

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
                self._client.delete(self.collection, filter=_in(gone[start : start + NAMES]))
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


def partition_of(item: str) -> str:
    """The partition of an id: its corpus, spelled with what Milvus allows in a name."""
    corpus = item.partition(":")[0] if ":" in item else ""
    name = "p_" + re.sub(r"[^a-z0-9]", lambda found: f"_{ord(found[0]):x}_", corpus)
    return name if len(name) < 200 else f"p_{sha256_text(corpus)}"


def _by_partition(rows: Mapping[str, Vectors]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for item, vector in rows.items():
        found.setdefault(partition_of(item), []).append({"id": item, "vector": np.asarray(vector, np.float32)})
    return found


def _in(ids: Collection[str]) -> str:
    """An expression of Milvus that is true for these ids."""
    return f"id in {json.dumps(sorted(ids), ensure_ascii=False)}"


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
