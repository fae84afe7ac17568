"""The same command line again, beside this process and on the same sockets: a new version takes over."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .. import log
from .._signals import HANDLED
from ..net import FIRST_PASSED
from .signals import held_back

logger = logging.getLogger('_granian')


def start_again(
    prepare: Callable[[], tuple[str, list[str]]],
    environ: Mapping[str, str],
    sockets: Sequence[socket.socket],
    orphan: bool = False,
) -> int:
    """Start a command in a process of its own, and return the process id. Raises OSError.

    `prepare` is called there, and returns the program and its arguments, its name the first of them. It gets
    the sockets as systemd passes them. An `orphan` is no child of this process, but of init.
    """
    with held_back():
        pid = _fork_orphan() if orphan else os.fork()
        if not pid:
            _leave_signals()
    if pid:
        return pid
    try:
        program, arguments = prepare()
        above = FIRST_PASSED + len(sockets)
        copies = [fcntl.fcntl(sock.fileno(), fcntl.F_DUPFD, above) for sock in sockets]
        for number, copy in enumerate(copies, FIRST_PASSED):
            os.dup2(copy, number)  # inherited, unlike all others
            os.close(copy)
        passed = {'LISTEN_FDS': str(len(sockets)), 'LISTEN_PID': str(os.getpid())}
        os.execvpe(program, arguments, {**environ, **passed})
    except Exception:
        log.reopen_log_files()  # a socket may have taken the number of a log file
        logger.exception('The command cannot be started again')
    finally:
        os._exit(127)


def _fork_orphan() -> int:
    """Fork a process whose parent ends at once. Return as os.fork does. Raises OSError."""
    reader, writer = os.pipe()
    try:
        between = os.fork()
        if not between:
            return _fork_and_leave(writer)
        os.waitpid(between, 0)
        orphan = int(os.read(reader, 20))
    finally:
        os.close(reader)
        os.close(writer)
    if orphan < 0:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return orphan


def _fork_and_leave(writer: int) -> int:
    """Fork, write the child's id (-1: there is none) and end. Return 0 in the child."""
    try:
        orphan = os.fork()
    except OSError:
        orphan = -1
    if orphan:
        os.write(writer, str(orphan).encode())
        os._exit(0)
    return 0


def _leave_signals() -> None:
    """Give signals their usual meaning. The parent's handlers would hand ours to the parent."""
    signal.set_wakeup_fd(-1)
    for number in HANDLED:
        signal.signal(number, signal.SIG_DFL)


def has_ended(pid: int) -> bool:
    """Return whether a process is over. If it is a child, it is reaped then."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:  # an orphan, or reaped with the orphans
        return not _runs(pid)


def _runs(pid: int) -> bool:
    """Return whether a process runs: one that init has not reaped yet does not."""
    try:
        os.kill(pid, 0)
        return not Path(f'/proc/{pid}/stat').read_text().rpartition(') ')[2].startswith('Z')
    except ProcessLookupError:
        return False
    except OSError:  # there is no /proc
        return True
