"""The sentence encoder against sentence-transformers itself, and what it reads of each kind of item."""

from __future__ import annotations

import numpy as np
import pytest

from medrag import models
from medrag.encoders import open_encoder
from medrag.encoders.text import SentenceEncoder, readable
from medrag.errors import MedragError, ModelMissing, SettingsError
from medrag.settings import EncoderSettings
from medrag.types import Concept, ImageRecord, Item, Page, Passage, Query, Study, Triple

try:
    MINILM = str(models.resolve("minilm"))
except MedragError:
    MINILM = ""
with_weights = pytest.mark.skipif(not MINILM, reason="medrag models get minilm")

TEXTS = [
    "Clear lungs.",
    "A large mass in the left upper lobe, " * 8,
    "Pleural effusion on the right.",
    "Retinal haemorrhage.",
]


def passages(texts: list[str]) -> list[Passage]:
    return [Passage(f"t:{n}", "t", text) for n, text in enumerate(texts)]


@pytest.fixture(scope="module")
def encoder() -> SentenceEncoder:
    return SentenceEncoder("minilm", precision="float32")


@with_weights
def test_vectors_equal_those_of_sentence_transformers(encoder: SentenceEncoder) -> None:
    from sentence_transformers import SentenceTransformer

    expected = SentenceTransformer(MINILM, device="cpu", local_files_only=True).encode(TEXTS, normalize_embeddings=True)
    vectors = encoder.encode_items(passages(TEXTS))
    assert vectors.dtype == np.float32 and vectors.shape == (4, encoder.dim) == (4, 384)
    np.testing.assert_allclose(vectors, expected, atol=2e-6)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


@with_weights
def test_order_is_kept_and_the_same_list_gives_the_same_vectors(encoder: SentenceEncoder) -> None:
    forward = encoder.encode_items(passages(TEXTS))
    np.testing.assert_array_equal(forward, encoder.encode_items(passages(TEXTS)))
    np.testing.assert_allclose(forward[::-1], encoder.encode_items(passages(TEXTS[::-1])), atol=2e-6)
    assert encoder.encode_items([]).shape == (0, 384)


@with_weights
def test_a_query_finds_the_passage_that_answers_it(encoder: SentenceEncoder) -> None:
    scores = (
        encoder.encode_queries([Query("fluid on the right side of the chest"), Query("bleeding in the eye")])
        @ encoder.encode_items(passages(TEXTS)).T
    )
    assert scores.argmax(axis=1).tolist() == [2, 3]


@with_weights
def test_low_precision_stays_close(encoder: SentenceEncoder) -> None:
    low = SentenceEncoder("minilm", precision="bfloat16").encode_items(passages(TEXTS))
    assert (low * encoder.encode_items(passages(TEXTS))).sum(axis=1).min() > 0.999


@with_weights
def test_the_fingerprint_changes_when_the_vectors_would() -> None:
    made = [
        SentenceEncoder("minilm", **options)
        for options in (
            {},
            {"max_length": 64},
            {"query_prefix": "q: "},
            {"item_prefix": "p: "},
            {"precision": "float32"},
        )
    ]
    assert len({one.fingerprint for one in made}) == 5
    assert SentenceEncoder(MINILM, batch=4).fingerprint == made[0].fingerprint  # how fast and from where does not count
    assert "_model" not in made[0].__dict__  # told without loading the weights


@with_weights
def test_long_texts_are_cut_at_max_length() -> None:
    encoder = SentenceEncoder("minilm", max_length=16, precision="float32")
    one, two = encoder.encode_items(passages(["lung " * 40 + "mass", "lung " * 40 + "heart"]))
    np.testing.assert_array_equal(one, two)
    assert SentenceEncoder("minilm", max_length=9999)._model.max_seq_length <= 512


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (Passage("a#1", "a", "Clear lungs.", title="Report 7", section="Findings"), "Report 7. Findings. Clear lungs."),
        (Passage("a#1", "a", "Findings: clear.", section="Findings:"), "Findings: clear."),
        (Passage("a#1", "a", "Clear.", title="Findings", section="Findings"), "Findings. Clear."),
        (
            Concept("m:1", "pneumonia", ("lung infection",), definition="An infection."),
            "pneumonia (lung infection). An infection.",
        ),
        (Triple("t:1", "r", "mass", "located_in", "left lung"), "mass located in left lung"),
        (Page("p:1", "d", 1, (), 10, 10, "p.pdf", title="Primer"), "Primer. "),
        (
            Study("s:1", {"findings": "Mass.", "impression": "Tumour."}, labels=("Mass/lung",)),
            "Mass.\nTumour.\nMass/lung",
        ),
        (ImageRecord("i:1", "s:1", "Figure 1. Normal film.", "x.png"), "Figure 1. Normal film."),
    ],
)
def test_what_is_read_of_an_item(item: Item, expected: str) -> None:
    assert readable(item) == expected


def test_wrong_settings_are_refused_in_one_line() -> None:
    with pytest.raises(SettingsError, match=r"did you mean|no model is named"):
        open_encoder(EncoderSettings(model="minilmm", kind="sentence-transformers"))
    with pytest.raises(SettingsError, match="nothing says how the model"):
        open_encoder(EncoderSettings(model="some/model"))
    with pytest.raises(ModelMissing) as missing:
        open_encoder(EncoderSettings(model="nobody/no-such-model", kind="sentence-transformers"))
    assert missing.value.hint == "medrag models get nobody/no-such-model"


@with_weights
def test_unknown_options_are_refused() -> None:
    with pytest.raises(SettingsError, match="max_lenght"):
        open_encoder(EncoderSettings(model="minilm", options={"max_lenght": 3}))
    with pytest.raises(SettingsError, match="precision 'int3'"):
        open_encoder(EncoderSettings(model="minilm", options={"precision": "int3"}))
