"""Learns which kinds of calls are always quick.

While the pool is eager it hands the baton on before every call, which costs more than a quick
call itself. In most applications it is the same few routes that wait, so the kinds of calls
(a method and a path) are judged one by one: a kind that has been quick often enough is called
as if the pool were not eager.

The rule is one-sided, as the pool's is: each slow call sends its kind back to the start and
doubles the number of quick calls it needs. A kind that is slow now and then stays untrusted. One
that was slow by accident (its thread had lost the processor) is soon trusted again.
"""

from __future__ import annotations

TRIAL = 32
"""Quick calls in a row before a kind is trusted for the first time."""
LONGEST_TRIAL = 1 << 16
KINDS = 1024
"""Maximum kinds remembered. Beyond, all are forgotten, which costs each a trial."""


class Habits:
    """Any thread may call it. Two that count at the same time can lose a count, which does not matter."""

    def __init__(self) -> None:
        self._records: dict[str, list[int]] = {}
        """For each kind: quick calls in a row, and the number it needs."""

    def trusts(self, kind: str) -> bool:
        record = self._records.get(kind)
        return record is not None and record[0] >= record[1]

    def note_quick(self, kind: str) -> None:
        record = self._records.get(kind)
        if record is None:
            if len(self._records) >= KINDS:
                self._records.clear()
            self._records[kind] = [1, TRIAL]
            return
        record[0] += 1
        if record[0] >= 4 * record[1] > 4 * TRIAL:
            record[:] = [record[1] // 2, record[1] // 2]

    def note_slow(self, kind: str) -> None:
        record = self._records.get(kind)
        if record is not None:
            record[:] = [0, min(2 * record[1], LONGEST_TRIAL)]
