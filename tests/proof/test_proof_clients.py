"""The CI-sized variants of clients.py and hostile.py."""

from __future__ import annotations

from pathlib import Path

import attacks
import clients
import hostile
import pytest
from proof_server import CORES

SECONDS = 3


@pytest.mark.parametrize('tls', [False, True], ids=['clear', 'tls'])
@pytest.mark.parametrize('kind', CORES)
def test_each_answer_is_the_one_to_its_request(kind: str, tls: bool, tmp_path: Path) -> None:
    tally, log = clients.prove(kind, tls, SECONDS, 16, seed=1, folder=tmp_path)
    assert tally.errors == []
    assert tally.answers > 100
    assert 'Traceback' not in log


CASES = [
    pytest.param(name, kind, id=f'{name}-{kind}')
    for name in attacks.ATTACKS
    for kind in CORES
    if name not in hostile.STAYING and hostile.applies(name, kind, False)
]


@pytest.mark.parametrize(('name', 'kind'), CASES)
def test_well_behaved_client_is_served_under_attack(name: str, kind: str, tmp_path: Path) -> None:
    result = hostile.prove(name, kind, False, seconds=1, folder=tmp_path, many=100, rest=0)
    assert result.alive, result.log
    assert result.client.errors == []
    assert result.client.times
    assert result.most - result.before < 60, 'MiB that the attack has cost'


STAYING = [
    ('half_head', False), ('half_head', True), ('half_body', False), ('prefaces', False),
    ('kept_alive', True), ('silent', False), ('tls_stall', True),
]  # fmt: skip


@pytest.mark.parametrize(('name', 'tls'), STAYING)
@pytest.mark.parametrize('kind', CORES)
def test_connections_that_stay_make_room(name: str, tls: bool, kind: str, tmp_path: Path) -> None:
    """Hold 150 connections on a server with 64 descriptors; they are opened again when they are closed."""
    with hostile.besieged(name, kind, tls, tmp_path) as server:
        client = hostile.WellBehaved(server.port, tls)
        for _ in range(5):
            client.once(None).close()
        assert 'Closing idle and incomplete connections' in server.log
        assert 'Traceback' not in server.log
