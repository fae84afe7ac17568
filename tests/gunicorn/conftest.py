"""Starts deployments on the gunicorn command line of this server, or on gunicorn itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from front_server import Deployment, Start


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a deployment in a folder of its own; what still runs at the end is killed."""
    with ExitStack() as stack:

        def begin(*args: str, files: dict[str, str] | None = None, **more: Any) -> Deployment:
            for name, text in (files or {}).items():
                (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / name).write_text(text)
            more.setdefault('cwd', tmp_path)
            deployment = Deployment(*args, **more)
            stack.callback(deployment.kill)
            return deployment

        yield begin
