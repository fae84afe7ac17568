"""Templates against `parse_head`, their oracle: they take less, and of what they take they say the same."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from granian.protocol.events import Request
from granian.protocol.head import BadRequest, field_for
from granian.protocol.http1 import connection as http1
from granian.protocol.http1 import templates as shapes
from granian.protocol.http1.grammar import parse_head
from granian.protocol.limits import Limits
from tests.support.http1_help import connect
from tests.support.rows import rows

LIMITS = Limits()
END = b'\r\n\r\n'
ATTRIBUTES = (
    'method', 'target', 'path', 'query', 'version', 'fields', 'authority', 'scheme', 'content_length',
    'chunked', 'keep_alive', 'expects_continue', 'upgrade', 'plain',
)  # fmt: skip
ASKED = ('x-forwarded-proto', 'x-forwarded-for', 'x-a', 'host')


def template(shape: shapes.Shape, lines: list[bytes]) -> shapes.Template:
    """Return the template of these lines; the first request for it makes none."""
    while (made := shape.template(lines)) is None:
        pass
    return made


def templates(*names: str, values: tuple[bytes, ...] = ()) -> list[shapes.Template]:
    """Return the templates for heads of these names, as text and as bytes.

    The first has no value given, the second the first value, and so on.
    """
    lines = [name.encode() + b': ' + value for name, value in zip(names, values)]
    fields = [field_for(name) for name in names]
    kinds = [shapes.Shape(names, fields, raw) for raw in (False, True)]
    return [template(shape, lines[:given]) for given in range(len(lines) + 1) for shape in kinds]


def told(head) -> list:
    if head is None:
        return []
    fields = [(field.name, field.environ_key, value) for field, value in head.fields]
    asked = [frozenset({name}) for name in (*ASKED, *(name for name, _, _ in fields))]
    found = [head.has_any(names) for names in (*asked, frozenset(ASKED), frozenset())]
    return [
        *(getattr(head, name) for name in ATTRIBUTES if name != 'fields'),
        fields,
        head.raw_fields(),
        found,
    ]


def as_environ(head) -> list[tuple]:
    """Return the fields by what is prepared for WSGI."""
    given, others = head.environ
    return [*given.items(), *((key, value) for key, value in others if key is not None)]


def same(made: list[shapes.Template], block: bytes) -> bool:
    """Return whether the first template takes the block.

    A head that any template takes is taken by `parse_head`, with the same result. A template with more
    values given takes no more heads.
    """
    taken = [template.read(form(block + END)) for template in made for form in (bytes, bytearray)]
    for kinds in zip(taken[::4], taken[1::4], taken[2::4], taken[3::4]):
        assert len({head is None for head in kinds}) == 1
    heads = [head for head in taken if head is not None]
    if heads:
        wanted = parse_head(block, LIMITS)
        for head in heads:
            assert told(head) == told(wanted)
            assert told(head) == told(wanted)  # the second time, too
            if head.environ is not None:
                seen = [(field.environ_key, value) for field, value in wanted.fields if field.environ_key]
                assert as_environ(head) == seen
        assert taken[0] is not None
    return taken[0] is not None


NAMES = ('Host', 'Accept', 'Connection', 'X-A', 'content-length', 'Content-Type', 'x-a')
GOOD = [b'h:80', b'*/*', b'keep-alive', b'a: b', b'12', b'text/plain', b'\xe9\tx']
SHAPE = templates(*NAMES, values=GOOD)
# What a head may be broken with, a shape's own marks among it.
PIECES = [
    b'', b' ', b'\t', b'\r', b'\n', b'\r\n', b'\r\n\r\n', b': ', b':', b'\0', b'\x7f', b'\x85', b'\xa0', b'#',
    b'?', b'x', b'Host: y', b'\r\nHost: y', b'\r\n X', b'\r\nAccept', b'HTTP/1.0', b'close', b'CONNECT',
    b'1_0', b'+1',
]  # fmt: skip


def block(values=GOOD, line: bytes = b'GET /a?b HTTP/1.1', names=NAMES) -> bytes:
    lines = [name.encode() + b': ' + value for name, value in zip(names, values, strict=True)]
    return b'\r\n'.join([line, *lines])


def test_the_usual_head_is_taken():
    assert same(SHAPE, block())
    assert same(SHAPE, block(line=b'CONNECTED /%20?? HTTP/1.1'))


@rows('at', range(len(NAMES)))
@rows('value', [b'', b' a', b'a ', b'\ta', b'a\t', b'a\r', b'a\n', b'a\0b', b'a\r\nB: c'])
def test_what_is_unusual_is_not_taken(at, value):
    values = [*GOOD]
    values[at] = value
    assert not same(SHAPE, block(values))


@rows(
    ('at', 'value'),
    [
        (0, b'a b'), (0, b'a@b'), (0, b'a/b'), (0, b':80'), (2, b'close'), (2, b'keep-alive, close'),
        (2, b'Keep-Alive'),
        (4, b'-1'), (4, b'+1'), (4, b'1_0'), (4, b'\xb2'), (4, b'1' * 21), (4, b'1, 1'),
    ],
)  # fmt: skip
def test_values_with_a_meaning(at, value):
    values = [*GOOD]
    values[at] = value
    assert not same(SHAPE, block(values))


@rows(
    'line',
    [
        b'CONNECT / HTTP/1.1', b'GET / HTTP/1.0', b'GET / HTTP/2.0', b'GET  / HTTP/1.1', b'GET /a#b HTTP/1.1',
        b'GET http://h/ HTTP/1.1', b'GET * HTTP/1.1', b'GET /\xe9 HTTP/1.1', b'GET /\t HTTP/1.1', b'',
        b'A' * 33 + b' / HTTP/1.1', b'GET / HTTP/1.1 ', b'\r\nGET / HTTP/1.1', b'GET / HTTP/1.1\r\nX: y',
        b'\n', b'\r',
    ],
)  # fmt: skip
def test_request_lines(line):
    assert not same(SHAPE, block(line=line))
    first = templates('Host', values=(b'x',))  # which have read nothing yet
    assert not same(first, block([b'x'], line, ['Host']))


@rows(
    'names',
    [
        (), ('Accept',), ('Host', 'host'), ('Host', 'Transfer-Encoding'), ('Host', 'Upgrade'),
        ('Host', 'Expect'),
        ('Host', 'Content-Length', 'content-length'), ('Host', 'Content-Type', 'Content-Type'),
        ('Host', 'Connection', 'Connection'), ('Host', 'X_A'),
    ],
)  # fmt: skip
def test_names_without_a_shape(names):
    with pytest.raises(ValueError, match='long way'):
        templates(*names)


values = st.lists(st.sampled_from(PIECES) | st.sampled_from(GOOD) | st.binary(max_size=6), max_size=3).map(
    b''.join
)


@given(st.data())
def test_what_a_shape_takes_parse_head_takes_and_says_the_same(data):
    """Draw heads near the shape: some lines changed, dropped, doubled, moved or run together."""
    lines = [name.encode() + b': ' + value for name, value in zip(NAMES, GOOD, strict=True)]
    lines.insert(0, data.draw(st.sampled_from([b'GET / HTTP/1.1', b'POST /a?b HTTP/1.1', b'GET / HTTP/1.0'])))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(lines) - 1))
        kind = data.draw(st.sampled_from(['value', 'splice', 'drop', 'double', 'join']))
        if kind == 'value':
            lines[at] = lines[at].partition(b': ')[0] + b': ' + data.draw(values)
        elif kind == 'splice':
            edge = data.draw(st.integers(0, len(lines[at])))
            lines[at] = lines[at][:edge] + data.draw(values) + lines[at][edge:]
        elif kind == 'double':
            lines.insert(data.draw(st.integers(0, len(lines))), lines[at])
        elif len(lines) > 1:
            line = lines.pop(at)
            if kind == 'join':
                lines[at - 1] += data.draw(st.sampled_from([b'\r', b'\n', b': ', b'', b'\n\r'])) + line
    same(SHAPE, b'\r\n'.join(lines))


@given(st.lists(values, min_size=len(NAMES), max_size=len(NAMES)))
def test_any_values(drawn):
    same(SHAPE, block(drawn))


@pytest.fixture
def empty(monkeypatch):
    monkeypatch.setattr(shapes, '_shapes', {})
    monkeypatch.setattr(shapes, '_asked', {})
    monkeypatch.setattr(shapes, '_templates', {})


def test_a_template_is_made_when_it_was_asked_for_often_enough(empty):
    for _ in range(shapes._ASKED_ENOUGH - 1):
        assert shapes.template_of(block()) is None
    made = shapes.template_of(block())
    assert made is not None
    assert told(made.read(block() + END)) == told(parse_head(block(), LIMITS))
    assert made.read(block([b'g:80', *GOOD[1:]]) + END) is None  # at first, all values are given
    assert shapes.template_of(block(), raw=True) is None  # another connection's, of another kind
    assert shapes.template_of(block()) is made
    assert shapes.template_of(block(names=[name.upper() for name in NAMES])) is None


def test_what_changes_is_not_given_any_more(empty, monkeypatch):
    monkeypatch.setattr(shapes, '_ASKED_ENOUGH', 1)
    made = shapes.template_of(block())
    for at in (5, 4, 4, 2, 0):
        changed = block([*GOOD[:at], GOOD[at] + b'1', *GOOD[at + 1 :]])
        if at == 2:
            changed = changed.replace(b'keep-alive1', b'keep-alive').replace(b'*/*', b'*')
        for _ in range(1 << len(made._shape._patterns)):  # each pattern is harder to get than the last
            looser = made.loosened(changed)
        if looser is None:  # what changed was not given
            assert at == 4
            assert made._count == 4
        else:
            made = looser
            assert made._count == (at if at != 2 else 1)
        assert told(made.read(changed + END)) == told(parse_head(changed, LIMITS))
    assert made._count == 0
    assert made.loosened(block()) is None
    assert made.loosened(block(GOOD[:-1], names=NAMES[:-1])) is None


def test_a_pattern_is_made_when_it_was_asked_for_often_enough(empty, monkeypatch):
    made = None
    while made is None:
        made = shapes.template_of(block())
    changed = block([*GOOD[:-1], b'other'])
    for _ in range(shapes._ASKED_ENOUGH - 1):
        assert made.loosened(changed) is None
    assert made.loosened(changed).read(changed + END) is not None


def test_the_fields_as_wsgi_has_them():
    names, values = NAMES[:-1], GOOD[:-1]
    head = block(values, names=names)
    for made in templates(*names, values=values)[::2]:
        assert as_environ(made.read(head + END)) == [
            ('HTTP_HOST', 'h:80'), ('HTTP_ACCEPT', '*/*'), ('HTTP_X_A', 'a: b'),
            ('CONTENT_LENGTH', '12'), ('CONTENT_TYPE', 'text/plain'),
        ]  # fmt: skip


def test_repeated_field_has_no_environ():
    for made in templates('Host', 'X-A', 'x-a', values=(b'h', b'a', b'b')):
        head = made.read(block((b'h', b'a', b'b'), names=('Host', 'X-A', 'x-a')) + END)
        assert head is not None
        assert head.environ is None


@rows('more', ['Proxy', 'Keep-Alive'])
def test_fields_hidden_from_wsgi_are_left_out(more):
    for made in templates('Host', 'X-A', more, values=(b'h', b'a', b'b'))[::2]:
        head = made.read(block((b'h', b'a', b'b'), names=('Host', 'X-A', more)) + END)
        assert as_environ(head) == [('HTTP_HOST', 'h'), ('HTTP_X_A', 'a')]


def test_a_request_line_comes_again():
    for made in templates('Host', values=(b'x',)):
        for path in (b'/a?b', b'/a?b', b'/' + b'c' * 300, b'/' + b'c' * 300, b'/a?b', b'/%20'):
            head = block([b'x'], b'GET %b HTTP/1.1' % path, ['Host'])
            assert told(made.read(head + END)) == told(parse_head(head, LIMITS))
        assert made.read(block([b'x'], b'GET / HTTP/1.1 ', ['Host']) + END) is None
        assert made.read(block([b'x'], b'GET /%20 HTTP/1.1', ['Host']) + END).path == '/%20'


class _Line(bytes):
    """A request line during whose comparison another thread reads a head."""

    meanwhile = staticmethod(lambda: None)

    def __eq__(self, other):
        self.meanwhile()
        return bytes.__eq__(self, other)

    __hash__ = bytes.__hash__


class _Data(bytes):
    def partition(self, mark):
        line, *rest = bytes.partition(self, mark)
        return _Line(line), *rest


def test_head_that_comes_again_is_not_another_threads(monkeypatch):
    """Read by a template that worker threads without an interpreter lock share."""
    ours, other = (block([b'x'], b'GET /%b HTTP/1.1' % path, ['Host']) + END for path in (b'a', b'b'))
    for made in templates('Host', values=(b'x',))[2:]:
        made.read(ours)
        monkeypatch.setattr(_Line, 'meanwhile', lambda self, made=made: made.read(other))
        assert made.read(_Data(ours)).path == '/a'
        assert made._last[1].path == '/b'


def test_no_secret_outlives_its_connection():
    names = ('Host', 'Authorization')
    shape = shapes.Shape(names, [field_for(name) for name in names])
    lines = [b'Host: x', b'Authorization: Basic eDp5']
    assert template(shape, lines) is not template(shape, lines)
    assert template(shape, lines[:1]) is template(shape, lines[:1])


def test_names_without_a_shape_are_remembered_as_such(empty):
    for _ in range(shapes._ASKED_ENOUGH + 1):
        assert shapes.template_of(b'GET / HTTP/1.1\r\nHost: x\r\nUpgrade: y') is None
    assert shapes._shapes == {(False, ('Host', 'Upgrade')): None}


def test_the_tables_are_bounded(empty, monkeypatch):
    monkeypatch.setattr(shapes, '_ASKED_ENOUGH', 2)
    for number in range(3 * shapes._MAX_SHAPES):
        for _ in range(1 + number % 2):
            shapes.template_of(b'GET / HTTP/1.1\r\nHost: x\r\nX-%d: y' % number)
            assert len(shapes._shapes) <= shapes._MAX_SHAPES
            assert len(shapes._asked) <= shapes._MAX_SHAPES
    many = b'GET / HTTP/1.1\r\nHost: x' + b'\r\nA: b' * 50
    long = b'GET / HTTP/1.1\r\nHost: x\r\n' + b'A' * 1024 + b': b'
    for _ in range(3):
        assert shapes.template_of(many) is None
        assert shapes.template_of(long) is None
    assert (False, ('Host', *['A'] * 50)) not in shapes._shapes


def test_templates_of_a_shape_are_bounded(monkeypatch):
    monkeypatch.setattr(shapes, '_MAX_TEMPLATES', 12)
    names = ('Host', *(f'X-{n}' for n in range(20)))
    shape = shapes.Shape(names, [field_for(name) for name in names])
    for number in range(3 * shapes._MAX_TEMPLATES):
        lines = [b'Host: %d' % number, *(name.encode() + b': a' for name in names[1:])]
        template(shape, lines[: number % 21])
        assert len(shapes._templates) <= shapes._MAX_TEMPLATES
        assert len(shape._patterns) <= shapes._MAX_PATTERNS


def test_long_lines_are_not_kept(empty, monkeypatch):
    # A client may send 64 KiB, and a template is for the life of its connection, or longer.
    monkeypatch.setattr(shapes, '_ASKED_ENOUGH', 1)
    long = b'x' * shapes._MAX_GIVEN
    for values, count in (
        ([b'h', b'a', b'b', b'c'], 4), ([b'h', b'a', b'b', long], 3),
        ([b'h', b'a', long, b'c'], 2), ([b'h', long, b'b', b'c'], 1),
    ):  # fmt: skip
        head = block(values, names=['Host', 'A', 'B', 'C'])
        for _ in range(8):
            made = shapes.template_of(head)
        assert made._count == count
        assert told(made.read(head + END)) == told(parse_head(head, LIMITS))
        assert sum(len(value) for _, value in made.given_raw) <= shapes._MAX_GIVEN


def test_all_shapes_together_keep_few_templates(empty, monkeypatch):
    monkeypatch.setattr(shapes, '_ASKED_ENOUGH', 1)
    for shape in range(30):
        for value in range(30):
            shapes.template_of(b'GET / HTTP/1.1\r\nHost: x\r\nX-%d: %d' % (shape, value))
            assert len(shapes._templates) <= shapes._MAX_TEMPLATES
    assert shapes._templates


def test_ever_other_patterns_are_seldom_made(empty, monkeypatch):
    # A client that changes another value each time must not have us compile all the time.
    names = ['Host', *(f'X-{number}' for number in range(40))]
    made = []
    pattern = SimpleNamespace(fullmatch=len)
    monkeypatch.setattr(shapes.re, 'compile', lambda text: made.append(text) or pattern)
    shape = shapes.Shape(tuple(names), [field_for(name) for name in names])
    asked = 0
    for _ in range(8 * shapes._ASKED_ENOUGH):
        for first in range(40):
            shape._pattern(first)
            asked += 1
    assert 0 < len(made) <= asked / (8 * shapes._ASKED_ENOUGH)


@pytest.mark.parametrize('lines', [b'\r\n', b'\r\n\r\n'])
def test_empty_lines_before_each_head(empty, monkeypatch, lines):
    monkeypatch.setattr(shapes, '_ASKED_ENOUGH', 1)
    connection = connect()
    for _ in range(10):
        event = exchange(connection, lines + WIRE)
        assert isinstance(event, Request)
        assert event.head.path == '/'


def exchange(connection, data: bytes):
    connection.receive_data(data)
    event = connection.next_event()
    if isinstance(event, Request):
        assert connection.next_event() is None
        connection.respond(1, 200, [(b'Content-Length', b'0')], b'')
    return event


WIRE = b'GET / HTTP/1.1\r\nHost: x\r\nAccept: y\r\n\r\n'


@pytest.fixture
def shaped(empty, monkeypatch):
    """Return a connection that knows its client's shape, and the heads that took the long way after that."""
    monkeypatch.setattr(shapes, '_ASKED_ENOUGH', 1)
    connection = connect()
    exchange(connection, WIRE)
    exchange(connection, WIRE)
    long_way: list[bytes] = []

    def watched(block, limits):
        long_way.append(bytes(block))
        return parse_head(block, limits)

    monkeypatch.setattr(http1, 'parse_head', watched)
    return connection, long_way


