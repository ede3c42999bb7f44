"""What `transformers` needs around Hugging Face's library: weights in, turns to tensors, failures to one line."""

from __future__ import annotations

import contextlib
import inspect
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medrag.errors import GeneratorError, MissingDependency

if TYPE_CHECKING:
    from PIL.Image import Image

Turns = list[tuple[str, str]]  # (role, text); the last is the user's and gets the images


@dataclass(slots=True)
class Loaded:
    """A model that is ready to run, with what turns text and images into its input."""

    model: Any
    processor: Any  # of a vision-language model; a tokenizer otherwise
    tokenizer: Any
    window: int  # tokens


def gguf_option(name: str) -> dict[str, str]:
    """The option that makes transformers read a GGUF file; none for other weights."""
    return {"gguf_file": name} if name else {}


def unpack_gguf(path: Path, config: Any, dtype: str) -> Any:
    """A causal language model from a GGUF file, its weights unpacked to ``dtype``.

    ``from_pretrained(gguf_file=…)`` does the same but asks for the package accelerate, which nothing else here needs.
    """
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    kind = torch.bfloat16 if dtype == "auto" else getattr(torch, dtype)
    model = AutoModelForCausalLM.from_config(config, dtype=kind)
    with contextlib.redirect_stderr(io.StringIO()):  # its progress bar has no switch
        tensors = load_gguf_checkpoint(str(path), return_tensors=True, model_to_load=model)["tensors"]
    left = model.load_state_dict({name: tensor.to(kind) for name, tensor in tensors.items()}, strict=False)
    missing = set(left.missing_keys) - set(getattr(model, "_tied_weights_keys", None) or ())
    if missing or left.unexpected_keys:
        raise ValueError(
            f"{path.name} does not fit {type(model).__name__}: {sorted({*missing, *left.unexpected_keys})[:3]}"
        )
    model.tie_weights()
    return model


def window_of(config: Any, tokenizer: Any) -> int:
    """Tokens that the model reads and writes together."""
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    known = [
        getattr(text, "max_position_embeddings", None),
        getattr(text, "n_positions", None),
        tokenizer.model_max_length,
    ]
    return int(min(value for value in known if value))


def encode(loaded: Loaded, turns: Turns, images: list[Image]) -> Mapping[str, Any]:
    """The turns in the model's own chat template; one without a system role gets that text in the first user turn."""
    from jinja2 import TemplateError

    turns = [(role, inert(loaded.tokenizer, text)) for role, text in turns]
    if not getattr(loaded.processor, "chat_template", None) and not _converses(loaded.processor):
        return _encode_plain(loaded, "\n\n".join([*(text for _, text in turns), "Answer:"]), images)
    try:
        return _template(loaded, _messages(loaded, turns, images))
    except TemplateError:
        (_, system), (role, first), *rest = turns
        return _template(loaded, _messages(loaded, [(role, f"{system}\n\n{first}"), *rest], images))


def inert(tokenizer: Any, text: str) -> str:
    """The text with the model's own marks ("<|im_end|>", "<image>") broken up, so that evidence cannot end its turn."""
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    for mark in {*tokenizer.all_special_tokens, *(token.content for token in added if token.special)}:
        text = text.replace(mark, f"{mark[:1]} {mark[1:]}") if len(mark) > 2 else text
    return text


def _messages(loaded: Loaded, turns: Turns, images: Sequence[Image]) -> list[dict[str, Any]]:
    """Turns as the template wants them: plain text for a tokenizer, a list of parts for a processor."""
    if loaded.processor is loaded.tokenizer:
        return [{"role": role, "content": text} for role, text in turns]
    made = [{"role": role, "content": [{"type": "text", "text": text}]} for role, text in turns]
    made[-1]["content"] = [*({"type": "image", "image": image} for image in images), *made[-1]["content"]]
    return made


