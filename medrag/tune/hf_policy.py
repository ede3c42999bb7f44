"""Any image-text or text model of transformers in training: a new low-rank adapter on its language model, its eyes untouched.

Prompts are worded by `medrag.prompts` in the model's own chat template, as `medrag.vlms.transformers` asks them, so that it is tuned on what
it is asked. The answers' log-probabilities are computed at their tokens alone. It knows nothing of preferences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from medrag._util.files import sha256_text
from medrag._util.images import load_image
from medrag._util.weights import weights_id
from medrag.tune.policy import ENDS, EYES, Request
from medrag.vlms._hf import Loaded, encode, loading, padded, quiet, sees, window_of

if TYPE_CHECKING:
    import torch

SIDE = 1024  # pixels of an image's long side, as `medrag.vlms.transformers` shows it


@dataclass
class TransformersPolicy:
    """``rank`` and ``alpha`` are of the adapter, which ``seed`` draws; ``dtype`` "auto" is the checkpoint's on CUDA and float32 on CPU."""

    name: str
    folder: Path
    rank: int = 16
    alpha: int = 32
    device: str = "auto"
    dtype: str = "auto"
    seed: int = 0
    model: Any = field(init=False)
    fingerprint: str = field(init=False)
    needs_pictures: ClassVar[bool] = False

    def __post_init__(self) -> None:
        import torch
        from peft import LoraConfig, get_peft_model
        from transformers import (
            AutoConfig,
            AutoModelForCausalLM,
            AutoModelForImageTextToText,
            AutoProcessor,
            AutoTokenizer,
        )

        device = self.device if self.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        dtype = self.dtype if self.dtype != "auto" or device.startswith("cuda") else "float32"
        self.fingerprint = sha256_text("transformers/1", weights_id(self.folder), dtype)[:16]
        with loading(self.name), quiet():
            self._sees = sees(AutoConfig.from_pretrained(self.folder))
            maker = AutoModelForImageTextToText if self._sees else AutoModelForCausalLM
            model = maker.from_pretrained(self.folder, dtype=dtype).to(device)
            processor = (AutoProcessor if self._sees else AutoTokenizer).from_pretrained(self.folder)
        adapter = LoraConfig(r=self.rank, lora_alpha=self.alpha, target_modules=targets(model), lora_dropout=0.0)
        torch.manual_seed(self.seed)  # the adapter begins at random: alike in every process and every run
        self.model = get_peft_model(model, adapter)
        tokenizer = getattr(processor, "tokenizer", processor)
        self._loaded = Loaded(model, processor, tokenizer, window_of(model.config, tokenizer))
        self._pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id

    def length(self, requests: Sequence[Request]) -> int:
        return sum(self._row(request)[0]["input_ids"].shape[1] for request in requests)

    def log_probabilities(self, requests: Sequence[Request]) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        rows, tokens = zip(*(self._row(request) for request in requests), strict=True)
        inputs = padded(rows, self._pad)  # on the left: the answers stand at the end
        longest = max(tokens)
        logits = self.model(**inputs, logits_to_keep=longest + 1, use_cache=False).logits[:, :-1].float()
        aims = inputs["input_ids"][:, -longest:]
        spoken = logits.log_softmax(2).gather(2, aims[:, :, None])[:, :, 0]
        counts = torch.tensor(tokens, device=spoken.device)
        wanted = torch.arange(longest, device=spoken.device) >= longest - counts[:, None]
        return spoken.masked_fill(~wanted, 0.0).sum(1), counts

    def _row(self, request: Request) -> tuple[dict[str, Any], int]:
        """The input tensors of prompt and answer, and how many tokens the answer has with its end mark."""
        import torch

        images = [load_image(path, max_side=SIDE).image.convert("RGB") for path in request.side.images]
        prompt = request.side.prompt(request.question, request.domain, self._sees)
        turns = [("system", prompt.system), ("user", prompt.user_text())]
        asked = dict(encode(self._loaded, turns, images if self._sees else []))
        text = f"{request.side.answer}{self._loaded.tokenizer.eos_token}"
        own = torch.tensor([self._loaded.tokenizer(text, add_special_tokens=False)["input_ids"]])
        shape = asked["input_ids"].shape
        for name, value in asked.items():
            if value.shape == shape:
                fill = own if name == "input_ids" else torch.full_like(own, name == "attention_mask")
                asked[name] = torch.cat([value, fill.to(value.device, value.dtype)], dim=1)
        return asked, own.shape[1]

    def trained(self) -> list[torch.nn.Parameter]:
        return [p for p in self.model.parameters() if p.requires_grad]

    def tensors(self) -> dict[str, torch.Tensor]:
        return {name: p.detach().clone() for name, p in self.model.named_parameters() if p.requires_grad}

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        own = dict(self.model.named_parameters())
        for name, tensor in tensors.items():
            own[name].data.copy_(tensor)

    def save(self, folder: Path, training: str) -> None:
        """See `save_tuned`."""
        save_tuned(self.model, self._loaded.processor, folder, f"{training}; begun from {self.name}")


def save_tuned(model: Any, processor: Any, folder: Path, training: str) -> None:
    """The whole tuned model, adapter merged, as `MedRAG.open(…, model=folder)` loads it; the adapter alone in ``adapter/``.

    Training cannot go on afterwards.
    """
    model.save_pretrained(folder / "adapter")
    model.merge_and_unload().save_pretrained(folder)
    processor.save_pretrained(folder)
    (folder / "TRAINING").write_text(f"{training}\n", encoding="utf-8")


def targets(model: Any) -> list[str]:
    """Full names of the linear layers of attention and MLP in the language model, none of the vision tower's."""
    import torch

    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and name.endswith(ENDS) and not any(part in name for part in EYES)
    ]
