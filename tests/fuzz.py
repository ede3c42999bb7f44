"""A small mutation fuzzer: real seeds (tests/fuzz_targets.py), broken at random, given to the code that reads them as a build does.

    python tests/fuzz.py --cases 10000                    # each reader and parser; hours
    python tests/fuzz.py --cases 10000 --only pdf dicom

A case is a function of its number, so that a find can be had again (``--only pdf --first 4711 --cases 1``). Allowed are records, skipped records with
their reason, and a MedragError. Any other exception or the end of the process is a crash; more than ``SECONDS`` is a hang; more than ``MEMORY`` is too much; a file
written elsewhere, a connection or another program is an escape. Cases run in a child process under these limits, and a new child takes
over where one dies. Writes ``eval/results/fuzz.json``. It mutates bytes and knows no grammar; it does not follow coverage. Linux.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import random
import re
import resource
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medrag._util import apart
from medrag.errors import MedragError

SECONDS = 60  # of a case, by the clock, on a shared machine
MEMORY = 1 << 30  # bytes of a case, over what the process had before it
SLICE = 500  # cases between two notes of the count
SPACE = 3 << 30  # addresses a child may take beyond those that it began with
TOKENS = (
    b"\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"99999999999999999999999", b"-1", b"1e999", b"NaN", b"0x10", b"[" * 5000, b'{"a":' * 3000,
    b"<a>" * 3000, b"(" * 3000, b"\xef\xbb\xbf", b"\xff\xfe", b"\xed\xa0\x80", b"\xc3\x28", "\u202e\u200b\u2066".encode(), "İı".encode(), "٣¾".encode(), b"\r", b"\n\n", b"\t",
    b"|", b'"', b"'", b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]>", b"&b;", b"../../../../etc/passwd", b"!!python/object/apply:os.system ['true']",
    b"http://192.0.2.1/", b"[E1]" * 500, b"[E" + b"9" * 400 + b"]", b"{}", b"null", b"true", b"a" * 20_000, b" " * 20_000, b"\\" * 999, b"E1-E2 " * 400,
)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """What is tried: good files, of which each case breaks one, and what is done with the folder. ``alone``: the others are then not there."""

    files: Mapping[str, bytes]
    work: Callable[[Path], Any]
    alone: bool = True


@dataclass
class Found:
    """Of one target. ``finds``: the first case of each kind of failure, with what it said."""

    tried: int = 0
    crashed: int = 0
    hung: int = 0
    stopped: int = 0  # of a decoder, in the process that it works in: a skipped record
    over_memory: int = 0
    escaped: int = 0
    finds: dict[str, int] = field(default_factory=dict)

    def bad(self) -> int:
        return self.crashed + self.hung + self.over_memory + self.escaped


def broken(data: bytes, others: tuple[bytes, ...], draw: random.Random) -> bytes:
    """The bytes after one to four mutations."""
    for _ in range(draw.choice((1, 1, 2, 4))):
        data = draw.choice(MUTATIONS)(data, others, draw)
    return data[: 1 << 20]


def _flip(data: bytes, _: Any, draw: random.Random) -> bytes:
    if not data:
        return b"\x80"
    raw = bytearray(data)
    for _n in range(draw.choice((1, 2, 8))):
        raw[draw.randrange(len(raw))] ^= 1 << draw.randrange(8)
    return bytes(raw)


def _span(data: bytes, draw: random.Random) -> tuple[int, int]:
    at = draw.randrange(len(data) + 1)
    return at, min(len(data), at + draw.choice((1, 2, 4, 16, 200)))


def _cut(data: bytes, _: Any, draw: random.Random) -> bytes:
    return data[: draw.randrange(len(data) + 1)]


def _drop(data: bytes, _: Any, draw: random.Random) -> bytes:
    at, end = _span(data, draw)
    return data[:at] + data[end:]


def _repeat(data: bytes, _: Any, draw: random.Random) -> bytes:
    at, end = _span(data, draw)
    return data[:at] + data[at:end] * draw.choice((2, 3, 50, 1000)) + data[end:]


def _splice(data: bytes, others: tuple[bytes, ...], draw: random.Random) -> bytes:
    other = draw.choice(others)
    at, end = _span(other, draw)
    here = draw.randrange(len(data) + 1)
    return data[:here] + other[at : draw.choice((end, len(other)))] + data[draw.choice((here, min(len(data), here + end - at))) :]  # fmt: skip


def _token(data: bytes, _: Any, draw: random.Random) -> bytes:
    at, end = _span(data, draw)
    return data[:at] + draw.choice(TOKENS) + data[draw.choice((at, end)) :]


def _number(data: bytes, _: Any, draw: random.Random) -> bytes:
    found = list(re.finditer(rb"\d+", data))
    if not found:
        return data
    at = draw.choice(found)
    return data[: at.start()] + draw.choice((b"0", b"-1", b"4294967295", b"99999999999", b"9" * 5000, b"1e308", b"")) + data[at.end() :]  # fmt: skip


def _word(data: bytes, _: Any, draw: random.Random) -> bytes:
    """Two, four or eight bytes become an extreme number: sizes and offsets of binary formats."""
    size = draw.choice((2, 4, 8))
    if len(data) < size:
        return data
    at = draw.randrange(len(data) - size + 1)
    value = draw.choice((0, 1, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, (1 << 63) - 1, (1 << 64) - 1)) % (
        1 << 8 * size
    )
    return data[:at] + value.to_bytes(size, draw.choice(("little", "big"))) + data[at + size :]


def _recode(data: bytes, _: Any, draw: random.Random) -> bytes:
    return data.decode("utf-8", "replace").encode(
        draw.choice(("utf-16", "utf-32", "cp1252", "utf-7", "utf-8-sig")), "replace"
    )


def _swap_lines(data: bytes, _: Any, draw: random.Random) -> bytes:
    lines = data.split(b"\n")
    draw.shuffle(lines)
    return b"\n".join(lines)


MUTATIONS = (
    _flip,
    _flip,
    _cut,
    _drop,
    _repeat,
    _splice,
    _token,
    _token,
    _number,
    _number,
    _word,
    _word,
    _recode,
    _swap_lines,
)


def run(
    name: str,
    target: Target,
    cases: int,
    *,
    first: int = 0,
    seed: int = 0,
    say: bool = False,
    found: Found | None = None,
) -> Found:
    """Tries ``cases`` cases from number ``first`` on, counted on top of what is ``found`` already."""
    found, at, end = found or Found(), first, first + cases
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    while at < end:
        with tempfile.TemporaryDirectory(dir=place) as folder:
            at = _watched(name, target, range(at, end), seed, Path(folder) / "case", found, say=say)
    found.tried += cases
    return found


def _watched(name: str, target: Target, cases: range, seed: int, folder: Path, found: Found, *, say: bool) -> int:
    """Lets a child try the cases; the number of the first case that it did not come to."""
    reader, writer = os.pipe()
    gc.collect()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _child(name, target, cases, seed, folder, writer)
    os.close(writer)
    at = cases.start
    with os.fdopen(reader, encoding="utf-8", errors="replace") as told:
        for line in told:
            at, kind, what = json.loads(line)
            if kind:
                setattr(found, kind, getattr(found, kind) + 1)
                _keep(found, f"{kind}: {what}", at, say)
            at += 1
    _, status = os.waitpid(child, 0)
    if at >= cases.stop or status == 0:
        return at
    code = -os.waitstatus_to_exitcode(status)
    kind = {signal.SIGALRM: "hung", signal.SIGKILL: "over_memory"}.get(code, "crashed")
    setattr(found, kind, getattr(found, kind) + 1)
    _keep(found, f"{kind}: the process ended with {signal.Signals(code).name if code > 0 else code}", at, say)
    return at + 1


def _keep(found: Found, what: str, case: int, say: bool) -> None:
    if say and what not in found.finds:
        print(f"  case {case}: {what}", flush=True)
    found.finds.setdefault(what, case)


def _child(name: str, target: Target, cases: range, seed: int, folder: Path, writer: int) -> None:
    """Tries the cases in turn and tells of each; never comes back."""
    escapes = _limited(folder, writer)
    folder.mkdir()
    for path, data in target.files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        if not target.alone:
            (folder / path).write_bytes(data)
    seeds = tuple(target.files.values())
    for case in cases:
        draw = random.Random(f"{seed}:{name}:{case}")
        path = draw.choice(tuple(target.files))
        (folder / path).write_bytes(broken(target.files[path], seeds, draw))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        signal.setitimer(signal.ITIMER_REAL, SECONDS)  # nothing catches the alarm: it ends the process
        kind, what = _tried(target, folder)
        signal.setitimer(signal.ITIMER_REAL, 0)
        if (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 > MEMORY:
            kind, what = "over_memory", "the case took more than the limit"
        if escapes:
            kind, what = "escaped", escapes[0]
            escapes.clear()
        os.write(writer, (json.dumps([case, kind, what]) + "\n").encode())
        if target.alone:
            (folder / path).unlink(missing_ok=True)
        else:
            (folder / path).write_bytes(target.files[path])
        if kind == "over_memory":
            break  # the next child begins with little again
    apart.close()
    os._exit(0)


def _tried(target: Target, folder: Path) -> tuple[str, str]:
    try:
        target.work(folder)
    except MedragError as error:
        if getattr(error, "hint", "") == apart.HINT:
            return "stopped", str(error).partition(": ")[2][:80]
        return ("over_memory", str(error)[:80]) if isinstance(error.__cause__, MemoryError) else ("", "")
    except MemoryError as error:
        return "over_memory", _where(error)
    except BaseException as error:
        return "crashed", _where(error)
    return "", ""


def _where(error: BaseException) -> str:
    """The kind of an exception and the last line of medrag's that it went through."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/medrag/" in f.filename] or traceback.extract_tb(
        error.__traceback__
    )
    last, said = frames[-1], re.sub(r"[\d.]+", "…", " ".join(str(error).split()))
    return f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}: {said[:80]}"


