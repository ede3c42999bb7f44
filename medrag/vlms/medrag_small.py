"""The small vision-language model that medrag trains: LLaVA (Liu et al., arXiv 2304.08485) over SmolLM2-135M-Instruct.

What ships is the projector and a low-rank adapter (Hu et al., arXiv 2106.09685) of the language model; the eyes are those
of the image-text encoder ``medrag-small``, and the language model's base comes from its registry package. `assembled`
puts them together once and keeps the whole as an ordinary checkpoint that transformers' own ``LlavaForConditionalGeneration`` and
``AutoProcessor`` load, as `load` does; only the vision tower is a class of its own, registered here. It knows nothing of prompts.
"""

from __future__ import annotations

import functools
import json
import shutil
from pathlib import Path
from typing import Any

from medrag import models
from medrag._util.files import sha256_text
from medrag._util.places import home
from medrag._util.weights import weights_id
from medrag.errors import ModelMissing

ADAPTER = "adapter.safetensors"
RECIPE = "medrag_vlm.json"  # {"base": …, "encoder": …, "rank": …, "alpha": …}
IMAGE_TOKEN = "<empty_output>"  # a mark of the base's vocabulary that chat never uses stands for a patch
GRID = 4  # patches a side that the language model sees
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}"
    "{% for part in m['content'] %}{% if part['type'] == 'image' %}" + IMAGE_TOKEN + "\n{% endif %}{% endfor %}"
    "{% for part in m['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{% endif %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@functools.cache
def register() -> tuple[type[Any], type[Any]]:
    """(configuration, model) of the vision tower, made known to transformers' Auto classes once."""
    import timm
    from torch.nn import functional as F  # noqa: N812 - the usual name
    from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel
    from transformers.modeling_outputs import BaseModelOutput

    class MedragVisionConfig(PretrainedConfig):  # type: ignore[misc]
        """A timm network whose last feature map is averaged to ``grid`` × ``grid`` patches."""

        model_type = "medrag_vision"

        def __init__(
            self, architecture: str = "tf_efficientnet_lite2", hidden_size: int = 1280, image_size: int = 224,
            grid: int = GRID, **more: Any,
        ) -> None:  # fmt: skip
            super().__init__(**more)
            self.architecture, self.hidden_size, self.image_size = architecture, hidden_size, image_size
            self.patch_size, self.grid = image_size // grid, grid

    class MedragVisionModel(PreTrainedModel):  # type: ignore[misc]
        """(n, 3, s, s) → patches (n, grid², hidden_size), row by row."""

        config_class = MedragVisionConfig
        main_input_name = "pixel_values"

        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.trunk = timm.create_model(config.architecture, pretrained=False, num_classes=0)
            self.post_init()

        def _init_weights(self, module: Any) -> None:
            """timm has initialised its own."""

        def forward(self, pixel_values: Any, **_: Any) -> Any:
            pixels = pixel_values.to(self.dtype)  # weights may be half, processors give float32
            grid = F.adaptive_avg_pool2d(self.trunk.forward_features(pixels), self.config.grid)
            patches = grid.flatten(2).transpose(1, 2)
            return BaseModelOutput(last_hidden_state=patches, hidden_states=(patches,))

    AutoConfig.register("medrag_vision", MedragVisionConfig, exist_ok=True)
    AutoModel.register(MedragVisionConfig, MedragVisionModel, exist_ok=True)
    return MedragVisionConfig, MedragVisionModel


def blank(base: Path, architecture: str = "tf_efficientnet_lite2") -> tuple[Any, Any]:
    """(model, processor) over the base language model (a GGUF file or a folder), eyes and projector untrained."""
    from transformers import AutoConfig, AutoTokenizer, LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor
    from transformers.models.vit import ViTImageProcessor

    from medrag.vlms._hf import gguf_option, unpack_gguf

    config_class, _ = register()
    folder, gguf = (base.parent, base.name) if base.is_file() else (base, "")
    text = AutoConfig.from_pretrained(folder, **gguf_option(gguf))
    tokenizer = AutoTokenizer.from_pretrained(folder, **gguf_option(gguf))
    vision = config_class(architecture=architecture)
    config = LlavaConfig(
        vision_config=vision, text_config=text, image_token_index=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
        image_token_id=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
        vision_feature_layer=-1, vision_feature_select_strategy="full", projector_hidden_act="gelu",
        tie_word_embeddings=True,
    )  # fmt: skip
    model = LlavaForConditionalGeneration(config)
    if gguf:
        language = unpack_gguf(base, text, "float32")
    else:
        from transformers import AutoModelForCausalLM

        language = AutoModelForCausalLM.from_pretrained(folder)
    model.model.language_model.load_state_dict(language.model.state_dict())
    model.tie_weights()
    model.generation_config.eos_token_id = tokenizer.convert_tokens_to_ids("<|im_end|>")
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    eyes = ViTImageProcessor(
        size={"height": vision.image_size, "width": vision.image_size}, resample=3,
        image_mean=[0.5] * 3, image_std=[0.5] * 3,
    )  # fmt: skip
    processor = LlavaProcessor(
        eyes, tokenizer, patch_size=vision.patch_size, vision_feature_select_strategy="full",
        chat_template=TEMPLATE, image_token=IMAGE_TOKEN,
    )  # fmt: skip
    return model, processor


