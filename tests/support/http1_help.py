"""What the HTTP/1 tests share: a connection fed in pieces, and what it said, in a form to compare."""

from __future__ import annotations

import itertools

from granian.protocol.events import Data, EndOfRequest, Event, Refused, Request, RequestFailed
from granian.protocol.http1 import Http1
from granian.protocol.limits import Clock, Limits

CLOCK = Clock(b'Sun, 06 Nov 1994 08:49:37 GMT')


def connect(**limits) -> Http1:
    return Http1(Limits(**limits), CLOCK)


def pull(connection: Http1) -> list[Event]:
    """Return all events that the input so far makes."""
    events = []
    while (event := connection.next_event()) is not None:
        events.append(event)
    return events


def feed(connection: Http1, data: bytes) -> list[Event]:
    connection.receive_data(data)
    return pull(connection)


def request(connection: Http1, data: bytes = b'GET / HTTP/1.1\r\nHost: x\r\n\r\n') -> Request:
    """Feed bytes that make one request."""
    events = feed(connection, data)
    assert len(events) == 1, events
    assert isinstance(events[0], Request)
    return events[0]


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted({cut % len(data) for cut in cuts} - {0}), len(data)] if data else [0]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


def story(parts: list[bytes], eof: bool = True, make=connect) -> list[tuple]:  # noqa: C901 (one branch for each kind of event)
    """Feed a connection these parts, answer each request once it is over, and return its events as a list.

    Bodies are joined, so that stories of the same bytes split differently can be compared.
    """
    connection = make()
    told: list[tuple] = []
    body = bytearray()

    def finish(*how) -> None:
        told.append(('body', bytes(body), *how))
        body.clear()
        connection.respond(1, 200, [], b'')

    def listen() -> None:
        while (event := connection.next_event()) is not None:
            if isinstance(event, Request):
                head = event.head
                fields = tuple((field.name, value) for field, value in head.fields)
                told.append(('request', head.method, head.target, head.version, fields))
                body.extend(event.body)
                if event.complete:
                    finish('end', [])
            elif isinstance(event, Data):
                assert event.data
                assert event.credit == len(event.data)
                body.extend(event.data)
            elif isinstance(event, EndOfRequest):
                finish('end', event.trailers)
            elif isinstance(event, RequestFailed):
                finish('failed', event.disconnected, event.status)
            elif isinstance(event, Refused):
                told.append(('refused', event.status))
                assert connection.must_close
                assert event.response.startswith(b'HTTP/1.1 %d ' % event.status)

    for part in parts:
        connection.receive_data(part)
        listen()
    if eof:
        connection.receive_eof()
        listen()
        assert connection.must_close
    told.append(('closes', connection.must_close))
    return told


def verdict(data: bytes, eof: bool = False, make=connect) -> list[tuple]:
    """Return the story of `data`, which must be the same whole, byte by byte, and in pieces of three."""
    whole = story([data], eof, make)
    assert story([data[i : i + 1] for i in range(len(data))], eof, make) == whole
    assert story([data[i : i + 3] for i in range(0, len(data), 3)], eof, make) == whole
    return whole


def refused(status: int) -> list[tuple]:
    """Return the story of refused bytes."""
    return [('refused', status), ('closes', True)]


def split_response(response: bytes) -> tuple[bytes, dict[bytes, list[bytes]], bytes]:
    """Return status line, fields by lower-case name, and the bytes after the head."""
    head, _, body = response.partition(b'\r\n\r\n')
    line, *lines = head.split(b'\r\n')
    fields: dict[bytes, list[bytes]] = {}
    for field in lines:
        name, _, value = field.partition(b': ')
        fields.setdefault(name.lower(), []).append(value)
    return line, fields, body
