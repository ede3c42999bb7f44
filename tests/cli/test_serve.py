"""``medrag serve`` as a process: it loads, listens, logs JSON lines, ends politely; and what it refuses before it starts."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest
from typer.testing import CliRunner

from medrag.cli.app import app
from medrag.cli.serve import _needs
from medrag.errors import MissingDependency


def run(*args, **options):
    return CliRunner().invoke(app, list(args), **options)


@pytest.fixture
def index(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDRAG_HOME", str(tmp_path / "home"))
    (tmp_path / "reports.csv").write_text(
        "uid,findings,impression\n1,A lung mass is a round opacity.,Mass.\n", encoding="utf-8"
    )
    path = tmp_path / "small.yaml"
    path.write_text(
        f"name: small\ncorpora:\n  - {{name: notes, reader: reports-csv, path: {tmp_path / 'reports.csv'}}}\nindexes:\n  lexical: {{kind: bm25, items: [passage]}}\n",
        encoding="utf-8",
    )
    assert run("index", "build", str(path)).exit_code == 0
    return str(path)


@pytest.mark.parametrize("tokens", ["", "first-token-of-many, second-token-of-many"])
def test_it_serves_until_it_is_told_to_end(index, tokens):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "medrag", "serve", "--index", index, "--port", str(port)]
    options = {"env": {**os.environ, "MEDRAG_TOKEN": tokens}, "text": True}
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, **options) as process:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                if httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.1)
        key = {"authorization": f"Bearer {tokens.split()[-1]}"} if tokens else {}
        question = {"question": "What is a lung mass?"}
        answer = httpx.post(f"http://127.0.0.1:{port}/v1/answer", data=question, headers=key).json()
        process.send_signal(signal.SIGTERM)
        printed, said = process.communicate(timeout=20)
    assert "round opacity" in answer["text"] and not printed
    assert f"http://127.0.0.1:{port}" in said
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    assert [line["said"]["route"] for line in lines][-1] == "/v1/answer" and lines[-1]["said"]["status"] == 200


def test_what_it_refuses_is_one_line(index, tmp_path, monkeypatch):
    monkeypatch.delenv("MEDRAG_TOKEN", raising=False)
    other = run("serve", "--index", index, "--host", "0.0.0.0")
    assert other.exit_code == 1 and "set MEDRAG_TOKEN" in other.stderr
    monkeypatch.setenv("MEDRAG_TOKEN", "short")
    assert "can be guessed" in run("serve", "--index", index).stderr
    monkeypatch.setenv("MEDRAG_TOKEN", "")
    lost = run("serve", "--index", index, "--reports", str(tmp_path / "none"))
    assert lost.exit_code == 1 and "is no folder" in lost.stderr
    assert run("mcp", "--index", str(tmp_path / "none.yaml")).exit_code == 1
    assert "add --dry-run" in json.loads(run("serve", "--index", index, "--json").stdout)["hint"]
    assert json.loads(run("serve", "--index", index, "--json", "--dry-run").stdout)["contacts"] == []


def test_port_0_is_one_that_is_free_and_it_is_said_which(index):
    command = [sys.executable, "-m", "medrag", "serve", "--index", index, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        said = next(line for line in process.stderr if "answers at" in line)
        port = int(said.split("127.0.0.1:")[1].split()[0])
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                assert httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
                break
            except httpx.TransportError:
                time.sleep(0.1)
        process.terminate()
        process.communicate(timeout=20)
    assert port and time.monotonic() < until


def test_a_port_that_is_taken_is_said(index):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        command = [sys.executable, "-m", "medrag", "serve", "--index", index, "--port", str(taken.getsockname()[1])]
        done = subprocess.run(command, capture_output=True, text=True, timeout=90, env=os.environ)
    assert (
        done.returncode == 1
        and "the address is in use" in done.stderr
        and "--port" in done.stderr
        and "answers at" not in done.stderr
        and "Traceback" not in done.stderr
    )


def test_without_the_extra_it_names_the_pip_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "fastapi", None)
    for name in [name for name in sys.modules if name.startswith("medrag.server")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(MissingDependency, match=r'pip install "medrag\[server\]"'):
        _needs("medrag.server")
