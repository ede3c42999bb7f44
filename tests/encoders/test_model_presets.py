"""The rows of models.yaml: well-formed, loadable by a class that exists, fetched only when asked, pinned by @REVISION."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from medrag import models, plugins
from medrag.encoders import open_encoder
from medrag.errors import ModelMissing, SettingsError
from medrag.settings import EncoderSettings
from medrag.vlms import open_generator

ROLES = {"text-encoder", "image-encoder", "image-text-encoder", "page-encoder", "generator", "router", "findings"}
ROWS = list(models.table().values())
HUB = [row for row in ROWS if row.hub]
COMMIT = re.compile(r"[0-9a-f]{40}")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_row_is_well_formed(row: models.Model) -> None:
    assert re.fullmatch(r"[a-z0-9.-]+", row.name)
    assert row.role in ROLES
    assert row.licence.strip() and row.about.strip()
    assert [bool(row.package), bool(row.share), bool(row.hub)].count(True) == 1
    assert isinstance(row.memory_gb, int | float)
    assert row.share or row.memory_gb > 0
    assert not row.revision or (row.hub and COMMIT.fullmatch(row.revision))
    if row.role == "router" or row.kind == "router":
        return
    group = "vlms" if row.role == "generator" else "encoders"
    cls = plugins.load(group, row.kind)
    assert row.kind in plugins.BUILTIN[group] and callable(cls)
    known = set(inspect.signature(cls).parameters)
    known |= set(inspect.signature(cls.load).parameters) if hasattr(cls, "load") else set()
    assert {name for name, _ in row.options} <= known


@pytest.mark.parametrize("row", HUB, ids=lambda row: row.name)
def test_hub_rows_name_repositories_and_all_that_loading_reads(row: models.Model) -> None:
    repository = r"(datasets/)?[\w.-]+/[\w.-]+"
    assert re.fullmatch(repository, row.hub)
    assert all(re.fullmatch(rf"{repository}(@[0-9a-f]{{40}})?", other) for other in row.needs)
    options = dict(row.options)
    assert {options[name] for name in ("tower", "query_model") if name in options} == set(row.needs)
    if "trust_remote_code" in row.about:  # code may lie there to be read, and is run by nobody's default
        assert "*.py" in row.files
    assert "trust_remote_code" not in options
    assert "*.py" not in models.FILES


def test_the_models_of_the_field_are_there() -> None:
    wanted = """biomedclip pubmedclip pmc-clip unimed-clip conceptclip medsiglip flair plip quiltnet conch medcpt sapbert
    llava-med medgemma-4b medgemma-27b lingshu-7b lingshu-32b hulu-med-7b huatuogpt-vision-7b qwen2.5-vl-7b qwen3-vl-8b"""
    assert set(wanted.split()) <= set(models.table())


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, Any]]:
    """The downloads that would have been made, each into an empty folder; what is asked offline is not there."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    made: list[dict[str, Any]] = []

    def snapshot(repo: str, **options: Any) -> str:
        if options["local_files_only"]:
            raise LocalEntryNotFoundError("not here")
        made.append({"repo": repo, **options})
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    return made


@pytest.mark.parametrize("row", HUB, ids=lambda row: row.name)
def test_opening_a_preset_fetches_nothing(row: models.Model, asked: list[dict[str, Any]]) -> None:
    with pytest.raises(ModelMissing, match=f"medrag models get {re.escape(row.name)}$"):
        if row.role == "generator":
            _ = open_generator(row.name).sees_images
        else:
            open_encoder(EncoderSettings(model=row.name))
    assert not asked


def test_get_fetches_the_pinned_commit_and_what_else_it_reads(asked: list[dict[str, Any]]) -> None:
    models.get("flair")
    tower, weights = asked
    assert tower["repo"] == "emilyalsentzer/Bio_ClinicalBERT" and COMMIT.fullmatch(tower["revision"])
    assert not any(pattern.endswith((".bin", ".safetensors")) for pattern in tower["allow_patterns"])
    assert (weights["repo"], weights["revision"]) == ("jusiro2/FLAIR", models.table()["flair"].revision)
    assert weights["allow_patterns"] == ["config.json", "model.safetensors"]
    asked.clear()
    models.get("pmc-clip")
    assert (asked[-1]["repo"], asked[-1]["repo_type"]) == ("axiong/pmc_oa", "dataset")
    assert all("*" not in pattern for pattern in asked[-1]["allow_patterns"])  # the data set itself is large
    asked.clear()
    models.get("nobody/some-model")  # holds no safetensors: a second look, for a pickle
    assert [("pytorch_model*.bin" in call["allow_patterns"]) for call in asked] == [False, True]
    assert not any("*.py" in call["allow_patterns"] for call in asked)


def test_a_revision_is_pinned_by_name(asked: list[dict[str, Any]]) -> None:
    row = models.describe("medgemma-4b@v1")
    assert row is not None and (row.hub, row.revision, row.kind) == ("google/medgemma-4b-it", "v1", "transformers")
    models.get("biomedclip@abc123")
    models.get("nobody/model@0123abc")
    assert [
        (call["repo"], call["revision"]) for call in asked if "pytorch_model*.bin" not in call["allow_patterns"]
    ] == [
        ("microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224", "abc123"),
        ("nobody/model", "0123abc"),
    ]
    with pytest.raises(ModelMissing, match="medrag models get lingshu-7b@abc"):
        _ = open_generator("lingshu-7b@abc").sees_images
    with pytest.raises(ModelMissing, match="medrag models get plip@abc"):
        open_encoder(EncoderSettings(model="plip@abc"))


def test_what_has_no_hub_has_no_revision(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="minilm has no revision 'v2': it does not come from a hub → write minilm"):
        models.resolve("minilm@v2")
    with pytest.raises(SettingsError, match="did you mean 'medcpt'"):
        models.resolve("medcp@v2")
    folder = tmp_path / "run@3"
    folder.mkdir()
    assert models.resolve(str(folder)) == folder
    assert models.describe(str(folder)) is None


def test_a_download_that_fails_says_what_mends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx
    from huggingface_hub.errors import GatedRepoError

    def gated(*_: Any, **options: Any) -> str:
        response = httpx.Response(403, request=httpx.Request("GET", "https://hub.invalid"))
        raise FileNotFoundError if options["local_files_only"] else GatedRepoError("terms", response=response)

    monkeypatch.setattr("huggingface_hub.snapshot_download", gated)
    with pytest.raises(ModelMissing, match="accept its terms on the hub's page of google/medgemma-4b-it"):
        models.get("medgemma-4b")
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download", lambda *_, **__: (_ for _ in ()).throw(FileNotFoundError("x"))
    )
    with pytest.raises(ModelMissing, match=r"could not be fetched.*check the repository id"):
        models.get("qwen3-vl-4b")
