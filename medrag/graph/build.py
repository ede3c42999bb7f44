"""Writes the graph: concepts and triples go in as a stream, `finish` joins, indexes and puts the file in its place.

Nothing is held in Python for each row, but eight bytes an edge while neighbours are counted: rows wait in a second SQLite file
beside the target and are joined, sorted and made distinct by SQLite. The same items in the same order give the same rows. Until `finish` succeeds the target is
untouched; it then changes at once (`os.replace`).

Which concepts are one node is decided in `medrag.graph.merge`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from medrag._util.files import fsync_dir, write_error
from medrag.errors import BadRecord
from medrag.graph.merge import join_concepts
from medrag.graph.words import head, keys_and_bag
from medrag.types import Concept, Triple

FORMAT = "medrag-graph/2"
_TABLES = """
PRAGMA main.page_size=8192; PRAGMA main.journal_mode=OFF; PRAGMA main.synchronous=OFF; PRAGMA main.cache_size=-262144; PRAGMA threads=4;
ATTACH DATABASE '{stage}' AS stage;
PRAGMA stage.journal_mode=OFF; PRAGMA stage.synchronous=OFF; PRAGMA stage.cache_size=-262144;
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE concepts (n INTEGER PRIMARY KEY, curie TEXT NOT NULL UNIQUE, id TEXT, source INTEGER, name TEXT, synonyms TEXT,
  cuis TEXT, definition TEXT, types TEXT, xrefs TEXT, meta TEXT, node INTEGER, degree INTEGER DEFAULT 0, coded INTEGER DEFAULT 0);
