"""A server under 32 clients for a minute: what they are told, when the first event comes, whether memory grows, whether work ends with its client.

    python eval/benchmarks/serve.py --index iu --model medrag-small

Starts ``medrag serve`` itself, on this machine, whose cores the clients share. Each client asks about a chest film (the sample's DICOM as a JPEG; with
``--dicom`` the file itself, 7 MB, of which 32 at once are 230 MB), reads the stream to its end, and where it
is told to come again (429) waits as long as it was told. The first event is ``queued``, with the place in line: it says that the
question has arrived. ``to_route`` and ``to_answer`` are those of questions that got in. Writes ``eval/results/serve.json``.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import re
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from medrag._util.fetch import package_file
from medrag._util.files import write_json
from medrag._util.images import load_image
from medrag._util.places import share

QUESTIONS = (
    "Is there a pleural effusion?",
    "Is the heart enlarged?",
    "Are there masses in the lungs?",
    "What is a pneumothorax?",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", default="iu")
    parser.add_argument("--model", default="medrag-small")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--dicom", action="store_true", help="upload the DICOM file itself")
    parser.add_argument("--out", type=Path, default=share() / "eval" / "results" / "serve.json")
    options = parser.parse_args()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "medrag",
        "serve",
        "--index",
        options.index,
        "--model",
        options.model,
        "--port",
        str(port),
    ]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(url)
            found = loaded(url, server.pid, options.clients, options.seconds, dicom=options.dicom)
            found |= {"freed_after_disconnect_s": [round(freed(url), 3) for _ in range(5)]}
        finally:
            server.terminate()
    found |= {
        "upload": "dicom" if options.dicom else "jpeg",
        "index": options.index,
        "model": options.model,
        "clients": options.clients,
        "seconds": options.seconds,
    }
    write_json(options.out, found)
    print(json.dumps(found, indent=1))


def wait_for(url: str) -> None:
    """Until the server has loaded its models and listens."""
    until = time.monotonic() + 300
    while time.monotonic() < until:
        try:
            if httpx.get(f"{url}/healthz").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise SystemExit("the server did not start")


def loaded(url: str, pid: int, clients: int, seconds: float, *, dicom: bool) -> dict[str, Any]:
    """What ``clients`` who ask at once are told, and the server's memory while they do."""
    path = package_file("pydicom-data/data_store/data/RG1_UNCR.dcm")
    film = path.read_bytes() if dicom else jpeg(path)
    told: list[dict[str, Any]] = []
    until = time.monotonic() + seconds
    memory: list[float] = []

    async def everyone() -> None:
        watch = asyncio.ensure_future(watched(pid, memory))
        # one pool of connections, one for each client: to make a pool takes longer than an answer to the first event
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        async with httpx.AsyncClient(base_url=url, timeout=200, limits=limits) as http:
            await asyncio.gather(*(client(http, film, n, until, told) for n in range(clients)))
        watch.cancel()

    asyncio.run(everyone())
    # from a quarter of the time on: pools and caches are filled by then
    settled = memory[len(memory) // 4 :]
    return {
        "requests": len(told),
        "told": dict(Counter(str(one["status"]) for one in told)),
        "first_event_ms": spread([one["first"] for one in told if one["status"] == 200]),
        "to_route_ms": spread([one["routed"] for one in told if "routed" in one]),
        "to_answer_ms": spread([one["answer"] for one in told if "answer" in one]),
        "refused_ms": spread([one["first"] for one in told if one["status"] == 429]),
        "memory_mb": {
            "after_a_quarter": round(settled[0]),
            "most_later": round(max(settled)),
            "end": round(settled[-1]),
        },
    }


def jpeg(path: Path) -> bytes:
    buffer = io.BytesIO()
    load_image(path).image.save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


async def watched(pid: int, memory: list[float]) -> None:
    while True:
        memory.append(resident(pid))
        await asyncio.sleep(1)


async def client(http: httpx.AsyncClient, film: bytes, n: int, until: float, told: list[dict[str, Any]]) -> None:
    while time.monotonic() < until:
        one: dict[str, Any] = {"status": "broken"}
        began = time.perf_counter()
        try:
            data = {"question": QUESTIONS[n % len(QUESTIONS)], "stream": "true"}
            async with http.stream("POST", "/v1/answer", data=data, files={"image": ("film.dcm", film)}) as reply:
                one["status"] = reply.status_code
                async for line in reply.aiter_lines():
                    one.setdefault("first", 1000 * (time.perf_counter() - began))
                    if line in ("event: routed", "event: answer"):
                        one[line.removeprefix("event: ")] = 1000 * (time.perf_counter() - began)
                    if line == "event: error":
                        one["status"] = "error"
                wait = float(reply.headers.get("retry-after") or 0)
        except httpx.HTTPError as error:
            one["status"], wait = type(error).__name__, 1.0
        told.append(one)
        await asyncio.sleep(wait)


def freed(url: str) -> float:
    """Seconds from a client's leaving in the middle of its answer until nothing is at work."""
    film = package_file("pydicom-data/data_store/data/RG1_UNCR.dcm").read_bytes()
    data = {"question": "Write the findings and impression of this chest X-ray.", "stream": "true"}
    with httpx.Client(base_url=url, timeout=200) as http:
        with http.stream("POST", "/v1/answer", data=data, files={"image": ("film.dcm", film)}) as reply:
            for line in reply.iter_lines():
                if line == "event: selected":
                    break
        began = time.perf_counter()
        while not re.search(r"^medrag_inside 0\.0$", http.get("/metrics").text, re.MULTILINE):
            time.sleep(0.01)
        return time.perf_counter() - began


def spread(values: list[float]) -> dict[str, float]:
    """Median, 95th percentile and most, milliseconds."""
    if not values:
        return {}
    return {name: round(float(np.percentile(values, at)), 1) for name, at in (("p50", 50), ("p95", 95), ("max", 100))}


def resident(pid: int) -> float:
    """Megabytes of a process in memory (Linux)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1000  # type: ignore[index]


if __name__ == "__main__":
    main()
