"""MEDRAG_OFFLINE=1: other machines cannot be reached from this process by any library; this machine can."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path


def run(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120, env={**os.environ, **env}
    )  # fmt: skip


REACH = """
    import socket, urllib.request
    from medrag._util import offline
    from medrag.errors import OfflineError
    offline.enforce_if_asked()
    offline.enforce_if_asked()
    told = []
    for reach in (
        lambda: socket.create_connection(("192.0.2.1", 80), timeout=0.2),
        lambda: socket.getaddrinfo("example.org", 443),
        lambda: socket.gethostbyname("example.org"),
        lambda: urllib.request.urlopen("http://example.org", timeout=0.2),
        lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 53)),
        lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendmsg([b"x"], [], 0, ("192.0.2.1", 53)),
        lambda: socket.gethostbyaddr("192.0.2.1"),
        lambda: socket.gethostbyname_ex("example.org"),
        lambda: socket.getfqdn("192.0.2.1"),
        lambda: socket.getnameinfo(("192.0.2.1", 53), 0),
        lambda: socket.socket().connect_ex(("192.0.2.1", 80)),
        lambda: __import__("httpx").get("https://example.org", timeout=0.2, trust_env=False),
    ):
        try:
            reach()
            told.append("reached")
        except OfflineError as error:
            told.append("refused")
        except Exception as error:
            told.append(type(error).__name__)
    with socket.socket() as here:
        here.bind(("127.0.0.1", 0))
        here.listen()
        socket.create_connection(here.getsockname()).close()
        socket.create_connection(("localhost", here.getsockname()[1])).close()
    left, right = socket.socketpair()
    left.sendall(b"x")
    left.sendmsg([b"x"])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
        here.bind(("127.0.0.1", 0))
        here.sendmsg([b"x"], [], 0, here.getsockname())
        socket.getnameinfo(here.getsockname(), socket.NI_NUMERICSERV)
    print(told)
"""


def test_other_machines_are_refused_and_this_one_is_not():
    done = run(REACH, MEDRAG_OFFLINE="1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(["refused"] * 12)


def test_without_it_nothing_is_refused():
    done = run(REACH, MEDRAG_OFFLINE="")
    assert "refused" not in done.stdout


def test_whatever_part_of_medrag_is_imported_keeps_to_it():
    code = """
        import socket
        from medrag.errors import OfflineError
        from medrag.types import Passage
        try:
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("203.0.113.1", 9))
        except OfflineError:
            print("refused")
    """
    assert run(code, MEDRAG_OFFLINE="1").stdout.strip() == "refused"
    assert run(code, MEDRAG_OFFLINE="0").stdout.strip() == ""


def test_the_command_line_keeps_to_it(tmp_path):
    code = """
        import sys
        from medrag.cli.app import app
        sys.argv = ["medrag", "models", "get", "biomedclip"]
        app()
    """
    done = run(code, MEDRAG_OFFLINE="1", MEDRAG_HOME=str(tmp_path), HF_HOME=str(tmp_path / "hf"), HF_HUB_OFFLINE="0")
    assert done.returncode == 1 and "Traceback" not in done.stderr and "error: MEDRAG_OFFLINE is set" in done.stderr


def test_an_index_is_built_and_asked_under_it(tmp_path):
    (tmp_path / "reports.csv").write_text(
        "uid,findings,impression\n1,A lung mass is a round opacity.,Mass.\n", encoding="utf-8"
    )
    code = f"""
        from medrag import MedRAG
        from medrag.settings import Recipe
        rag = MedRAG.open(Recipe.model_validate({{
            "name": "off", "corpora": [{{"name": "notes", "reader": "reports-csv", "path": "{tmp_path / "reports.csv"}"}}],
            "indexes": {{"lexical": {{"kind": "bm25"}}}},
        }}), build=True)
        print(rag.answer(None, "What is a lung mass?"))
    """
    done = run(code, MEDRAG_OFFLINE="1", MEDRAG_HOME=str(tmp_path / "home"))
    assert done.returncode == 0, done.stderr
    assert "round opacity" in done.stdout


def test_any_value_that_does_not_say_no_asks_for_it_and_the_client_keeps_to_it():
    code = """
    from medrag.client import Client
    from medrag.errors import OfflineError
    try:
        Client("http://192.0.2.1:8000", timeout=0.2).index()
    except OfflineError:
        print("refused")
    except Exception as error:
        print(type(error).__name__)
    """
    told = [run(code, MEDRAG_OFFLINE=value).stdout.strip() for value in (" 1", "y", "0", "No")]
    assert told == ["refused", "refused", "ServerError", "ServerError"]


def test_a_worker_that_encodes_reaches_nobody_either(tmp_path: Path) -> None:
    """Each process has sockets of its own: what the build forbids, its workers must forbid themselves."""
    (tmp_path / "reaching.py").write_text(
        textwrap.dedent(
            """
            import socket
            from medrag.testing import FakeEncoder

            class Reaching(FakeEncoder):
                def __init__(self, model, *, batch=0, device=""):
                    super().__init__()

                def encode_items(self, items):
                    socket.getaddrinfo("example.org", 443)
                    return super().encode_items(items)
            """
        )
    )
    code = """
        from medrag.encoders.spread import encode_lines
        from medrag.errors import OfflineError
        from medrag.settings import EncoderSettings
        from medrag.types import Passage, item_to_json
        settings = EncoderSettings(model="x", kind="reaching:Reaching").model_dump_json()
        try:
            encode_lines(settings, [item_to_json(Passage("a:1~0", "a:1", "A mass."))], 1)
        except OfflineError:
            print("kept")
    """
    done = run(code, MEDRAG_OFFLINE="1", PYTHONPATH=os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    assert done.stdout.strip() == "kept", done.stderr
