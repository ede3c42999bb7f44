"""What was read of one part of a corpus (a file), kept beside the build so that the next one need not read it again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import IO, Any

from medrag._util.files import atomic_open, write_json


class Part:
    """The lines of one part of a corpus, kept for the next build: whole, or not there."""

    def __init__(self, place: Path, signature: str) -> None:
        self.lines, self.note, self.signature = place.with_suffix(".jsonl"), place.with_suffix(".json"), signature
        self.about: dict[str, Any] = {}

    def known(self) -> bool:
        """Whether this very part was read to its end before."""
        try:
            self.about = json.loads(self.note.read_text(encoding="utf-8"))
            return bool(self.about["signature"] == self.signature and self.lines.stat().st_size == self.about["size"])
        except (OSError, ValueError, KeyError):
            return False

    def writing(self) -> Any:
        self.lines.parent.mkdir(parents=True, exist_ok=True)
        self.note.unlink(missing_ok=True)
        return atomic_open(self.lines)

    def finish(self, counts: dict[str, int], skipped: list[dict[str, str]]) -> None:
        size = self.lines.stat().st_size
        self.about = {"signature": self.signature, "counts": counts, "skipped": skipped, "size": size}
        write_json(self.note, self.about)

    def copy_to(self, stream: IO[Any]) -> None:
        with self.lines.open("rb") as source:
            shutil.copyfileobj(source, stream, 1 << 20)
