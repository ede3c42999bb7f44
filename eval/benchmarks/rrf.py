"""Writes a synthetic UMLS subset, loads it into a graph, and prints rows, seconds and peak memory as JSON.

    python eval/benchmarks/rrf.py [ROWS]        ROWS of MRCONSO and as many of MRREL; default 2,500,000 each

The names are invented words; shapes and shares follow a real release: 2.5 names and codes a concept, a tenth of them suppressed
or in another language, relations stated from both ends. To expect at the default: under 3 GB of memory.
"""

from __future__ import annotations

import json
import random
import resource
import sys
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


def write(folder: Path, rows: int, seed: int = 0) -> dict[str, int]:
    """MRCONSO, MRREL, MRSTY and MRDEF; returns the number of rows of each."""
    chance = random.Random(seed)
    concepts = max(2, rows * 2 // 5)
    counts = {"MRCONSO": _fill(folder / "MRCONSO.RRF", names(concepts, rows, chance))}
    counts["MRREL"] = _fill(folder / "MRREL.RRF", relations(concepts, rows, chance))
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


def main(rows: int = 2_500_000) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder, bad = Path(scratch), list[object]()
        counts = write(folder, rows)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        start = time.perf_counter()
        with GraphStore.create(folder / "graph.db") as builder:
            items = builder.add(Rrf("umls", folder).read(bad.append))
            read = time.perf_counter() - start
            builder.finish()
        total = time.perf_counter() - start
        store = GraphStore.open(folder / "graph.db")
        linker, text = (
            Linker(store),
            f"Is there {word(12)} or {word(1000)}, acute, without chronic {word(77)} of the left lung?",
        )
        linker.link(text)
        start = time.perf_counter()
        found = linker.link(text)
        link_ms = (time.perf_counter() - start) * 1e3
        size = (folder / "graph.db").stat().st_size // 1_000_000
        result = {
            "rows": counts,
            "items": items,
            "counts": store.counts(),
            "read_s": round(read, 1),
            "total_s": round(total, 1),
        }
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        result |= {
            "file_mb": size,
            "rss_before_mb": before,
            "peak_rss_mb": peak,
            "link_ms": round(link_ms, 2),
            "mentions": len(found),
            "bad": len(bad),
        }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
