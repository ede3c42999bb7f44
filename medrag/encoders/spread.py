"""Encoding by several processes, or by the machines of a Ray cluster: batches of items go out, vectors come back into the cache.

Moritz et al., *Ray* (OSDI 2018). The batches are those that one process would make, and equal items are sent once, so that the vectors are what one
process computes. A batch whose worker dies is sent again; what came back is in the cache, so nothing is lost or doubled. Few batches are under way at
a time. Knows encoders and items, not indexes. On other machines the same medrag must be installed, and image files must lie under the same paths.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medrag._util import offline
from medrag.encoders.cache import VectorCache, fresh_vectors, key_of
from medrag.errors import BadRecord, MedragError, MissingDependency, SettingsError
from medrag.settings import EncoderSettings
from medrag.types import Item, item_from_json, item_to_json

if TYPE_CHECKING:
    from medrag.protocols import Encoder, Vectors

TRIES = 5  # of one batch, each with another worker
AHEAD = 2  # batches under way for each worker

Work = Callable[[list[str]], "Future[dict[int, Vectors]]"]  # items as JSON → vectors by their number


@dataclass(frozen=True, slots=True)
class Spread:
    """Who encodes: so many processes of this machine, or where ``ray`` is an address (``auto``, ``ray://HOST:10001``) that cluster."""

    workers: int = 1
    ray: str = ""

    def __bool__(self) -> bool:
        return self.workers > 1 or bool(self.ray)


def encode_ahead(
    settings: EncoderSettings, encoder: Encoder, batches: Iterable[Sequence[Item]], cache: VectorCache, spread: Spread
) -> int:
    """Fills the cache with the vectors of all items that can be encoded; how many came. What cannot be is left to the caller to find.

    Raises MedragError when a batch kills every worker that it is given to, MissingDependency without Ray, SettingsError where no cluster answers.
    """
    with _workers(settings, spread) as (work, count):
        return _Dispatch(encoder, cache, work, AHEAD * count).run(batches)


class _Dispatch:
    """Batches under way, and what comes back of them."""

    def __init__(self, encoder: Encoder, cache: VectorCache, work: Work, most: int) -> None:
        self.encoder, self.cache, self.work, self.most = encoder, cache, work, most
        self.waiting: dict[Future[dict[int, Vectors]], tuple[dict[str, Item], int]] = {}
        self.came = 0

    def run(self, batches: Iterable[Sequence[Item]]) -> int:
        for batch in batches:
            if missing := self._missing(batch):
                while len(self.waiting) >= self.most:
                    self._collect()
                self._send(missing, 1)
        while self.waiting:
            self._collect()
        return self.came

    def _missing(self, batch: Sequence[Item]) -> dict[str, Item]:
        """Those that are neither in the cache nor under way, by their keys, in the order of the batch."""
        keys: dict[str, Item] = {}
        for item in batch:
            try:
                keys.setdefault(key_of(self.encoder, item), item)
            except BadRecord:  # told when its turn comes
                continue
        known = {*self.cache.get_many(keys), *itertools.chain(*(sent for sent, _ in self.waiting.values()))}
        return {key: item for key, item in keys.items() if key not in known}

    def _send(self, missing: dict[str, Item], attempt: int) -> None:
        self.waiting[self.work([item_to_json(item) for item in missing.values()])] = missing, attempt

    def _collect(self) -> None:
        """Waits until something came back; what was lost is sent again."""
        for future in wait(self.waiting, return_when=FIRST_COMPLETED).done:
            sent, attempt = self.waiting.pop(future)
            try:
                found = future.result()
            except _lost() as error:
                if attempt == TRIES:
                    raise MedragError(
                        f"{TRIES} workers ended over the same {len(sent)} items, the first {next(iter(sent.values())).id}",
                        "is there enough memory? build with fewer workers",
                    ) from error
                self._send(sent, attempt + 1)
                continue
            except Exception as error:  # Ray wraps what a worker raises
                cause = getattr(error, "cause", None)
                raise (cause if isinstance(cause, MedragError) else error) from None
            keys = list(sent)
            self.cache.put_many({keys[n]: vector for n, vector in found.items()})
            self.came += len(found)


def encode_lines(settings: str, lines: list[str], threads: int = 1) -> dict[int, Vectors]:
    """What a worker does: the vectors of items in JSON, by their number; those that cannot be encoded are left out."""
    offline.enforce_if_asked()  # a worker has its own sockets
    encoder = _opened(settings, threads)
    pairs = [(str(n), item_from_json(line)) for n, line in enumerate(lines)]
    return {int(n): vector for n, vector in fresh_vectors(encoder, pairs, lambda problem: None).items()}


@functools.lru_cache(maxsize=1)
def _opened(settings: str, threads: int) -> Encoder:
    """The encoder, kept for the next batch. Each worker has few threads: more of them would only wait for each other."""
    from medrag.encoders import open_encoder

    encoder = open_encoder(EncoderSettings.model_validate_json(settings))
    if encoder.dim:  # loads it, and torch
        with_threads(threads)
    return encoder


def with_threads(threads: int) -> None:
    """The number of threads of torch, where it is loaded."""
    import sys

    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


@contextmanager
def _workers(settings: EncoderSettings, spread: Spread) -> Iterator[tuple[Work, int]]:
    if spread.ray:
        with _on_ray(settings, spread) as found:
            yield found
        return
    pool = _Processes(settings, spread.workers)
    try:
        yield pool.work, spread.workers
    finally:
        pool.close()


class _Processes:
    """A pool of processes; when one of them dies, Python gives up the pool, and a new one takes its place."""

    def __init__(self, settings: EncoderSettings, workers: int) -> None:
        self.settings, self.workers = settings.model_dump_json(), workers
        self.threads = max(1, (os.cpu_count() or 1) // workers)
        self._pool = self._started()

    def _started(self) -> ProcessPoolExecutor:
        import multiprocessing

        return ProcessPoolExecutor(self.workers, multiprocessing.get_context("spawn"))

    def work(self, lines: list[str]) -> Future[dict[int, Vectors]]:
        try:
            return self._pool.submit(encode_lines, self.settings, lines, self.threads)
        except BrokenExecutor:
            self.close()
            self._pool = self._started()
            return self._pool.submit(encode_lines, self.settings, lines, self.threads)

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _on_ray(settings: EncoderSettings, spread: Spread) -> Iterator[tuple[Work, int]]:
    """Tasks of Ray, which sends those of a dead worker or machine to another by itself."""
    try:
        import ray
    except ModuleNotFoundError as error:
        raise MissingDependency("building over a cluster needs the package ray", 'pip install "medrag[ray]"') from error
    ours = not ray.is_initialized()
    try:
        if ours:
            ray.init(address=spread.ray, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        said = " ".join(str(error).split())[:200]
        raise SettingsError(f"no Ray cluster at {spread.ray}: {said}", "ray start --head; then --ray auto") from error
    task = ray.remote(max_retries=TRIES, num_cpus=1)(encode_lines)
    text = settings.model_dump_json()
    count = max(spread.workers, int(ray.cluster_resources().get("CPU", 1)))
    try:
        yield lambda lines: task.remote(text, lines).future(), count
    finally:
        if ours:
            ray.shutdown()


def _lost() -> tuple[type[Exception], ...]:
    """What is raised when a worker ended before its work did."""
    import sys

    if "ray" not in sys.modules:
        return (BrokenExecutor,)
    from ray import exceptions

    return BrokenExecutor, exceptions.WorkerCrashedError, exceptions.NodeDiedError, exceptions.ObjectLostError
