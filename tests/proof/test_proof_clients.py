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


OPEN = {('pipeline', 'loop')}
"""Known fault, not mended yet: the attack costs the worker more than 60 MiB."""
CASES = [
    pytest.param(
        name,
        kind,
        tls,
        id=f'{name}-{kind}-{"tls" if tls else "clear"}',
        marks=[pytest.mark.xfail(reason='known fault, not mended yet')] if (name, kind) in OPEN else [],
    )
    for name in attacks.ATTACKS
    for kind in CORES
    for tls in ([True] if name == 'tls_stall' else [False])
    if hostile.applies(name, kind, tls)
]


@pytest.mark.parametrize(('name', 'kind', 'tls'), CASES)
def test_well_behaved_client_is_served_under_attack(name: str, kind: str, tls: bool, tmp_path: Path) -> None:
    result = hostile.prove(name, kind, tls, seconds=1, folder=tmp_path, many=100, rest=0)
    assert result.alive, result.log
    assert result.client.errors == []
    assert result.client.times
    assert result.most - result.before < 60, 'MiB that the attack has cost'
