"""Clients that know what they must get: each request carries a token, and its answer must repeat it.

A client picks its acts at random, from a seed: keep-alive and pipelined requests on quick, blocking and
streaming routes, uploads, clients that leave in the middle, resets, requests sent byte by byte, HTTP/2
streams, WebSocket messages. `Tally` holds what was seen; a wrong or missing answer is an error with its seed.
"""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
import struct
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events

TIMEOUT = 30.0
ROUTES = ('quick', 'quick', 'quick', 'block', 'stream', 'echo')


class Wrong(Exception):
    """An answer is not the one to its request."""


@dataclass
class Tally:
    acts: Counter[str] = field(default_factory=Counter)
    answers: int = 0
    errors: list[str] = field(default_factory=list)
    refused: int = 0
    """Connections that could not be made."""


@dataclass(frozen=True)
class Target:
    port: int
    tls: ssl.SSLContext | None = None
    tls_http2: ssl.SSLContext | None = None
    websocket: bool = False
    http2: bool = True
    leavers: bool = True
    """Some clients leave, or reset a stream, before they have their answer."""

    async def open(self, http2: bool = False) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        context = self.tls_http2 if http2 else self.tls
        name = 'localhost' if context else None
        return await asyncio.open_connection('127.0.0.1', self.port, ssl=context, server_hostname=name)


