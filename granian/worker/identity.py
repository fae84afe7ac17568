"""--user, --group, --umask, --initgroups: the user of a worker. The main process keeps its own user."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ..config import Config
from ..errors import ConfigurationError, FatalError
from ..messages import refusal

_NO_CHANGE = 2**32 - 1
"""The number that stands for no change of a user or group; those above it are none."""


@dataclass(frozen=True)
class Identity:
    """User and group as numbers; None: unchanged."""

    uid: int | None
    gid: int | None
    name: str | None = None
    """The user's name, for `initgroups`."""

    def own(self, files: Iterable[Path | str | IO[str]]) -> None:
        """Give files of the main process, by path or open, to the workers. Raises FatalError.

        A symbolic link at a path is not followed: it may be the workers' user's.
        """
        if self.uid is None and self.gid is None:
            return
        for file in files:
            try:
                if isinstance(file, (str, Path)):
                    self._give(file, follow_symlinks=False)
                elif stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # not /dev/null, nor a terminal
                    self._give(file.fileno())
            except OSError as exc:
                path = file if isinstance(file, (str, Path)) else file.name
                raise FatalError(refusal('cannot_give', path=path, reason=exc.strerror or exc)) from None

    def _give(self, target: Path | str | int, **more: bool) -> None:
        status = os.stat(target, **more)
        uid = status.st_uid if self.uid is None else self.uid
        gid = status.st_gid if self.gid is None else self.gid
        if (uid, gid) != (status.st_uid, status.st_gid):
            os.chown(target, uid, gid, **more)


def resolve(config: Config) -> Identity:
    """Look user and group up. Raises ConfigurationError when one does not exist."""
    if config.user is None and config.group is None:
        return Identity(None, None)
    import grp
    import pwd

    entry = None
    uid = gid = None
    if config.user is not None:
        uid = _number(config.user)
        try:
            entry = pwd.getpwnam(config.user) if uid is None else pwd.getpwuid(uid)
            uid, gid = entry.pw_uid, entry.pw_gid
        except (KeyError, ValueError, OverflowError):  # not there, a NUL in it, too large
            if uid is None or uid >= _NO_CHANGE:
                raise ConfigurationError(refusal('no_such_user', name=config.user)) from None
            # a container's user need not have a name
    if config.group is not None:
        gid = _number(config.group)
        try:
            gid = grp.getgrnam(config.group).gr_gid if gid is None else gid
        except (KeyError, ValueError):
            gid = None
        if gid is None or gid >= _NO_CHANGE:
            raise ConfigurationError(refusal('no_such_group', name=config.group))
    return Identity(uid, gid, entry.pw_name if entry is not None else None)


def _number(name: str) -> int | None:
    return int(name) if name.isascii() and name.isdigit() else None


def assume(config: Config) -> None:
    """Give this process, a worker, its user, groups and umask. Raises FatalError."""
    if config.umask is not None:
        os.umask(config.umask)
    identity = resolve(config)
    try:
        _change(identity, config.initgroups)
    except OSError as exc:
        who = f'{config.user or "-"}:{config.group or "-"}'
        raise FatalError(refusal('cannot_become', who=who, reason=exc.strerror or exc)) from None


def _change(identity: Identity, initgroups: bool) -> None:
    uid, gid = identity.uid, identity.gid
    changes = (uid is not None and uid != os.geteuid()) or (gid is not None and gid != os.getegid())
    if gid is not None and changes:
        if initgroups and identity.name is not None:
            os.initgroups(identity.name, gid)
        elif os.geteuid() == 0:
            os.setgroups([gid])  # not the groups of root
        os.setgid(gid)
    if uid is not None and uid != os.geteuid():
        os.setuid(uid)


@contextmanager
def umask_of(config: Config) -> Iterator[None]:
    """Open sockets in this block: their files get the mode that --umask leaves."""
    before = os.umask(config.umask) if config.umask is not None else None
    try:
        yield
    finally:
        if before is not None:
            os.umask(before)
