"""Where training runs and in which precision: float32 on the CPU, bfloat16 products on a CUDA device that has them."""

from __future__ import annotations

from argparse import ArgumentTypeError
from typing import TYPE_CHECKING, Any

from medrag.encoders._shared import device_of
from medrag.errors import SettingsError

if TYPE_CHECKING:
    import torch

NAMES = "auto, cpu, cuda, cuda:NUMBER or mps"


def training_device(wanted: str = "auto") -> torch.device:
    """The device that a name means; ``auto`` is a CUDA device, Apple's GPU, or the CPU, in this order.

    Raises SettingsError for a name that is none, and for a device that this machine does not have.
    """
    import torch

    try:
        device = torch.device(device_of(wanted))
    except RuntimeError as error:
        raise SettingsError(f"there is no device {wanted!r}", f"name {NAMES}") from error
    here = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if (device.index or 0) >= here.get(device.type, 0):
        raise SettingsError(f"this machine has no device {wanted!r}", f"name {NAMES}")
    return device


def option(text: str) -> str:
    """A command line's device, for argparse; the error is `training_device`'s."""
    try:
        return str(training_device(text))
    except SettingsError as error:
        raise ArgumentTypeError(str(error)) from error


def mixed(device: torch.device) -> Any:
    """A context in which matrices are multiplied in bfloat16 on CUDA where it can, and nothing is changed elsewhere."""
    import torch

    able = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.autocast(device.type, torch.bfloat16, enabled=able)