def give_eyes(model: Any, encoder: Path) -> None:
    """Copies the trunk of a medrag encoder's checkpoint (open_clip's names) into the vision tower."""
    from safetensors.torch import load_file

    tensors = load_file(encoder / "open_clip_model.safetensors")
    prefix = "visual.trunk."
    trunk = {name.removeprefix(prefix): t.float() for name, t in tensors.items() if name.startswith(prefix)}
    model.model.vision_tower.trunk.load_state_dict(trunk)


def adopt(model: Any, tensors: dict[str, Any], rank: int, alpha: float) -> None:
    """Writes projector and adapter into the model: W + (alpha / rank) · B A for each adapted matrix."""
    own = dict(model.named_parameters())
    for name, tensor in tensors.items():
        if name.endswith(".lora_B"):
            continue
        if name.endswith(".lora_A"):
            target = name.removesuffix(".lora_A")
            own[f"{target}.weight"].data += alpha / rank * (tensors[f"{target}.lora_B"].float() @ tensor.float())
        else:
            own[name].data.copy_(tensor.float())


def recipe_of(folder: Path) -> dict[str, Any]:
    """What a trained folder says of itself; empty for one that is a whole checkpoint already."""
    path = folder / RECIPE
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def load(name: str = "medrag-small-vlm", **options: Any) -> tuple[Any, Any]:
    """(model, processor) of transformers' own classes, in float32 unless ``dtype`` says otherwise; ``options`` go to ``from_pretrained``.

    ``name`` is the shipped model or a folder that was tuned from it. Raises ModelMissing, with the command that fetches it, where a part is not
    on this machine.

    >>> model, processor = load()  # doctest: +SKIP
    >>> turns = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Is there a pleural effusion?"}]}]
    >>> text = processor.apply_chat_template(turns, add_generation_prompt=True)  # doctest: +SKIP
    >>> ids = model.generate(**processor(text=text, images=[film], return_tensors="pt"), max_new_tokens=40)  # doctest: +SKIP
    """
    from transformers import AutoProcessor, LlavaForConditionalGeneration

    folder = assembled(models.resolve(name))
    model = LlavaForConditionalGeneration.from_pretrained(folder, **{"dtype": "float32", **options})
    return model.eval(), AutoProcessor.from_pretrained(folder)


def assembled(folder: Path) -> Path:
    """The whole model as a checkpoint that transformers loads, put together at the first use and kept in medrag's home.

    Raises ModelMissing, with the command that fetches it, where the language model's base is not on this machine.
    """
    from filelock import FileLock

    register()
    about = recipe_of(folder)
    if not about:
        return folder
    base, encoder = models.resolve(about["base"]), models.resolve(about["encoder"])
    key = sha256_text(*(weights_id(path) for path in (folder, base, encoder)))[:16]
    target = home() / "models" / f"{folder.name}-{key}"
    if (target / "complete").is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_name(f"{target.name}.lock")):  # two programs may open it for the first time at once
        if not (target / "complete").is_file():
            _assemble(folder, about, (base, encoder), target)
    return target


def _assemble(folder: Path, about: dict[str, Any], parts: tuple[Path, Path], target: Path) -> None:
    from safetensors.torch import load_file

    model, processor = blank(parts[0])
    give_eyes(model, parts[1])
    try:
        adopt(model, load_file(folder / ADAPTER), about["rank"], about["alpha"])
    except (OSError, KeyError, RuntimeError) as error:
        raise ModelMissing(f"{folder} does not fit its base: {error}", "fetch or train the model again") from error
    part = target.with_name(f"{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    model.half().save_pretrained(part)
    processor.save_pretrained(part)
    (part / "complete").touch()
    shutil.rmtree(target, ignore_errors=True)
    part.rename(target)
