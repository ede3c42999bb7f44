"""Language and vision-language models that run here, through Hugging Face transformers: a folder, a GGUF file or a hub id.

Weights are read once, at the first question, and never fetched by an answer (`medrag models get` does that). Code that
comes with a model is not run unless ``trust_remote_code`` says so. It knows nothing of what a good answer is.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medrag import models
from medrag._util.files import sha256_file, sha256_text
from medrag._util.hardware import native_bf16
from medrag._util.weights import weights_id
from medrag.errors import GeneratorError, ModelMissing, SettingsError
from medrag.vlms._hf import (
    Loaded,
    Turns,
    encode,
    failed,
    gguf_option,
    loading,
    padded,
    quiet,
    sees,
    unpack_gguf,
    window_of,
)
from medrag.vlms._messages import spoken

if TYPE_CHECKING:
    from PIL.Image import Image

    from medrag.prompts import Prompt

Layout = Callable[["Prompt"], Turns]
CUT = "(Further evidence did not fit and was left out.)"
_log = logging.getLogger(__name__)


def plain_layout(prompt: Prompt) -> Turns:
    """The turns as `medrag.prompts` words them."""
    return [("system", prompt.system), ("user", prompt.user_text())]


class Transformers:
    """A causal language model or an image-text-to-text model with its chat template.

    Which of the two is told by the class of its configuration. ``device`` "auto" is CUDA where there is one; ``dtype``
    "auto" is the checkpoint's on CUDA, bfloat16 on a CPU that multiplies it itself, and float32 on others. ``temperature`` 0 is greedy; above it samples are drawn with
    the prompt's seed. ``context`` narrows the model's own window. Where a prompt does not fit, evidence is left out
    from the end and the prompt says so. ``many_images`` says that it understands several: pages of the evidence are
    then shown after the question's. Images are shrunk to ``image_size`` pixels on their long side.

    Raises SettingsError without a model's name, ModelMissing when the weights are not on this machine, GeneratorError when they cannot be loaded or run.
    """

    def __init__(
        self,
        model: str,
        *,
        device: str = "auto",
        dtype: str = "auto",
        max_new_tokens: int | None = None,
        temperature: float = 0.0,
        context: int | None = None,
        gguf_file: str = "",
        image_size: int = 1024,
        trust_remote_code: bool = False,
        many_images: bool = False,
        layout: Layout = plain_layout,
    ) -> None:
        if not model:
            raise SettingsError("no model is named", "write its hub id, its folder, or a GGUF file")
        self.name = model
        self.device, self.dtype = device, dtype
        self.max_new_tokens, self.temperature, self.context = max_new_tokens, temperature, context
        self.gguf_file, self.image_size, self.layout = gguf_file, image_size, layout
        self.trust_remote_code, self.many_images = trust_remote_code, many_images
        self._lock = threading.Lock()
        self._loaded: Loaded | None = None
        self._config: Any = None

    @property
    def sees_images(self) -> bool:
        """Whether the model has a vision tower; reads its configuration, not its weights."""
        return not self._where()[1] and sees(self._read_config())

    @functools.cached_property
    def fingerprint(self) -> str:
        """Of the weights, wherever they lie, and of the options that change what is written; the name where they are not here."""
        try:
            folder, gguf = self._where()
        except (ModelMissing, SettingsError):
            return self.name
        own = [] if gguf else [*sorted(folder.glob("*.jinja")), *sorted(folder.glob("*.py"))]  # templates, own code
        layout = getattr(self.layout, "__qualname__", type(self.layout).__name__)
        options = (
            self.dtype, self.max_new_tokens, self.temperature, self.context, self.image_size, self.trust_remote_code,
            self.many_images, layout,
        )  # fmt: skip
        return sha256_text("transformers/1", weights_id(folder / gguf), *map(sha256_file, own), repr(options))[:16]

    def stream(self, prompt: Prompt, images: Sequence[Image] = ()) -> Iterator[str]:
        """Pieces of text as they are generated, without what stands between <think> tags; closing the iterator stops the generation."""
        loaded = self._load()
        limit = self.max_new_tokens or prompt.max_tokens
        try:
            inputs = self._fit(loaded, prompt, self._shown(images), limit)
        except (ValueError, RuntimeError, TypeError, IndexError) as error:
            raise failed(self.name, "could not read the prompt", error) from error
        with contextlib.closing(self._generate(loaded, inputs, limit, prompt.seed)) as pieces:
            yield from spoken(pieces, _thinks(loaded, inputs))

    def batch(self, prompts: Sequence[Prompt], images: Sequence[Sequence[Image]]) -> list[str]:
        """One text for each prompt, written together: padded on the left, each with its own images. Greedy or seeded by the first."""
        return self._written(prompts, images)[0] if prompts else []

    def with_first_words(
        self, prompts: Sequence[Prompt], images: Sequence[Sequence[Image]], one: Sequence[str], other: Sequence[str]
    ) -> tuple[list[str], list[tuple[float, float]]]:
        """`batch` and `first_words` in the time of one: the prompts are read once."""
        if not prompts:
            return [], []
        texts, found = self._written(prompts, images, output_logits=True, return_dict_in_generate=True)
        return texts, _begins(self._load(), found.logits[0], one, other)

    def with_likelihood(
        self, prompts: Sequence[Prompt], images: Sequence[Sequence[Image]]
    ) -> tuple[list[str], list[float]]:
        """`batch`, and for each text the mean (geometric) probability of its tokens, 0–1: how sure the model was of its words."""
        if not prompts:
            return [], []
        texts, found = self._written(prompts, images, output_logits=True, return_dict_in_generate=True)
        return texts, _likelihoods(self._load(), found)

    def first_words(
        self, prompts: Sequence[Prompt], images: Sequence[Sequence[Image]], one: Sequence[str], other: Sequence[str]
    ) -> list[tuple[float, float]]:  # fmt: skip
        """For each prompt the probability that the answer begins with a word of ``one``, and with a word of ``other``.

        Each word must be a single token. Raises SettingsError where it is not.
        """
        import torch

        loaded = self._load()
        if not prompts:
            return []
        try:
            rows = [self._fit(loaded, p, self._shown(i), 1) for p, i in zip(prompts, images, strict=True)]
            with torch.inference_mode():
                found = loaded.model(**padded(rows, self._sampling(loaded)["pad_token_id"]), logits_to_keep=1)
        except (ValueError, RuntimeError, TypeError, IndexError) as error:
            raise failed(self.name, "could not read the prompts", error) from error
        return _begins(loaded, found.logits[:, -1], one, other)

    def _written(
        self, prompts: Sequence[Prompt], images: Sequence[Sequence[Image]], **more: bool
    ) -> tuple[list[str], Any]:
        """A text for each prompt; with ``more`` of `transformers`' own options what it tells of their making, too."""
        loaded = self._load()
        limit = self.max_new_tokens or max(prompt.max_tokens for prompt in prompts)
        try:
            rows = [self._fit(loaded, p, self._shown(i), limit) for p, i in zip(prompts, images, strict=True)]
            inputs = padded(rows, self._sampling(loaded)["pad_token_id"])
        except (ValueError, RuntimeError, TypeError, IndexError) as error:
            raise failed(self.name, "could not read the prompts", error) from error
        options = {**inputs, **self._sampling(loaded), "max_new_tokens": limit, **more}
        found = _seeded(loaded.model, options, prompts[0].seed if self.temperature > 0 else None)
        written = (found.sequences if more else found)[:, inputs["input_ids"].shape[1] :]
        texts = loaded.tokenizer.batch_decode(written, skip_special_tokens=True)
        told = ["".join(spoken([text], _thinks(loaded, row))).strip() for text, row in zip(texts, rows, strict=True)]
        return told, found if more else None

    def _shown(self, images: Sequence[Image]) -> list[Image]:
        """The images in RGB and no larger than wanted; none for a model without eyes."""
        if not self.sees_images:
            return []
        shown = [image.convert("RGB") for image in images]
        for image in shown:
            image.thumbnail((self.image_size, self.image_size))
        return shown

    def _where(self) -> tuple[Path, str]:
        """The model's folder and, for GGUF, the file in it."""
        path = models.resolve(self.name)
        if path.is_file():
            return path.parent, path.name
        return path, self.gguf_file

    def _read_config(self) -> Any:
        if self._config is None:
            from transformers import AutoConfig

            folder, gguf = self._where()
            with loading(self.name):
                self._config = AutoConfig.from_pretrained(
                    folder, trust_remote_code=self.trust_remote_code, **gguf_option(gguf)
                )
        return self._config

    def _own_class(self) -> bool:
        """Whether a model with eyes is a class of its repository's code that calls itself a causal language model."""
        known = getattr(self._read_config(), "auto_map", None) or {}
        return self.trust_remote_code and "AutoModelForCausalLM" in known and "AutoModelForImageTextToText" not in known

    def _load(self) -> Loaded:
        with self._lock:
            if self._loaded is None:
                self._loaded = self._read_weights()
            return self._loaded

    def _read_weights(self) -> Loaded:
        import torch
        from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoProcessor, AutoTokenizer

        folder, gguf = self._where()
        device = self.device if self.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        dtype = self.dtype
        if dtype == "auto" and not device.startswith("cuda"):
            dtype = "bfloat16" if device == "cpu" and native_bf16() else "float32"
        common = {"trust_remote_code": self.trust_remote_code, **gguf_option(gguf)}
        eyes = self.sees_images
        with loading(self.name), quiet():
            maker = AutoModelForImageTextToText if eyes and not self._own_class() else AutoModelForCausalLM
            if gguf:
                model = unpack_gguf(folder / gguf, self._read_config(), dtype)
            else:
                model = maker.from_pretrained(folder, dtype=dtype, trust_remote_code=self.trust_remote_code)
            model = model.to(device).eval()
            processor = (AutoProcessor if eyes else AutoTokenizer).from_pretrained(folder, **common)
        tokenizer = getattr(processor, "tokenizer", processor)
        return Loaded(model, processor, tokenizer, self.context or window_of(model.config, tokenizer))

    def _fit(self, loaded: Loaded, prompt: Prompt, images: list[Image], new: int) -> Mapping[str, Any]:
        """The prompt as tensors, with as much evidence from the top as the window holds."""
        for keep in range(len(prompt.context.kept), -1, -1):
            context = dataclasses.replace(prompt.context, kept=prompt.context.kept[:keep])
            turns = self.layout(dataclasses.replace(prompt, context=context))
            if short := keep < len(prompt.context.kept):
                turns[-1] = ("user", f"{CUT}\n{turns[-1][1]}")
            inputs = encode(loaded, turns, images)
            if inputs["input_ids"].shape[1] + new <= loaded.window:
                if short:
                    _log.warning(
                        "%s: %d of %d pieces of evidence fit its window", self.name, keep, len(prompt.context.kept)
                    )
                return inputs
        raise GeneratorError(
            f"the question does not fit the {loaded.window} tokens that {self.name} reads",
            "shorten it or lower max_tokens",
        )

    def _generate(self, loaded: Loaded, inputs: Mapping[str, Any], new: int, seed: int) -> Generator[str]:
        """Runs the model in a thread and passes its text on; its errors surface here, and leaving early stops it."""
        from transformers import StoppingCriteriaList, TextIteratorStreamer

        streamer = TextIteratorStreamer(loaded.tokenizer, skip_prompt=True, skip_special_tokens=True)
        left, errors = threading.Event(), list[BaseException]()
        options = {**inputs, **self._sampling(loaded), "max_new_tokens": new, "streamer": streamer}
        options["stopping_criteria"] = StoppingCriteriaList([lambda ids, scores, **_: _all(ids, left.is_set())])

        def work() -> None:
            try:
                _seeded(loaded.model, options, seed if self.temperature > 0 else None)
            except BaseException as error:
                errors.append(error)
            finally:
                streamer.text_queue.put(streamer.stop_signal)

        thread = threading.Thread(target=work, name="medrag-generate", daemon=True)
        thread.start()
        try:
            yield from (piece for piece in streamer if piece)
        finally:
            left.set()
            thread.join()
        if errors:
            raise failed(self.name, "failed while it wrote", errors[0]) from errors[0]

    def _sampling(self, loaded: Loaded) -> dict[str, Any]:
        pad = loaded.tokenizer.pad_token_id
        pad = loaded.tokenizer.eos_token_id if pad is None else pad
        if self.temperature > 0:
            return {"do_sample": True, "temperature": self.temperature, "pad_token_id": pad}
        return {"do_sample": False, "temperature": None, "top_p": None, "top_k": None, "pad_token_id": pad}


