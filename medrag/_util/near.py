"""What to say where a name is not known: the known one that is nearest to it, else all of them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def meant(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """A hint; ``otherwise`` stands in the place of the list of all names.

    >>> meant("polcy", ["policy", "budget"]), meant("x", ["policy", "budget"]), meant("x", [])
    ("did you mean 'policy'?", 'known: policy, budget', 'known: none')
    """
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]!r}?" if near else otherwise or f"known: {', '.join(names) or 'none'}"