def _template(loaded: Loaded, turns: list[dict[str, Any]]) -> Mapping[str, Any]:
    if _converses(loaded.processor):
        return _placed(loaded, _conversation(loaded.processor, turns))
    ready = loaded.processor.apply_chat_template(
        turns, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    return _placed(loaded, ready)


def _converses(processor: Any) -> bool:
    """Whether a processor takes the turns themselves (Hulu-Med, VideoLLaMA3)."""
    return "conversation" in inspect.signature(type(processor).__call__).parameters


def _conversation(processor: Any, turns: list[dict[str, Any]]) -> Mapping[str, Any]:
    """A picture stands where a path may stand."""
    for turn in turns:
        for part in turn["content"]:
            if part["type"] == "image":
                part["image"] = {"image_path": part["image"]}
    ready: Mapping[str, Any] = processor(conversation=turns, add_generation_prompt=True, return_tensors="pt")
    return ready


def sees(config: Any) -> bool:
    """Whether a configuration has a vision tower, under the names that model families give it."""
    return any(hasattr(config, name) for name in ("vision_config", "vision_encoder_config", "vision_encoder"))


def _placed(loaded: Loaded, ready: Mapping[str, Any]) -> dict[str, Any]:
    """Tensors on the model's device; pixels, not token ids, in its precision."""
    model = loaded.model

    def placed(value: Any) -> Any:
        if not hasattr(value, "is_floating_point"):  # Hulu-Med's list of modalities
            return value
        return value.to(model.device, model.dtype) if value.is_floating_point() else value.to(model.device)

    return {name: placed(value) for name, value in ready.items() if value is not None}


def padded(rows: Sequence[Mapping[str, Any]], pad: int) -> dict[str, Any]:
    """Inputs of one prompt each as one batch: token rows padded on the left, pixels one after the other."""
    import torch

    longest = max(row["input_ids"].shape[1] for row in rows)
    together: dict[str, list[Any]] = {}
    for row in rows:
        for name, value in row.items():
            if value.ndim == 2 and value.shape == row["input_ids"].shape:
                fill = pad if name == "input_ids" else 0
                value = torch.nn.functional.pad(value, (longest - value.shape[1], 0), value=fill)
            together.setdefault(name, []).append(value)
    return {name: torch.cat(values) for name, values in together.items()}


def _encode_plain(loaded: Loaded, text: str, images: list[Image]) -> Mapping[str, Any]:
    """For a model without a chat template: image tokens, then the text."""
    mark = getattr(loaded.processor, "image_token", "") if images else ""
    more = {"images": images} if images else {}
    ready = loaded.processor(text=[f"{mark}\n" * len(images) + text], return_tensors="pt", **more)
    return _placed(loaded, ready)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No progress bars of transformers while weights are read; as they were afterwards."""
    from transformers.utils import logging as noise

    shown = noise.is_progress_bar_enabled()
    noise.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            noise.enable_progress_bar()


class loading:  # noqa: N801 - used as a function
    """Turns what transformers raises while it loads into one line with a hint."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, ImportError):
            line = " ".join(str(error).split())[:200]
            raise MissingDependency(f"{self.name} needs a package: {line}", "install the package it names") from error
        if isinstance(error, Exception):
            raise failed(self.name, "could not be loaded", error) from error


def failed(name: str, what: str, error: BaseException) -> GeneratorError:
    """What a library said, as a GeneratorError that names what mends it."""
    whole = " ".join(str(error).split())
    line = whole[:240] or type(error).__name__
    if "out of memory" in line.lower() or isinstance(error, MemoryError):
        hint = "take a smaller model, dtype=bfloat16, a smaller image_size, or device=cpu"
    elif "trust_remote_code" in whole:
        hint = "the model brings its own code: read it, then set trust_remote_code"
    else:
        hint = "see that the folder holds config.json, the tokenizer and safetensors or GGUF weights of one model"
    return GeneratorError(f"{name} {what}: {line}", hint)