CREATE TABLE cuis (cui TEXT, concept INTEGER, PRIMARY KEY (cui, concept)) WITHOUT ROWID;
CREATE TABLE xrefs (curie TEXT, concept INTEGER, PRIMARY KEY (curie, concept)) WITHOUT ROWID;
CREATE TABLE keys (key TEXT, rank INTEGER, concept INTEGER, cased INTEGER, PRIMARY KEY (key, rank, concept, cased)) WITHOUT ROWID;
CREATE TABLE relations (r INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE sources (source INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE edges (s INTEGER, r INTEGER, o INTEGER, polarity TEXT, source INTEGER, doc TEXT, meta TEXT,
  PRIMARY KEY (s, r, o, polarity, source, doc)) WITHOUT ROWID;
CREATE TABLE stage.keys (key TEXT, rank INTEGER, concept INTEGER, cased INTEGER);
CREATE TABLE stage.cuis (cui TEXT, concept INTEGER);
CREATE TABLE stage.xrefs (curie TEXT, concept INTEGER);
CREATE TABLE stage.former (curie TEXT, concept INTEGER);
CREATE TABLE stage.cui_of (curie TEXT, cui TEXT);
CREATE TABLE stage.same (left TEXT, right TEXT);
CREATE TABLE stage.edges (subject TEXT, r INTEGER, object TEXT, polarity TEXT, source INTEGER, doc TEXT, meta TEXT, sname TEXT, oname TEXT);
CREATE TABLE stage.ends (id TEXT PRIMARY KEY, concept INTEGER, name TEXT) WITHOUT ROWID;
"""


def curie_of(id: str) -> str:
    """The CURIE in a global id: ``hpo:HP:0002202`` → ``HP:0002202``; a CURIE comes back as it is."""
    corpus, _, rest = id.partition(":")
    return rest if ":" in rest and corpus == corpus.lower() and not rest.startswith(":") else id


class GraphBuilder:
    """A graph under construction; use it as a context manager, so that an error leaves nothing behind."""

    def __init__(self, path: str | Path, batch: int = 20_000) -> None:
        self.path, self._batch, self._n = Path(path), batch, 0
        self._relations: dict[str, int] = {}
        self._sources: dict[str, int] = {}
        self._waiting: dict[str, list[tuple[Any, ...]]] = {
            "keys": [],
            "cuis": [],
            "xrefs": [],
            "former": [],
            "cui_of": [],
            "same": [],
            "edges": [],
        }
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._scratch = self.path.parent / f".{self.path.name}.part"
            shutil.rmtree(self._scratch, ignore_errors=True)  # what a killed build left
            self._scratch.mkdir()
        except OSError as error:
            raise write_error(self.path, error) from error
        folder = self._scratch
        self._base = sqlite3.connect(folder / "graph", isolation_level=None)
        self._base.executescript(_TABLES.format(stage=str(folder / "stage").replace("'", "''")))
        self._base.execute("BEGIN")

    def __enter__(self) -> GraphBuilder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Gives up what was not finished."""
        with contextlib.suppress(sqlite3.Error):
            self._base.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def add(self, items: Iterable[Concept | Triple]) -> int:
        """Takes concepts and triples in any order; returns how many. A concept that comes again adds to the first.

        Raises BadRecord for an item of another kind.
        """
        count = 0
        try:
            for count, item in enumerate(items, start=1):
                if isinstance(item, Concept):
                    self._concept(item)
                elif isinstance(item, Triple):
                    self._triple(item)
                else:
                    raise BadRecord(str(getattr(item, "id", item)), "the graph takes concepts and triples only")
                if count % self._batch == 0:
                    self._flush()
            self._flush()
        except sqlite3.OperationalError as error:
            raise write_error(self.path, OSError(str(error))) from error
        return count

    def finish(self) -> None:
        """Joins, sorts and indexes, then puts the file in its place."""
        try:
            self._settle_ends()
            join_concepts(self._base)
            self._settle_edges()
            self._settle_tables()
            self._base.execute("COMMIT")
            self._base.execute("PRAGMA optimize")
            self._base.close()
        except sqlite3.OperationalError as error:
            raise write_error(self.path, OSError(str(error))) from error
        made = self._scratch / "graph"
        with made.open("rb+") as handle:
            os.fsync(handle.fileno())
        made.replace(self.path)
        fsync_dir(self.path.parent)
        shutil.rmtree(self._scratch, ignore_errors=True)

    # rows ----------------------------------------------------------------------------------------------------

    def _concept(self, item: Concept) -> None:
        curie, source = curie_of(item.id), 0 if item.meta.get("bare") else self._source(item.id)
        row = (self._n + 1, curie, item.id, source, item.name, _packed(item.synonyms), _packed(item.cuis), item.definition,
               _packed(item.types), _packed(item.xrefs), json.dumps(item.meta, ensure_ascii=False) if item.meta else "", self._n + 1)  # fmt: skip
        done = self._base.execute("INSERT OR IGNORE INTO concepts VALUES (?,?,?,?,?,?,?,?,?,?,?,?,0,0)", row)
        if done.rowcount:
            self._n += 1
            concept, new = self._n, item.synonyms
        else:
            concept, new = self._again(curie, item)
        first = bool(done.rowcount)
        names = [(0, item.name)] if first else []
        for rank, name in (*names, *((1, synonym) for synonym in new)):
            found, loose = keys_and_bag(name)
            self._waiting["keys"] += [(key, rank, concept, cased(name)) for key in found]
            if loose:
                self._waiting["keys"].append((loose, rank, concept, 0))
            if rank == 0 and found and (last := head(found[-1])):
                self._waiting["keys"].append((last, 2, concept, 0))
        self._waiting["cuis"] += [(cui, concept) for cui in item.cuis]
        self._waiting["xrefs"] += [(xref, concept) for xref in item.xrefs]
        self._waiting["former"] += [(former, concept) for former in item.meta.get("alt_ids", ())]

    def _again(self, curie: str, item: Concept) -> tuple[int, tuple[str, ...]]:
        """Adds what a second corpus knows of a concept; returns the concept and its new names."""
        columns = "n, name, synonyms, cuis, definition, types, xrefs"
        n, name, *old, definition, types, xrefs = self._base.execute(
            f"SELECT {columns} FROM concepts WHERE curie = ?", (curie,)
        ).fetchone()
        known = {name, *unpacked(old[0])}
        new = tuple(s for s in dict.fromkeys((item.name, *item.synonyms)) if s not in known)
        joined = [
            _packed(dict.fromkeys((*unpacked(a), *b)))
            for a, b in ((old[0], new), (old[1], item.cuis), (types, item.types), (xrefs, item.xrefs))
        ]
        self._base.execute(
            "UPDATE concepts SET synonyms = ?, cuis = ?, types = ?, xrefs = ?, definition = ? WHERE n = ?",
            (*joined, definition or item.definition, n),
        )
        return n, new

    def _triple(self, item: Triple) -> None:
        subject, target = curie_of(item.subject_id or item.subject), curie_of(item.object_id or item.object)
        if item.relation == "exact_match":
            same = target.startswith("UMLS:")
            self._waiting["cui_of" if same else "same"].append((subject, target[5:] if same else target))
            return
        relation = self._relations.setdefault(item.relation, len(self._relations) + 1)
        source = self._source(item.id)
        doc = "" if curie_of(item.doc) == subject else item.doc
        meta = json.dumps(item.meta, ensure_ascii=False) if item.meta else None
        names = [name if name != id else None for name, id in ((item.subject, subject), (item.object, target))]
        self._waiting["edges"].append((subject, relation, target, item.polarity, source, doc, meta, *names))

    def _source(self, id: str) -> int:
        """The number of the corpus in a global id."""
        return self._sources.setdefault(id.partition(":")[0], len(self._sources) + 1)

    def _flush(self) -> None:
        for table, rows in self._waiting.items():
            if rows:
                marks = ",".join("?" * len(rows[0]))
                self._base.executemany(f"INSERT INTO stage.{table} VALUES ({marks})", rows)
                rows.clear()

    # joins ---------------------------------------------------------------------------------------------------

    def _settle_ends(self) -> None:
        """Every end of an edge becomes a concept: by CURIE, by the one whose former id it is or that refers to it, or as a new, bare concept.

        An end without a name of its own stays out, and its edges with it.
        """
        run = self._base.execute
        for end, name in (("subject", "sname"), ("object", "oname")):
            run(
                f"INSERT INTO stage.ends SELECT {end}, NULL, max({name}) FROM stage.edges WHERE NOT EXISTS "
                f"(SELECT 1 FROM concepts WHERE curie = {end}) GROUP BY {end} "
                "ON CONFLICT (id) DO UPDATE SET name = coalesce(max(name, excluded.name), name, excluded.name)"
            )
        for table in ("former", "xrefs"):
            run(f"CREATE INDEX stage.by_{table} ON {table} (curie)")
            run(
                f"UPDATE stage.ends SET concept = (SELECT x.concept FROM stage.{table} x WHERE x.curie = ends.id "
                "GROUP BY x.curie HAVING count(DISTINCT x.concept) = 1) WHERE concept IS NULL"
            )
        bare = run("SELECT id, name FROM stage.ends WHERE concept IS NULL AND name IS NOT NULL ORDER BY id").fetchall()
        for id, name in bare:
            self._concept(Concept(id=id, name=name, meta={"bare": True}))
        self._flush()
        run("UPDATE stage.ends SET concept = (SELECT n FROM concepts WHERE curie = ends.id) WHERE concept IS NULL")

    def _settle_edges(self) -> None:
        run = self._base.execute
        self._base.executemany(
            "INSERT INTO relations VALUES (?, ?)", [(r, name) for name, r in self._relations.items()]
        )
        self._base.executemany("INSERT INTO sources VALUES (?, ?)", [(s, name) for name, s in self._sources.items()])
        # the node of every end, in a table small enough to stay in memory; own: the end is the node's own entry
        run("CREATE TABLE stage.nodes (id TEXT PRIMARY KEY, node INTEGER, own INTEGER) WITHOUT ROWID")
        run("INSERT INTO stage.nodes SELECT curie, node, n = node FROM concepts ORDER BY curie")
        run(
            "INSERT OR IGNORE INTO stage.nodes SELECT e.id, c.node, 0 FROM stage.ends e JOIN concepts c ON c.n = e.concept"
        )
        # a document is spelt out where it is not the node's own entry in the source
        run(
            "INSERT OR IGNORE INTO edges SELECT a.node AS s, r, b.node AS o, polarity, e.source AS source, "
            "CASE WHEN doc != '' THEN doc WHEN a.own THEN '' "
            "ELSE (SELECT name FROM sources WHERE sources.source = e.source) || ':' || subject END AS place, meta "
            "FROM stage.edges e CROSS JOIN stage.nodes a ON a.id = e.subject CROSS JOIN stage.nodes b ON b.id = e.object "
            "WHERE a.node != b.node ORDER BY s, r, o, polarity, source, place, e.rowid"
        )
        run("CREATE INDEX edges_by_object ON edges (o)")
        self._count_neighbours()

    def _count_neighbours(self) -> None:
        """``degree``: with how many other nodes a node is joined, whatever the edges say. Eight bytes an edge are held in memory."""
        pairs = self._base.execute("SELECT (min(s, o) << 32) | max(s, o) FROM edges")
        joined = np.unique(np.fromiter((pair for (pair,) in pairs), np.int64))
        nodes, degrees = np.unique(np.concatenate([joined >> 32, joined & 0xFFFFFFFF]), return_counts=True)
        rows = zip(degrees.tolist(), nodes.tolist(), strict=True)
        self._base.executemany("UPDATE concepts SET degree = ? WHERE n = ?", rows)

    def _settle_tables(self) -> None:
        run = self._base.execute
        proper = self._spelling()
        run("INSERT OR IGNORE INTO keys SELECT DISTINCT key, rank, concept, cased FROM stage.keys ORDER BY 1, 2, 3, 4")
        run("INSERT OR IGNORE INTO cuis SELECT DISTINCT cui, concept FROM stage.cuis ORDER BY 1, 2")
        run(
            "INSERT INTO xrefs SELECT curie, concept FROM stage.xrefs UNION SELECT curie, concept FROM stage.former ORDER BY 1, 2"
        )
        run("CREATE INDEX concepts_by_node ON concepts (node) WHERE node != n")
        run("UPDATE concepts SET coded = 1 WHERE n IN (SELECT k.node FROM concepts k JOIN cuis u ON u.concept = k.n)")
        dangling = run("SELECT count(*) FROM stage.edges WHERE subject IN (SELECT id FROM stage.ends WHERE concept IS NULL) "
                       "OR object IN (SELECT id FROM stage.ends WHERE concept IS NULL)").fetchone()[0]  # fmt: skip
        counts = {
            table: run(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("concepts", "edges", "keys", "cuis")
        }
        counts |= {"nodes": run("SELECT count(DISTINCT node) FROM concepts").fetchone()[0], "dangling": dangling}
        about = {"format": FORMAT, "counts": json.dumps(counts), "proper": _packed(sorted(proper))}
        self._base.executemany("INSERT INTO about VALUES (?, ?)", about.items())

    def _spelling(self) -> set[str]:
        """Settles which abbreviations must be in capitals in a text ("MASS", since "mass" is a word), and returns the
        first words of names that keep their capital in a sentence: those that have it inside other names and definitions
        ("a Marfan habitus"), or in a source that writes its names small ("Down syndrome")."""
        small: set[str] = set()
        capital: Counter[str] = Counter()
        first: Counter[tuple[int, str]] = Counter()
        for source, name, definition in self._base.execute("SELECT source, name, definition FROM concepts"):
            start, *rest = name.split() or [""]
            first[source, start] += 1
            inside = [*(() if name.istitle() else rest), *_INSIDE.findall(definition)]
            small.update(word.strip(_SIGNS) for word in (start, *rest, *definition.split()) if word[:1].islower())
            capital.update(word.strip(_SIGNS) for word in inside if word[:1].isupper())
        self._base.execute("CREATE TABLE stage.small (word TEXT PRIMARY KEY) WITHOUT ROWID")
        self._base.executemany(
            "INSERT INTO stage.small VALUES (?)", ((word,) for word in sorted(small) if len(word) <= 5)
        )
        self._base.execute(
            "UPDATE stage.keys SET cased = 0 WHERE cased = 2 AND key NOT IN (SELECT word FROM stage.small)"
        )
        self._base.execute("UPDATE stage.keys SET cased = 1 WHERE cased = 2")
        starts: Counter[tuple[int, bool]] = Counter()
        for (source, word), count in first.items():
            starts[source, word[:1].islower()] += count
        writes_small = {s for s in self._sources.values() if starts[s, True] > starts[s, False]}
        named = {
            w for (s, w), n in first.items() if s in writes_small and w == w.capitalize() and n > first[s, w.lower()]
        }
        return {
            w
            for w in named | capital.keys()
            if w.isalpha() and w == w.capitalize() and (w in named or w.lower() not in small)
        }


_INSIDE = re.compile(r"(?<=[a-z,] )[A-Z][a-z]+")  # words with a capital that do not start a sentence
_SIGNS = ".,;:()'\""


def cased(name: str) -> int:
    """0 for a name; 1 for an abbreviation that a text must write in capitals ("PE"); 2 where it depends on whether the
    letters are also a word ("MASS", "COPD")."""
    short = len(name) <= 5 and name.isupper() and name.isalpha()
    return int(short) + int(short and len(name) > 3)


def _packed(values: Iterable[str]) -> str:
    return "\n".join(values)


def unpacked(text: str) -> tuple[str, ...]:
    """The inverse of how lists of names are stored: one a line."""
    return tuple(text.split("\n")) if text else ()
