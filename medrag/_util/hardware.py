"""What the processor can do."""

from __future__ import annotations

import functools


@functools.cache
def native_bf16() -> bool:
    """Whether the CPU multiplies bfloat16 itself (AVX-512 BF16 or AMX); elsewhere float32 is faster."""
    import torch

    found: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))
