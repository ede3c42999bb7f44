"""What all encoders share: which weights these are, where they run, what they read of an item.

Knows nothing of any particular model.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from medrag._util import apart
from medrag._util.files import sha256_file, sha256_text
from medrag._util.hardware import native_bf16
from medrag._util.weights import weights_id as weights_id
from medrag.errors import BadRecord, ImageError, SettingsError
from medrag.types import Concept, ImageRecord, Item, Page, Passage, Study

if TYPE_CHECKING:
    from PIL.Image import Image

    from medrag.protocols import Vectors

T = TypeVar("T")
U = TypeVar("U")
PRECISIONS = ("auto", "float32", "bfloat16")
_DRAWING = threading.Lock()  # MuPDF draws in one thread at a time

_COUNTED: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
SMALL = 50_000_000  # parameters of a network whose single queries one thread answers soonest


@functools.cache
def device_of(wanted: str) -> str:
    """``auto``: a CUDA device, Apple's GPU, or the CPU, in this order."""
    if wanted != "auto":
        return wanted
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


@contextlib.contextmanager
def computing(device: str, precision: str) -> Iterator[None]:
    """Inference, in bfloat16 where ``precision`` is ``bfloat16``, or ``auto`` and the CPU multiplies bfloat16 itself.

    Measured on 2 such cores: two to three times as many texts and images a second; cosine to float32 above 0.9999 for
    all-MiniLM-L6-v2 and 0.999 for EfficientNet-lite2. Encoders ask for it in bulk only: a single query takes 7 ms in
    float32 and 60 ms in bfloat16, because the weights are converted every time.
    """
    import torch

    kind, low = device.partition(":")[0], rounded(device, precision)
    with torch.inference_mode(), torch.autocast(kind, dtype=torch.bfloat16, enabled=low):
        yield


def rounded(device: str, precision: str) -> bool:
    """Whether items are encoded in bfloat16."""
    return precision == "bfloat16" or (precision == "auto" and device == "cpu" and native_bf16())


@contextlib.contextmanager
def small_work(model: Any, device: str) -> Iterator[None]:
    """A query through a small network on the CPU runs on one thread, and the number of threads is then as before.

    Measured on 2 cores that another process keeps busy: all-MiniLM-L6-v2 8 ms instead of 116–412, EfficientNet-lite2
    44 ms instead of 464–733, since threads that wait for each other are thrown off their cores; on idle cores it is equal.
    """
    import torch

    before = torch.get_num_threads()
    small = device == "cpu" and _parameters(model) < SMALL
    if small and before > 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


def _parameters(model: Any) -> int:
    """How many numbers a network has, counted once."""
    if model not in _COUNTED:
        _COUNTED[model] = sum(p.numel() for p in model.parameters())
    return _COUNTED[model]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps the bars of transformers off the terminal while weights load: medrag shows its own progress."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def checked_precision(precision: str) -> str:
    """The precision itself. Raises SettingsError for one that is not known."""
    if precision not in PRECISIONS:
        raise SettingsError(f"precision {precision!r} is none of {', '.join(PRECISIONS)}", "leave it out for 'auto'")
    return precision


def unit(vectors: Vectors, names: Sequence[str]) -> Vectors:
    """Rows of unit length in float32; BadRecord naming the first row that has no direction."""
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    bad = ~np.isfinite(lengths[:, 0]) | (lengths[:, 0] == 0)
    if bad.any():
        raise BadRecord(
            names[int(bad.argmax())], "its vector has no direction (zero or not finite)", "leave the record out"
        )
    rows: Vectors = vectors / lengths
    return rows


def readable(item: Item) -> str:
    """The text that text encoders and BM25 read of an item: its own words, after the title and section it stands under."""
    if isinstance(item, Concept):
        synonyms = f" ({'; '.join(item.synonyms[:8])})" if item.synonyms else ""
        return f"{item.name}{synonyms}. {item.definition}".strip()
    if isinstance(item, Passage):
        return _headed(item.text, item.title, item.section)
    if isinstance(item, Page):
        return _headed(item.text, item.title)
    if isinstance(item, Study | ImageRecord):
        labels = ", ".join(getattr(item, "labels", ()))
        return "\n".join(part for part in (item.text, labels) if part)
    return item.text


def _headed(text: str, *heads: str) -> str:
    """``Title. Section.`` before the text; a heading that is the text's own beginning is not repeated."""
    start = text[:200].casefold()
    kept = dict.fromkeys(head.strip().rstrip(".:") for head in heads if head and head.strip())
    prefix = ". ".join(head for head in kept if not start.startswith(head.casefold()))
    return f"{prefix}. {text}" if prefix else text


def picture(item: Item) -> Image:
    """The picture of an image record: its file, a frame of its DICOM, or the region of its page. Raises ImageError."""
    if not isinstance(item, ImageRecord):
        raise ImageError(
            item.id, f"is a {item.kind} and has no picture", "list only images in the items of an image index"
        )
    if apart.wanted():
        return cast("Image", apart.done(item.source, _picture, item))
    return _picture(item)


def _picture(item: ImageRecord) -> Image:
    if item.page is not None or item.box is not None:
        from medrag._util.draw import picture_of

        with _DRAWING:
            return picture_of(item)
    from medrag._util.images import load_image

    return load_image(item.source, frame=item.frame).image


def picture_key(item: Item) -> str:
    """Changes when `picture` would: the file's content, and the frame, page and box within it."""
    if not isinstance(item, ImageRecord):
        raise ImageError(
            item.id, f"is a {item.kind} and has no picture", "list only images in the items of an image index"
        )
    try:
        state = Path(item.source).stat()
    except OSError as error:
        raise ImageError(item.source, error.strerror or "cannot be read", "check the path") from error
    return sha256_text(
        _content(item.source, state.st_size, state.st_mtime_ns), str(item.frame), str(item.page), str(item.box)
    )


@functools.lru_cache(maxsize=256)
def _content(path: str, _size: int, _time: int) -> str:
    return sha256_file(Path(path))


def ahead(work: Callable[[T], U], values: Iterable[T], batch: int, workers: int = 2) -> Iterator[list[U]]:
    """Results in batches and in order, the next batch worked on by a few threads while this one is used."""
    values = list(values)
    groups = [values[start : start + batch] for start in range(0, len(values), batch)]
    with ThreadPoolExecutor(workers) as pool:
        waiting: list[list[Future[U]]] = []
        try:
            for n, group in enumerate(groups):
                waiting.append([pool.submit(work, value) for value in group])
                if n:
                    yield [future.result() for future in waiting.pop(0)]
            if waiting:
                yield [future.result() for future in waiting.pop(0)]
        finally:
            for future in (one for group_left in waiting for one in group_left):
                future.cancel()


def flat(batches: Iterable[Sequence[T]]) -> list[T]:
    """What batches hold, in order."""
    return [one for batch in batches for one in batch]


def threads() -> int:
    """How many threads torch would take."""
    import torch

    return int(torch.get_num_threads())


def mean_by(vectors: Any, owners: Sequence[int], count: int) -> Vectors:
    """The mean of the rows that belong to each owner: (count, d)."""
    sums = np.zeros((count, vectors.shape[1]), dtype=np.float32)
    np.add.at(sums, np.asarray(owners, dtype=int), vectors)
    return sums
