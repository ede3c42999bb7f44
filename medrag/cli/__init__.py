"""The command line. Nothing heavy is imported before a command runs."""

from __future__ import annotations


def main() -> None:
    """The entry point of ``medrag``."""
    from medrag.cli.app import app

    app()
