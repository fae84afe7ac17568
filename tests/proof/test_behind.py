"""The CI-sized variant of behind.py, where nginx and HAProxy are installed."""

from __future__ import annotations

import shutil
from pathlib import Path

import behind
import pytest

pytestmark = pytest.mark.timeout(120)
CASES = [
    pytest.param(
        way,
        kind,
        id=f'{way}-{kind}',
        marks=pytest.mark.skipif(shutil.which(way.proxy) is None, reason=f'{way.proxy} is not installed'),
    )
    for way in behind.WAYS
    for kind in (('threads', 'loop') if not way.options else ('threads',))
]


@pytest.mark.parametrize(('way', 'kind'), CASES)
def test_no_answer_is_lost_through_a_proxy(way: behind.Way, kind: str, tmp_path: Path) -> None:
    tally, reloads = behind.prove(way, kind, 4, 8, tmp_path)
    assert tally.errors == []
    assert tally.answers > 20
    assert reloads


@pytest.mark.parametrize('proxy', ['nginx', 'haproxy'])
@pytest.mark.parametrize('kind', ['threads', 'loop'])
def test_no_request_is_smuggled_through_a_proxy(proxy: str, kind: str, tmp_path: Path) -> None:
    if shutil.which(proxy) is None:
        pytest.skip(f'{proxy} is not installed')
    assert behind.smuggle(behind.Way(proxy), kind, tmp_path) == []
