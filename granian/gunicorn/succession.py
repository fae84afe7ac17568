"""SIGUSR2: a new main process on the sockets of the old one, which can be told to end, or goes on."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Sequence
from math import inf
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
        self.due = 0.0 if self.predecessor else inf  # SIGCHLD wakes the loop when a successor ends
        self._server = server
        self._promoted = promoted
        self._owns_files = bool(os.environ.pop(FILES, ''))
        self._files: list[net.SocketFile] = []

    @property
    def heir(self) -> int:
        """Process id of the main process that goes on when this one ends; 0: there is none."""
        return self._server.reexec_pid or (self.predecessor if os.getppid() == self.predecessor else 0)

    def begin(self, endpoint: net.Endpoint) -> None:
        """Start a new main process, unless there are two already or this one stops.

        The socket files are left to the new one.
        """
        server = self._server
        if self.heir:
            logger.warning(GUNICORN['upgrading'])
        if self.heir or endpoint.closed:
            return
        owns_files = '1' if endpoint.files else ''
        environ = {**server.cfg.env_orig, PREDECESSOR: str(os.getpid()), FILES: owns_files}
        environ.pop('WATCHDOG_PID', None)  # systemd watches the new one, too, once it has no other
        server.reexec_pid = start_again(self._prepare, environ, endpoint.sockets)
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
        if self.predecessor and now >= self.due:
            self.due = now + EVERY
            if os.getppid() != self.predecessor:
                self.predecessor, self.due, server.master_pid = 0, inf, 0
                logger.info('Master has been promoted.')
                try:
                    self._promoted(self._owns_files)
                except FatalError as error:  # another process has the pid file
                    logger.error('%s', error)

    def close(self) -> None:
        pass
