"""One HTTP/2 connection of a core whose handlers may block: each stream is a unit of work of its own.

Only the owner reads, sets deadlines and closes. It is the leader, from an event until the end of
`work`. See `http2_output` for the lock under which handlers write.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

from ...clocks import monotonic
from ...protocol.error_pages import BODY_TIMEOUT, error_parts
from ...protocol.events import Data, EndOfRequest, Refused, Rejected, Request, RequestFailed, Writable
from ..progress import Lag
from ..spare import body_spare_from, spare_from
from .connection import CLOSED, IDLE, LINGERING, OUTBOX_LIMIT, RUNNING
from .http2_output import Http2Output
from .http2_stream import Http2Stream
from .receiving import PART_SIZE, receive
from .spool import BodyRefused, Spool

if TYPE_CHECKING:
    from ...protocol.events import Event
    from .services import OpenStream, Services

READS = 8
"""Reads in one turn, before other connections have theirs."""
SLICE = 0.001
"""Seconds after which a turn reads no more: the frames of one read may take 15 ms."""
PREFETCH = 16384
"""Bytes of a request body that are read before a thread runs the request. Their window is given
back at once, so this is also the most that a stream holds which no handler reads."""

logger = logging.getLogger('_granian')


class Http2Connection(Http2Output):
    """A connection as a unit of work, which makes its streams units of work."""

    __slots__ = ('_failed', '_lag', 'gathering', 'streams')

    def __init__(self, sock: Any, client: Any, server: Any, core: Services) -> None:
        super().__init__(sock, client, server, core)
        self.streams: dict[int, OpenStream] = {}
        """Streams whose handler has not ended."""
        self.gathering: dict[int, Http2Stream] = {}
        """Those of them whose body is still read before a thread runs them."""
        self._failed = False
        self._lag = Lag(0.0, 0)
        """Lag of the client with all its streams, while there are `finished` ones."""
        self.deadline = monotonic() + self.settings.head_timeout

    # -- reading; the leader, which owns the connection --------------------------------------

    def begin(self, data: bytes) -> None:
        """Take the bytes that were read before the HTTP version was known."""
        with self.lock:
            self.http.receive_data(data)
            self._take_events()

    def work(self) -> bool:
        """Take a turn as the owner: write, read, handle events, write. The caller leads on: return True."""
        self.signalled = False
        try:
            if self.phase == LINGERING:
                self.discard_input()
                return True
            with self.lock:
                self.flush()
            self._read()
            self.goes_on = self.readable or self.http.unread
            with self.lock:
                self._end_turn()
        except Exception:
            self.break_off()
            self.close()
        if self.refusals:
            self.report_refusals()
        return True

    def break_off(self) -> None:
        logger.exception('Internal error on an HTTP/2 connection')
        self.reactor.suspect = True
        with self.lock:
            self.lose()
        self.call_leader()

    def prepare(self) -> None:
        self.work()

    def _read(self) -> None:
        """Read a few times at most, and nothing while the client does not take its output."""
        ends = monotonic() + SLICE
        http = self.http
        for read in range(READS):
            if not (self.readable or http.unread) or (read and monotonic() > ends):
                return
            with self.lock:
                if self.outbox > OUTBOX_LIMIT:
                    self._paused = True
                    return
                if http.unread:
                    http.read_on()
                elif (data := self._receive()) is None:
                    return
                elif data:
                    http.receive_data(data)
                else:
                    http.receive_eof()
                self._take_events()

    def _receive(self) -> bytes | None:
        """Read once. Return the bytes, b'' at the end or after an error, None if there are none now."""
        self.readable = False
        try:
            data: bytes = receive(self.sock, PART_SIZE)
        except BlockingIOError:
            return None
        except OSError:
            return b''
        if data and (self.hung_up or len(data) == PART_SIZE):
            self.readable = True
        return data

    def _take_events(self) -> None:
        """Handle the protocol's events. The connection's lock is held."""
        next_event = self.http.next_event
        while (event := next_event()) is not None:
            if type(event) is Request:
                self._on_request(event)
            elif type(event) is Refused:
                self.note_refused(event.status, event.reason)
                self._failed = True
                self.push(event.response)
            elif type(event) is Rejected:
                self.note_refused(event.status, event.reason, event.head)
            elif type(event) is Writable:
                self.on_writable(event.stream_id)
            else:
                self._on_event(event)
        self.push(self.http.data_to_send())

    def _on_request(self, event: Request) -> None:
        """Make a stream of a request. Queue it now, or once its body is in memory or on disk."""
        self.phase = RUNNING
        self.stage += 1
        if event.head.upgrade is not None and self.core.upgrades is not None:
            self.streams[event.stream_id] = self.core.upgrades.take_http2(self, event)
            return
        stream = Http2Stream(self, event)
        self.streams[event.stream_id] = stream
        if not event.complete and self.core.crowd.stores(event.head.content_length, self.settings.body_spool):
            self._begin_spool(stream)
        elif event.complete or event.head.expects_continue or len(event.body) >= PREFETCH:
            self.queue(stream)
        else:
            stream.since = monotonic()
            self.gathering[event.stream_id] = stream

    def _begin_spool(self, stream: Http2Stream) -> None:
        """Read a body of unknown length to its end before a thread runs the request."""
        stream.since = monotonic()
        stream.spool = Spool(self.settings.body_spool)
        self.gathering[stream.stream_id] = stream
        if stream.head.expects_continue:
            self.push(self.http.body_wanted(stream.stream_id))
        first, stream.body = stream.body, b''
        if first:
            self._spool(stream, stream.spool, first)

    def _spool(self, stream: Http2Stream, spool: Spool, data: bytes) -> None:
        try:
            spool.add(data)
        except BodyRefused as refused:
            self.reactor.failed += 1
            self._refuse(stream, refused.status, refused.reason)

    def _end_spool(self, stream: Http2Stream, spool: Spool) -> None:
        body = spool.end()
        if body is not None:
            stream.body = body
            stream.spool = None
        else:
            stream.complete = False  # the rest is in the spool

    def _on_event(self, event: Event) -> None:
        """Take an event of a stream. It is dropped where the handler has ended."""
        stream = self.streams.get(event.stream_id)  # type: ignore[union-attr]
        if stream is None:
            self.finished.pop(event.stream_id, None)  # type: ignore[union-attr]
        elif stream.stream_id in self.gathering:
            self._gather(self.gathering[stream.stream_id], event)
        elif type(event) is RequestFailed:
            if not event.disconnected:
                self.refusals.append((event.status, event.reason, True, None))
            stream.failure = event
            stream.wake()
        else:
            stream.inbox.append(event)
            stream.wake()

    def _gather(self, stream: Http2Stream, event: Event) -> None:
        """Take an event of a request that no thread runs yet."""
        stream_id = stream.stream_id
        if type(event) is Data:
            stream.since = monotonic()
            self.push(self.http.consumed(stream_id, event.credit))
            if stream.spool is not None:
                self._spool(stream, stream.spool, event.data)
                return
            stream.body += event.data
            if len(stream.body) < PREFETCH:
                return
            if self.core.crowd.stores(stream.head.content_length, self.settings.body_spool):
                self._begin_spool(stream)
                return
        elif type(event) is EndOfRequest:
            stream.end_of_request(event)
            if stream.spool is not None:
                self._end_spool(stream, stream.spool)
        else:
            if type(event) is RequestFailed and not event.disconnected:
                self.note_refused(event.status, event.reason, stream.head)
            self.push(self.http.abort(stream_id))
            del self.gathering[stream_id], self.streams[stream_id]
            return
        del self.gathering[stream_id]
        self.queue(stream)

    def on_writable(self, stream_id: int) -> None:
        stream = self.streams.get(stream_id)
        if stream is not None:
            if not self.is_full(stream_id):  # a window that opens by bytes wakes no thread for each
                stream.wake()
        elif self.http.unsent(stream_id):
            self.finished[stream_id] = monotonic()
        else:
            self.finished.pop(stream_id, None)

    def _end_turn(self) -> None:
        """Close, or let go with the deadline that applies. The lock is held."""
        if self.reactor.stopping and self.timers.leaving_since is None:
            now = monotonic()
            self.timers.settle(now, self._busy)
            self.push(self.timers.leave(now))
        self.flush()
        self.resume()
        if self.http.must_close and (self.hung_up or not self.outbox):
            self._end()
        else:
            self.update_deadline(monotonic())
            self.release()

    # -- the end of a stream, of the connection -----------------------------------------------

    def finish(self, stream: OpenStream) -> None:
        """Remove a stream whose handler has ended; reset it if its response is incomplete. Any thread."""
        stream_id = stream.stream_id
        with self.lock:
            spool = self.streams.pop(stream_id).spool
            if spool is not None:
                spool.close()
            if self.phase >= LINGERING:
                self.http.abort(stream_id)
                if self.phase == CLOSED and not self.streams:
                    self.reactor.let_go(self)
                return
            if stream.aborted or not stream.ended:
                self.push(self.http.abort(stream_id))
                self.flush()
            elif self.http.unsent(stream_id):
                now = monotonic()
                if not self.finished:
                    self._lag = Lag(now, self.http.data_sent)
                self.finished[stream_id] = now
            self.resume()
            if not self.streams:
                self.update_deadline(monotonic())
            closing = self.http.must_close
        if closing:
            self.call_leader()

    def drop(self, stream: OpenStream) -> None:
        spool = self.streams.pop(stream.stream_id).spool
        if spool is not None:
            spool.close()
        out = self.http.abort(stream.stream_id)
        if self.phase < LINGERING:
            self.push(out)
        elif self.phase == CLOSED and not self.streams:
            self.reactor.let_go(self)

    def lose(self) -> None:
        self._lost = True
        self._out.clear()
        self.outbox = 0
        self.hung_up = True
        self.readable = True  # the owner finds the end, and closes
        self.signalled = True
        self.http.receive_eof()
        self._take_events()

    def _end(self) -> None:
        """Close, lingering where the client may still be sending. The lock is held."""
        for stream in self.waiting:
            stream.wake()
        if self.hung_up and not self._failed:
            self.close()
        else:
            self.linger()

    def has_news(self) -> bool:
        unread = self.readable or self.http.unread
        news = self.signalled or (unread and self.outbox <= OUTBOX_LIMIT)
        return news or (self.reactor.stopping and self.timers.leaving_since is None)

    @property
    def is_idle(self) -> bool:
        return not self.streams and not self.finished and self.http.idle

    @property
    def spare_from(self) -> float:
        if self.finished or len(self.streams) > len(self.gathering):
            return math.inf
        times = [
            body_spare_from(each.since, each.body_size or len(each.body), each.head, self.sock)
            for each in self.gathering.values()
        ]
        return max(times, default=spare_from(self.idle_since, self.waits_on))

    def close(self) -> None:
        """Close the socket. Streams whose handler runs keep the connection in memory until they end."""
        if self.phase != CLOSED:
            self.http.close()
            for stream in (*self.parked, *self.gathering.values()):
                del self.streams[stream.stream_id]  # it has never run
                self.http.abort(stream.stream_id)
                if stream.spool is not None:
                    stream.spool.close()
            self.parked.clear()
            self.gathering.clear()
            if self.streams:
                self.reactor.retain(self)
            super().close()

    # -- deadlines ------------------------------------------------------------------------------

    def update_deadline(self, now: float) -> None:
        """Set the earliest of the deadlines: keep-alive, PING, unsent responses, bodies."""
        settings = self.settings
        busy = self._busy
        self.timers.settle(now, busy)
        if self.phase == RUNNING and not busy:
            self.phase = IDLE
            self.idle_since = now
        earliest = self.timers.deadline(busy)
        if self.finished:
            earliest = min(earliest, min(self.finished.values()) + settings.write_timeout)
        if self.gathering:
            since = min(stream.since for stream in self.gathering.values())
            earliest = min(earliest, since + settings.body_timeout)
        self.set_deadline(self.phase, earliest)

    @property
    def _busy(self) -> bool:
        """A request is being answered, or a response waits for the client's window."""
        return bool(self.streams or self.finished)

    def expire(self) -> None:
        """Handle the deadlines that are over. The leader calls it."""
        with self.lock:
            self._expire(monotonic())
        self.report_refusals()

    def _expire(self, now: float) -> None:
        if self.phase == LINGERING:
            self.release() if self.takes_rest() else self.close()
            return
        self.note_progress(now)
        if self.timers.overdue(now):
            self.lose()
            self.close()
            return
        self._abort_untaken(now)
        for stream in list(self.gathering.values()):
            if now >= stream.since + self.settings.body_timeout:
                self._refuse(stream, 408, BODY_TIMEOUT)
        self.push(self.timers.act(now, self._busy))
        self._end_turn()

    def _abort_untaken(self, now: float) -> None:
        """Reset finished streams if the client has taken none of their rest during the write timeout.

        One that waits for the connection's window waits for its turn: the client's progress with all its
        streams counts. So does what it takes of the socket's output, which `note_progress` sees.
        """
        settings = self.settings
        behind = self._lag.behind(now, self.http.data_sent, settings.response_min_rate)
        for stream_id, since in list(self.finished.items()):
            if now < since + settings.write_timeout:
                continue
            keeps_up = self.http.holds_back or behind < settings.write_timeout
            if keeps_up and self.http.is_starved(stream_id):
                self.finished[stream_id] = now
                continue
            del self.finished[stream_id]
            self.push(self.http.abort(stream_id))

    def _refuse(self, stream: Http2Stream, status: int, reason: str) -> None:
        """Answer a request that no thread runs yet."""
        self.refusals.append((status, reason, False, stream.head))
        del self.gathering[stream.stream_id], self.streams[stream.stream_id]
        self.push(self.http.respond(stream.stream_id, status, *error_parts(status, reason)))
