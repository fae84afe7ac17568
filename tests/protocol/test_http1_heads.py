"""Request lines and fields: the rows S-H-01 to S-H-19 as far as the protocol room shows them, and
the list of section 9 (what h11 alone would let through), each id that of its row."""

from __future__ import annotations

import pytest

from granian.protocol.events import EndOfRequest, Refused, Request
from granian.protocol.head import _MAX_NAMES, NAMES, BadRequest, field_for
from granian.protocol.http1 import Http1
from granian.protocol.http1.grammar import parse_head
from granian.protocol.limits import Limits
from tests.support.http1_help import CLOCK, connect, feed, pull, refused, request, story, verdict
from tests.support.rows import rows

LIMITS = Limits()


def get(*lines: bytes, first: bytes = b'GET / HTTP/1.1', host: bytes = b'Host: x\r\n') -> bytes:
    return first + b'\r\n' + host + b''.join(line + b'\r\n' for line in lines) + b'\r\n'


def head(*lines: bytes, **kwargs):
    return parse_head(get(*lines, **kwargs)[:-4], LIMITS)


def values(head, name: str) -> list[str]:
    return [value for field, value in head.fields if field.name == name]


def test_the_plain_head_is_accepted():
    """Accept the head that each refused head below differs from in one thing."""
    assert [entry[0] for entry in verdict(get())] == ['request', 'body', 'closes']
    parsed = head(b'X-Y:  a \t b\t ')
    assert (parsed.method, parsed.target, parsed.path, parsed.query) == ('GET', '/', '/', '')
    assert (parsed.version, parsed.authority, parsed.scheme) == ('1.1', None, None)
    assert (parsed.content_length, parsed.chunked, parsed.keep_alive) == (None, False, True)
    assert (parsed.expects_continue, parsed.upgrade, parsed.plain) == (False, None, True)
    assert [(field.name, value) for field, value in parsed.fields] == [('host', 'x'), ('x-y', 'a \t b')]


