"""The CI-sized variant of behind.py, where nginx and HAProxy are installed."""

from __future__ import annotations

import contextlib
import http.client
import shutil
from pathlib import Path

import behind
import pytest

pytestmark = pytest.mark.timeout(120)


def is_missing(proxy: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(proxy) is None, reason=f'{proxy} is not installed')


CASES = [
    pytest.param(way, kind, id=f'{way}-{kind}', marks=is_missing(way.proxy))
    for number, way in enumerate(behind.WAYS)
    for kind in (('threads', 'loop') if number < 4 else (behind.INTERFACES[number % 4],))
]


@pytest.mark.parametrize(('way', 'kind'), CASES)
def test_no_answer_is_lost_through_a_proxy(way: behind.Way, kind: str, tmp_path: Path) -> None:
    tally, reloads = behind.prove(way, kind, 4, 8, tmp_path)
    assert tally.errors == []
    assert tally.answers > 20
    assert reloads


@pytest.mark.parametrize('kind', behind.INTERFACES)
@pytest.mark.parametrize(
    'way', [pytest.param(way, id=str(way), marks=is_missing('nginx')) for way in behind.WAYS if way.name]
)
def test_early_refusal_of_an_upload_passes_nginx(way: behind.Way, kind: str, tmp_path: Path) -> None:
    with behind.chain(way, kind, tmp_path) as (_, ports):
        client = http.client.HTTPConnection('127.0.0.1', ports.clear, timeout=30)
        with contextlib.suppress(OSError):  # nginx may close before it has read the whole body
            client.request('POST', '/refuse/token', b'x' * 20_000_000)
        response = client.getresponse()
        assert (response.status, response.read()) == (413, b'token')
        client.close()


@pytest.mark.parametrize(
    'proxy', [pytest.param(name, marks=is_missing(name)) for name in ('nginx', 'haproxy')]
)
@pytest.mark.parametrize('kind', ['threads', 'loop'])
def test_no_request_is_smuggled_through_a_proxy(proxy: str, kind: str, tmp_path: Path) -> None:
    assert behind.smuggle(behind.Way(proxy), kind, tmp_path) == []
