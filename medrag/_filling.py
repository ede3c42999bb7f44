"""The last stages of a build (see medrag/build.py): items become vectors, matrices or words of an index, some at a time.

Vectors go through the cache. Knows nothing of corpora; what is wrong with an item is told to the log.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from medrag import plugins
from medrag._util.files import sha256_text
from medrag._util.places import home
from medrag._util.progress import track
from medrag.errors import SettingsError
from medrag.indexes.content import Tally
from medrag.indexes.records import FILE as RECORDS
from medrag.indexes.records import Records
from medrag.indexes.store import ItemStore
from medrag.settings import EncoderSettings, IndexSettings
from medrag.types import Item, Page, domain_of

if TYPE_CHECKING:
    from medrag._stages import Log
    from medrag.encoders.spread import Spread
    from medrag.protocols import Encoder, Report

T = TypeVar("T")
BATCH = 1024  # items encoded and cached at a time
PAGES = 128  # pages, with their figures
UNIT = 1e-2  # how far from 1 the length of a vector may be


def encode_spread(folder: Path, settings: IndexSettings, how: EncoderSettings, encoder: Encoder, spread: Spread) -> int:
    """Has several workers encode what `fill_index` will ask the cache for, in the same batches; how many vectors came."""
    from medrag.encoders.cache import VectorCache
    from medrag.encoders.spread import encode_ahead

    store, cache = ItemStore.open(folder / "items.db"), VectorCache(home() / "cache" / "vectors.db")
    items = track(
        store.iterate(settings.items, settings.corpora), "encode", store.count(settings.items, settings.corpora)
    )
    grouped: Iterable[list[Item]] = batches(items)
    if getattr(encoder, "several", False):
        grouped = ([item for one in some for item in one] for some in batches(pages_with_figures(items), PAGES))
    try:
        return encode_ahead(how, encoder, grouped, cache, spread)
    finally:
        cache.close()
        store.close()


def fill_index(
    folder: Path, name: str, settings: IndexSettings, encoder: Encoder | None, log: Log, before: Path | None = None
) -> str:
    """Builds ``folder/name`` from the items of ``folder/items.db``; the hash of what it holds.

    ``before`` is an index made by the same settings: what it was tuned to is taken over.
    """
    cls = plugins.load("indexes", settings.kind)
    try:
        index = cls(**settings.options)
    except TypeError as error:
        raise SettingsError(f"indexes.{name}: {error}", f"check its options for kind {settings.kind!r}") from error
    if hasattr(index, "reserve"):
        index.reserve(folder / name)
    store = ItemStore.open(folder / "items.db")
    total = store.count(settings.items, settings.corpora)
    items = track(store.iterate(settings.items, settings.corpora), f"index {name}", total)
    with closing(Records(folder / RECORDS)) as records, records.part(name) as tally:
        add_items(index, encoder, items, folder, name, tally, log)
    store.close()
    if before and hasattr(index, "tuned_as") and not index.tuned_as(before):
        log.warnings.append(f"the index {name!r} is of another kind than before: tune it again (medrag index tune)")
    index.save(folder / name)
    return sha256_text(settings.model_dump_json(), tally.digest)


def add_items(
    index: Any, encoder: Encoder | None, items: Iterable[Item], folder: Path, name: str, tally: Tally, log: Log
) -> None:
    """What an index takes of items, by its encoder or by their words; ``tally`` counts the records that went in."""
    if getattr(encoder, "several", False):
        _add_matrices(index, encoder, items, tally, name, log)
    elif encoder:
        _add_vectors(index, encoder, items, folder / f"{name}.raw", tally, log.skipping(f"index {name}"))
    else:
        _add_texts(index, items, tally)


class _Sound:
    """An encoder whose vectors are looked at before they are remembered."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    def encode_items(self, items: Sequence[Item]) -> Any:
        """As many arrays as items, each of the encoder's width. Raises SettingsError."""
        found = self._encoder.encode_items(items)
        count, several = len(found), getattr(self._encoder, "several", False)
        if count != len(items):
            raise _unsound(self._encoder, f"{count} vectors for {len(items)} items")
        for one in found:
            shape = np.shape(one)
            if len(shape) != 1 + several or shape[-1] != self._encoder.dim:
                raise _unsound(self._encoder, f"a vector of the shape {shape}, and its dim is {self._encoder.dim}")
        _check(self._encoder, found)
        return found


