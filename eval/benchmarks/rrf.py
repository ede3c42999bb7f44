"""Writes a synthetic UMLS subset, loads it into a graph, and prints rows, seconds and peak memory as JSON.

    python eval/benchmarks/rrf.py [--concepts N] [--names N] [--relations N] [--out FILE]

The names are invented words; shapes and shares follow a real release: several names and codes a concept, a tenth of them suppressed
or in another language, relations stated from both ends. The defaults are the size of a whole release: 4 million concepts, 17 million
names, 40 million relations (6 GB of text files, written to the temporary folder first).
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from medrag.corpora.rrf import Rrf
from medrag.graph import GraphStore, Linker

PARTS = (
    "cardi hepat pulmon nephr derm oste neur gastr arthr my angi cyst aden lymph chondr fibr hem leuk lip path".split()
)
ENDS = "itis osis oma opathy ectasia algia emia plasia megaly sclerosis stenosis uria rrhage trophy cele lysis".split()
PAIRS = (
    ("PAR", "inverse_isa", "CHD", "isa"),
    ("RO", "has_finding_site", "RO", "finding_site_of"),
    ("RB", "", "RN", ""),
)


def write(folder: Path, concepts: int, rows: int, related: int, seed: int = 0) -> dict[str, int]:
    """MRCONSO with ``rows`` names, MRREL with ``related`` rows, MRSTY and MRDEF; returns the number of rows of each."""
    chance = random.Random(seed)
    counts = {"MRCONSO": _fill(folder / "MRCONSO.RRF", names(concepts, rows, chance))}
    counts["MRREL"] = _fill(folder / "MRREL.RRF", relations(concepts, related, chance))
    counts["MRSTY"] = _fill(
        folder / "MRSTY.RRF", (f"{cui(n)}|T{n % 200:03d}|A1|Finding|AT{n}||" for n in range(concepts))
    )
    defined = (f"{cui(n)}|A{n}|AT{n}||NCI|A condition of the {word(n)}.|N||" for n in range(0, concepts, 10))
    counts["MRDEF"] = _fill(folder / "MRDEF.RRF", defined)
    return counts


def cui(number: int) -> str:
    return f"C{number:07d}"


def word(number: int) -> str:
    """A different invented word for each number."""
    first, rest = PARTS[number % len(PARTS)], number // len(PARTS)
    second, rest = PARTS[rest % len(PARTS)], rest // len(PARTS)
    return f"{first}o{second}{ENDS[rest % len(ENDS)]}" + (f" type {rest // len(ENDS)}" if rest >= len(ENDS) else "")


def names(concepts: int, rows: int, chance: random.Random) -> Iterator[str]:
    """MRCONSO rows in CUI order: a preferred name, then others, some of them suppressed or Spanish."""
    for row in range(rows):
        n = row * concepts // rows
        first = row == 0 or (row - 1) * concepts // rows != n
        language, flag = (
            ("ENG", "N") if first else (chance.choice(("ENG",) * 9 + ("SPA",)), chance.choice("N" * 9 + "O"))
        )
        text = word(n) if first else f"{word(n)}, {chance.choice(('acute', 'chronic', 'NOS', 'of lung', 'left'))}"
        status = "P|L1|PF|S1|Y" if first else "S|L1|VO|S1|N"
        yield f"{cui(n)}|{language}|{status}|A{row}||{n}||SNOMEDCT_US|PT|{n}{row % 7}|{text}|9|{flag}|256|"


def relations(concepts: int, rows: int, chance: random.Random) -> Iterator[str]:
    """MRREL rows sorted by the first concept; the other end states most of them again."""
    for row in range(rows):
        one = row * concepts // rows
        other = chance.randrange(concepts)
        pair = chance.choice(PAIRS)
        rel, rela = pair[:2] if row % 2 else pair[2:]
        yield f"{cui(one)}|A1|AUI|{rel}|{cui(other)}|A2|AUI|{rela}|R{row}||SNOMEDCT_US|SNOMEDCT_US|||N||"


def _fill(path: Path, lines: Iterator[str]) -> int:
    count = 0
    with path.open("w", encoding="utf-8") as stream:
        for line in lines:
            stream.write(f"{line}\n")
            count += 1
    return count


def measure(folder: Path, concepts: int, names: int, relations: int) -> dict[str, object]:
    """Writes the files, builds the graph, and asks it."""
    bad: list[object] = []
    counts = write(folder, concepts, names, relations)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    start = time.perf_counter()
    with GraphStore.create(folder / "graph.db") as builder:
        items = builder.add(Rrf("umls", folder).read(bad.append))
        read = time.perf_counter() - start
        builder.finish()
    total = time.perf_counter() - start
    start = time.perf_counter()
    store = GraphStore.open(folder / "graph.db")
    opened = time.perf_counter() - start
    return {
        "rows": counts, "items": items, "counts": store.counts(), "read_s": round(read, 1), "total_s": round(total, 1),
        "file_mb": (folder / "graph.db").stat().st_size // 1_000_000, "rss_before_mb": before,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, "open_ms": round(opened * 1e3, 1),
        **ask(store, concepts), "bad": len(bad),
    }  # fmt: skip


def ask(store: GraphStore, concepts: int, times: int = 50) -> dict[str, object]:
    """Milliseconds of a link and of a walk of two hops, warm: median and 95th percentile over random concepts."""
    linker, chance, linked, walked = Linker(store), random.Random(1), [], []
    for _ in range(times):
        one, other = (word(chance.randrange(concepts)) for _ in range(2))
        text = f"Is there {one} or {other}, acute, of the left lung?"
        starts = [node for mention in linker.link(text) for node in mention.concepts]
        store.paths(starts, hops=2)
        begin = time.perf_counter()
        found = linker.link(text)
        middle = time.perf_counter()
        store.paths([node for mention in found for node in mention.concepts], hops=2)
        linked.append(middle - begin)
        walked.append(time.perf_counter() - middle)
    spread = {name: sorted(values) for name, values in (("link", linked), ("two_hops", walked))}
    return {f"{name}_ms": [round(v[int(len(v) * q)] * 1e3, 2) for q in (0.5, 0.95)] for name, v in spread.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--concepts", type=int, default=4_000_000)
    parser.add_argument("--names", type=int, default=17_000_000)
    parser.add_argument("--relations", type=int, default=40_000_000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        result = json.dumps(measure(Path(scratch), options.concepts, options.names, options.relations), indent=1)
    print(result)
    if options.out:
        options.out.write_text(f"{result}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
