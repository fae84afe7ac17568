"""Child processes made by fork, without multiprocessing's ways.

multiprocessing flushes standard output before it forks (an error when nothing reads it), closes the
child's standard input, and ends the child without its exit handlers: none of it suits a worker.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable

from ..clocks import monotonic
from ..worker.ending import flush_streams

_select = select.select  # gevent may put its own in its place; and sleep() fails under libfaketime


class ForkedProcess:
    """A child made by `fork`; offers what a `multiprocessing.Process` offers."""

    def __init__(self, name: str, pid: int, sentinel: int) -> None:
        self.name = name
        self.pid = pid
        self.sentinel = sentinel
        """Readable once the child, and every process that has inherited from it, has ended."""
        self._status: int | None = None

    @property
    def exitcode(self) -> int | None:
        """Exit status, negative for a signal; None while the child lives."""
        if self._status is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # the host program has waited for it, or ignores SIGCHLD
                pid, status = self.pid, 0
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status

    def is_alive(self) -> bool:
        """Return whether the child has not ended."""
        return self.exitcode is None

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self._send(signal.SIGKILL)

    def _send(self, signum: int) -> None:
        if self.exitcode is None:  # until it is waited for, the number is not given to another process
            os.kill(self.pid, signum)

    def join(self, timeout: float | None = None) -> None:
        """Wait for the child's end, at most `timeout` seconds."""
        deadline = None if timeout is None else monotonic() + timeout
        while self.exitcode is None:
            if deadline is not None and monotonic() >= deadline:
                return
            # Its end of the pipe may be closed already, or be held by a process that it has left behind.
            _select([], [], [], 0.002)

    def close(self) -> None:
        """Release the descriptor, after the end."""
        if self.sentinel >= 0:
            os.close(self.sentinel)
            self.sentinel = -1


def fork(*children: tuple[str, Callable[[], object]]) -> list[ForkedProcess]:
    """Fork a child for each name and function: it calls the function and ends.

    A page of memory that this process writes to between two forks is copied once more, so nothing but the
    forks happens there. Raises OSError, with no child left, when one cannot be made.
    """
    pipes: list[tuple[int, int]] = []
    pids: list[int] = []
    forget_lookups()
    try:
        for _ in children:
            pipes.append(os.pipe())
        for name, target in children:
            pid = os.fork()
            if not pid:
                _run_child(target, name, pipes, len(pids))
            pids.append(pid)
    except OSError:
        for pid in pids:
            started = ForkedProcess('', pid, -1)
            started.kill()
            started.join()
        for sentinel, _ in pipes:
            os.close(sentinel)
        raise
    finally:
        for _, ending in pipes:
            os.close(ending)
    return [
        ForkedProcess(name, pid, sentinel) for (name, _), pid, (sentinel, _) in zip(children, pids, pipes)
    ]


def forget_lookups() -> None:
    """Empty the interpreter's cache of attributes that were looked up in classes.

    A child's own lookups would replace its entries, and so write to the reference counts of names all over
    the memory that it shares: 0.1 MiB of each worker. Later versions do not count references to such names,
    and 3.10 would have all classes numbered again.
    """
    if sys.version_info[:2] == (3, 11):
        sys._clear_type_cache()


def _own_end(pipes: list[tuple[int, int]], index: int) -> int:
    """Close what the child with this index has inherited of the others; return its own pipe's end."""
    for other, (sentinel, ending) in enumerate(pipes):
        os.close(sentinel)
        if other != index:
            os.close(ending)
    return pipes[index][1]


def _run_child(target: Callable[[], object], name: str, pipes: list[tuple[int, int]], index: int) -> None:
    """Run `target` in the child; never returns. Its pipe's end is closed in children of its own."""
    status = 1
    try:
        ending = _own_end(pipes, index)
        pipe = os.fstat(ending)
        os.register_at_fork(after_in_child=lambda: _close_same(ending, pipe))
        # The parent's objects stay for good: the collector must not write to their pages.
        gc.freeze()
        _leave_multiprocessing(name)
        target()
        status = 0
    except SystemExit as exc:
        status = exc.code if isinstance(exc.code, int) else int(exc.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            flush_streams()
        finally:
            os._exit(status)


def _leave_multiprocessing(name: str) -> None:
    """Forget the parent's children: multiprocessing's exit handler would end them, or wait for them."""
    process = sys.modules.get('multiprocessing.process')
    if process is not None:
        process.__dict__.get('_children', set()).clear()
        process.__dict__['current_process']().name = name


def _close_same(fd: int, status: os.stat_result) -> None:
    """Close a descriptor if it is still the one with this status."""
    try:
        if os.path.samestat(os.fstat(fd), status):
            os.close(fd)
    except OSError:
        pass
