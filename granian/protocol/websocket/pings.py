"""Pings and pongs of a client, many at once: one takes 1 µs, where wsproto takes 20."""

from __future__ import annotations

from .frames import PING, PONG, SHORT_PONG
from .masking import best_unmask as _unmask

PINGS = frozenset({PING, PONG})
"""First bytes of a valid ping or pong."""


def read_pings(data: bytes, at: int, most: int) -> tuple[int, int, list[bytes]]:
    """Read up to `most` whole and valid pings and pongs that begin at `at`.

    Return how many there are, where they end, and the parts of the answers to the pings.
    """
    answers: list[bytes] = []
    count, size = 0, len(data)
    while count < most and at + 6 <= size and (first := data[at]) in PINGS:
        length = data[at + 1] - 0x80  # negative without a mask
        end = at + 6 + length
        if not 0 <= length <= 125 or end > size:
            break
        if first == PING:
            answers.append(SHORT_PONG[length])
            answers.append(_unmask(data[at + 6 : end], data[at + 2 : at + 6]))
        count += 1
        at = end
    return count, at, answers
