"""Several processes that train one model, each with a share of every batch: who they are, and their gradients summed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def is_first() -> bool:
    """Whether this process is the one that writes and speaks for all."""
    return os.environ.get("RANK", "0") == "0"


class Peers:
    """The processes that train together; one alone where nothing launched several."""

    def __init__(self, accelerator: Any = None) -> None:
        self._accelerator = accelerator
        self.count = accelerator.num_processes if accelerator else 1
        self.place = accelerator.process_index if accelerator else 0
        self.first = self.place == 0

    @classmethod
    def found(cls) -> Peers:
        if int(os.environ.get("WORLD_SIZE", "1")) < 2:
            return cls()
        from accelerate import Accelerator  # type: ignore[import-untyped]

        return cls(Accelerator())

    def wait(self) -> None:
        if self._accelerator:
            self._accelerator.wait_for_everyone()

    def together(self, moved: Sequence[torch.nn.Parameter], line: dict[str, float], share: float) -> dict[str, float]:
        """Sums gradients over all processes, and measures by each one's share; alone, nothing changes."""
        import torch

        if not self._accelerator:
            return line
        names = ("loss", "reward_chosen", "reward_rejected", "margin", "preferred", "kl")
        for one in moved:
            one.grad = self._accelerator.reduce(torch.zeros_like(one) if one.grad is None else one.grad, "sum")
        values = torch.tensor([line.get(name, 0.0) * share for name in names], device=self._accelerator.device)
        return dict(zip(names, self._accelerator.reduce(values, "sum").tolist(), strict=True))
