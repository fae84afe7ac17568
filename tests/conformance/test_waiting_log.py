"""A log handler that waits must not be called with a lock: on gevent other requests run meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest
from h2_wire import END_HEADERS, END_STREAM, HEADERS, PING, Wire, block, connect, frame, ping
from wire_cases import request

from tests.support.server_process import serving

HERE = Path(__file__).parent


@pytest.mark.parametrize('core', ['threads', 'gevent'])
def test_refusal_is_logged_while_another_stream_responds(core: str) -> None:
    if core == 'gevent':
        pytest.importorskip('gevent')
    with serving('granian', 'waiting_log_app:wsgi', f'--core {core}', HERE) as server:
        server.wait_for('Started worker')
        with connect(server.port) as sock:
            wire = Wire(sock)
            flags = END_HEADERS | END_STREAM
            wire.send(frame(HEADERS, flags, 1, block(request('/slow'))) + ping())
            wire.until(PING)
            without_path = [field for field in request('/') if field[0] != ':path']
            wire.send(frame(HEADERS, flags, 3, block(without_path)))
            wire.until_ended()
        server.wait_for('Refused a request')
