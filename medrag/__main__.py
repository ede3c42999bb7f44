"""``python -m medrag``: the same as the command ``medrag``."""

from __future__ import annotations

from medrag.cli import main

if __name__ == "__main__":
    main()
