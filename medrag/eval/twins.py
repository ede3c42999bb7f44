"""The rule by which an example's own picture is known in an index, under the name that tasks call it by; see `medrag.corpora.twins`."""

from __future__ import annotations

from medrag.corpora.twins import NEAR, SIDE, apart, apart_in, looks_of, looks_of_file

__all__ = ["NEAR", "SIDE", "apart", "apart_in", "looks_of", "looks_of_file"]
