"""A small network as ONNX Runtime runs it on a CPU: one question takes a third of the time that PyTorch needs, since its operations are fused.

Used where the packages onnx and onnxruntime are installed (``pip install "medrag[fast]"``): for questions, and for the items of an index on a CPU that does not multiply bfloat16
itself. The exported network is kept, and is used only if it gives what PyTorch gives for the example. Knows tensors, not what they mean.
"""

from __future__ import annotations

import importlib.util
import os
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medrag._util.files import sha256_text
from medrag._util.places import home

if TYPE_CHECKING:
    from medrag.protocols import Vectors

VARIABLE = "MEDRAG_ONNX"  # "0": PyTorch alone
MOST = (
    2 << 30
)  # bytes of weights that lie in the file itself; more would lie beside it under names that other networks take too
NEAR = 1e-5  # how far from 1 the cosine of both outputs may be

_exporting = threading.Lock()  # the exporter serves one thread at a time

Run = Callable[..., "Vectors"]  # the inputs in their order, as arrays → what the network gives


def fast(network: Any, example: Mapping[str, Any], key: str, axes: Sequence[str] = ("n",)) -> Run | None:
    """The network by ONNX Runtime on one thread; None where that is not to be had or gives something else.

    ``example``: tensors for its inputs by name; ``axes`` names their first dimensions, which may be of any size. ``key`` changes when the weights do.
    Where rows alone may vary, as pictures of one size do, each is run by itself: with all sizes fixed the padding is fused too.
    """
    if os.environ.get(VARIABLE) == "0" or not all(map(importlib.util.find_spec, ("onnx", "onnxruntime"))):
        return None
    if sum(one.nbytes for one in network.parameters()) >= MOST:
        return None
    import torch

    path = home() / "cache" / "onnx" / f"{sha256_text(key, torch.__version__)[:24]}.onnx"
    try:
        with _exporting:
            if not path.is_file():
                _export(network, example, axes, path)
        run = _session(path, tuple(example), axes[0] if len(axes) == 1 else "")
        with torch.inference_mode():
            expected = network(*example.values()).float().numpy()
        return run if alike(run(*example.values()), expected) else None
    except Exception:  # exporters raise nearly anything on what they do not know; PyTorch is there
        return None


def hidden(network: Any, names: Sequence[str]) -> Any:
    """A transformer that takes its inputs in this order and gives its last hidden state."""
    import torch

    class Hidden(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, *inputs: Any) -> Any:
            return self.network(**dict(zip(names, inputs, strict=True))).last_hidden_state

    return Hidden().eval()  # an exporter leaves it, and what is in it, as it was


def _export(network: Any, example: Mapping[str, Any], axes: Sequence[str], path: Path) -> None:
    """Writes the network; whole, or not at all."""
    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    free = {name: dict(enumerate(axes)) for name in (*example, "found")}
    part = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network, tuple(example.values()), str(part), dynamo=False, opset_version=17,
                input_names=list(example), output_names=["found"], dynamic_axes=free,
            )  # fmt: skip
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _session(path: Path, names: Sequence[str], rows: str) -> Run:
    """``rows`` names the one dimension that varies; empty where others do too."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # more threads would wait for each other; clients run beside each other
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if rows:
        options.add_free_dimension_override_by_name(rows, 1)
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(*inputs: Any) -> Vectors:
        arrays = [np.ascontiguousarray(one) for one in inputs]
        parts = [[one[n : n + 1] for one in arrays] for n in range(len(arrays[0]))] if rows else [arrays]
        found = [session.run(None, dict(zip(names, part, strict=True)))[0] for part in parts]
        return np.concatenate(found) if len(found) > 1 else found[0]

    return run


def alike(found: Vectors, expected: Vectors) -> bool:
    """Whether two matrices have rows of nearly the same direction."""
    if found.shape != expected.shape:
        return False
    found, expected = (one.reshape(len(one), -1) for one in (found, expected))
    cosine = (found * expected).sum(1) / (np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1))
    return bool((cosine > 1 - NEAR).all())
