"""BERT encoders with the first token as embedding: one tower (SapBERT) and two (MedCPT), against transformers itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_encoders import TEXTS, bert, unit

from medrag.encoders import open_encoder
from medrag.encoders.bert import BertEncoder
from medrag.errors import ModelMissing, SettingsError
from medrag.settings import EncoderSettings
from medrag.types import Concept, Passage, Query, Triple

Towers = tuple[Path, Any, Path, Any]


@pytest.fixture(scope="module")
def towers(tmp_path_factory: pytest.TempPathFactory) -> Towers:
    root = tmp_path_factory.mktemp("bert")
    return root / "article", bert(root / "article", 3), root / "query", bert(root / "query", 4)


def first_token(folder: Path, model: Any, *given: Any, length: int = 512) -> np.ndarray:
    from transformers import AutoTokenizer

    words = AutoTokenizer.from_pretrained(folder)
    rows = []
    with torch.inference_mode():
        for text in zip(*given, strict=True):
            tokens = words(*text, truncation=True, max_length=length, return_tensors="pt")
            rows.append(model(**tokens).last_hidden_state[:, 0])
    return unit(torch.cat(rows))


def test_names_through_one_tower(towers: Towers) -> None:
    folder, model = towers[:2]
    encoder = BertEncoder(str(folder), batch=2, device="cpu", reads="name", max_length=12, precision="float32")
    concepts = [Concept(f"c:{n}", text, ("other word",), definition="Long.") for n, text in enumerate(TEXTS)]
    expected = first_token(folder, model, TEXTS, length=12)
    np.testing.assert_allclose(encoder.encode_items(concepts), expected, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_queries([Query(text) for text in TEXTS]), expected, atol=1e-5)
    assert encoder.dim == 32 and encoder.modality == "text" and encoder.encode_items([]).shape == (0, 32)


def test_articles_are_pairs_and_queries_have_their_own_tower(towers: Towers) -> None:
    folder, model, query_folder, query_model = towers
    options = {"query_model": str(query_folder), "reads": "pair", "query_length": 8, "precision": "float32"}
    encoder = open_encoder(EncoderSettings(model=str(folder), kind="bert", batch=2, device="cpu", options=options))
    items = [
        Passage("p:1", "p", TEXTS[0], title="Chest", section="Lungs"),
        Concept("c:1", "retina", (), definition=TEXTS[2]),
        Triple("t:1", "r", "mass", "located_in", "lung"),
    ]
    titles, texts = ["Chest. Lungs", "retina", ""], [TEXTS[0], TEXTS[2], "mass located in lung"]
    np.testing.assert_allclose(encoder.encode_items(items), first_token(folder, model, titles, texts), atol=1e-5)
    asked = encoder.encode_queries([Query(text) for text in TEXTS])
    np.testing.assert_allclose(asked, first_token(query_folder, query_model, TEXTS, length=8), atol=1e-5)
    assert np.abs(asked - first_token(folder, model, TEXTS, length=8)).max() > 0.01


def test_mean_pooling_leaves_padding_out(towers: Towers) -> None:
    encoder = BertEncoder(str(towers[0]), device="cpu", pooling="mean", precision="float32")
    passages = [Passage(f"p:{n}", "p", text) for n, text in enumerate(TEXTS)]
    alone = np.concatenate([encoder.encode_items([passage]) for passage in passages])
    np.testing.assert_allclose(encoder.encode_items(passages), alone, atol=1e-5)
    assert np.abs(alone - BertEncoder(str(towers[0]), device="cpu").encode_items(passages)).max() > 0.01


def test_the_fingerprint_and_the_cache_know_what_changes_a_vector(towers: Towers) -> None:
    folder, query = str(towers[0]), str(towers[2])
    changes: list[dict[str, Any]] = [
        {}, {"pooling": "mean"}, {"reads": "pair"}, {"reads": "name"}, {"max_length": 9}, {"query_length": 9}, {"query_model": query},
    ]  # fmt: skip
    assert len({BertEncoder(folder, **change).fingerprint for change in changes}) == len(changes)
    one, other = (Passage("p", "p", "lung", title=title) for title in ("A", "B"))
    assert BertEncoder(folder, reads="pair").content(one) != BertEncoder(folder, reads="pair").content(other)


def test_wrong_settings_are_refused_in_one_line(towers: Towers, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="pooling 'max' is none of cls, mean"):
        BertEncoder(str(towers[0]), pooling="max")
    with pytest.raises(SettingsError, match="reads 'all' is none of"):
        BertEncoder(str(towers[0]), reads="all")
    with pytest.raises(ModelMissing, match="medrag models get"):
        BertEncoder(str(towers[0]), query_model="nobody/no-such-tower")
    with pytest.raises(ModelMissing, match=r"no readable config\.json"):
        _ = BertEncoder(str(tmp_path)).dim
