"""Files of JSON lines: one value a line, ended by a line feed and by nothing else.

`str.splitlines` ends lines at U+2028 and U+0085 too, which JSON leaves as they are in a text.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_lines(path: Path) -> list[Any]:
    """The values of all lines that hold anything. Raises OSError for a file that is not there, ValueError for a line that is no JSON."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]


def whole_lines(path: Path) -> list[bytes]:
    """The lines that were written to their end, none where there is no file; what follows the last of them is cut off the file."""
    raw = path.read_bytes() if path.is_file() else b""
    whole = raw[: raw.rfind(b"\n") + 1]
    if len(whole) < len(raw):
        with path.open("r+b") as stream:
            stream.truncate(len(whole))
    return whole.split(b"\n")[:-1]
