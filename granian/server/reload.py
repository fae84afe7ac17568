"""--reload: a process that watches files, and the main process's end of its pipe.

The watcher has threads of its own, which the main process must not have: it forks.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import signal
import stat
import sys
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

from .. import log, net
from .._signals import HANDLED, nothing
from ..config import Config
from ..pipes import PipeEnd
from .forking import fork
from .handles import Process, pipe_ends
from .signals import held_back

logger = logging.getLogger('_granian')

SHOWN = 3
"""Changed files named in the log."""


@dataclass(frozen=True, repr=False, eq=False)
class WatchSpec:
    """What the watcher is given; picklable as far as `filter` is."""

    paths: tuple[Path, ...]
    python_only: bool
    """No paths were given: of the working directory, Python files alone count."""
    ignore_dirs: tuple[str, ...]
    ignore_patterns: tuple[str, ...]
    ignore_paths: tuple[Path, ...]
    filter: Any
    tick: int
    """Milliseconds."""
    pipe: PipeEnd
    inherited: tuple[int, ...] = ()
    """Listening sockets that a forked watcher has copies of, and has to close: with one of them open,
    clients would wait in the queue of a server that has stopped accepting."""


class OwnFiles:
    """The files that the server itself writes, in any folder.

    Their changes cause no reload: a reload is logged, and the log file's change would cause the next.
    """

    def __init__(self, *paths: Path | None) -> None:
        self._paths = tuple(os.path.realpath(path) for path in paths if path is not None)

    def __contains__(self, path: str) -> bool:
        real = os.path.realpath(path)
        # With what a rotation makes of them (access.log.1), and the pid file while it is written aside.
        # The log files are those of now: --log-config is read again at each reload.
        for ours in (*self._paths, *map(os.path.realpath, log.files())):
            if real == ours or real.startswith(ours + '.'):
                return True
        return _is_output(path)


def _is_output(path: str) -> bool:
    """Return whether standard output or error have been redirected to this file."""
    try:
        there = os.stat(path)
    except OSError:
        return False
    for fd in (1, 2):
        try:
            status = os.fstat(fd)
        except OSError:  # closed by the program that has started us
            continue
        if stat.S_ISREG(status.st_mode) and os.path.samestat(status, there):
            return True
    return False


class Changes:
    """Takes changed paths: logs those that are not our own, and calls `changed` if there are any."""

    def __init__(self, own: OwnFiles, working_dir: Path, changed: Callable[[], None]) -> None:
        self._own = own
        self._working_dir = working_dir
        self._changed = changed

    def __call__(self, paths: Collection[str]) -> None:
        theirs = [path for path in paths if path not in self._own]
        if theirs:
            self._log(theirs)
            self._changed()

    def _log(self, paths: list[str]) -> None:
        names = []
        for path in sorted(paths)[:SHOWN]:
            inside = Path(path).is_relative_to(self._working_dir)
            names.append(os.path.relpath(path, self._working_dir) if inside else path)
        more = len(paths) - len(names)
        logger.info('Changes detected: %s%s', ', '.join(names), f' and {more} more' if more else '')


class FileWatch:
    """A companion of the main loop: `changed` is called when files have changed that are not our own."""

    due = inf

    def __init__(
        self,
        forks: bool,
        config: Config,
        working_dir: Path,
        endpoint: net.Endpoint,
        changed: Callable[[], None],
    ) -> None:
        ours, theirs = pipe_ends()
        spec = WatchSpec(
            paths=tuple((working_dir / path).resolve() for path in config.reload_paths) or (working_dir,),
            python_only=not config.reload_paths,
            ignore_dirs=config.reload_ignore_dirs,
            ignore_patterns=config.reload_ignore_patterns,
            ignore_paths=tuple((working_dir / path).resolve() for path in config.reload_ignore_paths),
            filter=config.reload_filter,
            tick=config.reload_tick,
            pipe=theirs,
            inherited=tuple(sock.fileno() for sock in endpoint.sockets) if forks else (),
        )
        self._changes = Changes(OwnFiles(config.pid_file, *endpoint.paths), working_dir, changed)
        self._pipe: PipeEnd | None = ours
        with held_back():
            self._process = _start(spec, forks)
        theirs.close()

    @property
    def pid(self) -> int | None:
        """Process id of the watcher."""
        return self._process.pid if self._pipe is not None else None

    @property
    def sources(self) -> Sequence[Any]:
        return [] if self._pipe is None else [self._pipe]

    def look(self, ready: Collection[Any], now: float) -> None:
        if self._pipe is None or self._pipe not in ready:
            return
        try:
            kind, value = self._pipe.recv()
        except (EOFError, OSError):
            kind, value = 'failed', 'the watcher has ended'
        if kind == 'failed':
            logger.error('Files are no longer watched for changes: %s', value)
            self._pipe.close()
            self._pipe = None
        else:
            self._changes(value)

    def close(self) -> None:
        self._process.kill()
        self._process.join()
        self._process.close()
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None


def has_watcher() -> bool:
    """Return whether watchfiles is installed."""
    return importlib.util.find_spec('watchfiles') is not None


def watch_forks() -> bool:
    """Return whether the watcher is forked: on Linux, while this process has one thread.

    Whatever the workers' start method: a filter made at run time cannot be sent to it otherwise.
    """
    return sys.platform == 'linux' and threading.active_count() == 1


def _start(spec: WatchSpec, forks: bool) -> Process:
    if forks:
        return fork(('granian-reload', partial(watch, spec)))[0]
    import multiprocessing

    process = multiprocessing.Process(target=watch, args=(spec,), name='granian-reload', daemon=True)
    process.start()
    return process


def watch(spec: WatchSpec) -> None:
    """Run the watcher: send what has changed, end when the main process does."""
    for fd in spec.inherited:
        os.close(fd)
    signal.set_wakeup_fd(-1)
    for signum in HANDLED:
        signal.signal(signum, nothing)
    if hasattr(signal, 'pthread_sigmask'):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
    threading.Thread(target=_end_with, args=(spec.pipe,), daemon=True).start()
    import watchfiles

    try:
        for changes in watchfiles.watch(
            *spec.paths, watch_filter=make_filter(spec), step=spec.tick, raise_interrupt=False
        ):
            spec.pipe.send(('changed', [path for _, path in changes]))
    except Exception as exc:  # a path that is not there, a limit of the system's
        spec.pipe.send(('failed', f'{type(exc).__name__}: {exc}'))


def _end_with(pipe: PipeEnd) -> None:
    try:
        pipe.recv()
    except (EOFError, OSError):
        pass
    os._exit(0)


def make_filter(spec: WatchSpec) -> Any:
    """Return the user's filter or one of watchfiles'. A class gets our ignored paths added to its own."""
    from watchfiles import BaseFilter, DefaultFilter, PythonFilter

    base = spec.filter or (PythonFilter if spec.python_only else DefaultFilter)
    if not isinstance(base, type):
        return base
    if not issubclass(base, BaseFilter):
        return base()
    ignored = tuple(str(path) for path in spec.ignore_paths)
    below = tuple(path + os.sep for path in ignored)

    class Filter(base):  # type: ignore[misc,valid-type]
        ignore_dirs = (*base.ignore_dirs, *spec.ignore_dirs)
        ignore_entity_patterns = (*base.ignore_entity_patterns, *spec.ignore_patterns)

        def __call__(self, change: Any, path: str) -> bool:
            # watchfiles' own ignore_paths would take `data` for a beginning of `database.py`.
            return path not in ignored and not path.startswith(below) and super().__call__(change, path)

    return Filter()
