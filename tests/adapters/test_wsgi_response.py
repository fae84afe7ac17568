"""start_response, write, the iterable and its end."""

from __future__ import annotations

import sys

import pytest

from tests.support.rows import rows
from tests.support.wsgi_fakes import (
    TEXT,
    Body,
    ClientDisconnected,
    FakeStream,
    InvalidResponse,
    SizedBody,
    make_head,
    returning,
    serve,
)


def errors_in(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= 40]


def whole(stream: FakeStream) -> tuple:
    assert stream.ended
    assert not stream.aborted
    return stream.status, stream.data, stream.header('content-length')


# -- the way out


@rows('result', [[b'hello'], (b'hello',), [b'he', b'llo'], [b'', b'hello', b''], SizedBody(b'hello')])
def test_a_body_whose_length_is_known_leaves_in_one_go(result):
    stream = serve(returning(result))
    assert whole(stream) == (200, b'hello', '5')
    assert stream.log == ['respond']
    assert stream.reason is None  # the registered one
    assert stream.header('content-type') == 'text/plain'


@rows('result', [[], (), [b''], [b'', b''], iter([]), Body(), Body(b'')])
def test_an_empty_body(result):
    assert whole(serve(returning(result))) == (200, b'', '0')


def test_a_generator_is_sent_piece_by_piece():
    stream = serve(returning(Body(b'', b'a', b'', b'b')))
    assert whole(stream) == (200, b'ab', None)
    assert stream.log == ['head', 'data', 'data', 'end']


def test_a_generator_with_content_length_in_one_block_leaves_in_one_go():
    stream = serve(returning(Body(b'hello'), headers=[('content-LENGTH', '5')]))
    assert whole(stream) == (200, b'hello', '5')
    assert stream.log == ['respond']


def test_each_block_leaves_before_the_next_is_made():
    stream = FakeStream()

    def blocks():
        assert stream.data == b''
        yield b'a'
        assert stream.data == b'a'
        yield b'b'
        assert stream.data == b'ab'

    assert whole(serve(returning(blocks()), stream)) == (200, b'ab', None)


def test_a_long_list_is_not_joined_but_has_a_length():
    block = b'x' * 50000
    stream = serve(returning([block, block]))
    assert whole(stream) == (200, block * 2, '100000')
    assert stream.log == ['head', 'data', 'data', 'end']


def test_short_blocks_of_a_long_list_are_joined():
    blocks = [b'%d' % number * 10000 for number in range(10)]
    stream = serve(returning(tuple(blocks)))
    assert whole(stream) == (200, b''.join(blocks), '100000')
    assert stream.log == ['head', 'data', 'data', 'end']


def test_a_list_subclass_is_iterated_and_closed():
    class Closing(list):
        closed = 0

        def close(self):
            self.closed += 1

    body = Closing([b'a'])
    assert whole(serve(returning(body))) == (200, b'a', '1')
    assert body.closed == 1


@rows(
    ('status', 'code', 'reason'),
    [
        ('200 OK', 200, None), ('200 Fine', 200, b'Fine'), ('404 Not  Found', 404, b'Not  Found'),
        ('200', 200, None), ('200 ', 200, b''),
        ('299 Bien s\xfbr', 299, b'Bien s\xfbr'), ('599 X', 599, b'X'),
    ],
)  # fmt: skip
def test_status_lines(status, code, reason):
    """Return None for a registered phrase, which the protocol room has."""
    stream = serve(returning([b'x'], status))
    assert (stream.status, stream.reason) == (code, reason)


@rows(
    'status',
    [200, None, b'200 OK', '', 'OK', '20', '2000 OK', '200OK', '100 Continue', '199 X', '200 O\nK',
     '200 O\rK', '200 \0', ' 200 OK', '\u0662\u0660\u0660 OK', '200 \u20ac', '200 OK\n'],
)  # fmt: skip
def test_bad_statuses_are_one_clear_error(status, caplog):
    stream = serve(returning([b'x'], status))
    assert (stream.status, stream.data) == (500, b'500 Internal Server Error\n')
    (message,) = errors_in(caplog)
    assert 'status' in message
    assert '\n' not in message
    assert caplog.records[0].exc_info is None


