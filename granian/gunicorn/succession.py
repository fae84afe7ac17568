"""SIGUSR2: a new main process on the sockets of the old one, which can be told to end, or goes on."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Sequence
from math import inf
from time import monotonic
from typing import Any

from .. import net
from ..errors import FatalError
from ..messages import GUNICORN
from ..server.upgrade import has_ended, start_again
from .objects import Server
from .process import PREDECESSOR

logger = logging.getLogger('_granian')

FILES = 'GUNICORN_FILES'
"""Variable that is not empty if the old main process has made the files of its Unix sockets."""
EVERY = 1.0
"""Seconds between two looks whether the old main process has ended."""


class Succession:
    """Both ends of an upgrade, as a companion of the main loop.

    `promoted(owns_files)` is called in a new main process once the old one has ended.
    """

    sources: Sequence[Any] = ()

    def __init__(self, server: Server, promoted: Callable[[bool], object]) -> None:
        given = os.environ.pop(PREDECESSOR, '')
        self.predecessor = server.master_pid = int(given) if given.isdigit() else 0
        """Process id of the old main process; 0: there is none."""
        self.due = 0.0
        self._server = server
        self._promoted = promoted
        self._is_child = os.getppid() == self.predecessor
        self._owns_files = bool(os.environ.pop(FILES, ''))
        self._files: list[net.SocketFile] = []

    @property
    def heir(self) -> int:
        """Process id of the main process that goes on when this one ends; 0: there is none."""
        return self._server.reexec_pid or (0 if self._alone() else self.predecessor)

    def _alone(self) -> bool:
        """Return whether there is no old main process, or no longer."""
        if self._is_child:
            return os.getppid() != self.predecessor
        return not self.predecessor or has_ended(self.predecessor)

    def begin(self, endpoint: net.Endpoint) -> None:
        """Start a new main process, unless there are two already or this one stops.

        The socket files are left to the new one.
        """
        server = self._server
        self.look((), monotonic())
        if self.heir:
            logger.warning(GUNICORN['upgrading'])
        if self.heir or endpoint.closed:
            return
        owns_files = '1' if endpoint.files else ''
        environ = {**server.cfg.env_orig, PREDECESSOR: str(os.getpid()), FILES: owns_files}
        environ.pop('WATCHDOG_PID', None)  # systemd watches the new one, too, once it has no other
        # systemd kills a main process that is not its child without SIGTERM: the new one is init's.
        orphan = 'NOTIFY_SOCKET' in environ
        try:
            server.reexec_pid = start_again(self._prepare, environ, endpoint.sockets, orphan)
        except OSError as error:  # no more processes
            logger.error(GUNICORN['not_again'], error.strerror)
            return
        self.due = 0.0
        self._files, endpoint.files = endpoint.files, []
        self._endpoint = endpoint

    def _prepare(self) -> tuple[str, list[str]]:
        """Return program and arguments of the new main process, which calls this."""
        server = self._server
        server.cfg.pre_exec(server)
        context = server.START_CTX
        os.chdir(context['cwd'])
        return context[0], context['args']

    def look(self, ready: Collection[Any], now: float) -> None:
        server = self._server
        if server.reexec_pid and has_ended(server.reexec_pid):
            server.reexec_pid = 0
            self._endpoint.files = self._files
            if self._endpoint.closed:  # by a reload that has opened other addresses
                self._endpoint.close()
        if self.predecessor and self._alone():
            self.predecessor = server.master_pid = 0
            logger.info('Master has been promoted.')
            try:
                self._promoted(self._owns_files)
            except FatalError as error:  # another process has the pid file
                logger.error('%s', error)
        self.due = now + EVERY if self.heir else inf  # SIGCHLD tells of a child's end only

    def close(self) -> None:
        pass
