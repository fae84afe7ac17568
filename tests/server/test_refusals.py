"""Requests that no application sees leave a trace: a warning, and a line in the access log."""

from __future__ import annotations

import re
import socket

import pytest
from plainkinds import KINDS

from granian.observe import refusals
from granian.observe.refusals import Refusals
from tests.support.certificates import make_pair

LONG = b'GET /' + b'x' * 70_000 + b' HTTP/1.1\r\nHost: x\r\n\r\n'
FIELDS = b'GET / HTTP/1.1\r\nHost: x\r\n' + b'X: y\r\n' * 200 + b'\r\n'
CASES = {
    'malformed': (b'GARBAGE\r\n\r\n', 400),
    'line too long': (LONG, 414),
    'too many fields': (FIELDS, 431),
    'unknown coding': (b'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n', 501),
    'unexpected PROXY line': (b'PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n', 400),
    'HTTP/2 that is malformed': (b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + b'\0\0\0\1\0\0\0\0\0', 400),
}
FORMAT = '%(h)s "%(r)s" %(s)s'
EVERY_HEADER = FORMAT + ' %(u)s "%(f)s" "%(a)s" %({x}i)s'


def send(port, data):
    with socket.create_connection(('127.0.0.1', port), timeout=20) as client:
        client.sendall(data)
        try:
            while client.recv(65536):
                pass
        except ConnectionError:
            pass


@pytest.mark.parametrize('kind', KINDS)
def test_refused_request_leaves_a_trace(serve, kind):
    server = serve(script='realserver.py', log_access=True, log_access_format=EVERY_HEADER, **kind)
    server.wait_ready()
    socket.create_connection(('127.0.0.1', server.port)).close()  # a health check is no refusal
    for data, status in CASES.values():
        send(server.port, data)
        server.expect(rf'\[WARNING\] Refused a request from 127\.0\.0\.1 with {status}: \S+')
    server.signal()
    assert server.wait() == 0
    assert server.output.count('Refused') == len(CASES)
    logged = re.findall(r'^127\.0\.0\.1 "- - HTTP/1\.1" (\d+) - "-" "-" -$', server.output, re.MULTILINE)
    assert sorted(map(int, logged)) == sorted(status for _, status in CASES.values())


BLOCKING = KINDS[:2]
CHUNKED = b'POST /%b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n'
BODIES = {
    'malformed': (CHUNKED % b'malformed' + b'zz\r\n', 400),
    'large': (CHUNKED % b'large' + b'%x\r\n' % 3000 + b'x' * 3000, 413),
    'slow': (b'POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx', 408),
}


@pytest.mark.parametrize('kind', BLOCKING)
def test_refused_body_leaves_a_trace_with_its_request(serve, kind):
    server = serve(
        script='commandserver.py', request_body_spool=2048, request_body_timeout=1, log_access_format=FORMAT,
        access_log_file='-', **kind,
    )  # fmt: skip
    server.wait_ready()
    for data, status in BODIES.values():
        send(server.port, data)
        server.expect(rf'\[WARNING\] Refused a request from 127\.0\.0\.1 with {status}: \S+')
    server.signal()
    assert server.wait() == 0
    logged = re.findall(r'^127\.0\.0\.1 "POST /(\w+) HTTP/1\.1" (\d+)$', server.output, re.MULTILINE)
    assert logged == [(name, str(status)) for name, (_, status) in BODIES.items()]


SLOW = {
    'head': b'GET / HT',
    'body': b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx',
    'chunk': CHUNKED % b'' + b'5\r\nab',
}


@pytest.mark.parametrize('slow', SLOW)
@pytest.mark.parametrize('kind', BLOCKING)
def test_slow_client_that_is_the_first_is_answered(serve, kind, slow):
    """Refuse the first client: the access log's writer starts with its line, and the hub must not wait."""
    server = serve(
        script='commandserver.py', request_body_timeout=1, http1_header_read_timeout=1000,
        log_access_format=FORMAT, access_log_file='-', **kind,
    )  # fmt: skip
    server.wait_ready()
    with socket.create_connection(('127.0.0.1', server.port), timeout=20) as client:
        client.sendall(SLOW[slow])
        assert client.recv(65536).startswith(b'HTTP/1.1 408 ')
    server.expect(r'^127\.0\.0\.1 ".*" 408$')
    server.get('/next')
    server.expect('/next')
    server.signal()
    assert server.wait() == 0


REQUEST = [(':method', 'GET'), (':scheme', 'http'), (':path', '/seen?x'), (':authority', 'x')]
HEADS = {
    'connection field': ([*REQUEST, ('connection', 'close')], 400),
    'control character': ([*REQUEST, ('x', 'a\x01b')], 400),
    'no path': ([field for field in REQUEST if field[0] != ':path'], 400),
    'unknown method': ([(':method', 'CONNECT'), (':authority', 'x')], 501),
    'too many fields': ([*REQUEST, *[('x', 'y')] * 200], 431),
    'long target': ([*REQUEST[:2], (':path', '/' + 'p' * 9000), REQUEST[3]], 414),
}
ENGINES = [*KINDS, pytest.param({**KINDS[0].values[0], 'http2_engine': 'h2'}, id='h2 library')]


