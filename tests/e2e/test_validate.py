"""`wsgiref.validate` has nothing to complain of, on any path of the examples."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e_exchanges import exchanges

from tests.support.raw_client import Client
from tests.support.server_process import serving, tracebacks

SLASHES = {'flask': '', 'django': '/'}


@pytest.fixture(params=SLASHES)
def application(request: pytest.FixtureRequest) -> Iterator[str]:
    return request.param


def test_validator_is_silent(application: str, tmp_path: Path) -> None:
    here = Path(__file__).parent
    data = {'DJANGO_PROJECT_DATA': str(tmp_path), 'PYTHONWARNINGS': 'always'}
    with serving('granian', f'e2e_validated:{application}', cwd=here, **data) as server:
        for exchange in exchanges(SLASHES[application]):
            if exchange.requests[0].startswith(b'PURGE'):
                continue  # the validator warns of a method it does not know: that is the client's
            with Client(server.port) as client:
                for sent in exchange.requests:
                    answer = client.ask(sent)
                    assert answer.status < 500 or b'/error' in sent, f'{exchange.name}:\n{server.log}'
    assert set(tracebacks(server.log)) <= {'RuntimeError: this error is part of the example'}
    assert 'WSGIWarning' not in server.log
    assert 'wsgiref' not in server.log