# -- headers


def test_headers_keep_order_case_and_repeats():
    headers = [('X-b', '1'), ('Set-Cookie', 'a=1'), ('Set-Cookie', 'b=2'), ('x-A', 'caf\xe9\tx')]
    stream = serve(returning([b'x'], headers=headers))
    assert stream.headers[:4] == [
        (b'X-b', b'1'), (b'Set-Cookie', b'a=1'), (b'Set-Cookie', b'b=2'), (b'x-A', b'caf\xe9\tx'),
    ]  # fmt: skip


@rows(
    ('headers', 'named'),
    [
        ([('X-A', 5)], 'X-A'), ([('X-A', b'x')], 'X-A'), ([('X-A', None)], 'X-A'), ([(b'X-A', 'x')], 'X-A'),
        ([('X-A', 'x', 'y')], 'X-A'), ([['X-A', 5]], 'X-A'), ([('X-A', ['x'])], 'X-A'), (['X-A: x'], 'X-A'),
        ([('X-A',)], 'X-A'), ([(5, 'x')], '5'), ([('', 'x')], "''"), ([('X A', 'x')], 'X A'),
        ([('X-A:', 'x')], 'X-A:'),
        ([('X-\xe9', 'x')], 'X-'), ([('X-A\r\nEvil', 'x')], 'Evil'), ([('X-A', 'a\r\nEvil: 1')], 'X-A'),
        ([('X-A', 'a\nb')], 'X-A'), ([('X-A', 'a\0b')], 'X-A'), ([('X-A', 'a\x1fb')], 'X-A'),
        ([('X-A', 'a\n')], 'X-A'),
        ([('X-A', '\u20ac')], 'X-A'), (None, 'NoneType'), (5, 'int'), ([None], 'None'), ({'X-A': 'x'}, 'X-A'),
    ],
)  # fmt: skip
def test_bad_headers_are_one_clear_error_that_names_them(headers, named, caplog):
    def app(environ, start_response):
        start_response('200 OK', headers)
        return [b'x']

    for _ in range(2):
        caplog.clear()
        stream = serve(app)
        assert (stream.status, stream.data) == (500, b'500 Internal Server Error\n')
        assert stream.header('x-a') is None
        (message,) = errors_in(caplog)
        assert named.lower() in message.lower()
        assert '\n' not in message
        assert caplog.records[0].exc_info is None


@rows('blocks', [[b'x'], [b'x', b'y'], iter([b'x'])])
@rows(
    'headers',
    [
        [['X-A', '1'], ['X-B', '2']],
        [['X-A', '1'], ('X-B', '2')],
        [('X-A', '1'), ['X-B', '2']],
        (('X-A', '1'), ['X-B', '2']),
        {'X-A': '1', 'X-B': '2'}.items(),
    ],
)
def test_headers_as_lists_are_taken(headers, blocks, caplog):
    stream = serve(returning(blocks, headers=headers))
    assert stream.status == 200
    assert (stream.header('x-a'), stream.header('x-b')) == ('1', '2')
    assert errors_in(caplog) == []


def test_an_application_may_catch_the_error_and_try_again():
    def app(environ, start_response):
        with pytest.raises(InvalidResponse):
            start_response('200\n', list(TEXT))
        start_response('200 OK', list(TEXT))
        return [b'x']

    assert whole(serve(app)) == (200, b'x', '1')


def test_the_table_of_statuses_stays_bounded():
    from granian.wsgi.handler import statuses

    for number in range(1000):
        serve(returning([b'x'], f'200 {number}'))
        assert len(statuses) <= statuses.LIMIT


def test_headers_changed_after_start_response_do_not_matter():
    def app(environ, start_response):
        headers = [('X-A', '1')]
        start_response('200 OK', headers)
        headers.append(('X-B', 'a\r\nb'))
        return [b'x']

    assert serve(app).header('x-b') is None


# -- start_response


def test_late_start_response():
    def app(environ, start_response):
        start_response('201 Created', list(TEXT))
        yield b'late'

    assert whole(serve(app)) == (201, b'late', None)


