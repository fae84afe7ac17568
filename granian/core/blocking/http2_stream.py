"""One HTTP/2 exchange: the blocking stream, and the unit of work that runs its handler."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Any

from ...clocks import monotonic
from ...protocol.error_pages import BODY_TIMEOUT
from ...protocol.events import Data, EndOfRequest
from ...stream import ClientDisconnected, InvalidResponse, RequestBodyError
from .crowd import kind_of
from .http2_output import LEFT_LIMIT
from .patience import CHECK_EVERY, TOO_SLOW_TO_TAKE, Patience
from .scheduling import times_waited
from .services import report
from .stream import LARGE_PIECE, BlockingStream

if TYPE_CHECKING:
    from ...protocol.events import Request, RequestFailed
    from ...protocol.interface import Headers
    from .http2_output import Http2Output
    from .spool import Spool
    from .work import Waiter

PIECE = 262144
"""Bytes of a response framed at a time. A large one is not copied whole."""

logger = logging.getLogger('_granian')


class Http2Stream(BlockingStream):
    """The connection's lock guards `inbox`, `failure` and the protocol object."""

    __slots__ = (
        '_answered', '_connection', '_counted', '_quick', '_reading', '_waiter', '_waits', '_writing',
        'failure', 'inbox', 'progress', 'since', 'spool', 'stream_id',
    )  # fmt: skip

    since: float
    """While the body is gathered: time of its last bytes."""

    def __init__(self, connection: Http2Output, request: Request) -> None:
        self._connection = connection
        self.stream_id = request.stream_id
        self.head = request.head
        self.body = request.body
        self.complete = request.complete
        self.progress = 2 * connection.stage + 1  # also where the connection has more to read
        self.client = connection.client
        self.server = connection.server
        self.scheme = connection.scheme
        self.tls = connection.tls
        self.memo = connection.memo
        self.status = self.bytes_sent = self.received = 0
        self.ended = self.aborted = False
        self.inbox: deque[Any] = deque()
        self.failure: RequestFailed | None = None
        self.spool: Spool | None = None
        """A body of unknown length."""
        self._waiter: Waiter | None = None
        self._reading: Patience | None = None
        self._writing: Patience | None = None
        self._counted = False
        """The exchange counts as one whose handler waits: see `crowd`."""
        self._quick = False
        """The response may wait for others of its turn."""
        self._answered = 0.0
        """Time at which the application gave its whole response; 0 where it did not."""
        self._waits = 0
        """How often the thread has waited: before the call, and once it has answered within the call."""

    take_socket = None

    # -- a unit of work --------------------------------------------------------------------------

    def work(self) -> bool:
        """Run the handler. Another thread may lead meanwhile. Return whether the caller still does."""
        connection = self._connection
        connection.note_begin(self)
        core = connection.core
        much = connection.held or connection.finished or connection.outbox > LEFT_LIMIT
        if (much or core.crowd.kinds or self.failure or not self.complete) and self._is_parked(bool(much)):
            return True
        pool = core.pool
        entered = connection.reactor.now
        called = 0.0
        trusted = ''
        if pool.timed and not pool.trusts(trusted := self.kind):
            trusted = ''
            self._quick = pool.enter_timed()
            self._waits = times_waited()
            called = monotonic()
        else:
            self._quick = True
            pool.enter_call()
        observe = core.settings.on_exchange
        if observe is not None:
            self.started = entered
        try:
            core.handler(self)
            if not self.ended:
                self.end_for_handler()
        except BaseException as error:
            self._take_error(error)
        now = monotonic()
        if observe is not None:
            report(observe, self)
        try:
            self._leave_crowd()
            connection.finish(self)
        except Exception:
            connection.break_off()
        if called:
            waits = self._waits if self._answered else times_waited() - self._waits
            pool.learn(self.kind, (self._answered or now) - called, waits)
        if pool.leave_call(now - entered, now, trusted):
            connection.reactor.now = now
            return True
        self._end_without_lead()
        return False

    def _end_unrun(self) -> bool:
        """End a request whose client left before its handler began. Return True: the caller still leads."""
        connection = self._connection
        connection.queued.discard(self)
        try:
            if self._counted:
                connection.core.crowd.give_back()
            self.aborted = True
            connection.finish(self)
        except Exception:
            connection.break_off()
        return True

    def _is_parked(self, much: bool) -> bool:
        """Park the request if its client is `crowded`, or if its handler will wait and too many do.

        `much`: the client may be `crowded`. Return True if the request is parked, or has failed and ends.
        """
        if self.failure is not None:
            return self._end_unrun()
        crowd = self._connection.core.crowd
        placed, self._counted = self._counted, False  # True: it was parked, and has a place now
        if much and self._connection.park(self):
            if placed:
                crowd.give_back()
            return True
        if placed:
            self._counted = True
            return False
        waits = not self.complete and self.spool is None
        if not waits and self.kind not in crowd.kinds:
            return False
        self._counted = True  # first: once parked, another thread may run it
        return not crowd.enter(self)

    def _leave_crowd(self) -> None:
        if not self._counted:
            return
        waited = any(each is not None and each.waited for each in (self._reading, self._writing))
        self._connection.core.crowd.leave(self.kind, waited)

    def _begin_wait(self, patience: Patience) -> float:
        """Return the seconds that the handler may go on waiting, 0 if the client has to be given up."""
        crowd = self._connection.core.crowd
        if not self._counted:
            self._counted = True
            crowd.join(self.kind)
        if patience.is_slow and crowd.expel():
            self._counted = False
            return 0.0
        return patience.begin_wait()

    def _take_error(self, error: BaseException) -> None:
        """Break off the response of a handler that has raised."""
        self.aborted = True
        if not isinstance(error, ClientDisconnected):
            logger.error('Internal error while a request was handled', exc_info=error)

    def _end_without_lead(self) -> None:
        """Write deferred responses and notify the leader of room. A leader does so after its turn."""
        connection = self._connection
        if connection.deferred:
            connection.flush_deferred()
        connection.reactor.notice_room()

    def prepare(self) -> Http2Stream | None:
        return None if self.failure is not None and self._end_unrun() else self

    @property
    def kind(self) -> str:
        return kind_of(self.head)

    # -- the request body -----------------------------------------------------------------------

    def end_of_request(self, event: EndOfRequest) -> None:
        self.complete = True
        self.trailers = event.trailers

    @property
    def body_size(self) -> int | None:
        return None if self.spool is None else self.spool.size

    def read(self) -> bytes:
        """Return the next bytes of the body, b'' at its end; it blocks. Raises RequestBodyError."""
        body = self.body
        if body:
            self.body = b''
            self.received = len(body)
            return body
        if self.complete:
            return b''
        if self.spool is not None:
            piece = self.spool.read()
            self.received += len(piece)
            return piece
        connection = self._connection
        http = connection.http
        settings = connection.settings
        patience = self._reading or Patience(settings.request_min_rate, settings.body_timeout)
        self._reading = patience
        with connection.lock:
            connection.push(http.body_wanted(self.stream_id))
            connection.flush()
            if not self.inbox:
                self._wait_for_input(patience)
            event = self.inbox.popleft()
            if type(event) is not Data:
                self.end_of_request(event)
                return b''
            connection.push(http.consumed(self.stream_id, event.credit))
            connection.flush()
            self.received += len(event.data)
            patience.earn(len(event.data))
            return event.data

    def _wait_for_input(self, patience: Patience) -> None:
        """Wait until the inbox has an event. Raises RequestBodyError. The connection's lock is held."""
        connection = self._connection
        connection.held += 1
        try:
            while not self.inbox:
                if self.failure is not None:
                    raise RequestBodyError(self.failure.reason, self.failure.status)
                left = self._begin_wait(patience)
                if not left:
                    connection.have_refused(408, BODY_TIMEOUT)
                    raise RequestBodyError(BODY_TIMEOUT, 408)
                self._wait(min(left, CHECK_EVERY))
                patience.end_wait()
        finally:
            connection.held -= 1
            connection.resume()

    def _wait(self, timeout: float) -> bool:
        """Wait for an event of this stream. Return False after `timeout` seconds.

        The connection's lock is held, and released meanwhile.
        """
        connection = self._connection
        pool = connection.core.pool
        waiter = self._waiter
        if waiter is None:
            self._waiter = waiter = pool.make_waiter()
        waiter.woken = False
        until = monotonic() + timeout
        if until < connection.reactor.next_sweep:
            connection.reactor.next_sweep = until  # no poll may last longer
        connection.lock.release()
        try:
            return pool.wait(waiter, timeout)
        finally:
            connection.lock.acquire()

    def wake(self) -> None:
        """Wake the handler, or end a parked request that has failed. The connection's lock is held."""
        if self._waiter is not None:
            self._waiter.wake()
        elif self.failure is not None:
            self._unpark()

    def _unpark(self) -> None:
        """End a parked request that has failed. Queued, those of one client would keep others out."""
        connection = self._connection
        if self in connection.parked:
            connection.parked.remove(self)
        elif connection.core.crowd.withdraw(self):
            self._counted = False
        else:
            return  # its handler runs, or is about to
        self.aborted = True
        connection.drop(self)

    # -- the response ---------------------------------------------------------------------------

    def respond(self, status: int, headers: Headers, body: bytes, reason: bytes | None = None) -> None:
        connection = self._connection
        if not self._quick:
            self._answered = monotonic()
            self._waits = times_waited() - self._waits
        with connection.lock:
            self._check()
            connection.push(connection.http.respond(self.stream_id, status, headers, body))
            self.status, self.bytes_sent = status, len(body)
            self.ended = True
            if self._quick:
                connection.flush_soon()
            else:
                connection.flush()
            # The rest is left to the leader: no handler waits with a whole response. See `crowded`.

    def send_informational(self, status: int, headers: Headers) -> None:
        connection = self._connection
        with connection.lock:
            self._check()
            connection.push(connection.http.send_informational(self.stream_id, status, headers))
            connection.flush()

    def send_response(self, status: int, headers: Headers, reason: bytes | None = None) -> None:
        connection = self._connection
        with connection.lock:
            self._check()
            connection.push(connection.http.send_response(self.stream_id, status, headers))
            self.status = status

    def send_data(self, data: bytes) -> None:
        for start in range(0, len(data), PIECE):
            self._send_piece(data[start : start + PIECE] if len(data) > PIECE else data)
        if len(data) >= LARGE_PIECE:
            self._connection.core.pool.give_way()

    def _send_piece(self, data: bytes) -> None:
        connection = self._connection
        http = connection.http
        with connection.lock:
            self._check()
            self.bytes_sent += len(data)
            try:
                connection.push(http.send_data(self.stream_id, data))
            except InvalidResponse:
                connection.push(http.data_to_send())
                connection.flush()
                raise
            connection.flush()
            self._wait_for_room()

    def send_end(self, trailers: Headers = ()) -> None:
        connection = self._connection
        http = connection.http
        with connection.lock:
            self._check()
            self.ended = True
            try:
                connection.push(http.send_end(self.stream_id, trailers))
            except InvalidResponse:
                self.aborted = True
                connection.push(http.data_to_send())
                connection.flush()
                raise
            if self._quick:
                connection.flush_soon()
            else:
                connection.flush()

    def _check(self) -> None:
        """Raise ClientDisconnected where the stream has failed. The connection's lock is held."""
        if self.failure is not None:
            self.aborted = True
            if not self.failure.disconnected and not self.status:
                self.status = self.failure.status  # the stream was reset; this is for the log
            raise ClientDisconnected(self.failure.reason)

    def _wait_for_room(self) -> None:
        """Wait while much of this stream, or of the connection, is unsent. The connection's lock is held."""
        connection = self._connection
        if not connection.is_full(self.stream_id):
            return
        unsent = connection.http.unsent
        settings = connection.settings
        patience = self._writing or Patience(settings.response_min_rate, settings.write_timeout)
        self._writing = patience
        connection.held += 1
        try:
            while connection.is_full(self.stream_id):
                rest = unsent(self.stream_id)
                left = self._begin_wait(patience)
                if not left:
                    self.aborted = True
                    raise ClientDisconnected(TOO_SLOW_TO_TAKE)
                taken = connection.taken()
                connection.waiting.add(self)
                self._wait(min(left, CHECK_EVERY))
                connection.waiting.discard(self)
                patience.end_wait()
                # A stream whose own window is shut must not live on the progress of another.
                own = rest > settings.limits.max_send_buffer_size
                own = own and not connection.http.is_starved(self.stream_id)
                patience.earn(rest - unsent(self.stream_id) if own else connection.taken() - taken)
                self._check()
        finally:
            connection.held -= 1
            connection.resume()