@pytest.mark.parametrize('kind', ENGINES)
def test_refusal_within_http2_leaves_a_trace(serve, kind):
    hpack = pytest.importorskip('hpack')
    server = serve(
        script='realserver.py', log_access=True, log_access_format=FORMAT, http1_max_request_line=8190, **kind
    )
    server.wait_ready()
    for fields, status in HEADS.values():
        block = hpack.Encoder().encode(fields)
        settings = b'\0\0\0\4\0' + bytes(4)
        head = len(block).to_bytes(3, 'big') + b'\1\5' + (1).to_bytes(4, 'big') + block
        with socket.create_connection(('127.0.0.1', server.port), timeout=20) as client:
            client.sendall(b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + settings + head)
            server.expect(rf'\[WARNING\] Refused a request from 127\.0\.0\.1 with {status}: \S+')
    server.signal()
    assert server.wait() == 0
    logged = re.findall(r'^127\.0\.0\.1 "(\S+) (\S{1,9})\S* HTTP/2" (\d+)$', server.output, re.MULTILINE)
    assert sorted(logged) == sorted(
        (said.get(':method', '-'), said.get(':path', '-')[:9], str(status))
        for said, status in ((dict(fields), status) for fields, status in HEADS.values())
    )


def frame(kind, flags, payload):
    return len(payload).to_bytes(3, 'big') + bytes([kind, flags]) + (1).to_bytes(4, 'big') + payload


@pytest.mark.parametrize('kind', ENGINES)
def test_refused_rest_of_an_http2_request_leaves_a_trace(serve, kind):
    """Send a body that is longer than content-length says, in one piece with the head."""
    hpack = pytest.importorskip('hpack')
    server = serve(script='realserver.py', log_access=True, log_access_format=FORMAT, **kind)
    server.wait_ready()
    fields = [(':method', 'POST'), *REQUEST[1:], ('content-length', '5')]
    head = (
        b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0' + bytes(4) + frame(1, 4, hpack.Encoder().encode(fields))
    )
    with socket.create_connection(('127.0.0.1', server.port), timeout=20) as client:
        client.sendall(head + frame(0, 1, b'too long'))
        server.expect(
            r'\[WARNING\] Refused a request from 127\.0\.0\.1 with 400: content-length and DATA differ'
        )
    server.signal()
    assert server.wait() == 0
    assert '127.0.0.1 "POST /seen?x HTTP/2" 400' in server.lines


@pytest.mark.parametrize('kind', KINDS)
def test_slow_head_leaves_a_trace(serve, kind):
    server = serve(script='commandserver.py', http1_header_read_timeout=1, **kind)
    server.wait_ready()
    send(server.port, b'GET / HTTP/1.1\r\n')
    server.expect(r'\[WARNING\] Refused a request from 127\.0\.0\.1 with 408: ')
    server.signal()
    assert server.wait() == 0


@pytest.mark.parametrize('kind', KINDS)
def test_failed_handshake_leaves_a_trace(serve, tmp_path, kind):
    certificate, key = make_pair(tmp_path, 'server')
    server = serve(script='realserver.py', ssl_cert=str(certificate), ssl_key=str(key), **kind)
    port = int(server.expect(r'Listening at: https://127\.0\.0\.1:(\d+)')[1])
    server.expect('Started worker')
    send(port, b'GET / HTTP/1.1\r\n\r\n')
    server.expect(r'Refused a request from 127\.0\.0\.1 with 400: HTTP in clear text')
    send(port, b'\x16\x03\x01\x00\x05hello')
    server.expect(r'Refused a request from 127\.0\.0\.1 with 400: TLS handshake failed: \S+')
    socket.create_connection(('127.0.0.1', port)).close()  # a health check is no refusal
    server.signal()
    assert server.wait() == 0
    assert server.output.count('Refused') == 2


def test_warnings_are_limited_and_counted(monkeypatch, caplog):
    clock = [100.0]
    monkeypatch.setattr(refusals, 'monotonic', lambda: clock[0])
    lines = []
    refused = Refusals(lines.append)
    for _ in range(50):
        refused(('192.0.2.1', 5), 400, 'why')
    assert len(caplog.records) == refusals.BURST
    assert len(lines) == 50
    clock[0] += 1
    refused(None, 408, 'slow')
    assert (
        caplog.records[-1].getMessage()
        == 'Refused a request from a Unix socket with 408: slow (40 more not logged)'
    )
    refused(None, 400, 'observed', True)
    assert len(lines) == 51
    clock[0] += 3600  # silence earns no more than BURST
    caplog.clear()
    for _ in range(50):
        refused(('192.0.2.1', 5), 400, 'why')
    assert len(caplog.records) == refusals.BURST
