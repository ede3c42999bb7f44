"""Studies of an index that must not answer a question: its own, others of its patient, and those that hold its picture in other bytes (saved again, made smaller).

The difference hash (Krawetz, 2013) of 16 × 16 comparisons of neighbouring grey values. At `NEAR` of its 256 bits: of 6,203 chest films (19 million pairs of
different studies) none are taken for each other, the nearest differ in 13; copies as JPEG of quality 50 and at half the size differ in 12 at most (150 of each).
It does not know a picture that was cropped, turned, mirrored or seen through another window, nor figures on pages.
"""

from __future__ import annotations

import dataclasses
import functools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from medrag.corpora._files import safe_id
from medrag.errors import BadRecord
from medrag.types import ImageRecord, Item, Study

if TYPE_CHECKING:
    from PIL.Image import Image

SIDE, NEAR = 16, 12
FLAT = 0.02  # of the bits


class Pictured(Protocol):
    """A dataclass of a question with its pictures, and with the ids that are never its evidence."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def images(self) -> Sequence[Path | str]: ...

    @property
    def exclude(self) -> tuple[str, ...]: ...


One = TypeVar("One", bound=Pictured)


def looks_of(image: Image) -> NDArray[np.bool_]:
    """(256,): whether a grey value is above its left neighbour's."""
    from PIL import Image as Pictures

    small = image.convert("L").resize((SIDE + 1, SIDE), Pictures.Resampling.BILINEAR)
    grey = np.asarray(small, np.int16)
    bits: NDArray[np.bool_] = (grey[:, 1:] > grey[:, :-1]).ravel()
    return bits


@functools.lru_cache(maxsize=100_000)
def looks_of_file(path: str, frame: int = 0) -> NDArray[np.bool_] | None:
    """The same of a file; None where it cannot be read, and of a picture that is the same all over."""
    bits = _read(path, frame)
    return bits if bits is not None and FLAT < bits.mean() < 1 - FLAT else None


def _read(path: str, frame: int) -> NDArray[np.bool_] | None:
    from PIL import Image as Pictures

    from medrag._util.images import load_image

    try:
        if Path(path).suffix.lower() in (".jpg", ".jpeg"):  # decoded no larger than it is needed
            with Pictures.open(path) as image:
                image.draft("L", (4 * SIDE, 4 * SIDE))
                return looks_of(image)
        return looks_of(load_image(path, frame=frame).image)
    except (BadRecord, OSError, ValueError):
        return None


def apart_from_kin(examples: Sequence[One], items: Iterable[Item]) -> list[One]:
    """The examples, each without the studies of its ``patient`` and without its own ``study``, where it says whose and which it is.

    A study goes by its id, with the corpus' name before it or without.
    """
    named = [(str(getattr(one, "patient", "")), str(getattr(one, "study", ""))) for one in examples]
    if not any(patient or study for patient, study in named):
        return list(examples)
    of_patient, called = defaultdict[str, set[str]](set), defaultdict[str, set[str]](set)
    for item in items:
        if isinstance(item, Study | ImageRecord):
            patient = item.patient if isinstance(item, Study) else str(item.meta.get("patient", ""))
            of_patient[patient].add(item.doc)
            for name in (item.doc, item.doc.partition(":")[2], str(item.meta.get("uid", ""))):
                called[name].add(item.doc)
    found = []
    for one, (patient, study) in zip(examples, named, strict=True):
        kin = (of_patient[patient] if patient else set()) | (called[safe_id(study)] if study else set())
        more = sorted(kin - set(one.exclude))
        found.append(dataclasses.replace(one, exclude=(*one.exclude, *more)) if more else one)
    return found


def apart(examples: Sequence[One], items: Iterable[Item]) -> tuple[list[One], int]:
    """The examples, each without the studies that hold one of its pictures; and how many were left out so that its own ids had not named."""
    indexed = [
        (item.doc, bits)
        for item in items
        if isinstance(item, ImageRecord) and item.page is None
        if (bits := looks_of_file(item.source, item.frame)) is not None
    ]
    if not indexed:
        return list(examples), 0
    docs, matrix = [doc for doc, _ in indexed], np.stack([bits for _, bits in indexed])
    found = [_with_twins(example, docs, matrix) for example in examples]
    return found, sum(len(new.exclude) - len(old.exclude) for new, old in zip(found, examples, strict=True))


def apart_in(store: Any, examples: Sequence[One]) -> list[One]:
    """Both for an opened index (`medrag.indexes.store.Store`), or none; its pictures are not read where no example has one."""
    if store is None:
        return list(examples)
    found = apart_from_kin(examples, store.items.iterate(["study", "image"]))
    return apart(found, store.items.iterate(["image"]))[0] if any(one.images for one in found) else found


def _with_twins(example: One, docs: Sequence[str], matrix: NDArray[np.bool_]) -> One:
    twins: set[str] = set()
    for bits in filter(lambda one: one is not None, (looks_of_file(str(path)) for path in example.images)):
        differ = (matrix != bits).sum(axis=1)
        twins.update(docs[int(n)] for n in np.flatnonzero(differ <= NEAR))
    more = sorted(twins - set(example.exclude))
    return dataclasses.replace(example, exclude=(*example.exclude, *more)) if more else example
