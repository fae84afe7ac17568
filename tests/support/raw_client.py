"""A client that sends just the bytes it is given and reads responses by the letter of RFC 9112.

Strict on purpose: a server's slip that a browser would forgive is a failure here.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

STATUS_LINE = re.compile(rb'HTTP/1\.[01] ([1-5][0-9][0-9]) ([^\r\n]*)\r\n')
FIELD_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*?)[ \t]*\r\n")


@dataclass
class Answer:
    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes
    interim: list[int] = field(default_factory=list)
    """Status of each 1xx response that came before."""

    def header(self, name: str) -> str | None:
        values = [value for key, value in self.headers if key == name]
        assert len(values) <= 1, f'{name} was sent {len(values)} times'
        return values[0] if values else None

    @property
    def keeps_alive(self) -> bool:
        return 'close' not in (self.header('connection') or '').lower()


def request(
    method: str,
    target: str,
    body: bytes | None = None,
    headers: Sequence[str] = (),
    version: str = '1.1',
    host: str | None = 'testserver',
) -> bytes:
    """Return the bytes of a request; a body gets a Content-Length unless the headers say chunked."""
    lines = [f'{method} {target} HTTP/{version}', *([f'Host: {host}'] if host else []), *headers]
    if body is not None and not any('chunked' in line for line in headers):
        lines.append(f'Content-Length: {len(body)}')
    return '\r\n'.join([*lines, '', '']).encode('latin-1') + (body or b'')


def chunked(body: bytes, size: int, extension: bytes = b'', trailer: bytes = b'') -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    coded = b''.join(b'%x%b\r\n%b\r\n' % (len(piece), extension, piece) for piece in pieces)
    return coded + b'0\r\n' + trailer + b'\r\n'


class Client:
    """One connection."""

    def __init__(self, port: int, timeout: float = 20) -> None:
        self.socket = socket.create_connection(('127.0.0.1', port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file: BinaryIO = self.socket.makefile('rb')

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send all. The server may answer and close before it has read all: that is no error."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def ask(self, data: bytes) -> Answer:
        self.send(data)
        return self.read(data.partition(b' ')[0].lstrip())

    def read(self, method: bytes = b'GET') -> Answer:
        interim = []
        while True:
            status, reason, headers = self.read_head()
            if status >= 200:
                break
            interim.append(status)
        answer = Answer(status, reason, headers, b'', interim)
        answer.body = self.read_body(answer, method)
        return answer

    def read_head(self) -> tuple[int, str, list[tuple[str, str]]]:
        line = self.file.readline()
        assert line, 'the server closed the connection without an answer'
        found = STATUS_LINE.fullmatch(line)
        assert found, f'not a status line: {line!r}'
        headers = []
        while (line := self.file.readline()) != b'\r\n':
            header = FIELD_LINE.fullmatch(line)
            assert header, f'not a header line: {line!r}'
            headers.append((header[1].decode().lower(), header[2].decode('latin-1')))
        return int(found[1]), found[2].decode('latin-1'), headers

    def read_body(self, answer: Answer, method: bytes) -> bytes:
        length, coding = answer.header('content-length'), answer.header('transfer-encoding')
        if method == b'HEAD' or answer.status in (204, 304):
            return b''
        if coding is not None:
            assert coding == 'chunked'
            assert length is None
            return self.read_chunked()
        if length is not None:
            body = self.file.read(int(length))
            assert len(body) == int(length), f'{len(body)} of {length} bytes came'
            return body
        assert not answer.keeps_alive, 'neither a length nor the promise to close'
        return self.file.read()

    def read_chunked(self) -> bytes:
        parts = []
        while True:
            line = self.file.readline()
            assert re.fullmatch(rb'[0-9A-Fa-f]+\r\n', line), f'not a chunk size: {line!r}'
            size = int(line, 16)
            data = self.file.read(size + 2)
            assert data[size:] == b'\r\n', 'a chunk does not end where it should'
            if not size:
                return b''.join(parts)
            parts.append(data[:size])

    def at_end(self) -> bool:
        """Wait for the server to close; False if it sends something instead."""
        try:
            return not self.file.read(1)
        except ConnectionResetError:
            return True
