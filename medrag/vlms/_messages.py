"""A prompt as chat messages with images inside, in the form that OpenAI-compatible servers and LangChain share; and a model's reply without
what it only thought, up to its last whole sentence."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from medrag._util.images import data_url
from medrag.errors import GeneratorError
from medrag.prompts import KEYS

if TYPE_CHECKING:
    from PIL.Image import Image

    from medrag.prompts import Prompt

CUT = "cut"  # the kind of a GeneratorError: the model had no token left
NO_TOOLS = "no tools"  # the kind of a GeneratorError: the server or the model takes no native tool calls
_OPEN, _CLOSE = (re.compile(rf"<{end}think(?:ing)?>", re.IGNORECASE) for end in ("", "/"))
_TAGS = ("<think>", "<thinking>", "</think>", "</thinking>")
_WHOLE = re.compile(  # a sentence's end with its keys, no "2." of a list; or a line's
    rf"(?:[^\W\d_]|[^\w\s])[.!?][\"')\]]*(?:\s*{KEYS.pattern})*(?=\s|\Z)|\n"
)


class Asked(NamedTuple):
    """A native tool call as a model wrote it; the arguments are a text, of JSON where it kept to the protocol."""

    id: str
    name: str
    arguments: str


class Said(NamedTuple):
    """A model's reply without its thoughts, the tool calls in it, and whether it was cut off."""

    text: str
    calls: tuple[Asked, ...] = ()
    cut: bool = False


def user_content(prompt: Prompt, images: Sequence[Image], side: int) -> str | list[dict[str, Any]]:
    """The user turn: plain text, or the images (longest side at most ``side`` pixels) and then the text."""
    if not images:
        return prompt.user_text()
    parts = [{"type": "image_url", "image_url": {"url": data_url(image, side, quality=90)}} for image in images]
    return [*parts, {"type": "text", "text": prompt.user_text()}]


def one_line(error: BaseException | str, limit: int = 200) -> str:
    """What an exception or a server says, on one line."""
    return " ".join(str(error).split())[:limit] or type(error).__name__


def spoken(pieces: Iterable[str], thinking: bool = False) -> Iterator[str]:
    """The pieces without what stands between <think> tags, nor the blank behind them; only what may be the beginning of a tag is held back.

    ``thinking``: the prompt has opened the tag already.

    >>> list(spoken(["<thi", "nk>Hm.</think> ", "No <", " 3 mm."]))
    ['No ', '< 3 mm.']
    """
    held, fresh = "", thinking
    for piece in pieces:
        held += piece
        while tag := (_CLOSE if thinking else _OPEN).search(held):
            if not thinking and (text := held[: tag.start()]):
                yield text
            held, thinking, fresh = held[tag.end() :], not thinking, True
        held = held.lstrip() if fresh else held
        begun = held.rfind("<")
        cut = begun if begun >= 0 and any(one.startswith(held[begun:].lower()) for one in _TAGS) else len(held)
        text, held = held[:cut], held[cut:]
        if text and not thinking:
            fresh = False
            yield text
    if held and not thinking:
        yield held


def whole_sentences(pieces: Iterable[str], most: int) -> Iterator[str]:
    """The pieces as `spoken`, and of a reply that ends with a GeneratorError of the kind `CUT` no unfinished sentence; the error where it has no
    whole one, and where the unfinished one was passed on already.

    A reply can be cut after ``most`` tokens, thoughts included, and a token is a character or more: so far the pieces pass as they come, then
    sentence by sentence.
    """
    held, told, written = "", "", 0

    def counted() -> Iterator[str]:
        nonlocal written
        for piece in pieces:
            written += len(piece)
            yield piece

    try:
        for piece in spoken(counted()):
            held += piece
            last = len(held) if written <= most else _last_end(held[:-1])
            if text := held[:last]:
                yield text
            told, held = told + text, held[last:]
    except GeneratorError as error:
        last = _last_end(held)
        if error.kind != CUT or not (last or is_whole(told)):
            raise
        held = held[:last]
    if held:
        yield held


def is_whole(text: str) -> bool:
    """Whether a reply ends with a whole sentence.

    >>> is_whole("No effusion [E1]. "), is_whole("No eff")
    (True, False)
    """
    return text[: _last_end(text)].strip() == text.strip() != ""


def _last_end(text: str) -> int:
    """Where the last whole sentence ends; 0 where none does."""
    return max((end.end() for end in _WHOLE.finditer(text)), default=0)
