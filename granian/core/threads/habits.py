"""Learns which kinds of calls are always quick.

While the pool is eager it hands the baton on before every call, which costs more than a quick
call itself. In most applications it is the same few routes that wait, so the kinds of calls
(a method and a path) are judged one by one: a kind that has been quick often enough is called
as if the pool were not eager.

The rule is one-sided, as the pool's is: each slow call sends its kind back to the start and
doubles the number of quick calls it needs. A kind that is slow now and then stays untrusted. One
that was slow by accident (its thread had lost the processor) is soon trusted again.

Calls of a trusted kind are not timed: that would cost 2 of the 9 µs that a short one takes. They count as
quick. One that looked slow from outside casts doubt on its kind, and the next few are timed.
"""

from __future__ import annotations

TRIAL = 32
"""Quick calls in a row before a kind is trusted for the first time."""
LONGEST_TRIAL = 512
"""A trusted call that blocks costs the others about 3 ms, a call that is not trusted about 25 µs. So trust
pays where fewer than one call in 120 is slow: such a kind passes this trial one time in seventy. With a
trial that grew to 65,536, a busy machine, where one call in some hundreds looks slow by accident, ended
trust for good: 39 µs of processor time a request where this takes 28."""
DOUBT = 8
"""Quick calls in a row before a kind is trusted again, after a call that only looked slow."""
SAMPLE = 8
"""One call in so many is timed, of a kind whose calls have all been slow lately. Timing takes 3 µs."""
MOST_KINDS = 1024
"""Maximum kinds remembered. Beyond, all are forgotten, which costs each a trial."""


class Habits:
    """Any thread may call it. Two that count at the same time can lose a count, which does not matter."""

    def __init__(self) -> None:
        self._records: dict[str, list[int]] = {}
        """For each kind: quick calls in a row, the number it needs, and a count for SAMPLE."""

    def trusts(self, kind: str) -> bool:
        """Return whether a call of this kind is expected to be quick. Then count it as such."""
        record = self._records.get(kind)
        if record is None or record[0] < record[1]:
            return False
        record[0] += 1
        return True

    def is_slow(self, kind: str) -> bool:
        """Return whether the last call of this kind that was timed has been slow."""
        record = self._records.get(kind)
        return record is not None and not record[0]

    def note_quick(self, kind: str) -> None:
        record = self._records.get(kind)
        if record is None:
            if len(self._records) >= MOST_KINDS:
                self._records.clear()
            self._records[kind] = [1, TRIAL, 0]
            return
        record[0] += 1

    def note_slow(self, kind: str) -> None:
        record = self._records.get(kind)
        if record is None:
            if len(self._records) < MOST_KINDS:  # else the others would be forgotten, and trust with them
                self._records[kind] = [0, 2 * TRIAL, 0]
        else:
            record[:2] = [0, min(2 * _needed(record), LONGEST_TRIAL)]

    def is_worth_timing(self, kind: str) -> bool:
        """Return whether a call of a kind that is not trusted is to be timed."""
        record = self._records.get(kind)
        if record is None or record[0] or record[1] < LONGEST_TRIAL:
            return True
        record[2] += 1
        return record[2] % SAMPLE == 0

    def doubt(self, kind: str) -> None:
        """Have the next calls of a trusted kind timed."""
        record = self._records.get(kind)
        if record is not None:
            needed = _needed(record)
            record[:2] = [needed - DOUBT, needed]


def _needed(record: list[int]) -> int:
    """Return the quick calls that a kind needs: half as many after a long good time, and so on."""
    quick, needed, _ = record
    while quick >= 4 * needed > 4 * TRIAL:
        quick -= 4 * needed - needed // 2
        needed //= 2
    return needed
