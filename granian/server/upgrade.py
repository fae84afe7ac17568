"""The same command line again, beside this process and on the same sockets: a new version takes over."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence

from .. import log
from .._signals import HANDLED
from ..net import FIRST_PASSED
from .signals import held_back

logger = logging.getLogger('_granian')


def start_again(
    prepare: Callable[[], tuple[str, list[str]]],
    environ: Mapping[str, str],
    sockets: Sequence[socket.socket],
) -> int:
    """Start a command in a process of its own, and return the process id.

    `prepare` is called there, and returns the program and its arguments, its name the first of them. It gets
    the sockets as systemd passes them.
    """
    with held_back():
        pid = os.fork()
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


def _leave_signals() -> None:
    """Give signals their usual meaning. The parent's handlers would hand ours to the parent."""
    signal.set_wakeup_fd(-1)
    for number in HANDLED:
        signal.signal(number, signal.SIG_DFL)


def has_ended(pid: int) -> bool:
    """Return whether a process that `start_again` has started is over. It is reaped then."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:  # reaped with the orphans
        return True