def _limited(folder: Path, writer: int) -> list[str]:
    """Puts the limits on this process; the list to which escapes come."""
    mine = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mine + SPACE, mine + SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    apart.SECONDS = SECONDS / 2
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(null, stream)
    escapes: list[str] = []
    allowed = tuple(map(os.path.realpath, (folder.parent, tempfile.gettempdir(), os.devnull)))

    def watch(event: str, args: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(args[0], str) and (args[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            if not os.path.realpath(args[0]).startswith(allowed):
                escapes.append(f"wrote {args[0]}")
        elif event == "subprocess.Popen" and "medrag._util.apart" in str(args[1]):
            pass  # the process that decoders work in
        elif event in ("socket.connect", "socket.getaddrinfo", "socket.sendto", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn"):  # fmt: skip
            escapes.append(f"{event} {args[:2]!r}"[:120])

    sys.addaudithook(watch)
    return escapes


def main() -> None:
    from fuzz_targets import targets

    from medrag._util.files import write_json
    from medrag._util.places import share

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--strict", action="store_true", help="end with an error where anything is found")
    parser.add_argument("--out", type=Path, default=share() / "eval" / "results" / "fuzz.json")
    options = parser.parse_args()
    known = json.loads(options.out.read_text()) if options.only and options.out.exists() else {}
    with _home():
        for name, target in targets().items():
            if not options.only or name in options.only:
                print(name, flush=True)
                found, end = Found(), options.first + options.cases
                for first in range(options.first, end, SLICE):  # what was tried is kept, also where it is stopped
                    run(name, target, min(SLICE, end - first), first=first, seed=options.seed, say=True, found=found)
                    known[name] = {**vars(found), "seed": options.seed}
                    write_json(options.out, known)
                print(f"  {vars(found)}", flush=True)
    if options.strict and (bad := [name for name, one in known.items() if one["finds"]]):
        raise SystemExit(f"found in {', '.join(bad)}: see {options.out}")


@contextlib.contextmanager
def _home() -> Iterator[None]:
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(MEDRAG_HOME=folder, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
        yield


if __name__ == "__main__":
    main()