class Tokens:
    """Unique tokens, and the requests that carry them."""

    def __init__(self, name: str, chance: random.Random) -> None:
        self.name, self.chance, self.count = name, chance, 0

    def request(self, route: str | None = None) -> tuple[bytes, bytes, bytes]:
        """Return request, token and the body that must come back."""
        self.count += 1
        token = f'{self.name}-{self.count}-{self.chance.randrange(10**6)}'.encode()
        route = route or self.chance.choice(ROUTES)
        head = b'%s /%s/%s HTTP/1.1\r\nHost: test\r\nX-Sent: %s\r\n'
        if route == 'echo':
            body = token * self.chance.choice((1, 7, 900, 9000))
            head %= (b'POST', b'echo', token, token)
            if self.chance.random() < 0.5:
                return head + b'Content-Length: %d\r\n\r\n' % len(body) + body, token, body
            return head + b'Transfer-Encoding: chunked\r\n\r\n' + self.chunks(body), token, body
        head %= (b'GET', route.encode(), token, token)
        return head + b'\r\n', token, (token + b'\n') * 10 if route == 'stream' else token

    def chunks(self, body: bytes) -> bytes:
        size = self.chance.choice((1 + len(body) // 3, 1000, 100_000))
        parts = [body[i : i + size] for i in range(0, len(body), size)]
        return b''.join(b'%x\r\n%s\r\n' % (len(part), part) for part in parts) + b'0\r\n\r\n'


class HungUpError(EOFError):
    """The server has ended a connection where a response was to begin."""


async def read_answer(reader: asyncio.StreamReader) -> tuple[tuple[int, bytes, bytes], bool]:
    """Read one HTTP/1.1 response; return status, its token and its body, and whether it is the last one."""
    try:
        head = await reader.readuntil(b'\r\n\r\n')
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        raise HungUpError('the server ended the connection in place of a response') from None
    first, *lines = head.split(b'\r\n')
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(b':') for line in lines)}
    if b'content-length' in fields:
        body = await reader.readexactly(int(fields[b'content-length']))
    elif fields.get(b'transfer-encoding') == b'chunked':
        body = b''
        while size := int(await reader.readuntil(b'\r\n'), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readexactly(2)
    else:
        body = await reader.read()
    answer = int(first.split()[1]), fields.get(b'x-token', b''), body
    return answer, fields.get(b'connection') == b'close'


def compare(answer: tuple[int, bytes, bytes], token: bytes, body: bytes) -> None:
    status, got, content = answer
    if status != 200 or got != token or content != body:
        raise Wrong(
            f'{token!r} was answered with {status}, {got!r}, {content[:80]!r} of {len(content)} bytes'
        )


class Line:
    """A client's connection over HTTP/1.1, opened when there is none."""

    def __init__(self) -> None:
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.used = False
        """A response has come on it."""

    async def send(self, target: Target, data: bytes) -> asyncio.StreamReader:
        if self.streams is None:
            self.streams, self.used = await target.open(), False
        reader, writer = self.streams
        writer.write(data)
        return reader

    async def end(self) -> None:
        if self.streams is not None:
            await shut(self.streams[1])
            self.streams = None


class Client:
    """One client: a seed, a target, and acts until the time is over."""

    def __init__(self, seed: int, target: Target, tally: Tally, pause: float = 0) -> None:
        self.seed, self.target, self.tally, self.pause = seed, target, tally, pause
        self.chance = random.Random(seed)
        self.tokens = Tokens(f't{seed}', self.chance)
        self.acts: list[tuple[Callable[[], Awaitable[None]], int]] = [
            (self.keep_alive, 6), (self.pipeline, 4), (self.close_each, 2), (self.drip, 1),
        ]  # fmt: skip
        if target.http2:
            self.acts.append((self.streams, 3))
        if target.leavers:
            self.acts += [(self.leave, 3), (self.leave_pipeline, 2)]
        if target.leavers and target.http2:
            self.acts.append((self.reset_streams, 2))
        if target.websocket:
            self.acts.append((self.messages, 3))

    async def run(self, until: float) -> None:
        acts, weights = zip(*self.acts)
        while time.monotonic() < until:
            act = self.chance.choices(acts, weights)[0]
            try:
                await asyncio.wait_for(act(), TIMEOUT)
                self.tally.acts[act.__name__] += 1
            except asyncio.TimeoutError:
                self.error(act.__name__, f'no answer within {TIMEOUT:g} s')
            except (OSError, EOFError, asyncio.IncompleteReadError, Wrong, ValueError) as error:
                self.error(act.__name__, repr(error))
            if self.pause:
                await asyncio.sleep(self.chance.uniform(0, self.pause))

    def error(self, act: str, what: str) -> None:
        self.tally.errors.append(f'seed {self.seed}, {act}: {what}')

    async def answer(self, reader: asyncio.StreamReader, token: bytes, body: bytes) -> bool:
        """Read and compare an answer; return whether it is the last one of its connection."""
        answer, last = await read_answer(reader)
        compare(answer, token, body)
        self.tally.answers += 1
        return last

    async def exchange(self, line: Line, requests: list[tuple[bytes, bytes, bytes]]) -> None:
        """Send requests together; send those again that the server has not taken.

        A worker that is replaced says `Connection: close` (RFC 9112 9.6), or closes an idle connection.
        """
        while requests:
            reader = await line.send(self.target, b''.join(request for request, _, _ in requests))
            answered, last = 0, False
            try:
                for _, token, body in requests:
                    last = await self.answer(reader, token, body)
                    answered += 1
                    if last:
                        break
            except (HungUpError, ConnectionError):
                if not answered and not line.used:
                    raise  # a new connection must be served
                last = True
            requests = requests[answered:]
            line.used = True
            if last:
                await line.end()

    # -- acts ------------------------------------------------------------------------------

    async def keep_alive(self) -> None:
        line = Line()
        for _ in range(self.chance.randint(1, 12)):
            await self.exchange(line, [self.tokens.request()])
        await line.end()

    async def pipeline(self) -> None:
        line = Line()
        for _ in range(self.chance.randint(1, 3)):
            await self.exchange(line, [self.tokens.request() for _ in range(self.chance.randint(2, 8))])
        await line.end()

    async def close_each(self) -> None:
        reader, writer = await self.target.open()
        request, token, body = self.tokens.request()
        writer.write(request.replace(b'\r\n', b'\r\nConnection: close\r\n', 1))
        await self.answer(reader, token, body)
        if await reader.read():
            raise Wrong('bytes after the end of the connection')
        await shut(writer)

    async def leave(self) -> None:
        """Leave in the middle: of the request, before the answer, or within it; some with a reset."""
        reader, writer = await self.target.open()
        request, _, _ = self.tokens.request()
        writer.write(request[: self.chance.randint(1, len(request))])
        await asyncio.sleep(self.chance.choice((0, 0, 0.001, 0.01)))
        if self.chance.random() < 0.3:
            with_timeout = asyncio.wait_for(reader.read(1), 0.02)
            try:
                await with_timeout
            except asyncio.TimeoutError:
                pass
        self.drop(writer)

    async def leave_pipeline(self) -> None:
        reader, writer = await self.target.open()
        requests = [self.tokens.request() for _ in range(8)]
        writer.write(b''.join(request for request, _, _ in requests))
        for _, token, body in requests[: self.chance.randint(0, 7)]:
            if await self.answer(reader, token, body):
                break
        self.drop(writer)

    def drop(self, writer: asyncio.StreamWriter) -> None:
        if self.chance.random() < 0.5:
            sock = writer.get_extra_info('socket')
            if sock is not None:  # None: the TLS connection has been lost
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        writer.transport.abort()

    async def drip(self) -> None:
        """Send a request in small pieces."""
        reader, writer = await self.target.open()
        request, token, body = self.tokens.request(self.chance.choice(('quick', 'block')))
        for i in range(0, len(request), 9):
            writer.write(request[i : i + 9])
            await writer.drain()
            await asyncio.sleep(0)
        await self.answer(reader, token, body)
        await shut(writer)

    async def streams(self) -> None:
        """Ask on many streams of one HTTP/2 connection at once."""
        peer = Http2Peer(*await self.target.open(http2=True))
        wanted: dict[int, tuple[bytes, bytes]] = {}
        for _ in range(self.chance.randint(1, 20)):
            self.add_stream(peer, wanted)
        await self.take_answers(peer, wanted)

    async def reset_streams(self) -> None:
        """Reset some streams of a connection; the others must be answered."""
        peer = Http2Peer(*await self.target.open(http2=True))
        wanted: dict[int, tuple[bytes, bytes]] = {}
        for _ in range(10):
            self.add_stream(peer, wanted)
        for number in self.chance.sample(sorted(wanted), 4):
            del wanted[number]
            peer.reset(number)
        await self.take_answers(peer, wanted)

    async def take_answers(self, peer: Http2Peer, wanted: dict[int, tuple[bytes, bytes]]) -> None:
        """Compare the answers of the streams in `wanted`, then close the connection."""
        while wanted:
            for number, answer in await peer.receive():
                if number in wanted:
                    compare(answer, *wanted.pop(number))
                    self.tally.answers += 1
        await peer.close()

    def add_stream(self, peer: Http2Peer, wanted: dict[int, tuple[bytes, bytes]]) -> None:
        route = self.chance.choice(('quick', 'block', 'stream', 'echo'))
        _, token, body = self.tokens.request(route)
        if route == 'echo':
            body = body[:4000]
        method = b'POST' if route == 'echo' else b'GET'
        number = peer.ask(method, b'/%s/%s' % (route.encode(), token), body if route == 'echo' else b'')
        wanted[number] = (token, body)

    async def messages(self) -> None:
        """Send WebSocket messages with tokens and compare the echoes."""
        reader, writer = await self.target.open()
        writer.write(HANDSHAKE)
        head = await reader.readuntil(b'\r\n\r\n')
        if not head.startswith(b'HTTP/1.1 101'):
            raise Wrong(f'not a WebSocket handshake: {head[:100]!r}')
        for _ in range(self.chance.randint(1, 20)):
            self.tokens.count += 1
            text = f'{self.tokens.name}-{self.tokens.count}'.encode() * self.chance.choice((1, 3, 200))
            writer.write(frame(text, self.chance.randbytes(4)))
            echo = await read_message(reader, writer)
            if echo is None:
                break
            if echo != text:
                raise Wrong(f'another echo than that of {text[:60]!r}: {echo[:60]!r} of {len(echo)} bytes')
            self.tally.answers += 1
        if self.chance.random() < 0.3:
            self.drop(writer)
            return
        writer.write(frame(b'\x03\xe8', b'\0\0\0\0', CLOSE))
        await reader.read()
        await shut(writer)


CLOSE, PING, PONG = 0x88, 0x89, 0x8A
HANDSHAKE = (
    b'GET /ws HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
    b'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n'
)


def frame(payload: bytes, mask: bytes, first: int = 0x81) -> bytes:
    """Return one masked WebSocket frame."""
    masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
    if len(payload) < 126:
        return bytes([first, 0x80 | len(payload)]) + mask + masked
    if len(payload) < 65536:
        return bytes([first, 0xFE]) + struct.pack('!H', len(payload)) + mask + masked
    return bytes([first, 0xFF]) + struct.pack('!Q', len(payload)) + mask + masked


async def read_message(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes | None:
    """Return the next message; None for a close frame, which a worker that is replaced sends.

    Answer the PING that a server sends on a connection that is 20 s old.
    """
    while True:
        first, payload = await read_frame(reader)
        if first != PING:
            return None if first == CLOSE else payload
        writer.write(frame(payload, b'\0\0\0\0', PONG))


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Return the first byte of a frame, and its payload."""
    first, length = await reader.readexactly(2)
    if length == 126:
        (length,) = struct.unpack('!H', await reader.readexactly(2))
    elif length == 127:
        (length,) = struct.unpack('!Q', await reader.readexactly(8))
    return first, await reader.readexactly(length)


async def shut(writer: asyncio.StreamWriter) -> None:
    writer.close()
    try:
        await writer.wait_closed()
    except (OSError, ssl.SSLError):
        pass


class Http2Peer:
    """The client's end of an HTTP/2 connection, on the h2 library."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.state = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding=None))
        self.state.initiate_connection()
        self.flush()
        self.partial = b''
        self.answers: dict[int, tuple[int, bytes, bytes]] = {}

    def flush(self) -> None:
        self.writer.write(self.state.data_to_send())

    def ask(self, method: bytes, path: bytes, body: bytes = b'') -> int:
        number = self.state.get_next_available_stream_id()
        fields = [(b':method', method), (b':scheme', b'http'), (b':authority', b'test'), (b':path', path)]
        self.state.send_headers(number, fields, end_stream=not body)
        if body:
            self.state.send_data(number, body, end_stream=True)
        self.answers[number] = (0, b'', b'')
        self.flush()
        return number

    def reset(self, number: int) -> None:
        self.state.reset_stream(number, 8)
        del self.answers[number]
        self.flush()

    async def receive(self) -> list[tuple[int, tuple[int, bytes, bytes]]]:
        """Read once; return the streams that have ended, with their answers."""
        data = await self.reader.read(65536)
        if not data:
            raise EOFError('the server closed an HTTP/2 connection')
        ended = []
        for event in self.events(data):
            number = getattr(event, 'stream_id', None)
            if isinstance(event, h2.events.DataReceived) and event.flow_controlled_length:
                self.state.acknowledge_received_data(event.flow_controlled_length, number)
            if number not in self.answers:
                continue
            status, token, body = self.answers[number]
            if isinstance(event, h2.events.ResponseReceived):
                fields = dict(event.headers)
                self.answers[number] = (int(fields[b':status']), fields.get(b'x-token', b''), body)
            elif isinstance(event, h2.events.DataReceived):
                self.answers[number] = (status, token, body + event.data)
            elif isinstance(event, h2.events.StreamReset):
                raise Wrong(f'stream {number} was reset with {event.error_code}')
            elif isinstance(event, h2.events.StreamEnded):
                ended.append((number, self.answers.pop(number)))
        self.flush()
        return ended

    def events(self, data: bytes) -> Iterator[h2.events.Event]:
        """Give h2 frame by frame: after GOAWAY it takes no more, but the streams go on (RFC 9113 6.8)."""
        self.partial += data
        while len(self.partial) >= 9 and len(self.partial) >= (
            size := 9 + int.from_bytes(self.partial[:3], 'big')
        ):
            frame, self.partial = self.partial[:size], self.partial[size:]
            for event in self.state.receive_data(frame):
                if isinstance(event, h2.events.ConnectionTerminated):
                    self.take_goaway(event)
                yield event

    def take_goaway(self, event: h2.events.ConnectionTerminated) -> None:
        """Go on with the streams that the server has taken."""
        if event.error_code or any(number > event.last_stream_id for number in self.answers):
            last = f'last stream {event.last_stream_id}, awaited {sorted(self.answers)}'
            raise EOFError(f'GOAWAY {event.error_code}: {event.additional_data!r}, {last}')
        self.state.state_machine.state = h2.connection.ConnectionState.CLIENT_OPEN

    async def close(self) -> None:
        self.state.close_connection()
        self.flush()
        await shut(self.writer)


async def crowd(target: Target, seconds: float, count: int, seed: int) -> Tally:
    """Let `count` clients act for `seconds`; return what they have seen."""
    tally, until = Tally(), time.monotonic() + seconds
    await asyncio.gather(*(Client(seed * 1000 + n, target, tally).run(until) for n in range(count)))
    return tally
