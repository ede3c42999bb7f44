"""Answers that were recorded, played back: for tests, demonstrations without a model, and audits of what was said.

A record is found by the question, the evidence and the images; another order of evidence is another record. It knows
nothing of settings: record again when the model or its options change.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from medrag._util.files import sha256_text
from medrag.errors import GeneratorError, SettingsError

if TYPE_CHECKING:
    from PIL.Image import Image

    from medrag.prompts import Prompt
    from medrag.protocols import Generator


def record_key(prompt: Prompt, images: Sequence[Image] = ()) -> str:
    """Hex SHA-256 of the question, the ids of the evidence in order, and the pixels of the images."""
    evidence = [hit.item.id for _, hit in prompt.context]
    return sha256_text(prompt.question, *evidence, "images", *(_pixels(image) for image in images))


def _pixels(image: Image) -> str:
    import hashlib

    return hashlib.sha256(f"{image.mode} {image.size} ".encode() + image.tobytes()).hexdigest()


class Replay:
    """Plays a JSON Lines file of `Recorder` back, piece by piece. A line: ``{"key", "question", "pieces", "model"}``.

    Of records with the same key the last counts. Raises SettingsError for a file that is missing or not such a file,
    GeneratorError for a question that was not recorded.
    """

    sees_images = True

    def __init__(self, model: str) -> None:
        self.name = f"replay:{model}"
        self.path = Path(model)
        self._records = _read(self.path)

    def stream(self, prompt: Prompt, images: Sequence[Image] = ()) -> Iterator[str]:
        """The recorded pieces."""
        pieces = self._records.get(record_key(prompt, images))
        if pieces is None:
            raise GeneratorError(
                f"{self.path} holds no answer to {prompt.question!r} with this evidence and image",
                "record it: wrap a generator in medrag.vlms.replay.Recorder and ask once",
            )
        yield from pieces


class Recorder:
    """Passes another generator's answers through and appends them to a file that `Replay` reads.

    Only complete answers are written; one that fails or is left early is not.
    """

    def __init__(self, generator: Generator, path: str | Path) -> None:
        self.generator, self.path = generator, Path(path)
        self.name, self.sees_images = generator.name, generator.sees_images

    def stream(self, prompt: Prompt, images: Sequence[Image] = ()) -> Iterator[str]:
        """The other generator's pieces, unchanged."""
        pieces = []
        for piece in self.generator.stream(prompt, images):
            pieces.append(piece)
            yield piece
        row = {"key": record_key(prompt, images), "question": prompt.question, "pieces": pieces, "model": self.name}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")


def _read(path: Path) -> dict[str, list[str]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{path} cannot be read as a recording: {error}", "give the file that Recorder wrote"
        ) from error
    records: dict[str, list[str]] = {}
    for number, line in enumerate(filter(str.strip, lines), start=1):
        try:
            row = json.loads(line)
            records[str(row["key"])] = [str(piece) for piece in row["pieces"]]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise SettingsError(
                f"{path}, line {number}: no record of an answer", "record it again with Recorder"
            ) from error
    return records
