"""The targets of fuzz.py: one function for each grammar; an exception is a find.

No input may raise anything but the protocol's own error, and no two ways of reading it may disagree: whole
and in pieces, with and without templates, our engine and another project's. A target raises `Disagreement`
for that.
"""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hpack

from granian.forwarded import Trusted, forwarded_scheme
from granian.protocol.events import Data, EndOfRequest, Refused, Rejected, Request, RequestFailed
from granian.protocol.http2 import make_http2
from granian.protocol.http2.compression import CompressionError, Decoder, ListTooLarge
from granian.protocol.limits import H2, LEAN, Clock, Limits
from granian.protocol.proxy_preamble import MORE, PreambleError, read_preamble
from granian.protocol.websocket.codec import WebSocket
from granian.protocol.websocket.deflate import DeflateParameters, negotiate
from granian.protocol.websocket.events import MORE as MORE_FRAMES
from granian.protocol.websocket.events import Close
from granian.static import answer, paths
from tests.support.http1_help import connect, pull, story
from tests.support.ws_frames import joined

CORPUS = Path(__file__).resolve().parent / 'corpus'
WARM = 4
"""Requests of one shape after which a connection reads the next by its template."""


class Disagreement(AssertionError):
    """Two ways to read the same bytes gave two results."""


def agree(what: str, one: Any, other: Any) -> None:
    if one != other:
        raise Disagreement(f'{what}: {one!r} and {other!r}')


def halves(data: bytes) -> list[bytes]:
    """Cut the data at a place that depends on it."""
    place = sum(data[:64]) % (len(data) + 1)
    return [data[:place], data[place:]]