def _check(encoder: Any, found: Any) -> None:
    """Raises SettingsError for what an index cannot compare: no numbers, or rows that are not of unit length (of several an item, parts may be)."""
    for rows in found if getattr(encoder, "several", False) else [found]:
        if not np.isfinite(rows).all():
            raise _unsound(encoder, "a vector with NaN or infinity in it")
        lengths = np.linalg.norm(rows, axis=-1)
        if not getattr(encoder, "several", False) and (wrong := lengths[np.abs(lengths - 1) > UNIT]).size:
            raise _unsound(encoder, f"a vector of the length {wrong[0]:.3g}, not 1")


def _unsound(encoder: Any, what: str) -> SettingsError:
    hint = "mend its encode_items, and change its fingerprint, for vectors are remembered under it"
    return SettingsError(f"the encoder {encoder.name!r} gave {what}", hint)


def _add_vectors(index: Any, encoder: Encoder, items: Iterable[Item], raw: Path, tally: Tally, report: Report) -> None:
    """Vectors go through the cache into a raw file, and from there into the index: few are in memory at a time."""
    from medrag.encoders.cache import VectorCache, cached

    ids: list[str] = []
    domains = domains_for(index)
    sound: Any = _Sound(encoder)
    cache = VectorCache(home() / "cache" / "vectors.db")
    with raw.open("wb") as stream:
        for batch in batches(items):
            kept, vectors = cached(sound, batch, cache, report)
            _check(encoder, vectors)
            stream.write(np.ascontiguousarray(vectors, dtype="<f4").tobytes())
            for n, vector in zip(kept, vectors, strict=True):
                ids.append(batch[n].id)
                if domains is not None:
                    domains[batch[n].id] = domain_of(batch[n])
                tally.add(batch[n].id, vector.tobytes().hex())
    cache.close()
    if ids:
        put(index, ids, np.memmap(raw, dtype="<f4", mode="r").reshape(len(ids), -1), domains)
    raw.unlink()


def domains_for(index: Any) -> dict[str, str] | None:
    """Where the domains of ids are to be noted for an index that keeps them apart; None for others."""
    return {} if getattr(index, "by_domain", False) else None


def put(index: Any, ids: list[str], vectors: Any, domains: Mapping[str, str] | None) -> None:
    """Adds to an index, which is told the ``domains`` of `domains_for` it."""
    if domains is None:
        index.add(ids, vectors)
    else:
        index.add(ids, vectors, domains)


def _add_matrices(index: Any, encoder: Any, items: Iterable[Item], tally: Tally, name: str, log: Log) -> None:
    """A matrix for each page: its own rows, then those of its figures. Images that lie on no page are left out."""
    from medrag.encoders.cache import VectorCache, cached

    cache, empty = VectorCache(home() / "cache" / "vectors.db"), 0
    sound: Any = _Sound(encoder)
    for groups in batches(pages_with_figures(items), PAGES):
        flat = [item for group in groups for item in group]
        kept, found = cached(sound, flat, cache, log.skipping(f"index {name}"))
        _check(encoder, found)
        rows = {flat[n].id: one for n, one in zip(kept, found, strict=True)}
        pages = {
            group[0].id: np.concatenate([rows[item.id] for item in group if item.id in rows])
            for group in groups
            if group[0].id in rows
        }
        full = {page: matrix for page, matrix in pages.items() if len(matrix)}
        index.add(list(full), list(full.values()))
        for page, matrix in full.items():
            tally.add(page, matrix.tobytes().hex())
        empty += len(pages) - len(full)
    cache.close()
    if empty:
        log.warnings.append(f"the index {name!r} left out {empty} pages with nothing to read or see (scans need OCR)")


def pages_with_figures(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Each page with the images that follow it and whose ids are the page's, an f and a number."""
    group: list[Item] = []
    for item in items:
        if isinstance(item, Page):
            if group:
                yield group
            group = [item]
        elif group and item.id.startswith(f"{group[0].id}f"):
            group.append(item)
    if group:
        yield group


def _add_texts(index: Any, items: Iterable[Item], tally: Tally) -> None:
    from medrag.encoders.text import readable

    for batch in batches(items):
        texts = [readable(item) for item in batch]
        index.add([item.id for item in batch], texts)
        for item, text in zip(batch, texts, strict=True):
            tally.add(item.id, text)


def batches(items: Iterable[T], size: int = 0) -> Iterator[list[T]]:
    """Lists of at most ``size`` items, in order; of `BATCH` where none is given."""
    source = iter(items)
    while batch := list(itertools.islice(source, size or BATCH)):
        yield batch
