"""wsgi.input: any split of the bytes gives the same reads as a file of the whole."""

from __future__ import annotations

import io
import itertools
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from granian.stream import RequestBodyError
from granian.wsgi.input import Input
from tests.support.rows import rows
from tests.support.wsgi_fakes import FakeStream, make_head, serve

Part = st.sampled_from([b'a', b'\n', b'\r', b'xyz', b'\n\n', b'line\n', bytes(range(256))])
Body = st.lists(Part, max_size=12)
Size = st.one_of(st.none(), st.integers(-1, 12), st.just(10**9))
Call = st.one_of(
    st.tuples(st.just('read'), Size),
    st.tuples(st.just('readline'), Size),
    st.tuples(st.just('readlines'), Size),
    st.tuples(st.just('next'), st.none()),
)


def source(pieces):
    iterator = iter(pieces)

    def receive():
        piece = next(iterator, b'')
        if isinstance(piece, Exception):
            raise piece
        return piece

    return receive


def ask(file, call, size):
    if call == 'next':
        return next(file, 'stop')
    return getattr(file, call)(size)


@given(parts=Body, cuts=st.lists(st.integers(0, 3000), max_size=8), calls=st.lists(Call, max_size=12))
def test_any_split_reads_like_a_file(parts, cuts, calls):
    whole = b''.join(parts)
    marks = sorted({0, len(whole), *(cut % (len(whole) + 1) for cut in cuts)})
    pieces = [whole[start:end] for start, end in itertools.pairwise(marks)]
    ours, theirs = Input(source(pieces)), io.BytesIO(whole)
    for call, size in calls:
        assert ask(ours, call, size) == ask(theirs, call, size), (call, size)
    assert ours.read() == theirs.read()
    assert ours.read() == ours.readline() == b''
    assert list(ours) == []


def test_byte_by_byte_is_linear_in_calls():
    calls = 0
    pieces = [b'x'] * 5000 + [b'\n'] + [b'y'] * 5000

    def receive():
        nonlocal calls
        calls += 1
        return pieces[calls - 1] if calls <= len(pieces) else b''

    file = Input(receive)
    assert file.readline() == b'x' * 5000 + b'\n'
    assert calls == 5001
    assert file.read(5000) == b'y' * 5000
    assert calls == 10001
    assert file.read(1) == b''
    assert calls == 10002
    assert file.read() == b''
    assert calls == 10002


def test_it_does_not_wait_for_more_than_was_asked():
    file = Input(source([b'abc\nde', AssertionError('waited')]))
    assert file.read(2) == b'ab'
    assert file.readline() == b'c\n'
    assert file.read1(100) == b'de'
    assert file.read(0) == file.readline(0) == file.read1(0) == b''


def test_read1_and_readinto_and_text():
    file = Input(source([b'ab', b'cd', b'ef']))
    assert file.read1(1) == b'a'
    assert file.read1() == b'b'
    target = bytearray(3)
    assert file.readinto(target) == 3
    assert target == b'cde'
    assert io.TextIOWrapper(Input(source([b'\xc3', b'\xa9\n', b'x'])), 'utf-8').read() == 'é\nx'


@rows('call', ['read', 'readline', 'readlines', 'read1'])
def test_a_broken_body_is_never_a_shorter_one(call):
    file = Input(source([b'ab', RequestBodyError('cut short')]))
    if call == 'read1':
        assert file.read1() == b'ab'
    for _ in range(3):
        with pytest.raises(RequestBodyError, match='cut short') as caught:
            getattr(file, call)()
        assert isinstance(caught.value, OSError)


def test_what_came_before_the_break_can_be_read():
    file = Input(source([b'ab\ncd', RequestBodyError('cut short')]))
    assert file.read(2) == b'ab'
    assert file.readline() == b'\n'
    with pytest.raises(RequestBodyError):
        file.read(3)
    with pytest.raises(RequestBodyError):
        file.read(1)


def test_iteration_breaks_too():
    lines = iter(Input(source([b'a\nb', RequestBodyError('x')])))
    assert next(lines) == b'a\n'
    with pytest.raises(RequestBodyError):
        next(lines)


def test_an_input_kept_beyond_its_request_is_dead():
    kept = []

    def app(environ, start_response):
        kept.append(environ['wsgi.input'])
        assert environ['wsgi.input'].read(1) == b'a'
        start_response('204 No Content', [])
        return []

    stream = serve(app, FakeStream(make_head('POST'), b'ab', pieces=[b'ab', b'next request']))
    with pytest.raises(RequestBodyError, match='ended'):
        kept[0].read()
    assert stream.reads == 1


def test_the_whole_body_in_hand_is_never_read_from_the_stream():
    def app(environ, start_response):
        assert environ['wsgi.input'].readlines() == [b'a\n', b'b']
        assert environ['wsgi.input'].read() == b''
        start_response('204 No Content', [])
        return []

    stream = serve(app, FakeStream(make_head('POST'), b'a\nb'))
    assert stream.status == 204
    assert stream.reads == 0


@rows('status', [400, 408, 431])
def test_a_body_error_out_of_the_application_is_the_clients_and_no_error_of_ours(caplog, status):
    def app(environ, start_response):
        with suppress(OSError):
            environ['wsgi.input'].read()
        environ['wsgi.input'].read()  # it fails again, for the same reason
        raise AssertionError('not reached')

    stream = serve(app, FakeStream(make_head('POST'), pieces=[b'a', RequestBodyError('cut short', status)]))
    assert (stream.status, stream.ended) == (status, True)
    assert not [record for record in caplog.records if record.levelname != 'DEBUG']


def test_a_body_error_after_the_response_began_breaks_it_off(caplog):
    def app(environ, start_response):
        start_response('200 OK', [('Content-Type', 'text/plain')])
        yield b'begun'
        environ['wsgi.input'].read()

    stream = serve(app, FakeStream(make_head('POST'), pieces=[RequestBodyError('cut short')]))
    assert (stream.status, stream.data, stream.aborted, stream.ended) == (200, b'begun', True, False)


def test_an_application_may_handle_it():
    def app(environ, start_response):
        try:
            environ['wsgi.input'].read()
        except OSError:
            start_response('422 Unprocessable Content', [('Content-Type', 'text/plain')])
            return [b'cut']
        raise AssertionError('not reached')

    stream = serve(app, FakeStream(make_head('POST'), pieces=[RequestBodyError('cut short')]))
    assert (stream.status, stream.data) == (422, b'cut')