def test_late_start_response_after_an_empty_block():
    def app(environ, start_response):
        yield b''
        start_response('201 Created', list(TEXT))
        yield b''
        yield b'late'

    assert whole(serve(app)) == (201, b'late', None)


@rows('result', [[b'x'], [], Body(b'x'), Body(), [b'a', b'b'], SizedBody(b'x')])
def test_start_response_never_called(result, caplog):
    stream = serve(lambda environ, start_response: result)
    assert whole(stream)[:2] == (500, b'500 Internal Server Error\n')
    (message,) = errors_in(caplog)
    assert 'start_response' in message


def test_a_second_start_response_without_exc_info(caplog):
    def app(environ, start_response):
        start_response('200 OK', list(TEXT))
        with pytest.raises(AssertionError, match='start_response'):
            start_response('201 Created', list(TEXT))
        return [b'x']

    assert serve(app).status == 200
    assert not errors_in(caplog)


def test_exc_info_replaces_the_head_before_it_has_left():
    def app(environ, start_response):
        start_response('200 OK', [('X-First', '1')])
        try:
            raise ValueError('oops')
        except ValueError:
            start_response('503 Service Unavailable', list(TEXT), sys.exc_info())
        return [b'sorry']

    stream = serve(app)
    assert whole(stream) == (503, b'sorry', '5')
    assert stream.header('x-first') is None


def test_exc_info_is_raised_again_after_the_head_has_left(caplog):
    error = ValueError('half way')

    def app(environ, start_response):
        start_response('200 OK', list(TEXT))
        yield b'begun'
        try:
            raise error
        except ValueError:
            start_response('500 Oops', list(TEXT), sys.exc_info())
        raise AssertionError('not reached')

    stream = serve(app)
    assert (stream.status, stream.data, stream.aborted, stream.ended) == (200, b'begun', True, False)
    (record,) = [record for record in caplog.records if record.levelno >= 40]
    assert record.exc_info[1] is error


def test_exc_info_may_come_with_the_first_call():
    def app(environ, start_response):
        try:
            raise ValueError
        except ValueError:
            start_response('500 Oops', list(TEXT), sys.exc_info())
        return [b'x']

    assert whole(serve(app)) == (500, b'x', '1')


# -- write


def test_write_and_the_iterable_in_order():
    def app(environ, start_response):
        write = start_response('200 OK', list(TEXT))
        write(b'')
        write(b'a')
        write(b'b')
        return [b'c']

    stream = serve(app)
    assert whole(stream) == (200, b'abc', None)
    assert stream.log == ['head', 'data', 'data', 'data', 'end']


def test_write_alone():
    def app(environ, start_response):
        start_response('200 OK', [('Content-Length', '2')])(b'ab')
        return []

    assert whole(serve(app)) == (200, b'ab', '2')


def test_write_refuses_text(caplog):
    def app(environ, start_response):
        start_response('200 OK', list(TEXT))('text')
        return []

    assert serve(app).status == 500
    assert 'write() takes bytes, not str' in errors_in(caplog)[0]


def test_what_an_application_keeps_is_dead():
    kept = []

    def app(environ, start_response):
        kept.append(start_response('200 OK', list(TEXT)))
        kept.append(environ['wsgi.early_hints'])
        return [b'x']

    stream = serve(app)
    with pytest.raises(InvalidResponse, match='after the end'):
        kept[0](b'more')
    kept[1]([('Link', '</x>')])
    assert whole(stream) == (200, b'x', '1')
    assert stream.informational == []


def test_early_hints():
    def app(environ, start_response):
        environ['wsgi.early_hints']([('Link', '</style.css>; rel=preload')])
        with pytest.raises(InvalidResponse):
            environ['wsgi.early_hints']([('Link', 'a\r\nb')])
        start_response('200 OK', list(TEXT))
        return [b'x']

    assert serve(app).informational == [(103, [(b'Link', b'</style.css>; rel=preload')])]


# -- lengths