@rows(
    'data',
    [
        pytest.param(b'GET / HTTP/1.1\nHost: x\n\n', id='S-H-01-lf'),
        pytest.param(b'GET / HTTP/1.1\nHost: x\r\n\r\n', id='S-H-01-lf-request-line'),
        pytest.param(b'GET / HTTP/1.1\r\nHost: x\n\r\n', id='S-H-01-lf-before-blank'),
        pytest.param(b'GET / HTTP/1.1\r\nHost: x\r\nA: b\nC: d\r\n\r\n', id='S-H-01-lf-between'),
        pytest.param(b'GET / HTTP/1.1\r\nHost: x\r\nA: b\rC: d\r\n\r\n', id='S-H-01-cr-between'),
        pytest.param(b'GET / HTTP/1.1\rHost: x\r\n\r\n', id='S-H-01-cr-request-line'),
        pytest.param(b'GET / HTTP/1.1\r\nHost: x\r\r\n\r\n', id='S-H-01-cr-cr-lf'),
        pytest.param(b'GET / HTTP/1.1\r\nHost: x\n\r\r\n\r\n', id='S-H-01-lf-cr'),
        *(
            pytest.param(get(b'A: b%cc' % byte), id=f'S-H-02-x{byte:02x}')
            for byte in [*range(9), *range(0x0B, 0x0D), *range(0x0E, 0x20), 0x7F]
        ),
        pytest.param(get(b'A\x00: b'), id='S-H-02-name-nul'),
        pytest.param(get(first=b'GET /\x00 HTTP/1.1'), id='S-H-02-target-nul'),
        pytest.param(get(first=b'GET /a\tb HTTP/1.1'), id='S-H-02-target-tab'),
        *(
            pytest.param(get(line), id=f'S-H-03-{line!r}')
            for line in (
                b'A : b', b'A\t: b', b' A: b', b': b', b':', b'A', b'A b: c', b'A(: b', b'"A": b',
                b'A/b: c', b'A@b: c',
                b'\xe4: b', b'A\xa0: b', b'A;: b', b'A,b: c', b'A[0]: b', b'A\\: b', b'{a}: b',
                b'Content-Length 5', b'<: b',
            )
        ),
        pytest.param(get(b'A', b'B: c'), id='S-H-03-name-split'),
        pytest.param(get(first=b' GET / HTTP/1.1'), id='S-H-03-space-before-method'),
        pytest.param(b'GET / HTTP/1.1\r\n Host: x\r\n\r\n', id='S-H-03-space-before-first-field'),
        pytest.param(get(b'A: b', b' c'), id='S-H-04-fold'),
        pytest.param(get(b'A: b', b'\tc'), id='S-H-04-fold-tab'),
        pytest.param(get(b'A: b', b' c: d'), id='S-H-04-fold-with-colon'),
        pytest.param(get(b'A:', b' b'), id='S-H-04-fold-of-nothing'),
        pytest.param(b'GET / HTTP/1.1\r\nHost: x\r\n \r\n\r\n', id='S-H-04-fold-empty'),
        pytest.param(get(host=b''), id='S-H-07-none'),
        pytest.param(get(b'Host: x'), id='S-H-07-two'),
        pytest.param(get(b'host: y'), id='S-H-07-two-cases'),
        pytest.param(get(first=b'GET / HTTP/1.0', host=b'Host: x\r\nHost: x\r\n'), id='S-H-07-two-1.0'),
        *(
            pytest.param(get(host=b'Host: ' + value + b'\r\n'), id=f'S-H-07-{value!r}')
            for value in (
                b'',
                b'a@b', b'a@b c', b'a b', b'a/b', b'a?b', b'a#b', b'\xffa\xff', b'a:b', b'a:1:2', b'a:-1',
                b':80',
                b'[::1', b'::1', b'[g::]', b'[]', b'[::1]x', b'a:123456', b'a\tb', b'%zz', b'%4', b'a\\b',
                b'http://a', b'"a"',
            )
        ),
        pytest.param(get(first=b'GET http://y/ HTTP/1.1', host=b''), id='S-H-07-absolute-without'),
        pytest.param(get(first=b'GET http://y/ HTTP/1.1', host=b'Host: a b\r\n'),
            id='S-H-07-absolute-bad-host'),
        *(
            pytest.param(get(name + b': a', name.lower() + b': a'), id=f'S-H-08-{name.decode()}')
            for name in (b'Content-Type', b'Authorization', b'Content-Range', b'Max-Forwards',
            b'If-Modified-Since')
        ),
        *(
            pytest.param(get(first=b'GET ' + target + b' HTTP/1.1'), id=f'S-H-09-{target!r}')
            for target in (
                b'!', b'a', b'a/b', b'x:80', b'example.com:443', b'*', b'?a', b'/#', b'/a#b', b'/a?b#c',
                b'http://a/#b',
                b'/\xe4', b'/\x7f', b'http:///a', b'http://', b'http:/a', b'http://u@h/', b'http://u:p@h/',
                b'http://a b/',
                b'http://h:x/', b'ftp://h/', b'file:///etc', b'javascript:a', b'',
            )
        ),
        pytest.param(get(first=b'GET  HTTP/1.1'), id='S-H-09-empty'),
        pytest.param(get(first=b'GET HTTP/1.1'), id='S-H-09-none'),
        *(
            pytest.param(get(first=line), id=f'S-H-10-{line!r}')
            for line in (
                b'GET  / HTTP/1.1', b'GET /  HTTP/1.1', b'GET / HTTP/1.1 ', b'GET\t/ HTTP/1.1',
                b'GET / HTTP/1.1 x', b'GET /',
                b'G\xe4T / HTTP/1.1', b'G(T / HTTP/1.1', b'G{}T / HTTP/1.1', b'"GET" / HTTP/1.1',
                b'GET / http/1.1',
                b'GET / HTTP/1', b'GET / HTTP/1.', b'GET / HTTP/11', b'GET / HTTP/1.10', b'GET / HTTP/1,1',
                b'GET / HTTP/x.1',
                b'GET / HTTP /1.1', b'GET / HTTP/\xb2.1', b'GET / HTTPS/1.1', b'GET / XTTP/1.1',
                b'GET / ICAP/1.0',
                b'GET/ HTTP/1.1', b'/ HTTP/1.1', b'HTTP/1.1', b'GET / HTTP/+1.1', b'GET / HTTP/01.1',
                b'\xffGET / HTTP/1.1',
            )
        ),
    ],
)  # fmt: skip
def test_refused_with_400(data):
    assert verdict(data) == refused(400)


