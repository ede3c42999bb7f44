"""A very small random language model with the marks of the shipped base, and the small vision-language model over it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medrag.vlms.medrag_small import IMAGE_TOKEN, blank


def base(folder: Path) -> Path:
    """A Llama of two layers with a byte-level tokenizer that knows yes, no and the chat marks, saved to a folder."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    if (folder / "config.json").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    marks = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", IMAGE_TOKEN]
    words = ["Yes yes No no Question reader the lungs are clear Findings Impression"] * 30
    bpe.train_from_iterator(
        [*words, *(w for w in ("Yes", "yes", "No", "no") for _ in range(200))],
        trainers.BpeTrainer(vocab_size=400, special_tokens=marks, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>", model_max_length=4096,
        additional_special_tokens=["<|im_start|>", IMAGE_TOKEN],
    )  # fmt: skip
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
        vocab_size=len(tokenizer), max_position_embeddings=2048, initializer_range=0.3, tie_word_embeddings=True,
        eos_token_id=2, pad_token_id=0, bos_token_id=0,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def tiny(folder: Path) -> tuple[Any, Any]:
    """(model, processor) as `medrag.vlms.medrag_small.blank` makes them."""
    import torch

    torch.manual_seed(1)
    return blank(base(folder))
