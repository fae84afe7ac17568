"""The CI-sized variant of invariants.py, and that its checks find what they look for."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest
from clients import prove
from invariants import KIND, broken
from proof_server import serving
from token_clients import Target, crowd


@pytest.mark.parametrize('tls', [False, True], ids=['clear', 'tls'])
def test_invariants_of_the_thread_core_hold(tls: bool, tmp_path: Path) -> None:
    tally, log = prove(KIND, tls, 6, 16, seed=5, folder=tmp_path)
    assert 'CHECKED' in log
    assert broken(log) == []
    assert tally.errors == []
    assert tally.answers > 50


@pytest.mark.parametrize(
    ('fault', 'told'),
    [
        ('two_batons', 'BROKEN baton'),
        ('lost_baton', 'BROKEN leader'),
        ('dropped_event', 'BROKEN readiness'),
        ('kept_connection', 'BROKEN lost'),
    ],
)
def test_a_broken_invariant_is_told(fault: str, told: str, tmp_path: Path) -> None:
    with serving(KIND, tmp_path, PROOF_FAULT=fault) as server:
        target = Target(server.port)

        async def use() -> None:
            clients = asyncio.ensure_future(crowd(target, 20, 16, seed=2))
            await asyncio.to_thread(server.wait_for, told, 20)
            clients.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await clients

        asyncio.run(use())
        server.process.kill()
    assert told in server.log
