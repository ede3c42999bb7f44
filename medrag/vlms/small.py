"""The small language model that needs no account and no graphics card: SmolLM2-135M-Instruct (Allal et al. 2025), GGUF.

It reads the evidence and does not see the image. With 135 million parameters it words an answer better than it judges
one. So `extractive` goes first: it counts what look-alike studies say, drafts reports, and picks sentences. The model
puts only the picked sentences into words, after one worked example; where there are none it is not asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from medrag.prompts import REFUSAL
from medrag.vlms._hf import Turns
from medrag.vlms.extractive import Extractive
from medrag.vlms.transformers import Transformers

if TYPE_CHECKING:
    from PIL.Image import Image

    from medrag.prompts import Prompt

SYSTEM = "You answer questions from numbered evidence in one or two sentences and write the number after each sentence."
EXAMPLE = (
    (
        "user",
        "[E1] Asthma narrows the airways of the lungs.\n[E2] Influenza often begins with fever.\n\nQuestion: What does asthma do?",
    ),
    ("assistant", "Asthma narrows the airways of the lungs [E1]."),
)


class Small:
    """The ``small`` model of ``presets/models.yaml``; ``sentences`` is the most that it is given to read."""

    sees_images = False

    def __init__(
        self,
        model: str = "small",
        *,
        device: str = "auto",
        temperature: float = 0.0,
        sentences: int = 4,
        max_new_tokens: int = 96,
    ) -> None:
        self.name = model or "small"
        self._picker = Extractive(sentences=sentences)
        self._inner = Transformers(
            self.name, device=device, temperature=temperature, max_new_tokens=max_new_tokens, layout=self._layout
        )

    def stream(self, prompt: Prompt, images: Sequence[Image] = ()) -> Iterator[str]:
        """Pieces of the answer; raises ModelMissing until `medrag models get small` was run."""
        opening, quotes = self._picker.parts(prompt, bool(images))
        if not opening and not quotes:  # nothing to read and no eyes: it would invent
            yield REFUSAL
            return
        if opening:
            yield " ".join(opening) + (" " if quotes else "")
        if quotes:
            yield from self._inner.stream(prompt)

    def _layout(self, prompt: Prompt) -> Turns:
        _, quotes = self._picker.parts(prompt)
        lines = [_keyed(quote) for quote in quotes] or ["(no evidence)"]
        return [("system", SYSTEM), *EXAMPLE, ("user", "\n".join([*lines, "", f"Question: {prompt.question}"]))]


def _keyed(quote: str) -> str:
    """ "A statement [E1]." as "[E1] A statement."."""
    match = re.fullmatch(r"(.*?)\s*((?:\[E\d+\])+)\.?", quote, re.DOTALL)
    return f"{match[2]} {match[1]}." if match else quote
