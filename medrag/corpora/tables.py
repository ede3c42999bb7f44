"""Readers of terminologies and relations that come as tables: MeSH, RadLex, HPO annotations, SSSOM, edge lists.

Each row that does not fit is reported and skipped. Knows nothing of the graph that is built from the items.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from medrag._util.places import expand
from medrag.corpora._obo import read_terms
from medrag.corpora._terms import Term, concept, curie, cut, descendants, items, lines, normal_curie, signature, triple
from medrag.errors import BadRecord, CorpusError, SettingsError
from medrag.protocols import Report
from medrag.types import Item


class Mesh:
    """MeSH headings from a table of id, name, synonyms (``|``) and tree numbers (``|``); ``is_a`` follows the trees.

    ``roots`` are headings (``MESH:D008171``) or tree numbers (``C08``) below which terms are kept.
    """

    def __init__(self, name: str, path: str | Path, *, roots: Sequence[str] = ()) -> None:
        self.name, self.path, self.roots = name, Path(path), tuple(roots)

    def signature(self) -> str:
        return signature(self.path, "mesh/1", self.name, self.roots)

    def read(self, report: Report) -> Iterator[Item]:
        """Each heading as a Concept with its parents as Triples. Raises CorpusError for a file without headings."""
        terms = _mesh_terms(self.path, report)
        trees = tuple(f"{root}." for root in self.roots if re.fullmatch(r"[A-Z]\d\d[\d.]*", root))
        roots = [root for root in self.roots if not re.fullmatch(r"[A-Z]\d\d[\d.]*", root)]
        if trees:
            roots += [t.id for t in terms.values() if any(f"{tree}.".startswith(trees) for tree in t.meta["tree"])]
        if self.roots and not roots:
            raise CorpusError(
                f"no heading of {self.path} stands below {', '.join(self.roots)}", "correct the option 'roots'"
            )
        return items(self.name, terms, roots)


def _mesh_terms(path: Path, report: Report) -> dict[str, Term]:
    terms: dict[str, Term] = {}
    for number, line in lines(path, report):
        cells = line.split("\t")
        if len(cells) < 4 or not re.fullmatch(r"[A-Z]\d+", cells[0]) or not cells[1]:
            report(BadRecord(f"{path}:{number}", "not a row of id, name, synonyms and tree numbers"))
            continue
        trees = [tree for tree in cells[3].split("|") if tree]
        synonyms = [s for s in cells[2].split("|") if s]
        terms[f"MESH:{cells[0]}"] = Term(
            f"MESH:{cells[0]}", cells[1], synonyms, types=sorted({t[0] for t in trees}), meta={"tree": trees}
        )
    if not terms:
        raise CorpusError(f"{path} holds no headings", "give a table of id, name, synonyms and tree numbers")
    holder = {tree: term.id for term in terms.values() for tree in term.meta["tree"]}
    for term in terms.values():
        above = (holder.get(tree.rpartition(".")[0]) for tree in term.meta["tree"])
        term.relations = [("is_a", parent) for parent in dict.fromkeys(above) if parent]
    return terms


class RadLex:
    """RadLex from its tree table (``Term,RID,Parent_RID``), with the branch of obsolete terms left out."""

    OBSOLETE = "RADLEX:RID15849"

    def __init__(self, name: str, path: str | Path, *, roots: Sequence[str] = ()) -> None:
        self.name, self.path, self.roots = name, Path(path), tuple(roots)

    def signature(self) -> str:
        return signature(self.path, "radlex/1", self.name, self.roots)

    def read(self, report: Report) -> Iterator[Item]:
        """Each term as a Concept with its parents as Triples; a term of several rows has several parents."""
        terms: dict[str, Term] = {}
        for where, row in _rows(self.path, report, ("Term", "RID", "Parent_RID")):
            if not row["Term"] or not row["RID"].startswith("RID"):
                report(BadRecord(where, "not a row of Term, RID and Parent_RID"))
                continue
            term = terms.setdefault(f"RADLEX:{row['RID']}", Term(f"RADLEX:{row['RID']}", " ".join(row["Term"].split())))
            term.relations.append(("is_a", f"RADLEX:{row['Parent_RID']}"))
        gone = descendants(terms, [self.OBSOLETE]) if self.OBSOLETE in terms else set()
        current = {id: term for id, term in terms.items() if id not in gone}
        for term in current.values():
            term.relations = [pair for pair in term.relations if pair[1] in current]
        return items(self.name, current, self.roots)


class HpoAnnotations:
    """Disease–phenotype rows of ``phenotype.hpoa``: *disease* ``has_phenotype`` *term*; NOT rows are absent, and so are
    those whose frequency is none of the patients (``0/7``, ``0%``, HP:0040285), unless a row beside them saw some.

    ``terms`` and ``diseases`` limit the rows to an ontology, or to its descendants of ``roots``:
    ``{path: hp.obo, roots: [HP:0002086], without: []}``; a disease belongs to an ontology when one of its terms refers to it.
    Frequency, onset, evidence and reference stay in ``meta``, in the words of the file.
    """

    COLUMNS = ("database_id", "disease_name", "qualifier", "hpo_id", "frequency")

    def __init__(self, name: str, path: str | Path, *, terms: Any = None, diseases: Any = None) -> None:
        self.name, self.path = name, Path(path)
        self.terms, self.diseases = (
            _cut(one, name, self.path.parent) for one, name in ((terms, "terms"), (diseases, "diseases"))
        )

    def signature(self) -> str:
        cuts = [some and (signature(some[0]), some[1:]) for some in (self.terms, self.diseases)]
        return signature(self.path, "hpoa/1", self.name, cuts)

    def read(self, report: Report) -> Iterator[Item]:
        """One Triple a row; repeated rows of the same disease, term and polarity are one."""
        names = {id: term.name for id, term in _kept(self.terms, report).items()} if self.terms else {}
        wanted = (
            {x for id, term in _kept(self.diseases, report).items() for x in (id, *term.xrefs)}
            if self.diseases
            else None
        )
        seen: set[tuple[str, str, bool]] = set()
        for where, row, absent in _with_polarity(_rows(self.path, report, self.COLUMNS)):
            disease, term = normal_curie(row["database_id"]), normal_curie(row["hpo_id"])
            key = (disease, term, absent)
            if not row["disease_name"] or not term.startswith("HP:") or ":" not in disease:
                report(BadRecord(where, "not a row of a disease and an HPO term"))
            elif key not in seen and (wanted is None or disease in wanted) and (self.terms is None or term in names):
                seen.add(key)
                yield self._triple(disease, row, term, names.get(term, term), absent)

    def _triple(self, disease: str, row: Mapping[str, str], term: str, name: str, absent: bool) -> Item:
        kept = ("frequency", "onset", "evidence", "reference", "modifier", "sex")
        meta = {key: row[key] for key in kept if row.get(key)}
        result = triple(self.name, disease, row["disease_name"], "has_phenotype", term, name, meta=meta)
        return replace(result, id=f"{result.id}!not", polarity="absent") if absent else result


_NOBODY = re.compile(r"0/\d+|0+(?:\.0*)?%|HP:0040285")  # of the patients; HP:0040285 is called "Excluded"


def _with_polarity(
    rows: Iterator[tuple[str, dict[str, str]]],
) -> Iterator[tuple[str, dict[str, str], bool]]:
    """(where, row, absent); rows of one disease stand together, and one that saw a term in nobody yields to one that did."""
    for _, group in itertools.groupby(rows, key=lambda pair: pair[1]["database_id"]):
        told = list(group)
        nobody = [bool(_NOBODY.fullmatch(row["frequency"])) for _, row in told]
        seen = {row["hpo_id"] for (_, row), none in zip(told, nobody, strict=True) if not none and not _denied(row)}
        for (where, row), none in zip(told, nobody, strict=True):
            if _denied(row) or not (none and row["hpo_id"] in seen):
                yield where, row, none or _denied(row)


def _denied(row: Mapping[str, str]) -> bool:
    return row["qualifier"] == "NOT"


Cut = tuple[Path, tuple[str, ...], tuple[str, ...]]


def _cut(option: Any, name: str, beside: Path) -> Cut | None:
    """``{path, roots}`` of an option, or None; a relative path starts from ``beside``. Raises SettingsError for anything else."""
    if option is None:
        return None
    if isinstance(option, str | Path):
        option = {"path": str(option)}
    if not isinstance(option, Mapping) or "path" not in option or set(option) - {"path", "roots", "without"}:
        raise SettingsError(
            f"the option {name!r} must be {{path: FILE, roots: [ID, …], without: [ID, …]}}",
            "correct the corpus in the recipe",
        )
    return expand(str(option["path"]), beside), tuple(option.get("roots") or ()), tuple(option.get("without") or ())


def _kept(limit: Cut, report: Report) -> dict[str, Term]:
    """The terms of an ontology that a limit keeps, by CURIE."""
    terms = read_terms(limit[0], report)
    kept = cut(terms, *limit[1:])
    return {id: term for id, term in terms.items() if id in kept}


class Sssom:
    """Mappings between ontologies (SSSOM table): each exact match is a Triple ``exact_match``, which joins concepts."""

    def __init__(self, name: str, path: str | Path, *, predicates: Sequence[str] = ("skos:exactMatch",)) -> None:
        self.name, self.path, self.predicates = name, Path(path), frozenset(predicates)

    def signature(self) -> str:
        return signature(self.path, "sssom/2", self.name, sorted(self.predicates))

    def read(self, report: Report) -> Iterator[Item]:
        for where, row in _rows(self.path, report, ("subject_id", "predicate_id", "object_id")):
            subject, target = normal_curie(row["subject_id"]), normal_curie(row["object_id"])
            if ":" not in subject or ":" not in target:
                report(BadRecord(where, "not a mapping between two CURIEs"))
            elif row["predicate_id"] in self.predicates and row.get("predicate_modifier", "").lower() != "not":
                names = row.get("subject_label") or subject, row.get("object_label") or target
                yield triple(self.name, subject, names[0], "exact_match", target, names[1])


class EdgeList:
    """A network in two tables, as Hetionet ships: nodes (``id, name, kind``) and edges (``source, metaedge, target``), with tabs or commas.

    ``path`` is the folder; ``nodes`` and ``edges`` name the files inside it. ``kinds`` keeps the nodes of these kinds, as the node table
    spells them ("Disease", "Side Effect"), and the edges between them; without it everything is kept.
    """

    def __init__(
        self,
        name: str,
        path: str | Path,
        *,
        nodes: str = "nodes.tsv.gz",
        edges: str = "edges.sif.gz",
        kinds: Sequence[str] = (),
    ) -> None:
        self.name, self.path, self.nodes, self.edges, self.kinds = name, Path(path), nodes, edges, tuple(kinds)

    def signature(self) -> str:
        tables = [signature(path) for path in (self.path / self.nodes, self.path / self.edges) if path.exists()]
        return signature(self.path, "edges/2", self.name, self.nodes, self.edges, self.kinds, tables)

    def read(self, report: Report) -> Iterator[Item]:
        """Every node as a Concept, then every edge between known nodes as a Triple. Raises CorpusError for ``kinds`` that no node has."""
        names: dict[str, str] = {}
        left_out: set[str] = set()
        for where, row in _rows(self.path / self.nodes, report, ("id", "name", "kind")):
            if not row["id"] or not row["name"]:
                report(BadRecord(where, "not a row of id, name and kind"))
                continue
            id = _node_curie(row["id"])
            if self.kinds and row["kind"] not in self.kinds:
                left_out.add(id)
                continue
            names[id] = row["name"]
            cui = [id] if id.startswith("UMLS:") else []
            yield concept(self.name, Term(id, row["name"], xrefs=cui, types=[row["kind"]]))
        if left_out and not names:
            raise CorpusError(f"no node is of the kind {' or '.join(self.kinds)}", "correct the option 'kinds'")
        for where, row in _rows(self.path / self.edges, report, ("source", "metaedge", "target")):
            subject, target = _node_curie(row["source"]), _node_curie(row["target"])
            if subject in names and target in names and row["metaedge"]:
                yield triple(self.name, subject, names[subject], _metaedge(row["metaedge"]), target, names[target])
            elif subject not in left_out and target not in left_out:
                report(BadRecord(where, "an edge between nodes that the node table does not hold"))


_KINDS = {
    "Gene": "NCBIGene",
    "Compound": "DRUGBANK",
    "Symptom": "MESH",
    "Side Effect": "UMLS",
    "Pharmacologic Class": "NDFRT",
}
# the letters between two node kinds of a Hetionet metaedge (https://het.io): "DpS" is disease presents symptom
_VERBS = {
    "p": "presents", "l": "localizes_to", "a": "associates_with", "r": "resembles", "t": "treats", "i": "interacts_with",
    "b": "binds", "c": "causes", "u": "upregulates", "d": "downregulates", "e": "expresses",
}  # fmt: skip
_SPECIAL = {
    "CpD": "palliates", "GpBP": "participates_in", "GpCC": "participates_in", "GpMF": "participates_in", "GpPW": "participates_in",
    "GcG": "covaries_with", "Gr>G": "regulates", "PCiC": "includes",
}  # fmt: skip


def _node_curie(id: str) -> str:
    """``Disease::DOID:1`` and ``Gene::9021`` as CURIEs."""
    kind, _, local = id.partition("::")
    return normal_curie(local) if ":" in local else curie(_KINDS.get(kind, re.sub(r"\W+", "_", kind)), local)


def _metaedge(code: str) -> str:
    verb = re.search(r"[a-z]", code)
    return (
        _SPECIAL.get(code)
        or (_VERBS.get(verb[0]) if verb and re.fullmatch(r"[A-Z]+[a-z]>?[A-Z]+", code) else None)
        or code
    )


def _rows(path: Path, report: Report, needed: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of a table with a header, as (place, cells by column); lines before the header may start with ``#``.

    Tabs divide the cells where the header holds one, else commas. Raises CorpusError when a needed column is missing; a row of another
    length is reported.
    """
    header: list[str] | None = None
    tabs = False
    for number, line in lines(path, report):
        if not line or (header is None and line.startswith("#") and needed[0] not in line):
            continue
        tabs = tabs or (header is None and "\t" in line)
        cells = line.split("\t") if tabs else _cells(line)
        if header is None:
            header = [cell.lstrip("#").strip() for cell in cells]
            if missing := [column for column in needed if column not in header]:
                raise CorpusError(
                    f"{path} has no column {missing[0]!r}",
                    f"needed, with tabs or commas between: {', '.join(needed)}; found: {' | '.join(header)[:120]}",
                )
        elif len(cells) != len(header):
            report(BadRecord(f"{path}:{number}", f"{len(cells)} cells where the header has {len(header)}"))
        else:
            yield f"{path}:{number}", dict(zip(header, (cell.strip() for cell in cells), strict=True))
    if header is None:
        raise CorpusError(f"{path} is empty", f"give a table with the columns {', '.join(needed)}")


def _cells(line: str) -> list[str]:
    """The cells of a line of CSV; one that csv cannot take apart has a single cell."""
    try:
        return next(csv.reader([line]))
    except csv.Error:
        return [line]
