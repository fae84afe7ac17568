"""The faults of faults.py, each on every core; on RSGI, which has asyncio's core, those its adapter sees."""

from __future__ import annotations

import sys

import fault_list
import fault_peers
import faults
import pytest
from fault_applications import FEWER

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.platform != 'linux', reason='the faults are caused by means of Linux'),
]


CORES = ('threads', 'gevent', 'asyncio', 'uvloop')
CELLS = [(name, core) for name in faults.FAULTS for core in FEWER.get(name, CORES)]
CELLS += [(name, 'rsgi') for name in faults.FAULTS if name.startswith('the application raises')]


@pytest.mark.parametrize(('name', 'core'), CELLS)
def test_server_comes_through_the_fault(name: str, core: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if core in ('gevent', 'uvloop'):
        pytest.importorskip(core)
    monkeypatch.setattr(fault_list, 'POINTS', 8)
    good, line = faults.run(name, core)
    assert good, line


@pytest.mark.parametrize('server', ['granian', 'gunicorn', 'uvicorn'])
def test_fault_is_measured_by_clients_alone(server: str) -> None:
    line = fault_peers.run('the application ends its worker: leave', server)
    assert line.startswith('one request: RemoteDisconnected | '), line
    assert line.endswith(', status 0'), line


def test_faults_tried_on_fewer_cores_exist() -> None:
    assert set(FEWER) <= set(faults.FAULTS)


def test_peers_have_the_faults_of_the_list() -> None:
    assert set(fault_peers.CASES) <= set(faults.FAULTS)