def test_the_third_head_alike_takes_the_short_way(shaped):
    connection, long_way = shaped
    for value in (b'z', b'y', b'y', b'z'):
        event = exchange(connection, WIRE.replace(b'y', value))
        assert [value for _, value in event.head.fields] == ['x', value.decode()]
    assert not long_way


@pytest.mark.parametrize(
    'head',
    [
        b'GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade, close\r\n\r\n',
        b'GET / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n',
        b'GET http://h/ HTTP/1.1\r\nHost: x\r\n\r\n',
    ],
)
def test_a_head_that_says_more_than_its_lines_is_no_template(empty, monkeypatch, head):
    """Make no template of lines whose meaning is more than the lines themselves."""
    monkeypatch.setattr(shapes, '_ASKED_ENOUGH', 1)
    connection = connect()
    for _ in range(3):
        connection._look_for_template(head[:-4], parse_head(head[:-4], LIMITS))
    assert connection._template is None
    assert not shapes._shapes


few = st.sampled_from([b'1', b'2', b'33'])


@given(st.lists(st.tuples(few, few, few, few), min_size=4, max_size=30), st.booleans())
def test_whatever_changes_from_head_to_head(values, raw):
    """Read each head as `parse_head` does, whatever the connection has learnt from earlier heads."""
    connection = connect(raw_fields=raw)
    kept = shapes._shapes, shapes._asked, shapes._ASKED_ENOUGH
    shapes._shapes, shapes._asked, shapes._ASKED_ENOUGH = {}, {}, 1
    try:
        for path, *others in values:
            head = b'GET /%b HTTP/1.1\r\n' % path + b'Host: %b\r\nX-A: %b\r\nX-B: %b' % tuple(others)
            assert told(exchange(connection, head + b'\r\n\r\n').head) == told(parse_head(head, LIMITS))
    finally:
        shapes._shapes, shapes._asked, shapes._ASKED_ENOUGH = kept


