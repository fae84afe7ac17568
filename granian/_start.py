"""The `granian` command."""

from __future__ import annotations

from ._early import end_imports, prepare


def main() -> None:
    """Run the command line."""
    prepare()
    from .cli import entrypoint

    end_imports()
    entrypoint()
