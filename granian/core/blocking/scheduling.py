"""What the operating system knows of a thread: whether it waits, or only has no processor.

A call that takes long has waited (for a database), has computed, or has lost the processor to
another process. A second thread helps only the first, and costs every request a hand-over.
"""

from __future__ import annotations

from itertools import count

COMPUTING = 500_000
"""Nanoseconds of processor time between two checks, above which a thread was computing."""

try:
    from resource import RUSAGE_THREAD, getrusage
except ImportError:  # not counted for each thread here: assume that any slow call has waited
    times_waited = count().__next__
else:

    def times_waited() -> int:
        """Return how often this thread has given up the processor to wait."""
        return getrusage(RUSAGE_THREAD).ru_nvcsw


def is_waiting(thread: int) -> bool:
    """Return whether a thread (its native id) waits for something; True where this cannot be known.

    Opening the file releases the interpreter's lock. A thread that waited for nothing but that
    lock is ready to run by the time its state is read.
    """
    try:
        with open(f'/proc/self/task/{thread}/stat', 'rb') as file:
            return file.read(512).rpartition(b') ')[2][:1] != b'R'
    except OSError:
        return True


def processor_time(thread: int) -> int:
    """Return the nanoseconds that a thread (its native id) has run; 0 where this cannot be known."""
    try:
        with open(f'/proc/self/task/{thread}/schedstat', 'rb') as file:
            return int(file.read(64).partition(b' ')[0])
    except (OSError, ValueError):
        return 0
