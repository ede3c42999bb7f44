"""Files of JSON lines: one value a line, ended by a line feed and by nothing else.

`str.splitlines` ends lines at U+2028 and U+0085 too, which JSON leaves as they are in a text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from medrag.errors import SettingsError


def read_lines(path: Path) -> list[Any]:
    """The values of all lines that hold anything. Raises OSError for a file that is not there, ValueError for a line that is no JSON."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]


def latest(lines: Iterable[Any]) -> dict[str, Any]:
    """id → line; of several with one id the last, for an example that was asked again has one more."""
    return {line["id"]: line for line in lines}


def whole_lines(path: Path) -> list[bytes]:
    """The lines that were written to their end, none where there is no file; what follows the last of them is cut off the file.

    Raises SettingsError for a folder, and for a file of something else, which stays as it is: a run's own lines have a ``key``.
    """
    if path.is_dir():
        raise SettingsError(f"{path} is a folder, not a file", "name another --out or --work")
    raw = path.read_bytes() if path.is_file() else b""
    whole = raw[: raw.rfind(b"\n") + 1]
    if raw.strip() and not _own(whole.split(b"\n")[:-1], raw[len(whole) :]):
        raise SettingsError(f"{path} holds something else", "name another --out or --work")
    if len(whole) < len(raw):
        with path.open("r+b") as stream:
            stream.truncate(len(whole))
    return whole.split(b"\n")[:-1]


def _own(lines: list[bytes], rest: bytes) -> bool:
    """Whether a run wrote this: all lines that can be read have a key; a first line that was cut short at least began as one does."""
    found = [_keyed(line) for line in lines]
    last = _keyed(rest)
    began = last is None and rest.startswith(b"{") and not lines
    return False not in (*found, last) and (True in (*found, last) or began)


def _keyed(line: bytes) -> bool | None:
    """Whether a line has a key; None where it cannot be read."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return isinstance(value, dict) and "key" in value
