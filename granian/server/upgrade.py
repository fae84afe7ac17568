"""SIGUSR2: the same command line again, beside this process and on the same sockets, for a new version.

Either of the two main processes can be ended then; the other one goes on.
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Any

from .. import log, net
from .._internal import given_environment, start_folder
from .._signals import HANDLED
from ..clocks import monotonic
from ..errors import FatalError
from ..messages import WARNINGS
from .pidfile import PidFile
from .signals import held_back

logger = logging.getLogger('_granian')

PREDECESSOR = '_GRANIAN_PREDECESSOR'
"""Variable with the id of the old main process, and a second word if it has made files of Unix sockets."""
EVERY = 1.0
"""Seconds between two looks whether the old main process has ended."""


class Succession:
    """Both ends of an upgrade, as a companion of the main loop; and the PID file, which changes with it."""

    sources: Sequence[Any] = ()

    def __init__(self, endpoint: Callable[[], net.Endpoint | None]) -> None:
        """Take `endpoint`, which returns the sockets that are served now."""
        given = os.environ.pop(PREDECESSOR, '').split()
        self.predecessor = int(given[0]) if given else 0
        """Process id of the old main process; 0: there is none."""
        self.successor = 0
        """Process id of the new main process; 0: there is none."""
        self.due = 0.0
        self.environ: Mapping[str, str] = given_environment()
        """Environment of a new main process."""
        self.command: Callable[[], tuple[str, list[str]]] = self._same_command
        """Returns program and arguments of a new main process, which calls this."""
        self._endpoint = endpoint
        self._folder = start_folder()
        self._is_child = os.getppid() == self.predecessor
        self._owns_files = len(given) > 1
        self._files: list[net.SocketFile] = []
        self._pid_path: str | os.PathLike[str] | None = None
        self._pid_file: PidFile | None = None

    @property
    def heir(self) -> int:
        """Process id of the main process that goes on when this one ends; 0: there is none."""
        return self.successor or (0 if self._alone() else self.predecessor)

    def _alone(self) -> bool:
        """Return whether there is no old main process, or no longer."""
        if self._is_child:
            return os.getppid() != self.predecessor
        return not self.predecessor or has_ended(self.predecessor)

    def begin(self) -> None:
        """Start a new main process, unless there are two already.

        The socket files are left to the new one.
        """
        endpoint = self._endpoint()
        self.look((), monotonic())
        if self.heir:
            logger.warning(WARNINGS['upgrading'])
        if self.heir or endpoint is None:
            return
        owns_files = ' files' if endpoint.files else ''
        environ = {**self.environ, PREDECESSOR: f'{os.getpid()}{owns_files}'}
        environ.pop('WATCHDOG_PID', None)  # systemd watches the new one, too, once it has no other
        # systemd kills a main process that is not its child without SIGTERM: the new one is init's.
        orphan = 'NOTIFY_SOCKET' in environ
        try:
            self.successor = start_again(self.command, environ, endpoint.sockets, orphan)
        except OSError as error:  # no more processes
            logger.error(WARNINGS['not_again'], error.strerror)
            return
        self.due = 0.0
        self._left, self._files, endpoint.files = endpoint, endpoint.files, []

    def _same_command(self) -> tuple[str, list[str]]:
        os.chdir(self._folder)
        return sys.executable, [sys.executable, *sys.orig_argv[1:]]

    def look(self, ready: Collection[Any], now: float) -> None:
        if self.successor and has_ended(self.successor):
            self.successor = 0
            self._left.files = self._files
            if self._left.closed:  # by a reload that has opened other addresses
                self._left.close()
        if self.predecessor and self._alone():
            self._promote()
        self.due = now + EVERY if self.heir else inf  # SIGCHLD tells of a child's end only

    def _promote(self) -> None:
        """Take over the files of the old main process, which has ended."""
        self.predecessor = 0
        logger.info('Master has been promoted.')
        endpoint = self._endpoint()
        if self._owns_files and endpoint is not None:
            endpoint.own_files()
        try:
            self.write_pid_file(self._pid_path)
        except FatalError as error:  # another process has the file
            logger.error('%s', error)

    def write_pid_file(self, path: str | os.PathLike[str] | None) -> None:
        """Write the PID file, with `.2` at its end beside an old main process, and remove the one before.

        Raises PidFileError.
        """
        before, now = self._pid_file, None
        if path is not None:
            now = PidFile(f'{os.fspath(path)}.2' if self.predecessor else path)
            now.acquire()
        self._pid_path, self._pid_file = path, now
        if before is not None and (now is None or now.path != before.path):
            before.release(self.successor if now is None else 0)

    def close(self) -> None:
        """Look once more: files that are this process's by now go with its sockets."""
        self.look((), monotonic())


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
    import fcntl  # not on Windows, where no signal leads here

    with held_back():
        pid = _fork_orphan() if orphan else os.fork()
        if not pid:
            _leave_signals()
    if pid:
        return pid
    try:
        program, arguments = prepare()
        above = net.FIRST_PASSED + len(sockets)
        copies = [fcntl.fcntl(sock.fileno(), fcntl.F_DUPFD, above) for sock in sockets]
        for number, copy in enumerate(copies, net.FIRST_PASSED):
            os.dup2(copy, number)  # inherited, unlike all others
            os.close(copy)
        passed = {'LISTEN_FDS': str(len(sockets)), 'LISTEN_PID': str(os.getpid())}
        os.execvpe(program, arguments, {**environ, **passed})
    except Exception as error:
        log.reopen_log_files()  # a socket may have taken the number of a log file
        hook = None if isinstance(error, OSError) else error  # a folder or a program is not there
        logger.error(WARNINGS['not_again'], error, exc_info=hook)
    finally:
        os._exit(127)


def _fork_orphan() -> int:
    """Fork a process whose parent ends at once. Return as os.fork does. Raises OSError."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)  # the process in between may be killed before it writes
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
