"""A client made of hyperframe and hpack: it can say anything, right or wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import hpack
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    RstStreamFrame,
    SettingsFrame,
)

from granian.protocol.events import Refused, Rejected
from granian.protocol.http2 import make_http2
from granian.protocol.limits import H2, LEAN, Clock, Limits, SharedStreams

PREFACE = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
GET = [(':method', 'GET'), (':scheme', 'http'), (':authority', 'a.example'), (':path', '/')]
POST = [(':method', 'POST'), *GET[1:]]


def parse_frames(data: bytes) -> list[Frame]:
    frames, view = [], memoryview(data)
    while view:
        frame, length = Frame.parse_frame_header(view[:9])
        frame.parse_body(view[9 : 9 + length])
        frames.append(frame)
        view = view[9 + length :]
    return frames


class Peer:
    """The client's end of a connection object: frames in, the events and frames that came of them out."""

    engine = LEAN

    def __init__(
        self, limits: Limits | None = None, *, greet: bool = True, shared: SharedStreams | None = None
    ) -> None:
        self.clock = Clock(b'Sun, 06 Nov 1994 08:49:37 GMT')
        limits = replace(limits or Limits(), http2_engine=self.engine)
        self.server: Any = make_http2(limits, self.clock, shared)
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()
        self.events: list = []
        self.rejected: list[Rejected] = []
        self.frames: list[Frame] = []
        self.refused: Refused | None = None
        if greet:
            self.feed(PREFACE + SettingsFrame(0).serialize() + SettingsFrame(0, flags=['ACK']).serialize())
            self.greeting = self.frames
            self.frames = []

    @property
    def active(self) -> dict:
        """The server's streams that count as concurrent."""
        return self.server._table.active

    @property
    def guard(self):
        return self.server._session.guard

    # what the client does

    def feed(self, data: bytes) -> Peer:
        self.server.receive_data(data)
        return self.pull()

    def pull(self) -> Peer:
        while (event := self.server.next_event()) is not None:
            (self.rejected if isinstance(event, Rejected) else self.events).append(event)
            if isinstance(event, Refused):
                self.refused = event
                self.got(event.response)
        return self.got(self.server.data_to_send())

    def got(self, data: bytes) -> Peer:
        """Take the frames that a command of the server returned."""
        self.frames += parse_frames(data)
        return self

    def send(self, *frames: Frame) -> Peer:
        return self.feed(b''.join(frame.serialize() for frame in frames))

    def raw(self, kind: int, flags: int, stream_id: int, payload: bytes = b'') -> Peer:
        return self.feed(raw_frame(kind, flags, stream_id, payload))

    def headers(
        self, stream_id: int, fields=GET, *, end: bool = True, end_headers: bool = True
    ) -> HeadersFrame:
        flags = ['END_STREAM'] * end + ['END_HEADERS'] * end_headers
        return HeadersFrame(stream_id, data=self.encoder.encode(fields, huffman=False), flags=flags)

    def request(self, stream_id: int = 1, fields=GET, *, end: bool = True) -> Peer:
        return self.send(self.headers(stream_id, fields, end=end))

    def data(self, stream_id: int, data: bytes, *, end: bool = False) -> Peer:
        return self.send(DataFrame(stream_id, data=data, flags=['END_STREAM'] * end))

    # what the server sent

    def take(self) -> list[Frame]:
        frames, self.frames = self.frames, []
        return frames

    def take_events(self) -> list:
        events, self.events = self.events, []
        return events

    def resets(self) -> list[tuple[int, int]]:
        return [(f.stream_id, f.error_code) for f in self.frames if isinstance(f, RstStreamFrame)]

    def goaway(self) -> int | None:
        """Return the code of the last GOAWAY, None without one."""
        codes = [frame.error_code for frame in self.frames if isinstance(frame, GoAwayFrame)]
        return codes[-1] if codes else None

    def fields(self, frames: list[Frame] | None = None) -> list[list[tuple[str, str]]]:
        """Return the header lists among the frames, decoded."""
        lists, block = [], b''
        for frame in self.frames if frames is None else frames:
            if isinstance(frame, HeadersFrame | ContinuationFrame):
                block += frame.data
                if 'END_HEADERS' in frame.flags:
                    lists.append([tuple(field) for field in self.decoder.decode(block)])
                    block = b''
        return lists

    def body(self, stream_id: int = 1) -> bytes:
        return b''.join(f.data for f in self.frames if isinstance(f, DataFrame) and f.stream_id == stream_id)

    def ended(self, stream_id: int = 1) -> bool:
        return any(f.stream_id == stream_id and 'END_STREAM' in f.flags for f in self.frames)


def raw_frame(kind: int, flags: int, stream_id: int, payload: bytes = b'') -> bytes:
    return len(payload).to_bytes(3, 'big') + bytes((kind, flags)) + stream_id.to_bytes(4, 'big') + payload


class H2Peer(Peer):
    """A client of the second engine."""

    engine = H2