def each_byte(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


# -- HTTP/1 ------------------------------------------------------------------------------------


def told(parts: list[bytes]) -> list[object]:
    """Return the story of a connection; which of two faults is found first may depend on the cuts."""
    return [entry[:1] if entry[0] == 'refused' else entry for entry in story(parts, True)]


def http1(data: bytes) -> None:
    """Whole and in pieces, a connection must tell the same."""
    whole = told([data])
    agree('cut in two', whole, told(halves(data)))
    if len(data) < 600:
        agree('byte by byte', whole, told(each_byte(data)))


def facts(event: object) -> object:
    if not isinstance(event, Request):
        return type(event).__name__, getattr(event, 'status', None)
    head = event.head
    fields = [(field.name, value) for field, value in head.fields]
    line = head.method, head.target, head.path, head.query, head.version
    return *line, fields, head.raw_fields(), event.body, event.complete


def templates(data: bytes) -> None:
    """Check that a head is read alike on a new connection and on one whose templates know its shape.

    The last bytes of the data say how the head is changed after the connection is warm.
    """
    head, _, change = data.partition(b'\r\n\r\n')
    head += b'\r\n\r\n'
    for raw in (False, True):
        limits = {'raw_fields': raw, 'websockets': raw}
        warm = connect(**limits)
        for _ in range(WARM):
            warm.receive_data(head)
            events = pull(warm)
            if len(events) != 1 or not isinstance(events[0], Request) or not events[0].complete:
                return  # nothing to warm a connection with
            warm.respond(1, 200, [], b'')
            if warm.must_close:
                return
        changed = head
        for position, byte in zip(change[::2], change[1::2]):
            place = position * len(head) // 256
            changed = changed[:place] + bytes([byte]) + changed[place + (position & 1) :]
        cold = connect(**limits)
        cold.receive_data(changed)
        warm.receive_data(changed)
        agree('cold and warm', [facts(event) for event in pull(cold)], [facts(event) for event in pull(warm)])


CHUNK = re.compile(rb'([0-9A-Fa-f]{1,16})(?:;[A-Za-z0-9]+(?:=[A-Za-z0-9]+)?)*\r\n')
POST = b'POST / HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n'


def unchunk(data: bytes) -> bytes | None:
    """Return the body, where the data is nothing but a chunked body without trailers."""
    body = b''
    while found := CHUNK.match(data):
        size = int(found[1], 16)
        data = data[found.end() :]
        if not size:
            return body if data == b'\r\n' else None
        if data[size : size + 2] != b'\r\n':
            return None
        body, data = body + data[:size], data[size + 2 :]
    return None


def chunked(data: bytes) -> None:
    """Chunked bodies: split as one likes, and beside a decoder of five lines."""
    sent = POST % b'Transfer-Encoding: chunked' + data
    whole = told([sent])
    agree('cut in two', whole, told(halves(sent)))
    if len(data) < 300:
        agree('byte by byte', whole, told(each_byte(sent)))
    body = unchunk(data)
    ours = next((entry for entry in whole if entry[0] == 'body'), None)
    if body is not None and len(data) < 4096:
        agree('the body', ours, ('body', body, 'end', []))


def lanes(data: bytes) -> None:
    """Check that a counted body is the same in the plain lane and in h11's, which Expect asks for."""
    length = b'Content-Length: %d' % len(data)
    plain = story([POST % length + data], True)
    lane = story([POST % (length + b'\r\nExpect: 100-continue') + data], True)
    agree('bodies', [entry for entry in plain if entry[0] == 'body'], [e for e in lane if e[0] == 'body'])


# -- HTTP/2 ------------------------------------------------------------------------------------

PREFACE = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0'


def conversation(
    parts: list[bytes], engine: str = LEAN
) -> tuple[dict[int, list[object]], dict[int, bytes], bool]:
    """Return what an HTTP/2 connection tells, stream by stream, with bodies joined, and whether it ends."""
    server = make_http2(Limits(http2_engine=engine), Clock())
    told: dict[int, list[object]] = {}
    bodies: dict[int, bytes] = {}
    for part in parts:
        server.receive_data(part)
        while (event := server.next_event()) is not None:
            number = getattr(event, 'stream_id', 0)
            if isinstance(event, Request):
                fields = [(field.name, value) for field, value in event.head.fields]
                told.setdefault(number, []).append((event.head.method, event.head.target, fields))
                bodies[number] = event.body
            elif isinstance(event, Data):
                bodies[number] += event.data
            elif isinstance(event, Refused):
                told.setdefault(0, []).append(('refused', event.reason))
            elif not isinstance(event, (EndOfRequest, Rejected)):  # the latter is for the log
                told.setdefault(number, []).append(type(event).__name__)
        server.data_to_send()
    return told, bodies, server.must_close


def without_failed(result: tuple[dict[int, list[object]], dict[int, bytes], bool]) -> object:
    """Leave out requests that their own next frames unmake: they may be told before those arrive."""
    told, bodies, over = result
    failed = {number for number, events in told.items() if RequestFailed.__name__ in events}
    return (
        {number: events for number, events in told.items() if number not in failed and events},
        {number: body for number, body in bodies.items() if number not in failed},
        over,
    )


def http2(data: bytes) -> None:
    whole = conversation([PREFACE + data])
    cut = conversation(halves(PREFACE + data))
    one, other = without_failed(whole), without_failed(cut)
    if not whole[2]:  # at the end of a connection a later part may come too late to be told
        failed = [n for r in (whole, cut) for n, events in r[0].items() if 'RequestFailed' in events]
        for side in (one, other):
            for number in failed:
                side[0].pop(number, None)  # type: ignore[index]
                side[1].pop(number, None)  # type: ignore[index]
        agree('cut in two', one, other)


def engines(data: bytes) -> None:
    """Check that both engines, ours and that over h2, tell the same of the same frames."""
    lean, over_h2 = (conversation([PREFACE + data], engine) for engine in (LEAN, H2))
    agree('the engines', without_reasons(lean), without_reasons(over_h2))


def without_reasons(result: tuple[dict[int, list[object]], dict[int, bytes], bool]) -> object:
    """Leave out why a connection is refused: each engine has its own words."""
    told, bodies, over = result
    return {number: events for number, events in told.items() if number}, bodies, over


def header_block(data: bytes) -> None:
    """Decode header blocks, cut at each zero byte pair, with our decoder and with hpack's."""
    ours, theirs = Decoder(1 << 20), hpack.Decoder(1 << 20)
    theirs.max_allowed_table_size = 4096
    for block in data.split(b'\0\0\0\0'):
        try:
            got: list[tuple[bytes, bytes]] | None = ours.decode(block)
        except (CompressionError, ListTooLarge):
            got = None
        try:
            wanted = [(bytes(name), bytes(value)) for name, value in theirs.decode(block, raw=True)]
        except hpack.HPACKError:
            wanted = None
        if wanted is None or got is None:
            if got is not None and wanted is None:
                return  # stricter than we are: judged below by name only
            if wanted is not None:
                raise Disagreement(f'{block!r} is refused, and hpack reads {wanted!r}')
            return
        agree(f'{block!r}', got, wanted)


# -- WebSocket ---------------------------------------------------------------------------------


def told_by(parts: list[bytes], deflate: bool) -> list[object]:
    parameters = negotiate('permessage-deflate') if deflate else None
    assert parameters is None or isinstance(parameters, DeflateParameters)
    socket = WebSocket(100_000, parameters)
    events: list[object] = []
    for part in parts:
        socket.receive_data(part)
        while (event := socket.next_event()) is not None:
            if event is not MORE_FRAMES:  # how much is told in a turn: that depends on the cuts
                events.append(event)
            if isinstance(event, Close):
                return joined(events)
    return joined(events)


def websocket(data: bytes) -> None:
    """Read frames whole and in pieces; a cut may only change which of our lanes reads them."""
    deflate = bool(data[:1] and data[0] & 1)
    frames = data[1:]
    whole = told_by([frames], deflate)
    agree('cut in two', kinds(whole), kinds(told_by(halves(frames), deflate)))
    if len(frames) < 400:
        agree('byte by byte', kinds(whole), kinds(told_by(each_byte(frames), deflate)))


def kinds(events: list[object]) -> list[object]:
    """Leave out the reason of a violation, which may name the lane that found it."""
    return [(type(e).__name__, e.code, e.violation) if isinstance(e, Close) else e for e in events]


def extensions(data: bytes) -> None:
    negotiate(data.decode('latin-1'))


# -- static files, forwarded fields --------------------------------------------------------------


def static_path(data: bytes) -> None:
    """Check that no path leaves its folder, on either kind of system."""
    path = '/' + data.decode('latin-1')
    for windows in (False, True):
        for dotfiles in (False, True):
            found = paths.names(path, dotfiles=dotfiles, windows=windows)
            for name in found or ():
                if name in ('', '.', '..') or re.search(r'[/\\\0]', name):
                    raise Disagreement(f'{path!r} goes through {name!r}')


FORM = SimpleNamespace(
    body=None,
    size=1000,
    etag='"a"',
    modified=784111777,
    fields=[('ETag', '"a"'), ('Last-Modified', 'Sun, 06 Nov 1994')],
)


def conditions(data: bytes) -> None:
    """Range, conditions and Accept-Encoding: one line of the data for each."""
    names = ('range', 'if-none-match', 'if-modified-since', 'if-range', 'if-match', 'if-unmodified-since')
    lines = data.decode('latin-1').split('\n')
    fields = [(SimpleNamespace(name=name), value) for name, value in zip(names, lines) if value]
    head = SimpleNamespace(method='GET', fields=fields)
    got = answer.answer(head, SimpleNamespace(forms=[FORM]))  # type: ignore[arg-type]
    if got.status == 206 and not 0 <= got.offset < got.offset + got.length <= FORM.size:
        raise Disagreement(f'{fields!r} gave bytes {got.offset} and {got.length} of {FORM.size}')
    if got.status not in (200, 206, 304, 412, 416):
        raise Disagreement(f'{fields!r} was answered with {got.status}')
    for line in lines:
        answer._weights(line)


def forwarded(data: bytes) -> None:
    entries = data.decode('latin-1').split('\n')
    trusted = Trusted(['10.0.0.0/8', '::1'])
    found = trusted.client(entries)
    if found is not None and not (re.fullmatch(r'[0-9a-fA-F:.]+', found[0]) and 0 <= found[1] < 65536):
        raise Disagreement(f'{entries!r} is believed to be {found!r}')
    forwarded_scheme(entries)


def preamble(data: bytes) -> None:
    """Check that what a PROXY preamble says does not depend on its pieces."""
    for versions in (frozenset((1,)), frozenset((2,)), frozenset((1, 2))):
        results = [read_all(data[:end], versions) for end in range(1, min(len(data), 300) + 1)]
        decided = [result for result in results if result != MORE]
        for result in decided[1:]:
            agree('a longer beginning', decided[0], result)


def read_all(data: bytes, versions: frozenset[int]) -> object:
    try:
        return read_preamble(data, versions)
    except PreambleError:
        return 'malformed'


TARGETS = {
    function.__name__: function
    for function in (
        http1, templates, chunked, lanes, http2, engines, header_block, websocket, extensions, static_path,
        conditions, forwarded, preamble,
    )
}  # fmt: skip


def seeds(name: str) -> list[bytes]:
    """Return the seed corpus of a target: the lines of a file, as Python writes bytes."""
    lines = (CORPUS / f'{name}.txt').read_text().splitlines()
    return [eval(line, {'__builtins__': {}}) for line in lines if line]