@rows(
    ('status', 'data'),
    [
        pytest.param(501, get(first=b'CONNECT x:443 HTTP/1.1'), id='S-H-09-CONNECT'),
        pytest.param(501, get(first=b'CONNECT / HTTP/1.1'), id='S-H-09-CONNECT-path'),
        *(
            pytest.param(505, get(first=b'GET / ' + version), id=f'S-H-10-{version.decode()}')
            for version in (b'HTTP/0.9', b'HTTP/2.0', b'HTTP/3.0', b'HTTP/9.9', b'HTTP/0.0')
        ),
        pytest.param(505, b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', id='S-H-10-preface'),
        pytest.param(501, get(first=b'A' * 33 + b' / HTTP/1.1'), id='S-H-10-long-method'),
        pytest.param(417, get(b'Expect: 200-ok', b'Content-Length: 1'), id='S-H-17-unknown'),
        pytest.param(417, get(b'Expect: 100-continue, x', b'Content-Length: 1'), id='S-H-17-list'),
        pytest.param(417, get(b'Expect:', b'Content-Length: 1'), id='S-H-17-empty'),
    ],
)  # fmt: skip
def test_refused_otherwise(status, data):
    assert verdict(data) == refused(status)


@rows('byte', [0x09, 0x20, 0x21, 0x7E, 0x80, 0x85, 0xA0, 0xFF], ids=lambda b: f'S-H-02-x{b:02x}')
def test_bytes_that_pass_verbatim(byte):
    assert values(head(b'A: b%cc' % byte), 'a') == [f'b{chr(byte)}c']


def test_S_H_02_only_space_and_tab_are_stripped():
    assert values(head(b'A: \x85b\xa0 '), 'a') == ['\x85b\xa0']


def test_S_H_05_underscores_are_not_for_wsgi():
    parsed = head(b'X_Forwarded_For: 1', b'Content_Length: 5', b'X-Forwarded-For: 2')
    keys = [field.environ_key for field, _ in parsed.fields]
    assert keys == ['HTTP_HOST', None, None, 'HTTP_X_FORWARDED_FOR']
    assert parsed.content_length is None
    assert [field.raw for field, _ in parsed.fields][1] == b'x_forwarded_for'


def test_S_H_06_httpoxy():
    assert [field.environ_key for field, _ in head(b'Proxy: http://evil').fields] == ['HTTP_HOST', None]


def test_environ_keys():
    parsed = head(b'content-type: a', b'Content-Length: 0', b'user-agent: b', b'X-Never-Seen-Before: c')
    keys = [field.environ_key for field, _ in parsed.fields]
    assert keys == [
        'HTTP_HOST',
        'CONTENT_TYPE',
        'CONTENT_LENGTH',
        'HTTP_USER_AGENT',
        'HTTP_X_NEVER_SEEN_BEFORE',
    ]


@rows(
    'host',
    [b'x', b'example.com', b'EXAMPLE.com:8080', b'a:', b'127.0.0.1:80', b'[::1]', b'[2001:db8::1]:443',
     b'my_service', b'xn--bcher-kva.example', b'a%20b', b"!$&'()*+,;=~"],
    ids=lambda host: f'S-H-07-{host!r}',
)  # fmt: skip
def test_host_is_accepted(host):
    assert values(head(host=b'Host: ' + host + b'\r\n'), 'host') == [host.decode()]


def test_S_H_07_http_1_0_needs_no_host():
    parsed = head(first=b'GET / HTTP/1.0', host=b'')
    assert parsed.version == '1.0'
    assert values(parsed, 'host') == []


@rows(
    ('target', 'path', 'query', 'scheme', 'authority'),
    [
        pytest.param(b'http://y/a?b', '/a', 'b', 'http', 'y', id='S-H-07-absolute'),
        pytest.param(b'https://y:8443', '/', '', 'https', 'y:8443', id='S-H-07-absolute-no-path'),
        pytest.param(b'HTTP://Y?q=/', '/', 'q=/', 'http', 'Y', id='S-H-07-absolute-query-only'),
        pytest.param(b'http://[::1]:80//a', '//a', '', 'http', '[::1]:80', id='S-H-07-absolute-ipv6'),
        pytest.param(b'/http://y/', '/http://y/', '', None, None, id='S-H-09-origin-like-absolute'),
        pytest.param(b'//evil/a', '//evil/a', '', None, None, id='S-H-09-two-slashes'),
        pytest.param(b'/a?b?c', '/a', 'b?c', None, None, id='S-H-09-two-questions'),
        pytest.param(b'/%00%2F;a=1|"<>{}\\^`', '/%00%2F;a=1|"<>{}\\^`', '', None, None, id='S-H-09-odd'),
    ],
)
def test_target_forms(target, path, query, scheme, authority):
    parsed = head(b'X: y', first=b'GET ' + target + b' HTTP/1.1')
    assert (parsed.target, parsed.path, parsed.query) == (target.decode(), path, query)
    assert (parsed.scheme, parsed.authority) == (scheme, authority)
    assert values(parsed, 'host') == [authority or 'x']


def test_S_H_07_absolute_form_in_http_1_0_gives_a_host():
    parsed = head(first=b'GET http://y/ HTTP/1.0', host=b'')
    assert values(parsed, 'host') == ['y']


def test_S_H_09_asterisk_is_for_options():
    parsed = head(first=b'OPTIONS * HTTP/1.1')
    assert (parsed.method, parsed.path, parsed.query) == ('OPTIONS', '*', '')


@rows('method', ['get', 'Get', "!#$%&'*+.^_`|~-", 'A' * 32, 'PROPFIND', '1'])
def test_S_H_10_method_is_kept_as_sent(method):
    assert head(first=method.encode() + b' / HTTP/1.1').method == method


@rows('version', ['1.2', '1.9'])
def test_higher_minor_version_is_answered_as_1_1(version):
    """Treat it as the highest minor version that we know (RFC 9110 2.5)."""
    assert head(first=f'GET / HTTP/{version}'.encode()).version == '1.1'


@rows(('version', 'status'), [('2.0', 505), ('0.9', 505), ('1.10', 400), ('1.x', 400)])
def test_other_version_is_refused(version, status):
    (event,) = feed(connect(), f'GET / HTTP/{version}\r\nHost: x\r\n\r\n'.encode())
    assert isinstance(event, Refused)
    assert event.status == status


def test_S_H_10_an_http_0_9_request_is_not_waited_for():
    (event,) = feed(connect(), b'GET /\r\n')
    assert isinstance(event, Refused)


def test_S_H_11_field_count():
    assert verdict(get(*[b'A: b'] * 99))[0][0] == 'request'
    assert verdict(get(*[b'A: b'] * 100)) == refused(431)
    assert verdict(get(b'A: b'), make=lambda: connect(max_headers=1)) == refused(431)


def both_ways(data: bytes, **limits) -> list[tuple]:
    """Return the story of bytes that are too long for `verdict`, whole and in parts of 4 KiB."""
    whole = story([data], False, lambda: connect(**limits))
    cut = [data[i : i + 4096] for i in range(0, len(data), 4096)]
    assert story(cut, False, lambda: connect(**limits)) == whole
    return whole


def test_S_H_11_head_size():
    fits = get(b'A: ' + b'b' * (65536 - len(get()) - len(b'A: \r\n')))
    assert len(fits) == 65536
    assert both_ways(fits)[0][0] == 'request'
    assert both_ways(fits[:-4] + b'b\r\n\r\n') == refused(431)
    assert both_ways(fits[:-4] + b'b' * 100000) == refused(431)
    assert both_ways(get(), max_head_size=10) == refused(414)


def test_S_H_11_head_size_does_not_depend_on_how_it_is_cut():
    fits = get(b'A: ' + b'b' * (200 - len(get()) - len(b'A: \r\n')))
    for head, expected in ((fits, 'request'), (fits[:-4] + b'b\r\n\r\n', 'refused')):
        whole = story([head], False, lambda: connect(max_head_size=200))
        assert whole[0][0] == expected
        for cut in range(1, len(head)):
            pieces = [head[:cut], head[cut:]]
            assert story(pieces, False, lambda: connect(max_head_size=200)) == whole, cut


def test_S_H_11_request_line():
    assert both_ways(get(first=b'GET /' + b'a' * 60000 + b' HTTP/1.1'))[0][0] == 'request'
    assert both_ways(get(first=b'GET /' + b'a' * 66000 + b' HTTP/1.1')) == refused(414)
    assert both_ways(b'GET /' + b'a' * 200000) == refused(414)


@pytest.mark.timeout(5)
@rows(
    'line',
    [b'A' + b' ' * 60000 + b'x', b'A: ' + b' ' * 60000 + b'\x00', b'A' * 60000, b'(' * 60000,
     b'Host: ' + b'%' * 60000,
     b'Host: ' + b'a.' * 30000 + b'@', b'Transfer-Encoding: ' + b'chunked,' * 7000,
     b'Connection: ' + b',' * 60000 + b'\x01'],
    ids=lambda line: f'S-H-12-{line[:12]!r}',
)  # fmt: skip
def test_long_bad_lines_cost_little(line):
    data = get(line)
    for _ in range(5):  # seconds, were there any backtracking
        (event,) = feed(connect(), data)
        assert isinstance(event, Refused)


class CountingBuffer(bytearray):
    """Counts the bytes that searches look at."""

    looked_at = 0

    def find(self, sub, start=0, end=None):
        CountingBuffer.looked_at += len(self) - start
        return super().find(sub, start, len(self) if end is None else end)

    def startswith(self, prefix, *args):
        CountingBuffer.looked_at += len(prefix)
        return super().startswith(prefix, *args)


def test_S_H_13_bytes_one_at_a_time_are_looked_at_once(monkeypatch):
    data = get(*[b'A: ' + b'b' * 200] * 20)
    connection = connect()
    connection._buffer = CountingBuffer(data[:1])
    CountingBuffer.looked_at = 0
    events = []
    for i in range(1, len(data)):
        events += feed(connection, data[i : i + 1])
    assert [type(event) for event in events] == [Request]
    assert len(data) > 4000
    assert CountingBuffer.looked_at < 30 * len(data)


@rows('before', [b'\r\n', b'\r\n\r\n', b'\r\n' * 4], ids=['1', '2', '4'])
def test_S_9_empty_lines_before_a_request(before):
    assert verdict(before + get())[0][0] == 'request'
    told = verdict((before + get()) * 6, eof=True)
    assert [entry[0] for entry in told].count('request') == 6
    assert verdict(before, eof=True) == [('closes', True)]


def test_S_9_too_many_empty_lines():
    assert verdict(b'\r\n' * 5 + get()) == refused(400)
    assert verdict(b'\r\n' * 5) == refused(400)


def test_S_9_empty_line_after_a_body():
    data = get(b'Content-Length: 2', first=b'POST / HTTP/1.1') + b'ok\r\n' + get()
    assert [entry[0] for entry in verdict(data)] == ['request', 'body'] * 2 + ['closes']


def test_garbage_is_not_waited_for():
    for data in (b'\x16\x03\x01', b'\x00', b' ', b'\x80', b'\n'):
        (event,) = feed(connect(), data)
        assert isinstance(event, Refused)


# -- S-H-17: Expect


def expecting(*lines: bytes) -> bytes:
    return get(b'Expect: 100-Continue', *lines, first=b'POST / HTTP/1.1')


CONTINUE = b'HTTP/1.1 100 Continue\r\n\r\n'


def test_S_H_17_continue_on_the_first_read_only():
    connection = connect()
    event = request(connection, expecting(b'Content-Length: 5'))
    assert event.head.expects_continue
    assert not event.complete
    assert connection.data_to_send() == b''
    assert connection.body_wanted(1) == CONTINUE
    assert connection.body_wanted(1) == b''
    piece, end = feed(connection, b'hello')
    assert piece.data == b'hello'
    assert isinstance(end, EndOfRequest)
    assert b'close' not in connection.respond(1, 200, [], b'')
    assert not connection.must_close


@rows('framing', [b'Content-Length: 5', b'Transfer-Encoding: chunked'])
def test_S_H_17_none_if_the_body_came(framing):
    connection = connect()
    body = b'hel' if b'Length' in framing else b'5\r\nhel'
    (event,) = feed(connection, expecting(framing) + body)
    assert event.body == b'hel'
    assert connection.body_wanted(1) == b''

    connection = connect()
    request(connection, expecting(framing))
    feed(connection, body)
    assert connection.body_wanted(1) == b''

    connection = connect()
    request(connection, expecting(framing))
    connection.receive_data(body)
    assert connection.body_wanted(1) == b''


def test_S_H_17_none_after_the_response_and_then_close():
    connection = connect()
    request(connection, expecting(b'Content-Length: 5'))
    assert b'\r\nConnection: close\r\n' in connection.send_response(1, 401, [(b'Content-Length', b'0')])
    assert connection.body_wanted(1) == b''
    connection.send_end(1)
    assert connection.must_close


@rows(('status', 'closes'), [(200, False), (404, False), (500, True)])
def test_S_F_13_an_error_after_expect_closes(status, closes):
    connection = connect()
    (event,) = feed(connection, expecting(b'Content-Length: 5') + b'hello')
    assert event.complete
    assert (b'\r\nConnection: close\r\n' in connection.respond(1, status, [], b'')) is closes
    assert connection.must_close is closes


def test_S_H_17_chunked():
    connection = connect()
    request(connection, expecting(b'Transfer-Encoding: chunked'))
    assert connection.body_wanted(1) == CONTINUE
    *_, end = feed(connection, b'2\r\nok\r\n0\r\n\r\n')
    assert isinstance(end, EndOfRequest)
    connection.respond(1, 200, [], b'')
    assert connection.idle


@rows(
    'data',
    [expecting(), expecting(b'Content-Length: 0'), get(b'Expect: 100-continue', b'Content-Length: 5',
     first=b'POST / HTTP/1.0'),
     get(b'Expect: whatever', first=b'GET / HTTP/1.0')],
    ids=['no-body', 'length-0', '1.0', '1.0-unknown'],
)  # fmt: skip
def test_S_H_17_nothing_to_wait_for(data):
    connection = connect()
    event = request(connection, data)
    assert not event.head.expects_continue
    assert connection.body_wanted(1) == b''


# -- S-H-18, S-H-19: Upgrade


@rows(
    'lines',
    [
        pytest.param([b'Upgrade: h2c', b'Connection: Upgrade, HTTP2-Settings',
            b'HTTP2-Settings: AAMAAABk'], id='S-H-18-h2c'),
        pytest.param([b'Upgrade: foo', b'Connection: upgrade'], id='S-H-19-unknown'),
        pytest.param([b'Upgrade: websocket'], id='S-H-19-no-connection'),
        pytest.param([b'Upgrade: websockets', b'Connection: upgrade'], id='S-H-19-similar'),
        pytest.param([b'Connection: upgrade'], id='S-H-19-no-upgrade'),
    ],
)  # fmt: skip
def test_upgrade_is_ignored(lines):
    connection = connect()
    event = request(connection, get(*lines))
    assert event.head.upgrade is None
    assert connection.respond(1, 200, [], b'').startswith(b'HTTP/1.1 200 ')
    assert connection.idle


@rows(
    'lines',
    [
        [b'Upgrade: websocket', b'Connection: Upgrade'],
        [b'upgrade: WebSocket', b'connection: keep-alive, UPGRADE'],
        [b'Upgrade: h2c, websocket', b'Connection: a', b'Connection: upgrade'],
    ],
)
def test_websocket_upgrade_is_seen(lines):
    assert head(*lines).upgrade == 'websocket'
    assert head(*lines, first=b'GET / HTTP/1.0').upgrade is None


@rows('framing', [b'Content-Length: 5', b'Transfer-Encoding: chunked'])
def test_S_H_19_the_body_of_an_upgrade_is_framed(framing):
    body = b'hello' if b'Length' in framing else b'5\r\nhello\r\n0\r\n\r\n'
    told = verdict(
        get(b'Upgrade: websocket', b'Connection: upgrade', framing, first=b'POST / HTTP/1.1') + body + get()
    )
    assert [entry[0] for entry in told] == ['request', 'body'] * 2 + ['closes']
    assert told[1][1] == b'hello'


# -- keep-alive


@rows(
    ('keeps', 'version', 'lines'),
    [
        (True, b'1.1', []),
        (True, b'1.1', [b'Connection: keep-alive']),
        (False, b'1.1', [b'Connection: close']),
        (False, b'1.1', [b'Connection: CLOSE']),
        (False, b'1.1', [b'Connection: x, close']),
        (False, b'1.1', [b'Connection: keep-alive', b'Connection: close']),
        (True, b'1.1', [b'Connection: closed']),
        (False, b'1.0', []),
        (True, b'1.0', [b'Connection: Keep-Alive']),
        (False, b'1.0', [b'Connection: keep-alive, close']),
    ],
)
def test_keep_alive(keeps, version, lines):
    data = get(*lines, first=b'GET / HTTP/' + version)
    connection = connect()
    assert request(connection, data).head.keep_alive is keeps
    response = connection.respond(1, 200, [], b'')
    assert connection.must_close is not keeps
    assert (b'\r\nConnection: close\r\n' in response) is not keeps
    assert (b'\r\nConnection: keep-alive\r\n' in response) is (keeps and version == b'1.0')


def test_keep_alive_off():
    connection = connect(keep_alive=False)
    request(connection)
    assert b'\r\nConnection: close\r\n' in connection.respond(1, 200, [], b'')
    assert connection.must_close


# -- the table of names


def test_spellings_of_a_name_with_a_role_share_one_field():
    assert field_for('content-length') is field_for('CONTENT-length') is field_for('Content-Length')


def test_the_table_of_names_is_bounded():
    kept = dict(NAMES)
    try:
        for n in range(2 * _MAX_NAMES):
            assert field_for(f'X-Filler-{n}').name == f'x-filler-{n}'
        field_for('Y' * 65)
        assert len(NAMES) <= _MAX_NAMES
        assert 'Y' * 65 not in NAMES
        parsed = head(b'x-not-in-the-table: 1', b'Content-Length: 0')
        assert parsed.content_length == 0
        assert verdict(get(b'Content-Length: 1', b'CONTENT-LENGTH: 1')) == refused(400)
    finally:
        NAMES.clear()
        NAMES.update(kept)


def test_field_for_refuses_what_is_not_a_token():
    with pytest.raises(BadRequest, match='invalid header name'):
        field_for('a b')


def test_an_end_between_requests_is_an_end():
    connection = Http1(Limits(), CLOCK)
    connection.receive_eof()
    assert connection.must_close
    assert pull(connection) == []


CLIENT_HELLO = b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\x0d'
PROXY_2 = b'\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c' + bytes(12)
PROXY_1 = b'PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n'


@rows(
    ('data', 'reason'),
    [
        (CLIENT_HELLO, 'TLS on a port without TLS'),
        (PROXY_2, 'unexpected data of the PROXY protocol'),
        (PROXY_1, 'unexpected data of the PROXY protocol'),
    ],
    ids=['TLS', 'PROXY 2', 'PROXY 1'],
)
def test_bytes_of_another_protocol_are_named(data, reason):
    http = Http1(LIMITS, CLOCK)
    http.receive_data(data)
    event = http.next_event()
    assert isinstance(event, Refused)
    assert (event.status, event.reason) == (400, reason)
