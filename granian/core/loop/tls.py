"""TLS between the transport of a connection and the connection.

asyncio's own TLS closes the connection as soon as the client has sent its close_notify, and has
no half-close. Here a client that has ended its side still gets its response, and our end is a
close_notify followed by a lingering close, as in clear text.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any, Protocol

from ...protocol.limits import LINGER
from ...tls import is_plain_http, is_tls_mistake, plain_http_answer, reason_of
from ..progress import unread
from ..records import BARREN, PART, RECORD, REPLY, WIRE, make_close_notify
from ..spare import spare_from
from .allowance import FINISHED, FIRST, HELLO
from .input import bound_read

if TYPE_CHECKING:
    from ...protocol.limits import Clock
    from .connection import LoopConnection

READS = 256
"""Records deciphered at once. Of one byte each, 11,000 may arrive together: that is 20 ms."""


class Handshakes(Protocol):
    """Where layers are during the handshake."""

    clock: Clock
    handshake_timeout: float

    def handshake_begun(self, layer: TLSLayer) -> None:
        """Note a layer that has its transport."""
        ...

    def handshake_over(self, layer: TLSLayer, error: object = None) -> None:
        """Forget the layer: its connection exists from now on, or `error` says why not."""
        ...


class TLSLayer(asyncio.Protocol):
    """The protocol of the TCP transport, and the transport of the connection."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connection: LoopConnection,
        context: ssl.SSLContext,
        handshakes: Handshakes,
    ) -> None:
        self.since = loop.time()
        self._loop = loop
        self._connection: Any = connection  # an asyncio.Protocol: its tunnel, after an upgrade
        self._owner = connection
        self._handshakes = handshakes
        self._received = ssl.MemoryBIO()
        self._to_send = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._received, self._to_send, server_side=True)
        self._begun = False  # OpenSSL has been given input
        self._agreed = False
        self._barren = 0  # bytes of records since the last data
        self._part = PART  # bytes for OpenSSL at once
        self._answered = False  # our part of the handshake has been sent
        connection.lane = HELLO
        self._deaf = False  # input is discarded
        self._client_ended = False
        self._notified = False  # close_notify has been sent
        self._raw: Any = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def spare_from(self) -> float:
        """Time from which it may be closed to free its descriptor. Input that waits for us came just now."""
        if self._owner.allowance.waiting(self._owner) or unread(self._owner.socket.fileno()):
            return spare_from(self._loop.time())
        return spare_from(self.since, self._connection.socket if self._answered else None)

    # -- what the loop calls

    def connection_made(self, transport: Any) -> None:
        self._raw = transport
        if self._connection is None:  # its setting up was cancelled
            transport.abort()
            return
        bound_read(transport)
        self._owner.transport = self  # it may pause reading during the handshake
        self._handshakes.handshake_begun(self)
        self._timer = self._loop.call_later(
            self._handshakes.handshake_timeout, self._fail, 'it took too long'
        )

    def data_received(self, data: bytes | memoryview) -> None:
        if self._deaf:
            return
        allowance = self._owner.allowance
        if allowance.left:
            allowance.left -= 1
        elif not allowance.admits(self._owner, self.data_received, data):
            self._owner.bound_held(len(data))
            return
        if not self._begun and is_plain_http(bytes(data[:WIRE])):
            self._answer_plain_http()
            return
        part = self._part
        self._decode(data if len(data) <= part else data[:part])
        if len(data) > part and not self._deaf:
            allowance.put_off(self._owner, self.data_received, memoryview(data)[part:])
            self._owner.bound_held(len(data))

    def _decode(self, data: bytes | memoryview) -> None:
        """Give OpenSSL a part of the input, and take the next step with it."""
        self._begun = True
        self._received.write(data)
        if self._agreed:
            self._barren += len(data)
            self._read()
        else:
            self._shake_hands()
            self._owner.allowance.note_long()

    def eof_received(self) -> bool:
        allowance = self._owner.allowance
        if allowance.left:
            allowance.left -= 1
        elif not allowance.admits(self._owner, self._end):
            return True
        self._end()
        return True

    def _end(self) -> None:
        """Pass on the client's FIN. Close, with a close_notify, unless our side stays open."""
        if not self._agreed:
            self._fail('the client has gone')
        elif not self._end_of_input():
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._connection is None:
            return
        self._owner.allowance.forget(self._owner)
        if self._agreed:
            self._connection.connection_lost(exc)
        else:
            self._over('the client has gone')
        self._connection = None  # a cycle would keep OpenSSL's buffers until the garbage collector comes
        del self._owner

    def pause_writing(self) -> None:
        if self._agreed:
            self._connection.pause_writing()

    def resume_writing(self) -> None:
        if self._agreed:
            self._connection.resume_writing()

    # -- the handshake

    def _shake_hands(self) -> None:
        """Take the next step with what has been received."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            if self._to_send.pending and not self._answered:
                self._answered = True
                self._owner.lane = FINISHED
                self.since = self._loop.time()
            self._flush()
        except (ssl.SSLError, ValueError, OSError) as error:
            self._flush()  # the alert
            self._fail(error)
        else:
            self._flush()
            self._agreed = True
            self._owner.lane = FIRST
            self._over()
            self._connection.opened = self._connection.since = self.since
            self._connection.connection_made(self)
            self._read()

    def _over(self, error: object = None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._handshakes.handshake_over(self, error)

    def _fail(self, error: object) -> None:
        if is_tls_mistake(error):
            reason = f'TLS handshake failed: {reason_of(error)}'
            self._connection.settings.refused(self._connection.client, 400, reason)
        self._over(error)
        self._deaf = True
        self._raw.close()

    def _answer_plain_http(self) -> None:
        reason = 'HTTP in clear text on a port with TLS'
        self._connection.settings.refused(self._connection.client, 400, reason)
        self._over('it is HTTP in clear text')
        self._deaf = True
        self._raw.write(plain_http_answer(self._handshakes.clock))
        self._raw.write_eof()
        self._loop.call_later(LINGER, self._raw.abort)

    # -- input

    def _read(self) -> None:
        """Pass on what can be deciphered, READS records at once: the rest in a later turn."""
        if self._deaf:
            return
        parts: list[bytes] = []
        ended = broken = False
        try:
            ended = self._decipher(parts)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:  # close_notify
            ended = True
        except ssl.SSLError:  # the alert is pending; data may precede the bad record
            broken = True
        self._barren = 0 if parts else self._barren + REPLY * self._to_send.pending
        self._part = WIRE if parts else PART
        if self._to_send.pending:
            self._flush()
        if parts:
            self._connection.data_received(parts[0] if len(parts) == 1 else b''.join(parts))
            if len(parts) == READS:
                self._owner.allowance.put_off(self._owner, self._read)  # behind these, if they are put off
                self._owner.bound_held(RECORD)
        if broken or (not parts and self._barren > BARREN):
            self.abort()
        elif ended and not self._end_of_input():
            self.close()

    def _decipher(self, parts: list[bytes]) -> bool:
        """Append READS records to `parts`. Return whether input has ended. Raises SSLError where it waits."""
        read = self._tls.read
        while len(parts) < READS:
            part = read(RECORD)
            if not part:
                return True
            parts.append(part)
        return False

    def _end_of_input(self) -> bool:
        """Pass on the client's close_notify, or its FIN, once. Return whether our side stays open."""
        if self._client_ended or self._deaf:
            return not self._deaf
        self._client_ended = True
        return bool(self._connection.eof_received())

    # -- the connection's transport

    def write(self, data: bytes) -> None:
        if self._notified or self._raw.is_closing():
            return
        size = len(data)
        records = []
        try:
            # One at a time: the buffer keeps the memory of the most that it has ever held.
            for start in range(0, size, RECORD):
                self._tls.write(data if size <= RECORD else memoryview(data)[start : start + RECORD])
                records.append(self._to_send.read())
        except ssl.SSLError:
            self._raw.abort()
            return
        if records:
            self._raw.write(records[0] if len(records) == 1 else b''.join(records))

    def _flush(self) -> None:
        data = self._to_send.read()
        if data:
            self._raw.write(data)

    def _notify(self) -> None:
        """Send close_notify. The client's answer is not waited for."""
        if self._notified:
            return
        self._notified = True
        make_close_notify(self._tls)
        self._flush()

    def write_eof(self) -> None:
        self._notify()
        self._deaf = True
        self._raw.write_eof()

    def close(self) -> None:
        if not self._raw.is_closing():
            self._notify()
        self._deaf = True
        self._raw.close()

    def abort(self) -> None:
        """End without close_notify: to the client it must not look complete."""
        self._notified = self._deaf = True
        self._raw.abort()

    def is_closing(self) -> bool:
        return bool(self._raw.is_closing())

    def set_protocol(self, protocol: asyncio.Protocol) -> None:
        self._connection = protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._tls if name == 'ssl_object' else self._raw.get_extra_info(name, default)

    def get_write_buffer_size(self) -> int:
        return int(self._raw.get_write_buffer_size())

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._raw.set_write_buffer_limits(high, low)

    def pause_reading(self) -> None:
        self._raw.pause_reading()

    def resume_reading(self) -> None:
        self._raw.resume_reading()
