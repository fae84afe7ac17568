"""The streams of one connection: those in use, and what is remembered of those that have ended."""

from __future__ import annotations

from collections import deque

from ..limits import OWN_STREAMS, SharedStreams
from .streams import Stream, StreamState

REMEMBERED = 512
"""Reset streams that are remembered, for frames that arrive late: at least so many, at most twice."""
SKIPPED_RANGES = 64
DRAINING = 32
"""Streams answered before their request's end whose rest is still read and dropped."""


class StreamTable:
    """Bounded: a connection may live for a very long time."""

    __slots__ = (
        '_give_back', '_skipped', '_take', '_was_reset', '_was_reset_before', 'active', 'draining', 'highest',
    )  # fmt: skip

    def __init__(self, shared: SharedStreams) -> None:
        self.active: dict[int, Stream] = {}
        """Streams that count against the limits on concurrency: until their handler has ended.

        Those beyond OWN_STREAMS have a place among the worker's shared ones.
        """
        self._take, self._give_back = shared.take, shared.give_back
        self.draining: dict[int, Stream] = {}
        self.highest = 0
        """The highest stream that the client has opened."""
        self._was_reset: dict[int, StreamState] = {}
        self._was_reset_before: dict[int, StreamState] = {}
        self._skipped: deque[range] = deque(maxlen=SKIPPED_RANGES)

    def __del__(self) -> None:
        """Give back the places of streams whose end the core has not told: the connection is freed."""
        for _ in range(len(self.active) - OWN_STREAMS):
            self._give_back()

    def add(self, stream: Stream) -> None:
        """Count a new stream."""
        active = self.active
        active[stream.stream_id] = stream
        if len(active) > OWN_STREAMS:
            self._take(None)

    def get(self, stream_id: int) -> Stream | None:
        """Return a stream of which the client may still speak."""
        return self.active.get(stream_id) or self.draining.get(stream_id)

    def with_windows(self) -> list[Stream]:
        """Return the streams that have flow-control windows: a closed one has none (RFC 9113 5.1, 6.9.2)."""
        return [each for each in (*self.active.values(), *self.draining.values()) if not each.closed]

    def state_of(self, stream_id: int) -> StreamState:
        """Return the state of a stream that is neither active nor draining."""
        if stream_id > self.highest or not stream_id & 1:
            return StreamState.IDLE
        state = self._was_reset.get(stream_id) or self._was_reset_before.get(stream_id)
        if state is None:
            skipped = any(stream_id in ids for ids in self._skipped)
            state = StreamState.SKIPPED if skipped else StreamState.ENDED
        return state

    def rise(self, stream_id: int) -> None:
        """Note that the client opens a stream above all others: those between can never be used."""
        if stream_id > self.highest + 2:
            self._skipped.append(range(self.highest + 1, stream_id))
        self.highest = stream_id

    def remember(self, stream_id: int, state: StreamState) -> None:
        """Keep how a stream was reset. Streams that are not kept are assumed to have ended."""
        if len(self._was_reset) >= REMEMBERED:
            self._was_reset_before = self._was_reset
            self._was_reset = {}
        self._was_reset[stream_id] = state

    def forget(self, stream: Stream) -> None:
        """Drop a stream that is closed and released."""
        if stream.state is not StreamState.ENDED:
            self.remember(stream.stream_id, stream.state)
        active = self.active
        if active.pop(stream.stream_id, None) is not None and len(active) >= OWN_STREAMS:
            self._give_back()
        self.draining.pop(stream.stream_id, None)

    def drain(self, stream: Stream) -> Stream | None:
        """Discard the rest of a stream's request. Return the oldest such stream if there are too many."""
        active = self.active
        if active.pop(stream.stream_id, None) is not None and len(active) >= OWN_STREAMS:
            self._give_back()
        self.draining[stream.stream_id] = stream
        if len(self.draining) <= DRAINING:
            return None
        return next(iter(self.draining.values()))

    @property
    def size(self) -> int:
        """Number of entries that are remembered of streams no longer in use."""
        return len(self._was_reset) + len(self._was_reset_before) + len(self._skipped)
