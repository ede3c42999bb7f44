"""A built index converted: the same answers from Milvus Lite as from FAISS, there and back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from medrag.cli.app import app
from medrag.testing import FakeEncoder


class Letters(FakeEncoder):
    """The fake with a recipe's arguments."""

    def __init__(self, model: str, *, batch: int = 0, device: str = "") -> None:
        super().__init__()


def run(*args: str):
    return CliRunner().invoke(app, list(args))


def found(*args: str) -> list[str]:
    result = run("index", "search", *args, "lung mass", "--retriever", "dense", "--json")
    assert result.exit_code == 0, result.output
    return [(hit["item"], round(hit["score"], 5)) for hit in json.loads(result.stdout)]


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MEDRAG_HOME", str(tmp_path / "home"))
    rows = "\n".join(
        f"{n},The {word} is clear.,A {word} mass." for n, word in enumerate("lung heart rib hilum".split())
    )
    (tmp_path / "reports.csv").write_text(f"uid,findings,impression\n{rows}\n")
    path = tmp_path / "small.yaml"
    path.write_text(
        f"name: small\ncorpora:\n  - {{name: notes, reader: reports-csv, path: {tmp_path / 'reports.csv'}}}\n"
        f"encoders:\n  text: {{model: letters, kind: '{__name__}:Letters'}}\n"
        "indexes:\n  lexical: {kind: bm25}\n  text: {kind: faiss, encoder: text}\npipeline: {k: 7}\n"
    )
    assert run("index", "build", str(path)).exit_code == 0
    return path


def test_from_faiss_to_milvus_and_back(recipe: Path, tmp_path: Path) -> None:
    far, back = tmp_path / "far.yaml", tmp_path / "back.yaml"
    uri = str(tmp_path / "lite.db")
    done = run("index", "convert", str(recipe), "--to", "milvus", "--uri", uri, "--out", str(far), "--json")
    assert done.exit_code == 0, done.output
    assert run("index", "convert", str(far), "--to", "faiss", "--out", str(back)).exit_code == 0
    assert json.loads(done.stdout)["vectors"] == len(found(str(recipe))) > 3
    assert found(str(far)) == found(str(back)) == found(str(recipe))
    assert "k: 7" in far.read_text()
    hashes = [json.loads(run("index", "info", str(one), "--json").stdout) for one in (recipe, back)]
    assert hashes[0]["content_hash"] != "" and hashes[0]["counts"] == hashes[1]["counts"]


def test_a_collection_goes_with_its_index(recipe: Path, tmp_path: Path) -> None:
    from pymilvus import MilvusClient

    far, uri = tmp_path / "far.yaml", str(tmp_path / "lite.db")
    run("index", "convert", str(recipe), "--to", "milvus", "--uri", uri, "--out", str(far))
    assert len(MilvusClient(uri).list_collections()) == 1
    assert run("index", "build", str(far), "--fresh").exit_code == 0
    assert len(MilvusClient(uri).list_collections()) == 1
    assert run("index", "delete", str(far), "--doc", "notes:0", "--yes").exit_code == 0
    assert len(MilvusClient(uri).list_collections()) == 1
    assert not any(item.startswith("notes:0") for item, _ in found(str(far)))
    assert run("index", "delete", str(far), "--all", "--yes").exit_code == 0
    assert MilvusClient(uri).list_collections() == []


def test_what_cannot_be_converted_is_told(recipe: Path, tmp_path: Path) -> None:
    there = run("index", "convert", str(recipe), "--to", "milvus", "--out", str(recipe))
    assert there.exit_code == 1 and "is there already" in there.output
    strange = run("index", "convert", str(recipe), "--to", "bm25", "--out", str(tmp_path / "x.yaml"))
    assert strange.exit_code == 1 and "cannot be converted" in strange.output


def test_a_snapshot_comes_back_and_compacting_changes_no_answer(recipe: Path, tmp_path: Path) -> None:
    before, kept = found(str(recipe)), str(tmp_path / "kept")
    assert run("index", "snapshot", str(recipe), "--to", kept).exit_code == 0
    assert run("index", "delete", str(recipe), "--doc", "notes:0", "--yes").exit_code == 0
    left = found(str(recipe))
    assert len(left) < len(before)
    assert run("index", "compact", str(recipe), "--json").exit_code == 0
    assert found(str(recipe)) == left
    assert run("index", "restore", str(recipe), "--from", kept).exit_code == 0
    assert found(str(recipe)) == before
    again = run("index", "snapshot", str(recipe), "--to", kept)
    assert again.exit_code == 1 and "is there already" in again.output
    none = run("index", "restore", str(recipe), "--from", str(tmp_path))
    assert none.exit_code == 1 and "is no snapshot" in none.output


def test_a_snapshot_of_another_index_needs_a_yes(recipe: Path, tmp_path: Path) -> None:
    other, kept = tmp_path / "other.yaml", str(tmp_path / "kept")
    other.write_text(recipe.read_text().replace("name: small", "name: other"))
    assert run("index", "build", str(other)).exit_code == 0
    assert run("index", "snapshot", str(other), "--to", kept).exit_code == 0
    refused = run("index", "restore", str(recipe), "--from", kept)
    assert refused.exit_code == 1 and "snapshot of the index 'other'" in refused.output
    assert len(found(str(recipe))) > 3
    assert run("index", "restore", str(recipe), "--from", kept, "--yes").exit_code == 0


def test_the_command_that_mends_a_damaged_index_mends_it_and_keeps_what_was_deleted(
    recipe: Path, tmp_path: Path
) -> None:
    assert run("index", "delete", str(recipe), "--doc", "notes:1", "--yes").exit_code == 0
    damaged = tmp_path / "home" / "indexes" / "small" / "items.db"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    told = run("index", "search", str(recipe), "heart mass")
    assert told.exit_code == 1
    command = told.stderr.partition("medrag ")[2].strip()
    assert command == f"index build {recipe}"
    assert run(*command.split()).exit_code == 0
    assert "notes:1" not in [name for name, _ in found(str(recipe))]