def test_another_head_ends_it_for_a_while(shaped):
    connection, long_way = shaped
    other = WIRE.replace(b'Accept', b'Origin')
    assert exchange(connection, other).head.fields[1][0].name == 'origin'
    for _ in range(http1._AFTER_A_MISS):
        exchange(connection, other)
    assert len(long_way) == http1._AFTER_A_MISS + 1
    exchange(connection, other)
    assert len(long_way) == http1._AFTER_A_MISS + 1


@pytest.mark.parametrize('size', [1, 10, len(WIRE) - 2, len(WIRE) - 1])
def test_a_head_in_pieces(shaped, size):
    connection, _ = shaped
    connection.receive_data(WIRE[:size])
    assert connection.next_event() is None
    assert isinstance(exchange(connection, WIRE[size:]), Request)
    assert isinstance(exchange(connection, WIRE), Request)


def test_two_heads_at_once(shaped):
    connection, _ = shaped
    connection.receive_data(WIRE + WIRE)
    for _ in range(2):
        event = connection.next_event()
        assert isinstance(event, Request)
        assert event.body == b''
        connection.respond(1, 200, [(b'Content-Length', b'0')], b'')
    assert connection.next_event() is None


def test_a_refusal_is_the_long_ways(shaped):
    connection, long_way = shaped
    event = exchange(connection, WIRE.replace(b'y', b'y\0'))
    assert (event.status, len(long_way)) == (400, 1)
    with pytest.raises(BadRequest):
        parse_head(long_way[0], LIMITS)


def test_limits_hold_for_shapes(empty, monkeypatch):
    monkeypatch.setattr(shapes, '_ASKED_ENOUGH', 1)
    connection = connect(max_head_size=100)
    exchange(connection, WIRE)
    exchange(connection, WIRE)
    assert exchange(connection, WIRE.replace(b'y', b'y' * 200)).status == 431
    # A shape that others made, of more fields than this connection takes: it never gets to ask for it.
    assert shapes.template_of(WIRE[:-4]) is not None
    assert exchange(connect(max_headers=1), WIRE).status == 431


def test_a_body_after_a_head_with_a_shape(empty, monkeypatch):
    monkeypatch.setattr(shapes, '_ASKED_ENOUGH', 1)
    connection = connect()
    for body in (b'abc', b'ab', b'\r\n\r\n', b'x\r\n\r\n', b''):
        event = exchange(
            connection, b'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n' % len(body) + body
        )
        assert event.body == body
    assert connection._template is not None
