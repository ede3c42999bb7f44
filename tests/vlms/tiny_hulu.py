"""A tiny model that brings its own code and is called as Hulu-Med documents: the processor reads the conversation itself.

The code is written here for the tests; it shares with Hulu-Med's the names that medrag relies on and nothing else.
"""

from __future__ import annotations

import json
from pathlib import Path

from tiny_models import CHAT, TEXT, tokenizer

CONFIG = """
from transformers import LlamaConfig
class TinyHuluConfig(LlamaConfig):
    model_type = "tiny_hulu"
    def __init__(self, vision_encoder_config=None, image_token_index=0, **rest):
        self.vision_encoder_config = vision_encoder_config or {}
        self.image_token_index = image_token_index
        super().__init__(**rest)
"""
MODEL = """
import torch
from transformers import LlamaForCausalLM
from .configuration_tiny import TinyHuluConfig
class TinyHulu(LlamaForCausalLM):
    config_class = TinyHuluConfig
    def __init__(self, config):
        super().__init__(config)
        self.eye = torch.nn.Linear(3, config.hidden_size)
        self.post_init()
    def forward(self, input_ids=None, inputs_embeds=None, pixel_values=None, modals=None, **rest):
        if pixel_values is not None and input_ids is not None:
            places = input_ids == self.config.image_token_index
            if places.any():
                assert modals == ["image"] * int(places.sum()), modals
                inputs_embeds = self.get_input_embeddings()(input_ids).clone()
                inputs_embeds[places] = self.eye(pixel_values.mean((2, 3)))
                input_ids = None
        return super().forward(input_ids=input_ids, inputs_embeds=inputs_embeds, **rest)
    def prepare_inputs_for_generation(self, input_ids, pixel_values=None, modals=None, **rest):
        ready = super().prepare_inputs_for_generation(input_ids, **rest)
        return {**ready, "pixel_values": pixel_values, "modals": modals}
    def _validate_model_kwargs(self, model_kwargs):
        pass
"""
PROCESSOR = """
import numpy as np
import torch
from transformers import AutoTokenizer, ProcessorMixin
class TinyHuluProcessor(ProcessorMixin):
    attributes = ["tokenizer"]
    tokenizer_class = "AutoTokenizer"
    def __init__(self, tokenizer=None, **rest):
        self.tokenizer = tokenizer
    @classmethod
    def from_pretrained(cls, folder, **rest):
        return cls(AutoTokenizer.from_pretrained(folder))
    def __call__(self, conversation=None, add_generation_prompt=False, return_tensors=None):
        pictures = [part["image"]["image_path"] for turn in conversation for part in turn["content"] if part["type"] == "image"]
        text = self.tokenizer.apply_chat_template(conversation, add_generation_prompt=add_generation_prompt, tokenize=False)
        found = dict(self.tokenizer(text, return_tensors=return_tensors))
        if pictures:
            rows = [np.asarray(one.resize((8, 8)), dtype=np.float32).transpose(2, 0, 1) / 255 for one in pictures]
            found |= {"pixel_values": torch.from_numpy(np.stack(rows)), "modals": ["image"] * len(rows)}
        return found
"""


def hulu(folder: Path) -> Path:
    import torch
    from safetensors.torch import save_file
    from transformers import LlamaConfig, LlamaForCausalLM

    folder.mkdir(parents=True)
    words = tokenizer(CHAT.replace("IMAGE", "<image>"), ("<image>",))
    words.save_pretrained(folder)
    torch.manual_seed(0)
    shape = {**TEXT, "vocab_size": len(words), "eos_token_id": 0, "pad_token_id": 1}
    text = LlamaForCausalLM(LlamaConfig(**shape))
    tensors = {name: value.contiguous() for name, value in text.state_dict().items()}
    tensors |= {"eye.weight": torch.randn(32, 3), "eye.bias": torch.randn(32)}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    for name, code in (("configuration_tiny", CONFIG), ("modeling_tiny", MODEL), ("processing_tiny", PROCESSOR)):
        (folder / f"{name}.py").write_text(code)
    own = {
        "AutoConfig": "configuration_tiny.TinyHuluConfig",
        "AutoModelForCausalLM": "modeling_tiny.TinyHulu",
        "AutoProcessor": "processing_tiny.TinyHuluProcessor",
    }
    config = {
        "model_type": "tiny_hulu", "architectures": ["TinyHulu"], "auto_map": own, "vision_encoder_config": {"patch": 8},
        "image_token_index": words.convert_tokens_to_ids("<image>"),
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps({**shape, **config}))
    (folder / "processor_config.json").write_text(json.dumps({"processor_class": "TinyHuluProcessor", "auto_map": own}))
    return folder
