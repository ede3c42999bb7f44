"""Each missing part is named with the line that mends it, and the exit status says whether the sample can run."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from medrag.cli import doctor
from medrag.cli.app import app
from medrag.errors import MedragError


def run(monkeypatch, *groups, as_json=True):
    monkeypatch.setattr(doctor, "GROUPS", groups)
    return CliRunner().invoke(app, ["doctor", *(["--json"] if as_json else [])])


def ok():
    yield doctor.Check("one", "ok", "fine")


def optional():
    yield doctor.Check("two", "optional", "not here", "pip install two")


def missing():
    yield doctor.Check("three", "missing", "not here", "pip install three")


def failing():
    raise MedragError("it is broken", "mend it")
    yield


def test_a_machine_without_optional_parts_is_healthy(monkeypatch):
    result = run(monkeypatch, ok, optional)
    assert result.exit_code == 0
    assert json.loads(result.stdout)["healthy"] is True


def test_a_missing_part_makes_the_exit_status_1_and_names_its_mending(monkeypatch):
    assert run(monkeypatch, ok, missing).exit_code == 1
    result = run(monkeypatch, ok, missing, as_json=False)
    assert result.exit_code == 1
    assert "missing: three → pip install three" in result.stdout


def test_a_model_is_here_with_what_it_needs(monkeypatch):
    from medrag import models
    from medrag.cli.models import _models
    from medrag.errors import ModelMissing

    def resolve(name):
        if name == "smollm2":
            raise ModelMissing(f"model {name} is not on this machine", "medrag models get smollm2")
        return models.Path(name)

    monkeypatch.setattr(models, "resolve", resolve)
    states = {check.name: check.state for check in doctor._models()}
    assert states["model medrag-small-vlm"] == "optional" and states["model medrag-small"] == "ok"
    paths = {row["name"]: row["path"] for row in _models()}
    assert not paths["medrag-small-vlm"] and paths["medrag-small"]


def test_a_check_that_fails_is_a_finding(monkeypatch):
    value = json.loads(run(monkeypatch, ok, failing).stdout)
    assert value["checks"][1] == {"name": "failing", "state": "missing", "detail": "it is broken", "mend": "mend it"}


def test_everything_that_is_not_ok_says_how_to_mend_it(monkeypatch):
    result = run(monkeypatch, *[group for group in doctor.GROUPS if group is not doctor._torch])
    checks = json.loads(result.stdout)["checks"]
    assert {"python", "network"} <= {check["name"] for check in checks}
    assert all(check["mend"] for check in checks if check["state"] != "ok")


def test_a_package_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(doctor, "installed", lambda name: "" if name in ("timm", "faiss-cpu") else "1.0")
    states = {check.name: check for check in doctor._packages()}
    assert states["package timm"].mend == "pip install timm"
    assert "package faiss-cpu" not in states  # faiss-gpu stands in


def test_a_full_or_closed_folder_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "_ROOM", 1 << 60)
    (check,) = doctor._folder("built indexes", tmp_path / "new", tmp_path)
    assert check.state == "missing" and "MEDRAG_HOME" in check.mend
    monkeypatch.setattr(doctor.os, "access", lambda *args: False)
    (check,) = doctor._folder("built indexes", tmp_path / "new", tmp_path)
    assert "cannot be written" in check.detail
