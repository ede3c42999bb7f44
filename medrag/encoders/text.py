"""Sentence encoders through sentence-transformers. Knows texts only; see `readable` for what it reads of an item.

Reimers & Gurevych, *Sentence-BERT* (EMNLP 2019).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from medrag import models
from medrag._util.files import sha256_text
from medrag.encoders._onnx import alike, fast, hidden
from medrag.encoders._shared import (
    ahead,
    checked_precision,
    computing,
    device_of,
    flat,
    quiet,
    readable,
    rounded,
    small_work,
    threads,
    unit,
    weights_id,
)
from medrag.types import Item, Query

if TYPE_CHECKING:
    from medrag.protocols import Vectors


__all__ = ["SentenceEncoder", "readable"]


class SentenceEncoder:
    """A sentence-transformers model by registry name, folder or hub id, loaded at the first use; never from the network.

    ``max_length`` cuts longer texts (in tokens; never above what the model was made for). ``query_prefix`` and
    ``item_prefix`` serve models that were trained with them (E5, BGE). The same list of texts gives the same vectors;
    a text in another batch differs by rounding, because padding changes the order of the sums. ``precision`` (of items; a query
    is alone, and quicker in float32): see `computing`.
    """

    modality = "text"

    def __init__(
        self,
        model: str,
        *,
        batch: int = 32,
        device: str = "auto",
        max_length: int = 256,
        query_prefix: str = "",
        item_prefix: str = "",
        precision: str = "auto",
    ) -> None:
        self.name, self.batch, self.device, self._precision = model, batch, device, checked_precision(precision)
        self._path = models.resolve(model)
        self._max_length, self._query_prefix, self._item_prefix = max_length, query_prefix, item_prefix

    @functools.cached_property
    def fingerprint(self) -> str:
        """Of the weights, the length limit, the prefixes and the wanted precision; `weights_id` says how the weights are identified."""
        return sha256_text(
            "text/1",
            weights_id(self._path),
            str(self._max_length),
            self._query_prefix,
            self._item_prefix,
            self._precision,
        )[:16]

    @functools.cached_property
    def _model(self) -> Any:
        from sentence_transformers import SentenceTransformer

        with quiet():
            model = SentenceTransformer(str(self._path), device=device_of(self.device), local_files_only=True)
        model.max_seq_length = min(self._max_length, model.max_seq_length or self._max_length)
        return model.eval()

    @functools.cached_property
    def dim(self) -> int:
        return int(self._model.get_embedding_dimension())

    def content(self, item: Item) -> str:
        """What is read of an item, for the vector cache."""
        return sha256_text(readable(item))

    def encode_items(self, items: Sequence[Item]) -> Vectors:
        """(n, d) float32, rows of unit length."""
        texts, names = [self._item_prefix + readable(item) for item in items], [item.id for item in items]
        if rounded(device_of(self.device), self._precision) or self._fast is None or not texts:
            return self._encode(texts, names, self._precision)
        prepared = [self._prepared([text]) for text in texts]  # each by itself: nothing is padded
        return unit(np.concatenate(flat(ahead(self._fast, prepared, self.batch, threads()))), names)

    def encode_queries(self, queries: Sequence[Query]) -> Vectors:
        """(n, d) float32, rows of unit length, of the queries' text."""
        texts = [query.text for query in queries]
        if self._fast is not None:
            return unit(self._fast(self._prepared([self._query_prefix + text for text in texts])), texts)
        with small_work(self._model, device_of(self.device)):
            return self._encode([self._query_prefix + text for text in texts], texts, "float32")

    def _prepared(self, texts: list[str]) -> dict[str, Any]:
        model = self._model
        found: dict[str, Any] = (getattr(model, "preprocess", None) or model.tokenize)(texts)
        return found

    @functools.cached_property
    def _fast(self) -> Callable[[dict[str, Any]], Vectors] | None:
        """Prepared texts → vectors with the transformer in ONNX Runtime, where it is to be had and gives what `_encode` gives."""
        import torch

        model, asked = self._model, ["Is there an effusion?"]
        example = {name: one for name, one in self._prepared(asked).items() if isinstance(one, torch.Tensor)}
        if device_of(self.device) != "cpu" or not hasattr(model[0], "auto_model"):
            return None
        network = hidden(model[0].auto_model, tuple(example))
        run = fast(network, example, f"text {self.fingerprint}", ("n", "tokens"))
        if run is None:
            return None

        def encode(features: dict[str, Any]) -> Vectors:
            features["token_embeddings"] = torch.from_numpy(run(*(features[name] for name in example)))
            with torch.inference_mode():
                for module in list(model)[1:]:
                    features = module(features)
            found: Vectors = features["sentence_embedding"].numpy()
            return found

        return encode if alike(encode(self._prepared(asked)), self._encode(asked, asked, "float32")) else None

    def _encode(self, texts: list[str], names: list[str], precision: str) -> Vectors:
        """In batches of similar length (sentence-transformers sorts them and restores the order)."""
        if not texts:
            return np.zeros((0, self.dim), dtype=np.float32)
        model = self._model
        with computing(device_of(self.device), precision):
            vectors = model.encode(texts, batch_size=self.batch, convert_to_numpy=True, show_progress_bar=False)
        return unit(vectors, names)
