"""The process itself: environment, folders, background."""

from __future__ import annotations

import os
import sys

from .._internal import put_first
from .._version import __version__
from ..server.upgrade import PREDECESSOR
from .cfg import Cfg
from .loader import SettingsError


def prepare(cfg: Cfg) -> None:
    """Change to the working directory; extend sys.path and the environment."""
    os.environ['SERVER_SOFTWARE'] = f'gunicorn (granian/{__version__})'
    os.chdir(cfg.chdir)
    put_first(cfg.chdir)
    extend_path(cfg)
    set_environment(cfg)


def extend_path(cfg: Cfg) -> None:
    """Put the folders of `pythonpath` first on sys.path."""
    for folder in reversed((cfg.pythonpath or '').split(',')):
        if folder.strip():
            put_first(os.path.abspath(folder.strip()))


def set_environment(cfg: Cfg) -> None:
    """Set the variables of `raw_env`; give back their first value to those that are there no more."""
    try:
        wanted = cfg.env
    except ValueError as error:
        raise SettingsError(error) from None
    for name in _set - wanted.keys():
        if name in cfg.env_orig:
            os.environ[name] = cfg.env_orig[name]
        else:
            os.environ.pop(name, None)
    os.environ.update(wanted)
    _set.clear()
    _set.update(wanted)


_set: set[str] = set()
"""Names that `raw_env` has set."""


def background(cfg: Cfg) -> None:
    """Go to the background if `daemon` is set: two forks, a session of its own, streams to /dev/null.

    Not if this process has to notify a service manager, nor if SIGUSR2 has started it: it is there already.
    """
    if not cfg.daemon or {'NOTIFY_SOCKET', PREDECESSOR} & os.environ.keys():
        return
    sys.stdout.flush()
    sys.stderr.flush()
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():  # without a terminal, and unable to get one: not the leader of its session
        os._exit(0)
    os.umask(0o22)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0,) if cfg.enable_stdio_inheritance else (0, 1, 2):
        os.dup2(null, descriptor)
    if null > 2:
        os.close(null)


def name(role: str, proc_name: str) -> None:
    """Set the title of the process, where setproctitle is installed."""
    if sys.platform == 'darwin':  # it does not survive a fork there
        return
    try:
        from setproctitle import setproctitle
    except ImportError:
        return
    setproctitle(f'gunicorn: {role} [{proc_name}]')