def test_more_than_content_length_is_cut_and_told(caplog):
    bodies = [Body(b'abc', b'def'), Body(b'abcde', b'f'), Body(b'abcdef'), Body(b'abcd', b'ef')]
    for body in [*bodies, SizedBody(b'abcdef'), [b'abcdef'], [b'abc', b'def']]:
        caplog.clear()
        stream = serve(returning(body, headers=[('Content-Length', '4')]))
        assert whole(stream) == (200, b'abcd', '4')
        assert len(errors_in(caplog)) == 1
        assert isinstance(body, list) or body.closed == 1


def test_more_than_content_length_after_it_was_just_right(caplog):
    stream = serve(returning(Body(b'abcd', b'e'), headers=[('Content-Length', '4')]))
    assert whole(stream) == (200, b'abcd', '4')
    assert 'Content-Length' in errors_in(caplog)[0]


def test_less_than_content_length_breaks_off(caplog):
    stream = serve(returning(Body(b'a', b'b'), headers=[('Content-Length', '4')]))
    assert (stream.data, stream.ended, stream.aborted) == (b'ab', False, True)
    assert len(errors_in(caplog)) == 1


@rows('result', [[b'ab'], [b'a', b'b'], [], [b''], SizedBody(b'ab'), Body()])
def test_less_than_content_length_is_a_500_while_it_can_be(result, caplog):
    stream = serve(returning(result, headers=[('Content-Length', '4')]))
    assert whole(stream) == (500, b'500 Internal Server Error\n', '26')
    assert len(errors_in(caplog)) == 1


# -- HEAD, 204, 304


@rows(
    ('result', 'headers', 'length'),
    [
        ([b'hello'], TEXT, '5'), ([b'he', b'llo'], TEXT, '5'), ([], TEXT, None), ([b''], TEXT, None),
        ([], [('Content-Length', '5')], '5'), (Body(b'he', b'llo'), TEXT, None),
        (Body(b'he', b'llo'), [('Content-Length', '5')], '5'), (Body(), [('Content-Length', '5')], '5'),
    ],
)  # fmt: skip
def test_head(result, headers, length, caplog):
    stream = serve(returning(result, headers=headers), FakeStream(make_head('HEAD')))
    assert whole(stream) == (200, b'', length)
    assert not errors_in(caplog)
    if isinstance(result, Body):
        assert result.closed == 1


def test_head_does_not_run_through_an_endless_body():
    def blocks():
        while True:
            yield b'x'

    stream = serve(returning(blocks()), FakeStream(make_head('HEAD')))
    assert whole(stream) == (200, b'', None)


def test_head_with_write():
    def app(environ, start_response):
        start_response('200 OK', list(TEXT))(b'dropped')
        return [b'dropped too']

    assert whole(serve(app, FakeStream(make_head('HEAD')))) == (200, b'', None)


@rows('status', ['204 No Content', '304 Not Modified'])
@rows('result', [[], [b''], Body(), iter([])])
def test_no_content(status, result):
    assert whole(serve(returning(result, status, [('ETag', '"x"')])))[1:] == (b'', None)


# -- what applications do wrong


@rows(
    ('result', 'said'),
    [
        (None, 'NoneType'), ('text', 'str'), (b'bytes', 'bytes'), (['text'], 'str'), ([b'a', 'text'], 'str'),
        ([None], 'NoneType'), (Body('text'), 'str'), ([bytearray(b'x')], 'bytearray'), (iter([5]), 'int'),
    ],
)  # fmt: skip
def test_bodies_that_are_not_bytes(result, said, caplog):
    stream = serve(returning(result))
    assert whole(stream)[0] == 500
    (message,) = errors_in(caplog)
    assert said in message
    assert 'bytes' in message
    assert caplog.records[0].exc_info is None


def test_a_wrong_block_half_way_breaks_off(caplog):
    stream = serve(returning(Body(b'a', 'text')))
    assert (stream.status, stream.data, stream.ended, stream.aborted) == (200, b'a', False, True)
    assert len(errors_in(caplog)) == 1


def test_a_result_that_cannot_be_iterated(caplog):
    stream = serve(returning(5))
    assert stream.status == 500
    assert len(errors_in(caplog)) == 1


