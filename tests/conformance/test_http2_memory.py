"""A response much larger than memory should hold, to a client whose windows would let all of it through."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from h2_wire import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    LARGEST_WINDOW,
    Wire,
    block,
    connect,
    frame,
    window,
)
from wire_apps import LONG
from wire_cases import request

from tests.support.server_process import serving

HERE = Path(__file__).parent


def peak(pid: int) -> int:
    """Return the most memory that a process has ever used, in KiB."""
    found = re.search(r'VmHWM:\s+(\d+)', Path(f'/proc/{pid}/status').read_text())
    assert found is not None
    return int(found[1])


@pytest.mark.skipif(not Path('/proc/self/status').exists(), reason='no /proc here')
@pytest.mark.parametrize('interface', ['wsgi', 'asgi', 'rsgi'])
def test_a_long_download_with_open_windows(interface: str) -> None:
    with serving('granian', f'wire_apps:{interface}', f'--interface {interface}', HERE) as server:
        with connect(server.port) as sock:
            wire = Wire(sock)  # which a worker has answered: its line is in the log
            found = re.search(r'Booting worker with pid: (\d+)', server.log)
            assert found is not None
            pid = int(found[1])
            before = peak(pid)
            wire.send(frame(4, 0, 0, b'\0\4' + LARGEST_WINDOW.to_bytes(4, 'big')))
            wire.send(window(0, LARGEST_WINDOW - 65535))
            wire.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block(request('/long'))))
            received = 0
            while not (part := wire.until(DATA)).ends:
                received += len(part.payload)
        assert received + len(part.payload) == LONG
        assert peak(pid) - before < 20_000, 'of 64 MiB'
