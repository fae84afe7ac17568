"""environ, against PEP 3333, RFC 3875 and reference behaviour of the prefix."""

from __future__ import annotations

from granian import __version__
from granian.protocol.http1.grammar import parse_head
from granian.protocol.limits import Limits
from granian.stream import TLSInfo
from granian.wsgi import upgrade
from tests.support.rows import rows
from tests.support.wsgi_fakes import FakeStream, environ_of, make_head, returning, serve


def test_a_plain_request():
    head = make_head(target='/a%20b/%C3%A9?x=%201&y', headers=(('Host', 'h:1'), ('X-One', '1')))
    env = environ_of(FakeStream(head))
    body = env.pop('wsgi.input')
    env.pop('wsgi.errors')
    env.pop('wsgi.file_wrapper')
    assert callable(env.pop('wsgi.early_hints'))
    assert body.read() == b''
    assert env == {
        'REQUEST_METHOD': 'GET',
        'SCRIPT_NAME': '',
        'PATH_INFO': '/a b/\xc3\xa9',
        'QUERY_STRING': 'x=%201&y',
        'REQUEST_URI': '/a%20b/%C3%A9?x=%201&y',
        'RAW_URI': '/a%20b/%C3%A9?x=%201&y',
        'SERVER_PROTOCOL': 'HTTP/1.1',
        'SERVER_NAME': '127.0.0.1',
        'SERVER_PORT': '8000',
        'SERVER_SOFTWARE': f'granian/{__version__}',
        'REMOTE_ADDR': '192.0.2.7',
        'REMOTE_PORT': '54321',
        'HTTP_HOST': 'h:1',
        'HTTP_X_ONE': '1',
        'wsgi.version': (1, 0),
        'wsgi.url_scheme': 'http',
        'wsgi.input_terminated': True,
        'wsgi.multithread': True,
        'wsgi.multiprocess': False,
        'wsgi.run_once': False,
    }
    assert type(env) is dict


@rows(('version', 'protocol'), [('1.0', 'HTTP/1.0'), ('1.1', 'HTTP/1.1'), ('2', 'HTTP/2.0')])
def test_server_protocol(version, protocol):
    assert environ_of(FakeStream(make_head(version=version)))['SERVER_PROTOCOL'] == protocol


@rows('multithread', [True, False])
@rows('multiprocess', [True, False])
def test_multithread_and_multiprocess_are_what_we_were_told(multithread, multiprocess):
    env = environ_of(multithread=multithread, multiprocess=multiprocess)
    assert (env['wsgi.multithread'], env['wsgi.multiprocess']) == (multithread, multiprocess)


def test_repeated_headers_are_joined_in_order():
    headers = (('X-A', '1'), ('Cookie', 'a=1'), ('X-B', 'b'), ('X-A', '2'), ('Cookie', 'b=2'), ('X-A', ''))
    env = environ_of(FakeStream(make_head(headers=headers)))
    assert env['HTTP_X_A'] == '1,2,'
    assert env['HTTP_COOKIE'] == 'a=1; b=2'
    assert env['HTTP_X_B'] == 'b'


def test_fields_that_wsgi_must_not_see_are_dropped():
    headers = (('Host', 'h'), ('X_A', 'evil'), ('Proxy', 'evil'), ('X-A', 'good'), ('Content_Length', '9'))
    env = environ_of(FakeStream(make_head(headers=headers)))
    assert env['HTTP_X_A'] == 'good'
    assert None not in env
    assert 'HTTP_PROXY' not in env
    assert 'evil' not in env.values()
    assert 'CONTENT_LENGTH' not in env


def test_a_dropped_and_a_repeated_field_do_not_cancel_out():
    headers = (('Host', 'h'), ('X_A', '1'), ('X-B', '1'), ('X-B', '2'))
    env = environ_of(FakeStream(make_head(headers=headers)))
    assert env['HTTP_X_B'] == '1,2'
    assert None not in env


def test_many_repeats():
    env = environ_of(FakeStream(make_head(headers=[('X-A', 'v')] * 2000)))
    assert env['HTTP_X_A'] == ','.join('v' * 2000)


