"""Very small random encoders of real classes, written to folders as hub repositories have them; nothing is fetched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

TEXTS = ["a chest film with a mass", "clear lungs", "retina with a haemorrhage near the macula"]
LETTERS = [chr(n) for n in range(ord("a"), ord("z") + 1)]
BERT = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 48}
TOWER: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2, "projection_dim": 24,
    "image_size": 32, "patch_size": 16,
}  # fmt: skip


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (40, 56, 3), dtype=np.uint8))


def unit(rows: torch.Tensor) -> np.ndarray:
    return torch.nn.functional.normalize(rows.detach(), dim=1).numpy()


def bert_words(folder: Path) -> Any:
    """A word-piece tokenizer whose words are single letters."""
    from transformers import BertTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    (folder / "vocab.txt").write_text("\n".join(pieces))
    words = BertTokenizer(str(folder / "vocab.txt"))
    words.save_pretrained(folder)
    return words


def bert(folder: Path, seed: int = 3) -> Any:
    """BertModel with its tokenizer; spread wide, so that texts differ."""
    from transformers import BertConfig, BertModel

    words = bert_words(folder)
    torch.manual_seed(seed)
    model = BertModel(BertConfig(vocab_size=len(words), initializer_range=0.3, **BERT)).eval()
    model.save_pretrained(folder)
    return model


def clip_words(folder: Path, pad: str = "<|endoftext|>") -> Any:
    """CLIP's tokenizer over bytes, without merges."""
    from tokenizers import pre_tokenizers
    from transformers import CLIPTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({piece: n for n, piece in enumerate(pieces)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    words = CLIPTokenizer.from_pretrained(folder, pad_token=pad, model_max_length=20)
    words.save_pretrained(folder)
    return words


def clip(folder: Path, pickled: bool = False) -> Any:
    """CLIPModel as PubMedCLIP and PLIP have it; with ``pickled`` its weights are a ``pytorch_model.bin``."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    words = clip_words(folder)
    torch.manual_seed(3)
    ends = {"bos_token_id": words.bos_token_id, "eos_token_id": words.eos_token_id, "pad_token_id": words.pad_token_id}
    text = {**TOWER, **ends, "vocab_size": len(words), "max_position_embeddings": 20, "initializer_range": 0.3}
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=TOWER, projection_dim=24)).eval()
    model.save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=32).save_pretrained(folder)
    if pickled:
        (folder / "model.safetensors").unlink()
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
    return model


def siglip(folder: Path) -> Any:
    """SiglipModel as MedSigLIP has it."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, SiglipConfig, SiglipImageProcessor, SiglipModel

    folder.mkdir(parents=True, exist_ok=True)
    pieces = ["<pad>", "</s>", "<unk>", *LETTERS, " "]
    raw = Tokenizer(models.WordLevel({piece: n for n, piece in enumerate(pieces)}, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    words = PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
    words.save_pretrained(folder)
    torch.manual_seed(3)
    text = {**TOWER, "vocab_size": len(pieces), "max_position_embeddings": 16, "projection_size": 32}
    model = SiglipModel(SiglipConfig(text_config=text, vision_config=TOWER)).eval()
    model.save_pretrained(folder)
    SiglipImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return model


OWN_CONFIG = """
from transformers import PretrainedConfig
class OwnConfig(PretrainedConfig):
    model_type = "own-clip"
    def __init__(self, width=24, **rest):
        self.width = width
        super().__init__(**rest)
"""
OWN_MODEL = """
import torch
from transformers import PreTrainedModel
from .configuration_own import OwnConfig
class OwnClip(PreTrainedModel):
    config_class = OwnConfig
    def __init__(self, config):
        super().__init__(config)
        self.eye = torch.nn.Linear(3, config.width)
        self.words = torch.nn.Embedding(64, config.width)
        self.post_init()
    def encode_image(self, pixels):
        return self.eye(pixels.mean((2, 3))), None
    def encode_text(self, ids):
        return self.words(ids).mean(1), None
"""


def own_clip(folder: Path) -> None:
    """A made-up model with its own code, no class of ConceptCLIP's, which its repository alone holds and whose weights need access: it is called
    as that is, ``encode_image(pixels)[0]`` and ``encode_text(ids)[0]``."""
    from safetensors.torch import save_file
    from transformers import SiglipImageProcessor

    bert_words(folder)
    (folder / "configuration_own.py").write_text(OWN_CONFIG)
    (folder / "modeling_own.py").write_text(OWN_MODEL)
    code = {"AutoConfig": "configuration_own.OwnConfig", "AutoModel": "modeling_own.OwnClip"}
    (folder / "config.json").write_text(json.dumps({"model_type": "own-clip", "width": 24, "auto_map": code}))
    torch.manual_seed(3)
    tensors = {"eye.weight": torch.randn(24, 3), "eye.bias": torch.randn(24), "words.weight": torch.randn(64, 24)}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    SiglipImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)


def flair(folder: Path, tower: Path) -> tuple[Any, Any, dict[str, torch.Tensor]]:
    """(ResNet, BERT, tensors) in FLAIR's layout: the same classes, one block a stage."""
    from safetensors.torch import save_file
    from torchvision.models.resnet import Bottleneck, ResNet

    folder.mkdir()
    text = bert(tower)
    torch.manual_seed(5)
    eye = ResNet(Bottleneck, [1, 2, 1, 1]).eval()
    eye.fc = torch.nn.Identity()
    tensors = {f"vision_model.model.{name}": value for name, value in eye.state_dict().items()}
    tensors |= {f"text_model.model.{name}": value for name, value in text.state_dict().items()}
    tensors["text_model.model.embeddings.position_ids"] = torch.arange(512)[None]  # as older checkpoints have it
    tensors["vision_model.projection_head_vision.projection.weight"] = torch.randn(16, 2048)
    tensors["text_model.projection_head_text.projection.weight"] = torch.randn(16, 32)
    tensors["logit_scale"] = torch.tensor(2.6)
    save_file({name: value.contiguous() for name, value in tensors.items()}, folder / "model.safetensors")
    settings = {"vision_type": "resnet_v1", "image_size": 64, "caption": "A fundus photograph of [CLS]"}
    (folder / "config.json").write_text(json.dumps(settings))
    return eye, text, tensors


def pmc_clip(folder: Path, tower: Path) -> tuple[Any, Any, torch.Tensor]:
    """(ResNet of CLIP, BERT, projection) as PMC-CLIP's three files have them, in small."""
    from open_clip.modified_resnet import ModifiedResNet

    folder.mkdir()
    text = bert(tower)
    torch.manual_seed(7)
    eye = ModifiedResNet(layers=[1, 1, 2, 1], output_dim=16, heads=8, image_size=64, width=8).eval()
    projection = torch.randn(32, 16)
    torch.save(eye.state_dict(), folder / "image_encoder(resnet50).pth")
    torch.save(text.state_dict(), folder / "text_encoder.pth")
    torch.save(projection, folder / "text_projection_layer.pth")
    return eye, text, projection


def unimed(folder: Path, extra: Any = None) -> Any:
    """open_clip's vision tower inside a training checkpoint, as UniMed-CLIP has it."""
    from open_clip.transformer import QuickGELU, VisionTransformer

    folder.mkdir()
    torch.manual_seed(9)
    eye = VisionTransformer(32, 16, 128, 2, 2, 4.0, output_dim=24, act_layer=QuickGELU).eval()
    state = {f"module.visual.{name}": value for name, value in eye.state_dict().items()}
    state["module.text_encoder.anything"] = torch.zeros(2)
    torch.save({"epoch": 3, "name": "x", "state_dict": state, "extra": extra}, folder / "unimed-clip-vit-b16.pt")
    return eye