class Odd(BaseException):
    """As gevent's GreenletExit and Timeout are."""


@rows('error', [ValueError('x'), SystemExit(1), KeyboardInterrupt(), GeneratorExit(), Odd(), MemoryError()])
def test_an_exception_is_logged_once_with_its_traceback_and_answered(error, caplog):
    def app(environ, start_response):
        start_response('200 OK', list(TEXT))
        raise error

    stream = serve(app, FakeStream(make_head(target='/x\x85')))
    assert whole(stream) == (500, b'500 Internal Server Error\n', '26')
    (record,) = caplog.records
    assert (record.name, record.levelname) == ('_granian', 'ERROR')
    assert record.exc_info[1] is error
    assert record.getMessage() == r'Error handling request GET /x\x85'


@rows('error', [ValueError('x'), SystemExit(1), Odd()])
def test_an_exception_in_the_iterable(error, caplog):
    before, after = Body(error=error), Body(b'a', error=error)
    stream = serve(returning(before))
    assert (whole(stream)[0], before.closed) == (500, 1)
    stream = serve(returning(after))
    assert (stream.status, stream.data, stream.aborted, after.closed) == (200, b'a', True, 1)
    assert [record.exc_info[1] for record in caplog.records] == [error, error]


def test_an_exception_after_the_last_byte_is_only_logged(caplog):
    body = Body(b'hello', error=ValueError('late'))
    stream = serve(returning(body, headers=[('Content-Length', '5')]))
    assert whole(stream) == (200, b'hello', '5')
    assert body.closed == 1
    assert len(errors_in(caplog)) == 1


def test_an_exception_in_close_is_only_logged(caplog):
    body = Body(b'a', close_error=ValueError('close'))
    assert whole(serve(returning(body))) == (200, b'a', None)
    assert body.closed == 1
    assert len(errors_in(caplog)) == 1


def test_exceptions_in_the_iterable_and_in_close(caplog):
    body = Body(error=ValueError('first'), close_error=ValueError('second'))
    stream = serve(returning(body))
    assert (whole(stream)[0], body.closed) == (500, 1)
    (record,) = caplog.records
    assert 'second' in record.exc_text or str(record.exc_info[1]) == 'second'
    assert str(record.exc_info[1].__context__) == 'first'


def test_a_client_that_left_is_no_error(caplog):
    body = Body(b'a', b'b', b'c')
    stream = FakeStream()
    stream.gone_after = 1
    serve(returning(body), stream)
    assert (stream.data, stream.aborted, stream.ended, body.closed) == (b'a', True, False, 1)
    assert not [record for record in caplog.records if record.levelname != 'DEBUG']


@rows('result', [[b'ab'], [b'a', b'b'], SizedBody(b'ab'), Body(b'a', b'b')])
def test_a_client_that_left_before_anything(result, caplog):
    stream = FakeStream()
    stream.gone_after = 0
    serve(returning(result), stream)
    assert stream.aborted
    assert not [record for record in caplog.records if record.levelname != 'DEBUG']


def test_a_client_that_left_during_write():
    left = []

    def app(environ, start_response):
        write = start_response('200 OK', list(TEXT))
        try:
            write(b'abc')
        except ClientDisconnected as error:
            left.append(error)
            raise
        raise AssertionError('not reached')

    stream = FakeStream()
    stream.gone_after = 0
    serve(app, stream)
    assert left
    assert stream.aborted


def test_a_500_to_a_client_that_left_is_quiet():
    def app(environ, start_response):
        raise ValueError

    stream = FakeStream()
    stream.gone_after = 0
    serve(app, stream)
    assert stream.aborted


def test_nothing_refers_to_the_exchange_afterwards():
    import gc
    import weakref

    refs = []

    class Resource:
        pass

    def app(environ, start_response):
        environ['app.resource'] = resource = Resource()
        refs.append(weakref.ref(resource))
        start_response('200 OK', list(TEXT))
        return [b'x']

    gc.disable()
    try:
        serve(app)
        assert refs[0]() is None
    finally:
        gc.enable()
