"""Very small random models of real classes, written to a folder with their tokenizers and processors; nothing is fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

WORDS = [
    "The lungs are clear and there is no pleural effusion or pneumothorax in this chest radiograph. Question: answer evidence"
]
CHAT = (
    "{% for m in messages %}<|{{ m['role'] }}|>{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for p in m['content'] %}"
    "{% if p['type'] == 'image' %}IMAGE{% else %}{{ p['text'] }}{% endif %}{% endfor %}{% endif %}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + CHAT
TEXT: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "initializer_range": 0.4,  # wide, so that the output depends on the input
}


def tokenizer(chat: str | None = CHAT, extra: tuple[str, ...] = ()) -> Any:
    """A byte-level BPE of a few hundred tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        WORDS,
        trainers.BpeTrainer(vocab_size=400, special_tokens=["<|end|>", "<pad>", *extra], initial_alphabet=alphabet),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token="<|end|>", pad_token="<pad>", chat_template=chat, model_max_length=100_000
    )


def llama(folder: Path, chat: str | None = CHAT, window: int = 2048) -> Path:
    """LlamaForCausalLM."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    words = tokenizer(chat)
    torch.manual_seed(0)
    config = LlamaConfig(
        **{**TEXT, "max_position_embeddings": window}, vocab_size=len(words), eos_token_id=0, pad_token_id=1
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


CLIP_EYE = {
    "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 28,
    "patch_size": 14, "projection_dim": 16,
}  # fmt: skip


def llava(folder: Path, text: str = "Llama") -> Path:
    """LlavaForConditionalGeneration with a CLIP tower of 28 × 28 pixels over a text model of the named family."""
    import torch
    import transformers
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    words = tokenizer(CHAT.replace("IMAGE", "<image>"), ("<image>",))
    torch.manual_seed(0)
    ends = {"vocab_size": len(words), "bos_token_id": None, "eos_token_id": 0, "pad_token_id": 1}
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**CLIP_EYE),
        text_config=getattr(transformers, f"{text}Config")(**TEXT, **ends),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
    )
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    LlavaProcessor(
        image_processor=CLIPImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}),
        tokenizer=words,
        patch_size=14,
        vision_feature_select_strategy="default",
        chat_template=words.chat_template,
        image_token="<image>",
        num_additional_image_tokens=1,
    ).save_pretrained(folder)
    return folder


def llava_mistral(folder: Path) -> Path:
    """LLaVA-Med 1.5 as converted for transformers; like Mistral's, its template takes no system turn."""
    llava(folder, "Mistral")
    (folder / "chat_template.jinja").write_text(NO_SYSTEM.replace("IMAGE", "<image>"))
    return folder


def llava_qwen2(folder: Path) -> Path:
    """HuatuoGPT-Vision as its authors converted it."""
    return llava(folder, "Qwen2")


def gemma3(folder: Path) -> Path:
    """Gemma3ForConditionalGeneration (MedGemma): a SigLIP tower of 28 × 28 pixels, four tokens an image."""
    import torch
    from transformers import (
        Gemma3Config,
        Gemma3ForConditionalGeneration,
        Gemma3ImageProcessor,
        Gemma3Processor,
        Gemma3TextConfig,
        SiglipVisionConfig,
    )

    marks = ("<bos>", "<start_of_image>", "<end_of_image>", "<image_soft_token>")
    words = tokenizer(NO_SYSTEM.replace("IMAGE", "<start_of_image>"), marks)
    words.init_kwargs |= {"boi_token": marks[1], "eoi_token": marks[2], "image_token": marks[3]}
    words.boi_token, words.eoi_token, words.image_token = marks[1:]
    bos, begin, end, soft = words.convert_tokens_to_ids(list(marks))
    words.boi_token_id, words.eoi_token_id, words.image_token_id = begin, end, soft
    torch.manual_seed(0)
    text = Gemma3TextConfig(
        **TEXT, vocab_size=len(words), head_dim=16, query_pre_attn_scalar=16, bos_token_id=bos, eos_token_id=0,
        pad_token_id=1, layer_types=["sliding_attention", "full_attention"],
    )  # fmt: skip
    eye = SiglipVisionConfig(
        **{name: value for name, value in CLIP_EYE.items() if name != "projection_dim"} | {"patch_size": 7}
    )
    tokens = {"boi_token_index": begin, "eoi_token_index": end, "image_token_index": soft, "mm_tokens_per_image": 4}
    model = Gemma3ForConditionalGeneration(Gemma3Config(text_config=text, vision_config=eye, **tokens))
    torch.nn.init.normal_(model.model.multi_modal_projector.mm_input_projection_weight)  # zero in a new model
    model.save_pretrained(folder)
    Gemma3Processor(
        image_processor=Gemma3ImageProcessor(size={"height": 28, "width": 28}),
        tokenizer=words,
        chat_template=words.chat_template,
        image_seq_length=4,
    ).save_pretrained(folder)
    return folder


def qwen3(folder: Path) -> Path:
    """Qwen3VLForConditionalGeneration with dynamic resolution and one DeepStack layer."""
    import torch
    from transformers import (
        Qwen2VLImageProcessor,
        Qwen3VLConfig,
        Qwen3VLForConditionalGeneration,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
    )

    marks = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    words = tokenizer(CHAT.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>"), marks)
    start, end, image, video = words.convert_tokens_to_ids(list(marks))
    torch.manual_seed(0)
    text = {
        **TEXT, "vocab_size": len(words), "head_dim": 16, "rope_scaling": {"rope_type": "default", "mrope_section": [3, 3, 2]},
        "bos_token_id": None, "eos_token_id": 0, "pad_token_id": 1,
    }  # fmt: skip
    vision = {
        "depth": 2, "hidden_size": 16, "out_hidden_size": 32, "intermediate_size": 16, "num_heads": 2, "patch_size": 14,
        "num_position_embeddings": 16, "deepstack_visual_indexes": [0],
    }  # fmt: skip
    ids = {"image_token_id": image, "video_token_id": video, "vision_start_token_id": start, "vision_end_token_id": end}
    Qwen3VLForConditionalGeneration(Qwen3VLConfig(text_config=text, vision_config=vision, **ids)).save_pretrained(
        folder
    )
    Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(min_pixels=28 * 28, max_pixels=56 * 56),
        tokenizer=words,
        video_processor=Qwen3VLVideoProcessor(),
        chat_template=words.chat_template,
    ).save_pretrained(folder)
    return folder


def qwen(folder: Path) -> Path:
    """Qwen2_5_VLForConditionalGeneration with dynamic resolution."""
    import torch
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2VLImageProcessor,
        Qwen2VLVideoProcessor,
    )

    marks = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    words = tokenizer(CHAT.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>"), marks)
    start, end, image, video = words.convert_tokens_to_ids(list(marks))
    torch.manual_seed(0)
    text = {
        **TEXT,
        "vocab_size": len(words),
        "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]},
        "bos_token_id": None,
        "eos_token_id": 0,
        "pad_token_id": 1,
    }
    vision = {
        "depth": 2, "hidden_size": 16, "out_hidden_size": 32, "intermediate_size": 16, "num_heads": 2, "patch_size": 14,
        "window_size": 112, "fullatt_block_indexes": [1],
    }  # fmt: skip
    config = Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
    )
    Qwen2_5_VLForConditionalGeneration(config).save_pretrained(folder)
    Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(min_pixels=28 * 28, max_pixels=56 * 56),
        tokenizer=words,
        video_processor=Qwen2VLVideoProcessor(),
        chat_template=words.chat_template,
    ).save_pretrained(folder)
    return folder
