"""Whether a text bears a claim out, by a network of natural language inference: what rules over findings and words leave open.

Any transformers classifier with the classes entailment, neutral and contradiction (Williams et al., *MultiNLI*, NAACL 2018; Romanov & Shivade,
*MedNLI*, EMNLP 2018). Each sentence of the text is a premise, and so is the text as a whole. None ships: name one with ``entailment`` under ``pipeline``.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from medrag import models
from medrag._util.files import sha256_text
from medrag._util.text import sentences
from medrag.encoders._shared import computing, device_of, weights_id
from medrag.encoders.bert import load_text_model
from medrag.errors import SettingsError
from medrag.score.checked import Checked
from medrag.score.numbers import uncounted

if TYPE_CHECKING:
    from numpy.typing import NDArray

SURE = 0.8  # probability from which a class is believed
CLASSES = ("entailment", "neutral", "contradiction")
LENGTH = 512  # tokens of a pair


class Entailment:
    """A classifier by the name of a model, a folder or a hub id that was fetched, loaded at the first use; never from the network.

    Raises ModelMissing where its weights are not on this machine, SettingsError where it has other classes.
    """

    def __init__(self, model: str, *, device: str = "auto", batch: int = 32) -> None:
        self.name, self.device, self.batch = model, device, batch
        self._path = models.resolve(model)

    @functools.cached_property
    def fingerprint(self) -> str:
        """Of the weights."""
        return sha256_text("entailment/1", weights_id(self._path))[:16]

    def check(self, claim: str, evidence: str) -> Checked:
        """What ``evidence`` says of ``claim``, one sentence, with the sentence that says so.

        No number and no name that the evidence does not state is borne out, whatever the network says.
        """
        parts = sentences(evidence)
        if not parts or not claim.strip():
            return Checked("absent")
        premises = [*parts, evidence] if len(parts) > 1 else parts
        chances = self.probabilities([(premise, claim) for premise in premises])
        quote = parts[int(chances[: len(parts), 0].argmax())]
        if chances[:, 0].max() >= SURE and not uncounted(claim, evidence):
            return Checked("supported", quote)
        denied = chances[: len(parts), 2]
        return Checked("contradicted", parts[int(denied.argmax())]) if denied.max() >= SURE else Checked("absent")

    def bears_out(self, evidence: str, claim: str) -> bool:
        """Whether the evidence bears the claim out."""
        return self.check(claim, evidence).verdict == "supported"

    def probabilities(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        """(n, 3): the probability of entailment, neutral and contradiction for each (premise, hypothesis)."""
        (model, tokenizer), found, device = self._loaded, [], device_of(self.device)
        with computing(device, "float32"):
            for start in range(0, len(pairs), self.batch):
                block = [list(side) for side in zip(*pairs[start : start + self.batch], strict=True)]
                tokens = tokenizer(*block, padding=True, truncation=True, max_length=LENGTH, return_tensors="pt")
                logits = model(**tokens.to(device)).logits.float()
                found.append(logits.softmax(dim=-1).cpu().numpy().astype(np.float64))
        return np.concatenate(found)[:, self._places]

    @functools.cached_property
    def _loaded(self) -> tuple[Any, Any]:
        return load_text_model(self._path, device_of(self.device), maker="AutoModelForSequenceClassification")

    @functools.cached_property
    def _places(self) -> list[int]:
        """Where each of `CLASSES` stands among the network's."""
        known = {str(name).lower(): int(place) for place, name in self._loaded[0].config.id2label.items()}
        if not set(CLASSES) <= set(known):
            names = f"the classes {', '.join(known)}"
            raise SettingsError(f"{self.name} has {names}", f"name a classifier with {', '.join(CLASSES)}")
        return [known[name] for name in CLASSES]
