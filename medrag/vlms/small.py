"""The small vision-language model as an answerer: it looks at the image, reads the evidence, and its sentences get their keys.

The findings reader's line stands in the prompt beside the patches. The model was too small to be taught to cite, so each
of its sentences is attributed afterwards to the evidence that says the same with the same polarity (as in RARR, Gao et al.,
arXiv 2210.08726); evidence that says the opposite is named too. Questions without an image, and definitions, are answered by
`extractive`: the model's own knowledge is not to be trusted.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from medrag import models, plugins
from medrag.vlms import _small_layout as layout
from medrag.vlms._consensus import dice, marked
from medrag.vlms._evidence import Ask, is_report, parse, split, stance, usable
from medrag.vlms._hf import Turns
from medrag.vlms._vote import cite_keys
from medrag.vlms.extractive import Extractive
from medrag.vlms.transformers import Transformers

if TYPE_CHECKING:
    from PIL.Image import Image

    from medrag.prompts import Prompt

EVIDENCE = 3  # pieces of evidence that it was trained to read
LEAST = 0.5  # Dice overlap of marked words from which a sentence counts as saying the same
OPPOSITE = {"present": "absent", "absent": "present"}
_END = re.compile(r"(?<=[.!?])(?:\s+|$)")


class MedragSmall:
    """``medrag-small``: about 145 million parameters, chest radiographs best, 0.6 GB of memory.

    ``reader`` names the encoder whose findings reader writes a line of the prompt; empty: none.
    """

    sees_images = True

    def __init__(
        self,
        model: str = "medrag-small-vlm",
        *,
        device: str = "auto",
        reader: str = "medrag-small",
        temperature: float = 0.0,
        max_new_tokens: int = 160,
    ) -> None:
        self.name = model or "medrag-small-vlm"
        self._device, self._reader_name = device, reader
        self._options: dict[str, Any] = {"device": device, "temperature": temperature, "max_new_tokens": max_new_tokens}
        self._words = Extractive()

    def stream(self, prompt: Prompt, images: Sequence[Image] = ()) -> Iterator[str]:
        """Sentences with their keys as they are finished. Raises ModelMissing until `medrag models get` fetched the base."""
        if self._blind(prompt, images):
            yield from self._words.stream(prompt, images)
            return
        yield from self._sentences(prompt, self.inner.stream(self._told(prompt, images), images))

    def batch(self, prompts: Sequence[Prompt], images: Sequence[Sequence[Image]]) -> list[str]:
        """One text for each prompt, those that look at an image written together."""
        looked = [n for n, (p, i) in enumerate(zip(prompts, images, strict=True)) if not self._blind(p, i)]
        told = [self._told(prompts[n], images[n]) for n in looked]
        written = dict(zip(looked, self.inner.batch(told, [images[n] for n in looked]) if looked else (), strict=True))
        return [
            "".join(self._sentences(p, [written[n]]) if n in written else self._words.stream(p, i))
            for n, (p, i) in enumerate(zip(prompts, images, strict=True))
        ]

    def probabilities_yes(self, prompts: Sequence[Prompt], images: Sequence[Sequence[Image]]) -> list[float]:
        """For each prompt how much of the first word's probability is on "yes", between "yes" and "no"."""
        told = [self._told(p, i) for p, i in zip(prompts, images, strict=True)]
        return self.inner.first_words(told, images, ("Yes", "yes"), ("No", "no"))

    def _blind(self, prompt: Prompt, images: Sequence[Image]) -> bool:
        """Whether the words of the evidence answer: nothing to look at, or a definition is asked."""
        return not images or parse(prompt.question).sort == "define"

    def _sentences(self, prompt: Prompt, pieces: Iterable[str]) -> Iterator[str]:
        """The text sentence by sentence, each with its keys; after a closed answer, who says otherwise."""
        ask, pending, started, said = parse(prompt.question), "", False, ""
        for piece in pieces:
            pending += piece
            *whole, pending = _END.split(pending)
            for sentence in filter(str.strip, whole):
                yield (" " if started else "") + self._keyed(ask, sentence, prompt)
                started, said = True, said or says(ask, sentence)
        if pending.strip():
            yield (" " if started else "") + self._keyed(ask, pending, prompt)
            said = said or says(ask, pending)
        if ask.sort == "closed" and (keys := _views(ask, prompt, OPPOSITE.get(said, "-"))):
            yield f" The evidence {cite_keys(keys)} says otherwise."

    @functools.cached_property
    def inner(self) -> Transformers:
        """The model itself, put together at the first use."""
        from medrag.vlms.medrag_small import assembled

        return Transformers(str(assembled(models.resolve(self.name))), layout=_layout, **self._options)

    def _told(self, prompt: Prompt, images: Sequence[Image]) -> Prompt:
        """The prompt with the reader's line where a system text would stand, and no more evidence than was trained."""
        kept = prompt.context.kept[:EVIDENCE]
        context = dataclasses.replace(prompt.context, kept=kept)
        return dataclasses.replace(prompt, system=self._reader_line(prompt, images), context=context)

    def _reader_line(self, prompt: Prompt, images: Sequence[Image]) -> str:
        if self._reader is None or prompt.context.query.domain not in ("", "chest-xray"):
            return ""
        return layout.reader_line(self._reader.read(images))

    @functools.cached_property
    def _reader(self) -> Any:
        if not self._reader_name:
            return None
        return plugins.load("readers", "findings")(self._reader_name, device=self._device)

    def _keyed(self, ask: Ask, sentence: str, prompt: Prompt) -> str:
        """The sentence with the keys of the evidence that says the same, before its full stop."""
        keys = _views(ask, prompt, says(ask, sentence) or "-") if ask.sort == "closed" else _same(sentence, prompt)
        text = sentence.strip()
        if not keys:
            return text
        stop = text[-1] if text[-1] in ".!?" else "."
        return f"{text.rstrip('.!? ')} {cite_keys(keys)}{stop}"


def _views(ask: Ask, prompt: Prompt, wanted: str) -> list[str]:
    """Keys of the reports whose strongest view of the finding is the wanted one; textbooks speak of no patient."""
    views = {key: {stance(ask, text) for text in split(hit.item.text)} for key, hit in prompt.context if is_report(hit)}
    return [key for key, said in views.items() if wanted == _strongest(said)]


def says(ask: Ask, answer: str) -> str:
    """What an answer's first word says of the finding: "present", "absent" or ""; "free of" turns it round."""
    first = re.match(r"\W*(yes|no)\b", answer, re.IGNORECASE)
    if not first:
        return ""
    return "present" if (first[1].lower() == "yes") != ask.negated else "absent"


def _strongest(said: set[Any]) -> str:
    return next((view for view in ("present", "uncertain", "absent") if view in said), "")


def _same(sentence: str, prompt: Prompt) -> list[str]:
    """Keys of the evidence that has a sentence with the same words of the same polarity."""
    own = marked(sentence)
    return [
        key
        for key, hit in prompt.context
        if any(usable(text) and dice(own, marked(text)) >= LEAST for text in split(hit.item.text))
    ]


def _layout(prompt: Prompt) -> Turns:
    """One user turn: the reader's line, the evidence, the question, as in training."""
    evidence = [layout.evidence_line(key, hit.item.text) for key, hit in prompt.context]
    return [("user", layout.before(prompt.system, evidence) + layout.question_text(prompt.question))]
