"""Loads MONDO, DOID, HPO and MeSH into a graph and prints counts, seconds and peak memory as JSON.

    python eval/benchmarks/ontologies.py DIR [--all]

DIR holds mondo.json.gz, doid.json.gz, hp.obo.gz and mesh_id_label_mappings.tsv.gz; ``--all`` adds the HPO annotations, SSSOM,
RadLex and Hetionet files beside them. To expect: under 60 s for the four on two cores (measured: see the printed JSON).
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from medrag.corpora.ontology import EdgeList, HpoAnnotations, Mesh, Obo, OboGraph, RadLex, Sssom
from medrag.graph import GraphStore, Linker
from medrag.retrieve.graph import GraphRetriever
from medrag.types import Query

QUESTIONS = (
    "Are there masses in the lungs on this chest radiograph?",
    "Is there pleural effusion, pneumothorax or cardiomegaly?",
    "Does the fundus show microaneurysms, hard exudates or optic disc swelling?",
    "Is this tissue positive for carcinoma of the colon?",
)


def readers(folder: Path, everything: bool) -> list[Any]:
    """The corpora in their order: the first names the nodes."""
    some = [
        Obo("hpo", folder / "hp.obo.gz"),
        OboGraph("mondo", folder / "mondo.json.gz"),
        OboGraph("doid", folder / "doid.json.gz"),
        Mesh("mesh", folder / "mesh_id_label_mappings.tsv.gz"),
    ]
    more = [
        Sssom("mondo-umls", folder / "mondo_exactmatch_umls.sssom.tsv.gz"),
        HpoAnnotations("hpoa", folder / "phenotype.hpoa.gz"),
        RadLex("radlex", folder / "radlex_tree_2014.csv.gz"),
        EdgeList("hetionet", folder / "hetionet", edges="edges-5k.sif.gz"),
    ]
    return [*some, *more] if everything else some


def load(corpora: list[Any], path: Path) -> dict[str, Any]:
    """Builds the graph; seconds by corpus, and of the end."""
    bad: list[Any] = []
    seconds: dict[str, float] = {}
    with GraphStore.create(path) as builder:
        for corpus in corpora:
            start = time.perf_counter()
            builder.add(corpus.read(bad.append))
            seconds[corpus.name] = round(time.perf_counter() - start, 2)
        start = time.perf_counter()
        builder.finish()
        seconds["finish"] = round(time.perf_counter() - start, 2)
    return {"seconds": seconds, "total_s": round(sum(seconds.values()), 2), "bad_records": len(bad)}


def ask(path: Path) -> dict[str, float]:
    """Milliseconds of a warm link, a 2-hop walk and a whole retrieval: the median over the questions."""
    start = time.perf_counter()
    store = GraphStore.open(path)
    linker, retriever = Linker(store), GraphRetriever(store)
    opened = time.perf_counter() - start
    nodes = [m.concepts for q in QUESTIONS for m in linker.link(q)]
    timed = {
        "link_ms": [_ms(lambda q=q: linker.link(q)) for q in QUESTIONS],
        "two_hops_ms": [_ms(lambda n=n: store.paths(n, 2, 60)) for n in nodes],
        "retrieve_ms": [_ms(lambda q=q: retriever.retrieve(Query(q), 20)) for q in QUESTIONS],
    }
    return {"open_ms": round(opened * 1e3, 1), **{name: round(sorted(v)[len(v) // 2], 2) for name, v in timed.items()}}


def _ms(call: Any, times: int = 5) -> float:
    call()
    start = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - start) * 1e3 / times


def main(folder: Path, every: bool) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "graph.db"
        result = load(readers(folder, every), path)
        result |= {
            "counts": GraphStore.open(path).counts(),
            "file_mb": round(path.stat().st_size / 1e6, 1),
            **ask(path),
        }
    result["peak_rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--all", action="store_true")
    options = parser.parse_args()
    main(options.folder, options.all)