def test_content_type_and_length():
    headers = (('Host', 'h'), ('Content-Type', 'text/plain'), ('Content-Length', '3'))
    env = environ_of(FakeStream(make_head('POST', headers=headers), b'abc'))
    assert (env['CONTENT_TYPE'], env['CONTENT_LENGTH']) == ('text/plain', '3')
    assert 'HTTP_CONTENT_TYPE' not in env
    assert 'HTTP_CONTENT_LENGTH' not in env
    assert env['wsgi.input'].read() == b'abc'


def test_a_chunked_body_that_is_all_there_has_a_length_as_cgi_asks():
    head = make_head('POST', headers=(('Host', 'h'), ('Transfer-Encoding', 'chunked')), chunked=True)
    env = environ_of(FakeStream(head, b'abc'))
    assert env['CONTENT_LENGTH'] == '3'
    assert env['wsgi.input'].read() == b'abc'


def test_a_chunked_body_of_unknown_length_has_none():
    head = make_head('POST', headers=(('Host', 'h'), ('Transfer-Encoding', 'chunked')), chunked=True)
    env = environ_of(FakeStream(head, b'a', pieces=[b'a', b'bc']))
    assert 'CONTENT_LENGTH' not in env
    assert env['wsgi.input_terminated'] is True


@rows(
    ('path', 'info'),
    [
        ('/', '/'), ('//p', '//p'), ('/%2Fa%2f', '//a/'), ('/%', '/%'), ('/%zz%4', '/%zz%4'), ('/%00', '/\0'),
        ('/a%2525', '/a%25'), ('/a+b', '/a+b'), ('/\xe9', '/\xe9'), ('/\xe9%20', '/\xe9 '),
        ('/%FF', '/\xff'), ('*', ''),
    ],
)  # fmt: skip
def test_path_info(path, info):
    env = environ_of(FakeStream(make_head(target=path)))
    assert env['PATH_INFO'] == info
    assert env['REQUEST_URI'] == path


@rows('option', ['/p', 'p', '/p/', 'p//'])
@rows(
    ('path', 'info'),
    [
        ('/p', ''), ('/p/', '/'), ('/p/a', '/a'), ('/p//a', '//a'), ('/%70/a', '/a'), ('/p%2Fa', '/a'),
        ('/p/p', '/p'), ('/p/%70', '/p'),
        ('/pq', None), ('/', None), ('//p', None), ('/P', None), ('/%2570', None), ('*', None),
        ('/q/p', None),
    ],
)  # fmt: skip
def test_prefix(option, path, info):
    stream = FakeStream(make_head(target=path))
    env = environ_of(stream, url_path_prefix=option)
    if info is None:
        assert env == {}
        assert (stream.status, stream.ended) == (404, True)
    else:
        assert (env['SCRIPT_NAME'], env['PATH_INFO'], env['RAW_URI']) == ('/p', info, path)
        assert stream.status == 200


@rows('option', [None, '', '/', '//'])
def test_no_prefix(option):
    env = environ_of(FakeStream(make_head(target='/p')), url_path_prefix=option)
    assert (env['SCRIPT_NAME'], env['PATH_INFO']) == ('', '/p')


def test_a_prefix_of_two_segments_and_beyond_ascii():
    env = environ_of(FakeStream(make_head(target='/a/%C3%A9/x')), url_path_prefix='/a/é')
    assert (env['SCRIPT_NAME'], env['PATH_INFO']) == ('/a/\xc3\xa9', '/x')


def test_a_prefix_404_is_quiet_and_whole(caplog):
    stream = serve(returning([b'']), FakeStream(make_head(target='/x')), url_path_prefix='/p')
    assert (stream.status, stream.data, stream.log) == (404, b'404 Not Found\n', ['respond'])
    assert not caplog.records


def test_a_unix_socket():
    stream = FakeStream()
    stream.client, stream.server = None, '/run/app.sock'
    env = environ_of(stream)
    assert env['REMOTE_ADDR'] == ''
    assert (env['SERVER_NAME'], env['SERVER_PORT']) == ('localhost', '80')


def test_ipv6():
    stream = FakeStream()
    stream.client, stream.server = ('::1', 5), ('::1', 8000)
    env = environ_of(stream)
    assert (env['SERVER_NAME'], env['SERVER_PORT'], env['REMOTE_ADDR']) == ('[::1]', '8000', '::1')


