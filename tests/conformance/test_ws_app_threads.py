"""What leaves the event loop of --ws-app for a thread: executors, asgiref and anyio, on every core."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from tests.support.server_process import ServerProcess, serving

pytest.importorskip('anyio')
pytest.importorskip('asgiref')

HERE = Path(__file__).parent
SERVERS = {
    'threads': '',
    'gevent': '--core gevent',
    'gevent-asyncio': '--core gevent --loop asyncio',
    'few-threads': '--runtime-blocking-threads 1',
    'gevent-few-threads': '--core gevent --runtime-blocking-threads 1',
}
WAYS = (
    'default_executor', 'to_thread', 'own_pool', 'new_pool', 'refused_by_pool', 'thread_sensitive',
    'not_thread_sensitive', 'context_of_its_own', 'there_and_back', 'nested', 'anyio_thread',
    'anyio_there_and_back', 'coroutine_from_thread', 'thread', 'addresses', 'failure', 'cancelled',
    'child_process', 'together',
)  # fmt: skip


def start(name: str) -> Any:
    if 'gevent' in name:
        pytest.importorskip('gevent')
    flags = f'--interface wsgi --ws-app ws_app_thread_apps:asgi --lifespan on {SERVERS[name]}'
    return serving('granian', 'ws_app_thread_apps:wsgi', flags, HERE)


@pytest.fixture(scope='module', params=SERVERS)
def server(request: Any) -> Iterator[ServerProcess]:
    with start(request.param) as server:
        yield server


def talk(server: ServerProcess, *ways: str) -> list[str]:
    """Send each message when the one before is answered. Return the answers."""
    with connect(f'ws://127.0.0.1:{server.port}/', proxy=None) as websocket:
        answers = []
        for way in ways:
            websocket.send(way)
            answers.append(str(websocket.recv(timeout=10)))
        return answers


def page(server: ServerProcess, path: str) -> str:
    with urllib.request.urlopen(f'http://127.0.0.1:{server.port}{path}', timeout=10) as answer:
        return answer.read().decode()


@pytest.mark.parametrize('way', WAYS)
def test_work_in_a_thread_ends_and_is_answered(server: ServerProcess, way: str) -> None:
    assert talk(server, way, way, way) == [way] * 3


def test_many_websockets_use_threads_beside_requests(server: ServerProcess) -> None:
    with ThreadPoolExecutor(8) as pool:
        talks = [pool.submit(talk, server, *WAYS[n:], *WAYS[:n]) for n in range(6)]
        pages = [pool.submit(page, server, '/pool') for _ in range(20)]
        for n, each in enumerate(talks):
            assert each.result() == [*WAYS[n:], *WAYS[:n]]
        assert {each.result() for each in pages} == {'pool'}


@pytest.mark.parametrize('name', ['few-threads', 'gevent-few-threads'])
def test_default_executor_has_the_number_of_threads(name: str) -> None:
    with start(name) as server:
        assert talk(server, 'peak') == ['1']


@pytest.mark.parametrize('name', SERVERS)
def test_lifespan_may_use_threads(name: str) -> None:
    with start(name) as server:
        assert page(server, '/') == 'started'
        server.process.terminate()
        assert server.process.wait(20) == 0
        assert 'stopped in a thread' in server.log
        assert 'Traceback' not in server.log


CHANNELS = {
    'threads': '',
    'gevent': '--core gevent',
    'gevent-asyncio': '--core gevent --loop asyncio',
}


@pytest.mark.parametrize('name', CHANNELS)
def test_channels_consumers_use_the_orm(name: str, tmp_path: Path) -> None:
    pytest.importorskip('channels')
    if 'gevent' in name:
        pytest.importorskip('gevent')
    flags = f'--interface wsgi --ws-app ws_app_channels_apps:asgi {CHANNELS[name]}'
    with serving(
        'granian', 'ws_app_channels_apps:wsgi', flags, HERE, DATABASE=str(tmp_path / 'db')
    ) as server:
        for path in ('async', 'sync'):
            with ExitStack() as stack:
                url = f'ws://127.0.0.1:{server.port}/{path}'
                one, other = (stack.enter_context(connect(url, proxy=None)) for _ in range(2))
                for number in range(5):
                    one.send(f'{path} {number}')
                    assert one.recv(timeout=10) == other.recv(timeout=10) == f'{path} {number}'
                    assert f'{path} {number}' in page(server, '/')
    assert 'Traceback' not in server.log
