"""One HTTP/1 connection of a core whose handlers may block: reads requests and runs the handler."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

from ...clocks import monotonic
from ...protocol.error_pages import BODY_TIMEOUT, HEAD_TIMEOUT, error_response
from ...protocol.events import Data, EndOfRequest, Refused, Request, RequestFailed
from ...stream import ClientDisconnected
from ..spare import body_spare_from, spare_from
from .body_ahead import PREFETCH, BodyAhead
from .connection import BODY, HEAD, IDLE, LINGERING, PIPELINED, RUNNING, WRITING
from .crowd import kind_of
from .http1_output import Http1Output
from .http1_stream import Http1Stream, TimedStream
from .receiving import RECEIVE_SIZE
from .services import report
from .spool import BodyRefused

if TYPE_CHECKING:
    from ...protocol.events import Event
    from .services import Services

logger = logging.getLogger('_granian')


class Http1Connection(Http1Output):
    """A connection as a unit of work."""

    __slots__ = ('_body', '_prepared', '_stream', '_timed_stream')

    def __init__(self, sock: Any, client: Any, server: Any, core: Services) -> None:
        super().__init__(sock, client, server, core)
        self._body: BodyAhead | None = None
        """The body that is being read ahead, with its request."""
        self._prepared: Request | None = None
        """A request that can run, while no thread is free for it."""
        self._stream: Http1Stream | None = None
        self._timed_stream: TimedStream | None = None

    def begin(self, data: bytes) -> None:
        """Take the bytes that were read before the HTTP version was known."""
        self.http.receive_data(data)
        self.phase = PIPELINED

    # -- a unit of work; the leader, which owns the connection ---------------------------

    def work(self) -> bool:
        self.signalled = False
        try:
            request = self._resume() if self.outbox or self.phase >= PIPELINED else self._next_request()
        except Exception:
            self._break_off()
            return True
        if request is None:
            return True
        if (self.core.crowd.kinds or not request.complete) and self._is_parked(request):
            return True
        return self._execute(request)

    def prepare(self) -> Http1Connection | None:
        if self._prepared is None:
            self.signalled = False
            try:
                self._prepared = self._resume()
            except Exception:
                self._break_off()
            if self._prepared is None:
                return None
            self.phase = PIPELINED
        return self

    @property
    def kind(self) -> str:
        return '' if self._prepared is None else kind_of(self._prepared.head)

    def _break_off(self) -> None:
        """Close after a failure of our own."""
        logger.exception('Internal error on an HTTP/1 connection')
        self.reactor.suspect = True
        self.close()

    def _resume(self) -> Request | None:
        """Go on in any phase. Return a request once it can run."""
        if self.phase == LINGERING:
            self.discard_input()
            return None
        if self.outbox and not (self.corked and self.phase == PIPELINED):
            if not self.flush():
                self.release_unless_closed()
                return None
            if not self._flushed():
                return None
        return self._next_buffered() if self.phase == PIPELINED else self._next_request()

    def _next_buffered(self) -> Request | None:
        """Return a request from input that has been read already, else read on."""
        self.phase = RUNNING
        if self.counted and self.was_reset():
            return None
        request, self._prepared = self._prepared or self._parse(self.http.next_event()), None
        if request is not None or self.phase >= WRITING:
            return request
        return self._next_request()

    def _next_request(self) -> Request | None:
        """Read once. Return a request if one can run. None: the connection waits again, or is closed.

        A body of up to PREFETCH bytes is read first, so that a slow sender holds no thread, but not where
        the client waits for 100 Continue: the application's first read sends that. Further input, and each
        further part of a body in tiny chunks, is read after the other ready units have had their turn.
        """
        http = self.http
        if http.unread:
            return self._parse_on(http.next_event())
        buffer = self.reactor.buffer
        self.readable = False
        try:
            data = buffer[: self.sock.recv_into(buffer)]
        except BlockingIOError:
            self._wait()
            return None
        except OSError:
            self.close()  # the connection is broken
            return None
        if self.hung_up or len(data) == RECEIVE_SIZE:
            self.readable = True  # as in receive()
        http.receive_data(data) if data else http.receive_eof()
        event = http.next_event()
        if type(event) is Request and event.complete:
            return event  # the fast path of nearly every request
        return self._parse_on(event, ended=not data)

    def _parse_on(self, event: Event | None, ended: bool = False) -> Request | None:
        """Return a request once it can run, else wait for more input, or close where it has ended."""
        request = self._parse(event)
        if request is None and self.phase < WRITING:
            self.close() if ended else self._wait()
        return request

    def _parse(self, event: Event | None) -> Request | None:
        """Take this event and the next ones: of tiny chunks only a part. Return a request once it can run."""
        while event is not None:
            if type(event) is Request and event.complete:
                return event
            request = self._advance(event)
            if request is not None or self.phase >= WRITING or self.http.unread:
                return request
            event = self.http.next_event()
        return None

    def _advance(self, event: Event) -> Request | None:
        """Take any event but a complete request. Return a request once it can run."""
        if type(event) is Request:
            return self._begin_body(event)
        if type(event) is RequestFailed:
            body, self._body = self._body, None
            if not event.disconnected:  # else the client may have closed only its side, and still read
                self.count_refused(event.status, event.reason, None if body is None else body.request.head)
            self.refuse(event.status, event.reason)
            return None
        if type(event) is Refused:
            self.count_refused(event.status, event.reason)
            self.end_with(event.response)
            return None
        body = self._body
        if body is None:
            return None
        if type(event) is Data:
            if not self._add(body, event.data):
                return None
        elif type(event) is EndOfRequest:
            body.request.complete = True
        self._body = None
        self.spooled = body.end()
        return body.request

    def _begin_body(self, request: Request) -> Request | None:
        """Read the body ahead. Return the request if it can run at once."""
        head, body, settings = request.head, request.body, self.settings
        enough = min(PREFETCH, settings.limits.max_buffer_size)
        stored = self.core.crowd.stores(head.content_length, settings.body_spool)
        spool_limit = settings.body_spool if stored else 0
        if not spool_limit and (head.expects_continue or len(body) >= enough):
            return request
        self._body = ahead = BodyAhead(request, enough, spool_limit)
        self.phase = BODY
        if head.expects_continue and (wanted := self.http.body_wanted(1)):
            try:
                self.write(wanted)
            except ClientDisconnected:
                self.close()
                return None
        if body:
            self._add(ahead, body)
        return None

    def _add(self, ahead: BodyAhead, data: bytes) -> bool:
        """Take a piece of a body. Return True once the request can run."""
        try:
            enough = ahead.add(data)
            limit = self.settings.body_spool
            if enough and self.core.crowd.stores(ahead.request.head.content_length, limit):
                ahead.store(limit)
                return False
            return enough
        except BodyRefused as refused:
            self._body = None
            self.count_refused(refused.status, refused.reason, ahead.request.head)
            self.refuse(refused.status, refused.reason)
            return False

    def _wait(self) -> None:
        """Let go of the connection until more input arrives, with the deadline that applies."""
        now = monotonic()
        self.goes_on = self.readable = self.readable or self.http.unread
        if self.outbox and not self.flush():  # corked, and the next request is not complete
            self.release_unless_closed()
            return
        if self.phase == IDLE and not self.http.idle:
            self.idle_since = now
        if self._body is not None:
            self.set_deadline(BODY, now + self.settings.body_timeout)
        elif self.reactor.stopping and self.http.idle:
            self.set_deadline(IDLE, now + self.grace)
        elif self.phase != HEAD:
            # The first bytes of a head: its deadline is absolute from here (S-D-01).
            if not self.http.idle:
                self.set_deadline(HEAD, now + self.settings.head_timeout)
            elif self.phase != IDLE:
                self.idle_since = now
                self.set_deadline(IDLE, now + self.settings.keep_alive_timeout)
        self.release()

    # -- the application's thread --------------------------------------------------------

    def _execute(self, request: Request) -> bool:
        """Run the handler. Another thread may lead meanwhile. Return whether the caller still does."""
        core = self.core
        pool = core.pool
        self.phase = RUNNING
        self.stage += 1
        entered = self.reactor.now
        stream: Http1Stream
        timed: TimedStream | None = None
        trusted = ''
        if pool.timed and not pool.trusts(trusted := kind_of(request.head)):
            trusted = ''
            stream = timed = self._begin_timed(request)
        else:
            self._stream = stream = self._stream or Http1Stream(self)
            stream.begin(request)
            pool.enter_call()
        self.stream = stream
        observe = core.settings.on_exchange
        if observe is not None:
            stream.started = entered
        try:
            core.handler(stream)
            if not stream.ended:
                stream.end_for_handler()
        except ClientDisconnected:
            stream.aborted = True
        except BaseException:
            logger.exception('Internal error while a request was handled')
            stream.aborted = True
        now = monotonic()
        if observe is not None:
            report(observe, stream)
        if timed is not None and timed.entered:
            pool.learn(timed.kind, *timed.duration(now))
        try:
            self._end_exchange(now, stream)
        except Exception:
            self._break_off()
        if pool.leave_call(now - entered, now, trusted):
            self.reactor.now = now
            return True
        self.reactor.notice_room()
        return False

    def _is_parked(self, request: Request) -> bool:
        """Park a request whose handler will wait for the client, if too many do. Return whether it is."""
        if self.counted:
            return False  # it was parked, and has a place now
        waits = not request.complete and self.spooled is None
        if not waits and kind_of(request.head) not in self.core.crowd.kinds:
            return False
        self._prepared = request
        if self.outbox and self.core.crowd.full and not self.flush():  # earlier responses leave first
            self.release_unless_closed()
            return True
        self.phase, self.counted = PIPELINED, True  # first: if parked, another thread may run it
        if not self.core.crowd.enter(self):
            return True
        self._prepared = None
        return False

    def _begin_timed(self, request: Request) -> TimedStream:
        self._timed_stream = stream = self._timed_stream or TimedStream(self)
        stream.begin(request)
        self.core.pool.enter_timed()
        if self.core.pool.is_worth_timing(stream.kind):
            stream.start_clock()  # after the wake of a follower, which may take the processor at once
        return stream

    # -- the end of an exchange, of the connection; the owner ------------------------------

    def _end_exchange(self, now: float, stream: Http1Stream) -> None:
        """Wait for the next request, or close: the response is sent, in the outbox, or broken off."""
        http = self.http
        if self.counted:
            self.leave_crowd()
        if self.spooled is not None:
            self.spooled.close()
            self.spooled = None
            stream.complete = True
        if stream.aborted:
            self.abort_response(stream)
        elif http.must_close:
            self.end(linger=self._may_have_input(stream))
        elif self.outbox and (not self.corked or http.idle):
            self.await_room()
            self.release()
        elif not http.idle:
            self.idle_since = now
            self.phase = PIPELINED
            self.reactor.submit(self)  # behind the other ready units (S-F-17)
        else:
            reactor = self.reactor
            allowed = reactor.grace if reactor.stopping else self.settings.keep_alive_timeout
            self.phase = IDLE
            self.idle_since = now
            self.deadline = deadline = now + allowed
            if deadline < reactor.next_sweep:
                reactor.next_sweep = deadline
            if not self.registered or reactor.level_triggered:
                self.release()
                return
            # As release() does, without the call: the end of nearly every request.
            self.owner.release()
            if (self.signalled or self.readable) and self.owner.acquire(False):
                reactor.submit(self)

    def _may_have_input(self, stream: Http1Stream) -> bool:
        """Return whether the client may be sending: closing now would reset it and destroy the response."""
        if not stream.complete or stream.head.keep_alive or self.http.input_discarded:
            return True
        try:
            return bool(self.receive())  # it has asked for the end, and should send nothing more
        except OSError:
            return False

    def _flushed(self) -> bool:
        """Go on after the outbox has been sent. Return whether there is more to do. The leader."""
        if not self.http.must_close:
            self.idle_since = monotonic()
            self.phase = RUNNING if self.http.idle else PIPELINED
            return True
        self.end(linger=True)
        return False

    def expire(self) -> None:
        if self.phase == HEAD and self.http.head_begun:
            self.settings.refused(self.client, 408, HEAD_TIMEOUT)
            self.end_with(error_response(408, HEAD_TIMEOUT, self.reactor.clock))
        elif self.phase == BODY:
            head = None if self._body is None else self._body.request.head
            self.settings.refused(self.client, 408, BODY_TIMEOUT, head=head)
            self.refuse(408, BODY_TIMEOUT)
        elif (self.phase == WRITING and self.keeps_rate()) or (self.phase == LINGERING and self.takes_rest()):
            self.release()
        else:
            self.close()

    def close(self) -> None:
        super().close()
        self.stream = self._stream = self._timed_stream = None  # they refer to this connection

    @property
    def grace(self) -> float:
        served = self._stream is not None or self._timed_stream is not None
        return self.reactor.grace if served else self.reactor.first_grace

    @property
    def is_idle(self) -> bool:
        return self.phase == IDLE or (self.phase == HEAD and self.http.idle)

    @property
    def spare_from(self) -> float:
        phase, body = self.phase, self._body
        if phase in (HEAD, LINGERING):
            return spare_from(self.idle_since, self.waits_on)
        if phase == BODY and body is not None:
            last = self.deadline - self.settings.body_timeout
            return body_spare_from(last, body.size, body.request.head, self.sock)
        return spare_from(self.idle_since) if phase == IDLE else math.inf
