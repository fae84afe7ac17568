"""wsgiref.validate finds nothing to complain of, on any path."""

from __future__ import annotations

import io
import sys
import warnings
from wsgiref.validate import validator

import pytest

from tests.support.rows import rows
from tests.support.wsgi_fakes import TEXT, FakeStream, make_head, serve

SIZED = (('Host', 'h'), ('Content-Length', '12'))
CHUNKED = (('Host', 'h'), ('Transfer-Encoding', 'chunked'))


def listed(environ, start_response):
    start_response('200 OK', list(TEXT))
    return [b'hello']


def generated(environ, start_response):
    start_response('200 OK', list(TEXT))
    yield b'hel'
    yield b''
    yield b'lo'


def late(environ, start_response):
    yield from generated(environ, start_response)


def written(environ, start_response):
    write = start_response('200 OK', list(TEXT))
    write(b'hel')
    return [b'lo']


def filed(environ, start_response):
    start_response('200 OK', list(TEXT))
    return environ['wsgi.file_wrapper'](io.BytesIO(b'hello'), 2)


def empty(environ, start_response):
    start_response('304 Not Modified', [('ETag', '"x"')])
    return []


def echoed(environ, start_response):
    body = environ['wsgi.input']
    parts = [
        body.read(1),
        body.readline(),
        body.readline(2),
        *body.readlines(3),
        *body,
        body.read(-1),
        body.read(1),
    ]
    start_response('200 OK', list(TEXT))
    return parts


def replaced(environ, start_response):
    start_response('200 OK', list(TEXT))
    try:
        raise ValueError
    except ValueError:
        start_response('500 Oops', list(TEXT), sys.exc_info())
    return [b'hello']


def complaining(environ, start_response):
    environ['wsgi.errors'].write('')
    environ['wsgi.errors'].writelines([])
    environ['wsgi.errors'].flush()
    return listed(environ, start_response)


def check(app, stream, caplog, capsys, **options):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        serve(validator(app), stream, **options)
    assert not caplog.records, caplog.records[0].exc_text
    assert capsys.readouterr().err == ''
    assert stream.ended
    return stream


@rows('app', [listed, generated, late, written, filed, empty, replaced, complaining])
@rows('method', ['GET', 'HEAD', 'DELETE'])
@rows('version', ['1.0', '1.1', '2'])
def test_every_way_to_answer(app, method, version, caplog, capsys):
    stream = check(app, FakeStream(make_head(method, '/a?b', version=version)), caplog, capsys)
    bodiless = method == 'HEAD' or app is empty
    assert stream.data == (b'' if bodiless else b'hello')


@pytest.mark.parametrize(
    'stream',
    [
        FakeStream(make_head('POST', headers=SIZED), b'a\nbcd\nefg\nhi'),
        FakeStream(
            make_head('POST', headers=SIZED),
            pieces=[b'a\nbcd', b'\nefg\nhi'],
        ),
        FakeStream(make_head('POST', headers=CHUNKED, chunked=True), b'a\nbcd\nefg\nhi'),
        FakeStream(make_head('POST', headers=CHUNKED, chunked=True), pieces=[b'a', b'\nbcd\nefg\nh', b'i']),
    ],
    ids=['whole', 'pieces', 'chunked', 'chunked pieces'],
)
def test_every_way_to_read(stream, caplog, capsys):
    assert check(echoed, stream, caplog, capsys).data == b'a\nbcd\nefg\nhi'


@pytest.mark.parametrize('path', ['/p', '/p/', '/p/x'])
def test_under_a_prefix(path, caplog, capsys):
    check(listed, FakeStream(make_head(target=path)), caplog, capsys, url_path_prefix='/p')


def test_the_server_as_a_whole(caplog, capsys):
    check(listed, FakeStream(make_head('OPTIONS', '*')), caplog, capsys)


def test_many_headers_some_twice(caplog, capsys):
    headers = (('Host', 'h'), ('A_B', '1'), ('Proxy', 'x'), ('X', '1'), ('X', '2'), ('Content-Type', 'a/b'))
    check(listed, FakeStream(make_head(headers=headers)), caplog, capsys)


def test_on_a_unix_socket_with_tls(caplog, capsys):
    stream = FakeStream()
    stream.client, stream.server, stream.scheme = None, '/run/x', 'https'
    check(listed, stream, caplog, capsys)


def test_closed_when_the_client_leaves(caplog, capsys):
    stream = FakeStream()
    stream.gone_after = 3
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        serve(validator(generated), stream)
    assert capsys.readouterr().err == ''  # it writes there of an iterator that was not closed
    assert stream.aborted
