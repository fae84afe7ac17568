"""The `granian` command."""

from __future__ import annotations

from ._early import prepare


def main() -> None:
    """Run the command line."""
    prepare()
    from .cli import entrypoint

    entrypoint()
