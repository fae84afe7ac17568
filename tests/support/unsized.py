"""Files whose size says nothing about their bytes."""

from __future__ import annotations

import os

import pytest

from granian import unsized
from granian.asgi import http as asgi_http
from granian.rsgi import http as rsgi_http
from granian.wsgi import handler as wsgi_handler

IN_MEMORY = 200
"""Bytes that are read before the response begins, in these tests: /proc/filesystems has more."""


def unsized_files() -> list[str]:
    """Return names of a small file of size 0, a large one, and one that is shorter than its size."""
    names = ('/proc/version', '/proc/filesystems', '/sys/kernel/mm/transparent_hugepage/enabled')
    return [name for name in names if os.access(name, os.R_OK)]


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read little before the response begins, and in small pieces: large files of /proc take long to make."""
    for module in (unsized, asgi_http, rsgi_http, wsgi_handler):
        monkeypatch.setattr(module, 'IN_MEMORY', IN_MEMORY)
    monkeypatch.setattr(unsized, 'PIECE', 64)