def _all(ids: Any, stop: bool) -> Any:
    """One flag for each sequence of the batch, as transformers wants it."""
    import torch

    return torch.full((ids.shape[0],), stop, dtype=torch.bool, device=ids.device)


def _thinks(loaded: Loaded, inputs: Mapping[str, Any]) -> bool:
    """Whether the prompt ends with an opened <think>, as the templates of some reasoning models have it."""
    return str(loaded.tokenizer.decode(inputs["input_ids"][0, -16:])).rstrip().endswith("<think>")


def _token(loaded: Loaded, word: str) -> int:
    ids = loaded.tokenizer(word, add_special_tokens=False)["input_ids"]
    if len(ids) != 1:
        raise SettingsError(f"{word!r} is {len(ids)} tokens of this model, not one", "choose a shorter word")
    return int(ids[0])


def _begins(loaded: Loaded, logits: Any, one: Sequence[str], other: Sequence[str]) -> list[tuple[float, float]]:
    """Probabilities of the words as first tokens; logits (n, vocabulary)."""
    chances = logits.float().softmax(1)
    left, right = (chances[:, [_token(loaded, word) for word in words]].sum(1).tolist() for words in (one, other))
    return list(zip(left, right, strict=True))


def _likelihoods(loaded: Loaded, found: Any) -> list[float]:
    """Geometric means of the probabilities of the tokens that were written, up to the one that ends each text."""
    import torch

    steps = len(found.logits)
    written = found.sequences[:, -steps:]
    logs = torch.stack([row.float().log_softmax(1) for row in found.logits], 1)  # (n, steps, vocabulary)
    chosen = logs.gather(2, written.unsqueeze(2)).squeeze(2)
    ends = torch.tensor(loaded.model.generation_config.eos_token_id).reshape(-1).to(written.device)
    over = torch.isin(written, ends).cumsum(1) - torch.isin(written, ends).int()  # tokens behind the first end
    counts = (over == 0).float()
    return ((chosen * counts).sum(1) / counts.sum(1)).exp().tolist()  # type: ignore[no-any-return]


def _seeded(model: Any, options: dict[str, Any], seed: int | None) -> Any:
    import torch

    if seed is None:
        return model.generate(**options)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return model.generate(**options)
