"""Two states of this repository side by side: the working tree and a commit."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from servers import ROOT


class UnknownCommit(Exception):
    """Git knows no such commit."""


def git(*arguments: str) -> str:
    done = subprocess.run(['git', '-C', str(ROOT), *arguments], capture_output=True, text=True)
    if done.returncode:
        raise UnknownCommit(done.stderr.strip())
    return done.stdout.strip()


def short(commit: str) -> str:
    return git('rev-parse', '--short', '--verify', f'{commit}^{{commit}}')


@contextlib.contextmanager
def checkout(commit: str) -> Iterator[Path]:
    """Yield a temporary folder with the commit in it, a worktree of git."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / 'tree'
        git('worktree', 'add', '--quiet', '--detach', str(tree), short(commit))
        try:
            yield tree
        finally:
            git('worktree', 'remove', '--force', str(tree))
