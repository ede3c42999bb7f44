"""Text encoders of one or two BERT towers, pooled without sentence-transformers: SapBERT (names), MedCPT (articles).

Liu et al., *SapBERT* (NAACL 2021); Jin et al., *MedCPT* (Bioinformatics 2023). Knows texts only. Rows are of unit
length, as everywhere in medrag: MedCPT's authors rank by the inner product of rows that are not.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medrag import models
from medrag._util.files import sha256_text
from medrag.encoders._shared import (
    checked_precision,
    computing,
    device_of,
    quiet,
    readable,
    small_work,
    unit,
    weights_id,
)
from medrag.encoders.clip import own_code
from medrag.errors import ModelMissing, SettingsError
from medrag.types import Concept, Item, Page, Passage, Query

if TYPE_CHECKING:
    from medrag.protocols import Vectors

POOLINGS = ("cls", "mean")
READS = ("text", "pair", "name")


class BertEncoder:
    """A transformers text model by registry name, folder or hub id, loaded at the first use; never from the network.

    ``pooling`` is ``cls`` (the first token's last hidden state) or ``mean``. ``reads`` is what it sees of an item: its
    ``text``, a ``pair`` of title and text (MedCPT), or only the ``name`` of a concept (SapBERT). ``query_model`` is a
    second tower for queries, cut at ``query_length`` tokens.
    """

    modality = "text"

    def __init__(
        self,
        model: str,
        *,
        batch: int = 32,
        device: str = "auto",
        pooling: str = "cls",
        reads: str = "text",
        max_length: int = 512,
        query_model: str = "",
        query_length: int = 0,
        precision: str = "auto",
        trust_remote_code: bool = False,
    ) -> None:
        self.name, self.batch, self.device, self._precision = model, batch, device, checked_precision(precision)
        self._pooling, self._reads = _one_of("pooling", pooling, POOLINGS), _one_of("reads", reads, READS)
        self._max_length, self._query_length, self._trust = max_length, query_length or max_length, trust_remote_code
        self._path = models.resolve(model)
        self._query_path = models.resolve(query_model) if query_model else self._path

    @functools.cached_property
    def fingerprint(self) -> str:
        """Of both towers' weights, the pooling, what is read, the length limits and the wanted precision."""
        two = (weights_id(self._path), weights_id(self._query_path))
        limits = (str(self._max_length), str(self._query_length))
        return sha256_text("bert/1", *two, self._pooling, self._reads, *limits, self._precision)[:16]

    @functools.cached_property
    def dim(self) -> int:
        return int(self._tower(self._path)[0].config.hidden_size)

    def _tower(self, folder: Path) -> tuple[Any, Any]:
        return load_text_model(folder, device_of(self.device), self._trust)

    def content(self, item: Item) -> str:
        """What is read of an item, for the vector cache."""
        return sha256_text(*self._read(item))

    def _read(self, item: Item) -> tuple[str, str]:
        """(title, text); the title is empty where only a text is read."""
        if self._reads == "name" and isinstance(item, Concept):
            return "", item.name
        if self._reads == "pair" and isinstance(item, Passage | Page):
            heads = (item.title, item.section if isinstance(item, Passage) else "")
            return ". ".join(head for head in heads if head), item.text
        if self._reads == "pair" and isinstance(item, Concept):
            return item.name, item.definition
        return "", readable(item)

    def encode_items(self, items: Sequence[Item]) -> Vectors:
        """(n, d) float32, rows of unit length."""
        pairs = [self._read(item) for item in items]
        return self._encode(self._path, pairs, [item.id for item in items], self._max_length, self._precision)

    def encode_queries(self, queries: Sequence[Query]) -> Vectors:
        """(n, d) float32, rows of unit length, of the queries' text, through the queries' own tower where there is one."""
        texts = [query.text for query in queries]
        with small_work(self._tower(self._query_path)[0], device_of(self.device)):
            return self._encode(self._query_path, texts, texts, self._query_length, "float32")

    def _encode(self, folder: Path, texts: Sequence[Any], names: list[str], length: int, precision: str) -> Vectors:
        """In batches of similar length; the order is restored."""
        model, tokenizer = self._tower(folder)
        paired = self._reads == "pair" and not all(isinstance(text, str) for text in texts)
        lines = [text if isinstance(text, str) or paired else text[1] for text in texts]
        order = sorted(range(len(lines)), key=lambda n: len("".join(lines[n])))
        found = np.zeros((len(lines), self.dim), dtype=np.float32)
        with computing(device_of(self.device), precision):
            for start in range(0, len(order), self.batch):
                block = order[start : start + self.batch]
                words = [lines[n] for n in block]
                given = [list(column) for column in zip(*words, strict=True)] if paired else [words]
                tokens = tokenizer(*given, padding=True, truncation=True, max_length=length, return_tensors="pt")
                tokens = tokens.to(device_of(self.device))
                found[block] = self._pooled(model(**tokens).last_hidden_state, tokens).float().cpu().numpy()
        return unit(found, names)

    def _pooled(self, hidden: Any, tokens: Any) -> Any:
        if self._pooling == "cls":
            return hidden[:, 0]
        mask = tokens["attention_mask"].unsqueeze(-1)
        return (hidden * mask).sum(1) / mask.sum(1)


def _one_of(option: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise SettingsError(f"{option} {value!r} is none of {', '.join(known)}", f"leave it out for {known[0]!r}")
    return value


@functools.lru_cache(maxsize=4)
def load_text_model(folder: Path, device: str, trust: bool = False, maker: str = "AutoModel") -> tuple[Any, Any]:
    """(model, tokenizer) of a folder, loaded once, in float32, by a class of transformers. Weights in pickles are read as tensors only."""
    import torch
    import transformers

    own_code(folder, trust)
    common = {"trust_remote_code": trust, "local_files_only": True}
    with quiet():
        try:
            model = getattr(transformers, maker).from_pretrained(folder, dtype=torch.float32, **common)
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **common)
        except Exception as error:  # loaders of weights and tokenizers raise nearly anything
            raise ModelMissing(
                f"{folder} cannot be loaded by transformers: {' '.join(str(error).split())[:200]}",
                "fetch it again, or check the folder",
            ) from error
    return model.to(device).eval(), tokenizer
