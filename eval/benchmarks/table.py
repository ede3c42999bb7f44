"""The whole table of speeds beside the peers, by one command: runs the scripts beside this one and prints what they say, each row of one run.

    python eval/benchmarks/table.py [--scale 1.0] [--only faiss_scale --only bm25 …]

``--scale 0.05`` runs everything on a twentieth of the items (minutes in place of an hour). Peers: exhaustive search by FAISS and by a torch matmul (MMed-RAG's way), txtai, rank-bm25,
LangChain's FAISS retriever, Milvus. What needs a package that is not here says so in its row. Results of a full run go where each script puts them;
of a smaller one nothing is kept.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
Row = tuple[str, str, str, str]  # what, medrag, the peer and its figure, how many times


class Run(NamedTuple):
    """A script, its option for a number of items with the full number, whether it takes ``--out``, and the rows of its JSON."""

    option: str
    count: int
    out: bool
    rows: Callable[[dict[str, Any]], list[Row]]


def versus(what: str, mine: float, peer: str, theirs: float, unit: str = "ms") -> Row:
    return what, f"{mine:g} {unit}", f"{peer}: {theirs:g} {unit}", f"{theirs / mine:.1f}×" if mine else "-"


def of_faiss(found: dict[str, Any]) -> list[Row]:
    mine, recall = found["search"]["ms_p50"], found["search"]["recall@10"][0]
    what = f"nearest of {found['count']:,} ({found['build']['factory']}, recall {recall:g})"
    return [
        versus(what, mine, "FAISS, exhaustive", found["exhaustive"]["ms_p50"]),
        versus(what, mine, "torch matmul", found["torch"]["ms_p50"]),
        of_txtai(what, mine, found["txtai"]),
    ]


def of_txtai(what: str, mine: float, peer: dict[str, Any]) -> Row:
    if "left out" in peer:
        return what, f"{mine:g} ms", f"txtai: {peer['left out']}", "-"
    return versus(what, mine, f"txtai ({peer['factory']}, recall {peer['recall@10'][0]:g})", peer["ms_p50"])


def of_bm25(found: dict[str, Any]) -> list[Row]:
    mine, theirs, count = found["bm25s"], found["rank-bm25"], f"{found['passages']:,} passages"
    return [
        versus(f"BM25 over {count}", mine["query_ms"], "rank-bm25", theirs["query_ms"]),
        versus(f"{count} counted", mine["index_s"], "rank-bm25", theirs["index_s"], "s"),
    ]


def of_milvus(found: dict[str, Any]) -> list[Row]:
    same = found["milvus FLAT"]["same_ids_in_order"]
    what = f"exact search of {found['count']:,} (same ids: {same:.0%})"
    return [versus(what, found["faiss Flat"]["ms_p50"], "Milvus FLAT", found["milvus FLAT"]["ms_p50"])]


def of_answers(found: dict[str, Any]) -> list[Row]:
    rows: list[Row] = []
    for clients in ("1 clients", "4 clients"):
        mine, words = found["medrag"]["first questions"][clients], found["medrag"]["words alone"][clients]
        p99 = f"p50 {mine['p50']:g} ms, p99 {mine['p99']:g} ms"
        rows.append((f"answer(), first question about a picture, {found['count']:,} items, {clients}", p99, "-", "-"))
        if clients in found["langchain"]:
            what = f"answer() without one, {clients}, p50"
            rows.append(
                versus(what, words["p50"], "LangChain FAISS, retrieval alone", found["langchain"][clients]["p50"])
            )
    return rows


def of_growth(found: dict[str, Any]) -> list[Row]:
    whole = found["rebuild"]["s"]
    return [
        versus(f"{found['added']:,} documents added to {found['count']:,}", found["append"]["s"], "anew", whole, "s"),
        versus("a document deleted", found["delete"]["s"], "anew", whole, "s"),
    ]


RUNS = {
    "faiss_scale": Run("--count", 1_000_000, True, of_faiss),
    "bm25": Run("--passages", 100_000, False, of_bm25),
    "grow": Run("--count", 100_000, True, of_growth),
    "milvus_store": Run("--count", 100_000, True, of_milvus),
    "answer_scale": Run("--count", 1_000_000, True, of_answers),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--only", action="append", choices=tuple(RUNS))
    options = parser.parse_args()
    print(f"{hardware()}\n\n| what | medrag | peer | times |\n|---|---|---|---|", flush=True)
    for name in options.only or RUNS:
        for row in measured(name, RUNS[name], options.scale):
            print(f"| {' | '.join(row)} |", flush=True)


def measured(name: str, run: Run, scale: float) -> list[Row]:
    """The rows of one script; one that says why, where it does not end well."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(HERE / f"{name}.py"), run.option, str(max(2000, int(run.count * scale)))]
        command += ["--out", str(Path(folder) / "out.json")] if run.out and scale != 1 else []
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        return [(name, f"did not end well: {why[:120]}", "-", "-")]
    return run.rows(json.loads(done.stdout[done.stdout.index("{\n") :]))


def hardware() -> str:
    """Cores, accelerator, and how busy the machine is."""
    import torch

    card = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{os.cpu_count()} cores ({platform.machine()}), {card}, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}"


if __name__ == "__main__":
    main()
