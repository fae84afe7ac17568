"""A blocking HTTP/2 client over h2, which checks what it is sent; many streams, read as they come."""

from __future__ import annotations

import socket
import threading
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings


class Response:
    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.body = b''
        self.received = 0
        self.informational: list[int] = []
        self.trailers: list[tuple[bytes, bytes]] = []
        self.ended = False
        self.reset: int | None = None


class Http2Client:
    def __init__(self, sock: socket.socket, *, window: int | None = None, acknowledge: bool = True) -> None:
        self.sock = sock
        self.acknowledge = acknowledge
        self.connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        if window is not None:
            self.connection.local_settings = h2.settings.Settings(
                client=True, initial_values={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window}
            )
        self.connection.initiate_connection()
        self.responses: dict[int, Response] = {}
        self.goaways: list[tuple[int, int]] = []
        self.pings = 0
        self.pongs = 0
        self.closed = False
        self._data = b''
        self.keep = True
        self.flush()

    def flush(self) -> None:
        data = self.connection.data_to_send()
        if data:
            self.sock.sendall(data)

    def start(self, path: str = '/', method: str = 'GET', headers: Any = (), *, end: bool = True) -> int:
        stream_id = self.connection.get_next_available_stream_id()
        fields = [(':method', method), (':scheme', 'http'), (':authority', 'test'), (':path', path), *headers]
        self.connection.send_headers(stream_id, fields, end_stream=end)
        self.responses[stream_id] = Response()
        self.flush()
        return stream_id

    def send(self, stream_id: int, data: bytes, *, end: bool = False) -> None:
        """Within the windows, reading while they are shut."""
        view = memoryview(data)
        while view or end:
            room = min(self.connection.local_flow_control_window(stream_id), 16384)
            if view and not room:
                self.receive()
                continue
            piece, view = view[:room], view[room:]
            last = end and not view
            self.connection.send_data(stream_id, bytes(piece), end_stream=last)
            self.flush()
            if last:
                return

    def receive(self) -> bool:
        """Read once. Return False at the end of input."""
        data = self.sock.recv(65536)
        if not data:
            self.closed = True
            return False
        self._data += data
        while len(self._data) >= 9 and len(self._data) >= (size := 9 + int.from_bytes(self._data[:3], 'big')):
            # One frame at a time: h2 takes nothing after a GOAWAY, though RFC 9113 6.8 lets streams finish.
            frame, self._data = self._data[:size], self._data[size:]
            for event in self.connection.receive_data(frame):
                self._on_event(event)
        self.flush()
        return True

    def _on_event(self, event: Any) -> None:  # noqa: C901 (one branch for each kind of event)
        if isinstance(event, h2.events.ConnectionTerminated):
            self.goaways.append((event.last_stream_id, event.error_code))
            self.connection.state_machine.state = h2.connection.ConnectionState.CLIENT_OPEN
        elif isinstance(event, h2.events.PingReceived):
            self.pings += 1
        elif isinstance(event, h2.events.PingAckReceived):
            self.pongs += 1
        response = self.responses.get(getattr(event, 'stream_id', 0) or 0)
        if response is None:
            return
        if isinstance(event, h2.events.ResponseReceived):
            response.headers = dict(event.headers)
            response.status = int(response.headers[b':status'])
        elif isinstance(event, h2.events.InformationalResponseReceived):
            response.informational.append(int(dict(event.headers)[b':status']))
        elif isinstance(event, h2.events.DataReceived):
            response.received += len(event.data)
            if self.keep:
                response.body += event.data
            if self.acknowledge and event.flow_controlled_length:
                self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.TrailersReceived):
            response.trailers = event.headers
        elif isinstance(event, h2.events.StreamEnded):
            response.ended = True
        elif isinstance(event, h2.events.StreamReset):
            response.reset = event.error_code

    def finish(self, *stream_ids: int) -> Response:
        """Read until these streams have ended, or been reset; the first one's response."""
        while not all(self.responses[s].ended or self.responses[s].reset is not None for s in stream_ids):
            assert self.receive(), 'the connection was closed'
        return self.responses[stream_ids[0]]

    def ping(self) -> None:
        """Wait for the answer to a PING: the server has read all that was sent before."""
        expected = self.pongs + 1
        self.connection.ping(b'12345678')
        self.flush()
        while self.pongs < expected:
            assert self.receive(), 'the connection was closed'

    def get(self, path: str = '/', **rest: Any) -> Response:
        return self.finish(self.start(path, **rest))

    def read_to_end(self) -> None:
        while self.receive():
            pass


def download_side_by_side(sock: socket.socket, body: bytes) -> None:
    """Download `body` by two streams, 10,000 bytes at a time of the window that they share. Check both."""
    client = Http2Client(sock, window=1_000_000, acknowledge=False)
    streams = [client.start() for _ in range(2)]
    pause = threading.Event()
    while not all(client.responses[each].ended for each in streams):
        client.connection.increment_flow_control_window(10_000)
        client.flush()
        client.receive()
        assert [client.responses[each].reset for each in streams] == [None, None]
        pause.wait(0.02)
    assert [client.responses[each].body == body for each in streams] == [True, True]


def received_before_small(client: Http2Client, large: int, small: threading.Event) -> int:
    """Download `/large`, then `/small` beside it. Return the bytes of the large one that came first.

    `small` is set by the server when it has the small response, or before.
    """
    client.connection.increment_flow_control_window(1 << 27)
    client.keep = False
    first = client.start('/large')
    while not client.responses[first].received:
        client.receive()
    second = client.start('/small')
    assert small.wait(10)
    client.finish(second)
    received = client.responses[first].received
    client.finish(first, second)
    assert client.responses[first].received == large
    return received
