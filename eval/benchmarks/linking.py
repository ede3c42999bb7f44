"""Links 1,000 real reports to MONDO, DOID, HPO and MeSH, beside two plain matchers and a walk in networkx, in one run.

    MEDRAG_DATA=/path/to/pack python eval/benchmarks/linking.py [--reports 1000] [--out FILE]

The peers: an Aho-Corasick automaton over the lower-case names, longest match at word borders (pyahocorasick, `pip install pyahocorasick`), and a
dictionary of names in which all runs of words are looked up, as QuickUMLS does without its approximate matching (Soldaini & Goharian 2016). Neither
knows inflection, order of words, abbreviations or negation; both hold all names in memory. Every part runs in a process of its own,
so that its memory is its own. Hardware: 2 CPU cores; to expect: two minutes.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import resource
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ontologies import load, readers

WORD = re.compile(r"\w+")
Job = Callable[[Path, list[str]], dict[str, Any]]


def names(graph: Path) -> list[tuple[str, str]]:
    """(lower-case name, concept) of all names and synonyms of the graph, those of three letters and more."""
    rows = sqlite3.connect(graph).execute("SELECT curie, name, synonyms FROM concepts").fetchall()
    found = ((name.lower(), curie) for curie, first, more in rows for name in (first, *more.split("\n")))
    return [(name, curie) for name, curie in found if len(name) > 2]


def medrag_linker(graph: Path, texts: list[str]) -> dict[str, Any]:
    from medrag.graph import GraphStore, Linker

    start = time.perf_counter()
    linker = Linker(GraphStore.open(graph))
    opened = time.perf_counter() - start
    return _timed(opened, lambda text: [m.surface for m in linker.link(text)], texts)


def automaton(graph: Path, texts: list[str]) -> dict[str, Any]:
    try:
        import ahocorasick
    except ModuleNotFoundError as error:
        return {"left out": f"no module {error.name}: pip install pyahocorasick"}
    start = time.perf_counter()
    machine = ahocorasick.Automaton()
    for name, curie in names(graph):
        machine.add_word(name, (len(name), curie))
    machine.make_automaton()
    opened = time.perf_counter() - start

    def link(text: str) -> list[str]:
        text = text.lower()
        spans = [(end - size + 1, end + 1) for end, (size, _) in machine.iter(text)]
        whole = [(a, b) for a, b in spans if not (text[a - 1 : a].isalnum() or text[b : b + 1].isalnum())]
        return [text[a:b] for a, b in _longest(whole)]

    return _timed(opened, link, texts)


def dictionary(graph: Path, texts: list[str]) -> dict[str, Any]:
    start = time.perf_counter()
    known = {" ".join(WORD.findall(name)): curie for name, curie in names(graph)}
    opened = time.perf_counter() - start

    def link(text: str) -> list[str]:
        words = WORD.findall(text.lower())
        runs = ((a, b) for a in range(len(words)) for b in range(a + 1, min(a + 12, len(words)) + 1))
        return [" ".join(words[a:b]) for a, b in _longest([(a, b) for a, b in runs if " ".join(words[a:b]) in known])]

    return _timed(opened, link, texts)


def walks(graph: Path, texts: list[str]) -> dict[str, Any]:
    """Two hops from the concepts of the first 50 texts: best paths from the store, and all paths in a networkx graph in memory."""
    import networkx as nx

    from medrag.graph import GraphStore, Linker

    store = GraphStore.open(graph)
    linker = Linker(store)
    starts = [m.concepts[0] for text in texts[:50] for m in linker.link(text) if not m.head][:100]
    start = time.perf_counter()
    view = nx.Graph()
    base = sqlite3.connect(graph)
    nodes = dict(base.execute("SELECT n, curie FROM concepts"))
    view.add_edges_from((nodes[s], nodes[o]) for s, o in base.execute("SELECT s, o FROM edges"))
    loaded = time.perf_counter() - start
    ways = {
        "medrag": lambda node: store.paths([node], 2, 50),
        "networkx": lambda node: nx.single_source_shortest_path(view, node, 2) if node in view else {},
    }
    result: dict[str, Any] = {"starts": len(starts), "networkx_load_s": round(loaded, 2)}
    for name, walk in ways.items():
        for node in starts:
            walk(node)
        begin = time.perf_counter()
        for node in starts:
            walk(node)
        result[f"{name}_ms"] = round((time.perf_counter() - begin) * 1e3 / max(1, len(starts)), 3)
    return result


def _longest(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans without overlap, the longest first."""
    kept: list[tuple[int, int]] = []
    for a, b in sorted(spans, key=lambda span: (span[0] - span[1], span[0])):
        if all(b <= c or d <= a for c, d in kept):
            kept.append((a, b))
    return sorted(kept)


def _timed(opened: float, link: Callable[[str], list[str]], texts: list[str]) -> dict[str, Any]:
    start = time.perf_counter()
    found = sum(len(link(text)) for text in texts)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {"load_s": round(opened, 2), "link_s": round(seconds, 2), "mentions": found, "peak_rss_mb": peak}


def main() -> None:
    from medrag.corpora import realdata
    from medrag.graph import GraphStore

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reports", type=int, default=1000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    data = Path(os.environ["MEDRAG_DATA"])
    texts = [study.text for study in realdata.studies(data, "train")][: options.reports]
    jobs: dict[str, Job] = {
        "medrag": medrag_linker,
        "aho-corasick": automaton,
        "dictionary": dictionary,
        "walks": walks,
    }
    with tempfile.TemporaryDirectory() as scratch:
        graph = Path(scratch) / "graph.db"
        load(readers(data / "open/kg", everything=False), graph)
        result: dict[str, Any] = {"reports": len(texts), "counts": GraphStore.open(graph).counts()}
        for name, job in jobs.items():
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                result[name] = pool.apply(job, (graph, texts))
    print(json.dumps(result, indent=1))
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