def test_one_handler_serves_many_addresses_and_schemes():
    from granian.wsgi import make_handler

    seen = []

    def app(environ, start_response):
        seen.append((environ['SERVER_NAME'], environ['SERVER_PORT'], environ['wsgi.url_scheme']))
        environ['SERVER_NAME'] = 'changed by the application'
        environ.clear()
        start_response('204 No Content', [])
        return []

    handler = make_handler(app, multithread=True, multiprocess=True)
    asked = []
    for round_ in range(2):
        for number in range(100):
            for scheme in ('http', 'https'):
                stream = FakeStream()
                stream.scheme, stream.server = scheme, (f'10.0.0.{number}', 80 + round_)
                handler(stream)
                asked.append((f'10.0.0.{number}', str(80 + round_), scheme))
    assert seen == asked


def test_tls():
    stream = FakeStream()
    stream.scheme = 'https'
    stream.tls = TLSInfo('TLSv1.3', 'TLS_AES_256_GCM_SHA384')
    env = environ_of(stream)
    assert (env['wsgi.url_scheme'], env['HTTPS']) == ('https', 'on')
    assert (env['SSL_PROTOCOL'], env['SSL_CIPHER']) == ('TLSv1.3', 'TLS_AES_256_GCM_SHA384')
    assert env['SSL_CLIENT_VERIFY'] == 'NONE'
    assert 'SSL_CLIENT_CERT' not in env
    assert 'HTTPS' not in environ_of()


def test_a_client_certificate():
    import ssl

    der = bytes(range(256)) * 3
    stream = FakeStream()
    stream.scheme = 'https'
    stream.tls = TLSInfo('TLSv1.2', 'X', None, der, 'CN=Zoë,O=x')
    env = environ_of(stream)
    assert env['SSL_CLIENT_VERIFY'] == 'SUCCESS'
    assert env['SSL_CLIENT_S_DN'] == 'CN=Zo\xc3\xab,O=x'
    assert env['SSL_CLIENT_CERT'] == ssl.DER_cert_to_PEM_cert(der)


def test_wsgi_errors_is_standard_error(capsys):
    errors = environ_of()['wsgi.errors']
    print('one', file=errors)
    errors.writelines(['two\n', 'three\n'])
    errors.flush()
    assert capsys.readouterr().err == 'one\ntwo\nthree\n'


HOP_BY_HOP = ['Connection', 'Keep-Alive', 'Proxy-Connection', 'TE', 'Trailer', 'Transfer-Encoding', 'Upgrade']


def test_hop_by_hop_fields_are_kept_from_the_application():
    lines = ['Host: x', 'Accept: y', 'Transfer-Encoding: chunked']
    lines += [f'{name}: x' for name in HOP_BY_HOP if name != 'Transfer-Encoding']
    head = parse_head('\r\n'.join(['POST / HTTP/1.1', *lines]).encode(), Limits())
    env = environ_of(FakeStream(head))
    assert {key for key in env if str(key).startswith('HTTP_')} == {'HTTP_HOST', 'HTTP_ACCEPT'}
    assert None not in env


@rows('name', ['Connection', 'TE', 'Keep-Alive'])
@rows('others', ['', 'Cookie: a\r\nCookie: b\r\n'])
def test_hop_by_hop_fields_do_not_hide_the_others(name, others):
    text = f'GET / HTTP/1.1\r\nHost: x\r\n{others}{name}: x\r\nX-A: 1'
    env = environ_of(FakeStream(parse_head(text.encode(), Limits())))
    assert (env['HTTP_HOST'], env['HTTP_X_A']) == ('x', '1')
    assert env.get('HTTP_COOKIE') == ('a; b' if others else None)
    assert None not in env


def test_websocket_handshake_keeps_its_fields(caplog):
    text = b'GET /chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, x\r\nUpgrade: websocket'
    seen = []

    def app(environ, start_response):
        seen.append((environ['HTTP_CONNECTION'], environ['HTTP_UPGRADE']))
        start_response('400 Bad Request', [])
        return [b'no']

    upgrade.explained.clear()
    for _ in range(2):
        serve(app, FakeStream(parse_head(text, Limits())))
    assert seen == [('Upgrade, x', 'websocket')] * 2
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith('GET /chat asks for a WebSocket')
