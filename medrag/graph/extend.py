"""Adds statements to a finished graph: edges between its nodes, and plain nodes for what only texts name ("left lung base", "12 mm in size").

What is added cannot be linked to: names and keys stay those of the ontologies, so a graph links the same before and after. It is one
transaction on the file itself; the file must be one that nobody has open yet, such as that of a build under way.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from medrag._util.files import write_error
from medrag.graph.build import curie_of
from medrag.types import Triple

BATCH = 20_000
_STAGE = "CREATE TEMP TABLE told (subject TEXT, relation TEXT, object TEXT, polarity TEXT, source TEXT, doc TEXT, meta TEXT, sname TEXT, oname TEXT)"


def extend(path: str | Path, statements: Iterable[Triple]) -> int:
    """How many edges the graph has gained; a statement of the same document counts once, one whose two ends are one node not at all.

    Raises MedragError where the file cannot be written; the graph is then as it was.
    """
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as base:
        try:
            run = base.execute
            run("PRAGMA temp_store=FILE")
            run("BEGIN IMMEDIATE")
            run(_STAGE)
            rows = _rows(statements)
            while batch := list(islice(rows, BATCH)):
                base.executemany("INSERT INTO told VALUES (?,?,?,?,?,?,?,?,?)", batch)
            before = run("SELECT count(*) FROM edges").fetchone()[0]
            _number(base, "relations", "r", "relation")
            _number(base, "sources", "source", "source")
            _nodes(base)
            _edges(base)
            counts = _counts(base)
            run("COMMIT")
            return int(counts["edges"] - before)
        except sqlite3.OperationalError as error:
            raise write_error(Path(path), OSError(str(error))) from error


def _rows(statements: Iterable[Triple]) -> Iterator[tuple[str, ...]]:
    for one in statements:
        subject, target = curie_of(one.subject_id or one.subject), curie_of(one.object_id or one.object)
        meta = json.dumps(one.meta, ensure_ascii=False)
        source = one.id.partition(":")[0]
        yield subject, one.relation, target, one.polarity, source, one.doc, meta, one.subject, one.object


def _number(base: sqlite3.Connection, table: str, number: str, column: str) -> None:
    """Numbers for relations and sources that the graph has not had."""
    base.execute(
        f"INSERT INTO {table} ({number}, name) SELECT (SELECT coalesce(max({number}), 0) FROM {table}) + row_number() OVER (ORDER BY {column}), {column} "
        f"FROM (SELECT DISTINCT {column} FROM told WHERE {column} NOT IN (SELECT name FROM {table}))"
    )


def _nodes(base: sqlite3.Connection) -> None:
    """A plain node for each end that the graph does not have, under the first of its names."""
    base.execute(
        "INSERT INTO concepts (n, curie, id, source, name, synonyms, cuis, definition, types, xrefs, meta, node) "
        "SELECT last + place, code, code, 0, name, '', '', '', '', '', ?, last + place FROM "
        "(SELECT code, min(name) AS name, row_number() OVER (ORDER BY code) AS place, (SELECT coalesce(max(n), 0) FROM concepts) AS last FROM "
        "(SELECT subject AS code, sname AS name FROM told UNION SELECT object, oname FROM told) "
        "WHERE code NOT IN (SELECT curie FROM concepts) GROUP BY code)",
        (json.dumps({"bare": True}),),
    )


def _edges(base: sqlite3.Connection) -> None:
    base.execute(
        "INSERT OR IGNORE INTO edges SELECT s.node, r.r, o.node, t.polarity, c.source, t.doc, t.meta FROM told t "
        "JOIN concepts s ON s.curie = t.subject JOIN concepts o ON o.curie = t.object JOIN relations r ON r.name = t.relation "
        "JOIN sources c ON c.name = t.source WHERE s.node != o.node ORDER BY t.rowid"
    )
    base.execute(
        "UPDATE concepts SET degree = (SELECT count(*) FROM (SELECT o FROM edges WHERE s = concepts.n UNION SELECT s FROM edges WHERE o = concepts.n)) "
        "WHERE n IN (SELECT k.node FROM concepts k JOIN (SELECT subject AS code FROM told UNION SELECT object FROM told) e ON k.curie = e.code)"
    )


def _counts(base: sqlite3.Connection) -> dict[str, int]:
    """The counts of the graph, brought up to date."""
    counts: dict[str, int] = json.loads(base.execute("SELECT value FROM about WHERE key = 'counts'").fetchone()[0])
    counts |= {table: base.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("concepts", "edges")}
    counts["nodes"] = base.execute("SELECT count(DISTINCT node) FROM concepts").fetchone()[0]
    base.execute("UPDATE about SET value = ? WHERE key = 'counts'", (json.dumps(counts),))
    return counts
