"""MEDRAG_OFFLINE=1 over whole commands: a build, an answer, the search loop, an evaluation and the server need no other machine."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

QUESTION = "What is a lung mass?"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("offline")
    (folder / "reports.csv").write_text("uid,findings,impression\n1,A lung mass is a round opacity.,Mass.\n")
    recipe = {
        "name": "off",
        "corpora": [{"name": "notes", "reader": "reports-csv", "path": str(folder / "reports.csv")}],
        "indexes": {"lexical": {"kind": "bm25"}},
    }
    (folder / "off.yaml").write_text(yaml.safe_dump(recipe))
    pack = folder / "pack/noncommercial/nfcorpus"
    pack.mkdir(parents=True)
    (pack / "mini.docs.gz").write_text("D1\tstatins lower cholesterol\nD2\tbroccoli and cancer\nD3\tsalt\n")
    (pack / "mini.3-2-1.qrel").write_text("Q1\t0\tD1\t3\nQ2\t0\tD2\t1\n")
    (pack / "mini.titles.queries").write_text("Q1\tcholesterol drugs\nQ2\tdoes broccoli help\n")
    done = command(folder, "index", "build", str(folder / "off.yaml"))
    assert done.returncode == 0, done.stderr
    return folder


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "MEDRAG_OFFLINE": "1", "MEDRAG_HOME": str(folder / "home"), "HF_HUB_OFFLINE": "0"}


def command(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "medrag", *args]
    return subprocess.run(words, capture_output=True, text=True, timeout=120, env=environment(folder), cwd=folder)


@pytest.mark.parametrize("more", [[], ["--agent"]])
def test_an_answer(place: Path, more: list[str]) -> None:
    done = command(place, "ask", QUESTION, "--index", str(place / "off.yaml"), "--json", *more)
    assert done.returncode == 0, done.stderr
    assert "round opacity" in json.loads(done.stdout)["text"]


def test_an_evaluation(place: Path) -> None:
    pytest.importorskip("ir_measures")
    words = ["eval", "run", "retrieval_nfcorpus", "--arm", "lexical", "--split", "mini", "--draws", "100", "--json"]
    done = command(place, *words, "--data", str(place / "pack"), "--out", str(place / "out.json"))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["scores"]["success@1"] == 1


@pytest.fixture(scope="module")
def served(place: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "medrag", "serve", "--index", str(place / "off.yaml"), "--port", str(port)]
    server = subprocess.Popen(words, env=environment(place), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url, until = f"http://127.0.0.1:{port}", time.monotonic() + 60
    while time.monotonic() < until and server.poll() is None:
        try:
            httpx.get(f"{url}/healthz")
            break
        except httpx.HTTPError:
            time.sleep(0.1)
    yield url
    server.terminate()
    server.wait(30)


def test_the_server(served: str) -> None:
    value: Any = httpx.post(f"{served}/v1/answer", data={"question": QUESTION}, timeout=60).json()
    assert "round opacity" in value["text"]
    turn = {"model": "medrag-agent", "messages": [{"role": "user", "content": QUESTION}]}
    assert "round opacity" in httpx.post(f"{served}/v1/chat/completions", json=turn, timeout=60).text
    assert httpx.get(served).status_code == 200


def test_what_would_reach_out_is_refused(place: Path) -> None:
    lost = command(place, "models", "get", "someone/some-model")
    assert lost.returncode == 1 and "MEDRAG_OFFLINE" in lost.stderr and "Traceback" not in lost.stderr
    recipe = yaml.safe_load((place / "off.yaml").read_text())
    recipe["pipeline"] = {"model": "openai:m", "model_options": {"base_url": "http://models.example/v1", "retries": 0}}
    (place / "cloud.yaml").write_text(yaml.safe_dump(recipe))
    asked = command(place, "ask", QUESTION, "--index", str(place / "cloud.yaml"))
    assert asked.returncode == 1 and "Traceback" not in asked.stderr
    assert "MEDRAG_OFFLINE" in asked.stderr or "cannot be reached" in asked.stderr
