"""Text without halves of characters, which JSON lets through and no file or reply can hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def whole(text: str) -> str:
    """The text with two halves joined to their character, and "?" for a half that is alone.

    >>> whole("Fluid \\ud83d\\ude00 \\ud83d")
    'Fluid 😀 ?'
    """
    joined = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    return joined.encode(errors="replace").decode()


def whole_pieces(pieces: Iterable[str]) -> Iterator[str]:
    """The same for a text in pieces: a first half at the end of one waits for the next."""
    held = ""
    for piece in pieces:
        text = held + piece
        cut = len(text) - ("\ud800" <= text[-1:] <= "\udbff")
        held = text[cut:]
        yield whole(text[:cut])
    if held:
        yield whole(held)
