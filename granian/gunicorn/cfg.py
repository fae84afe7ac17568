"""`cfg`: the settings of one start, as gunicorn's configuration files, hooks and embedders know them."""

from __future__ import annotations

import argparse
import inspect
import os
import shlex
from collections.abc import Callable
from typing import Any, Protocol

from ..addresses import DescriptorAddress, TCPAddress, parse_address
from . import flags, imported
from .settings import HOOKS, TABLE, Setting, defaults


class Value:
    """One setting with its value: an entry of `cfg.settings`."""

    def __init__(self, setting: Setting, default: Any) -> None:
        self.name = setting.name
        self.section = setting.section
        self.cli = list(setting.flags) or None
        self.meta = setting
        self.default = default
        self.given = False
        """True once the user has set it."""
        self.value: Any = None if setting.section == HOOKS else setting.kind(default)

    def get(self) -> Any:
        return no_hook if self.value is None and self.section == HOOKS else self.value

    def set(self, value: Any) -> None:
        self.value = self.meta.kind(value)
        self.given = True

    def changed(self, before: Value) -> bool:
        """Return whether the value differs. A file that runs again makes another class of the same path."""
        old, new = before.get(), self.get()
        if isinstance(old, type) and isinstance(new, type):
            return (old.__module__, old.__qualname__) != (new.__module__, new.__qualname__)
        return bool(old != new)


class Cfg:
    """Settings as attributes with gunicorn's names and types."""

    settings: dict[str, Value]
    env_orig: dict[str, str]
    usage: str | None
    prog: str

    def __init__(self, usage: str | None = None, prog: str | None = None) -> None:
        values = defaults()
        self.__dict__.update(
            usage=usage,
            prog=prog or 'gunicorn',
            env_orig=dict(os.environ),
            settings={name: Value(setting, values[name]) for name, setting in TABLE.items()},
        )

    def __getattr__(self, name: str) -> Any:
        settings = self.__dict__.get('settings', {})
        if name not in settings:
            raise AttributeError(f'No configuration setting for: {name}')
        return settings[name].get()

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.settings:
            raise AttributeError(f'Invalid access: use cfg.set({name!r}, value)')
        super().__setattr__(name, value)

    def __str__(self) -> str:
        """Return what --print-config prints."""
        width = max(len(name) for name in self.settings)
        return '\n'.join(
            f'{name:{width}} = {_shown(self.settings[name].get())}' for name in sorted(self.settings)
        )

    def set(self, name: str, value: Any) -> None:
        """Set a setting. Raises AttributeError for an unknown name, ValueError or TypeError for a value."""
        if name not in self.settings:
            raise AttributeError(f'No configuration setting for: {name}')
        self.settings[name].set(value)

    def parser(self) -> argparse.ArgumentParser:
        """Return the command line's parser."""
        return flags.parser(self.usage, self.prog)

    def get_cmd_args_from_env(self) -> list[str]:
        """Return the words of GUNICORN_CMD_ARGS."""
        return shlex.split(os.environ.get('GUNICORN_CMD_ARGS', ''))

    def given(self, name: str) -> bool:
        """Return whether the user has set it, in whatever way."""
        return self.settings[name].given

    def hook(self, name: str) -> Callable[..., Any] | None:
        """Return the user's hook, or None."""
        found: Callable[..., Any] | None = self.settings[name].value
        return found

    @property
    def address(self) -> list[Any]:
        """Addresses as the socket module names them: (host, port), a path, or a descriptor.

        Raises ValueError.
        """
        return [_address(each) for each in self.bind]

    @property
    def uid(self) -> int:
        return int(self.user)

    @property
    def gid(self) -> int:
        return int(self.group)

    @property
    def proc_name(self) -> str:
        name = self.settings['proc_name'].get()
        return str(name if name is not None else self.settings['default_proc_name'].get())

    @property
    def worker_class_str(self) -> str:
        given = self.settings['worker_class'].get()
        name = given.__name__ if inspect.isclass(given) else str(given or 'sync')
        threaded = self.settings['threads'].get() > 1
        return 'gthread' if threaded and name.rpartition('.')[2] in ('sync', 'SyncWorker') else name

    @property
    def worker_class(self) -> Any:
        given = self.settings['worker_class'].get()
        return given if inspect.isclass(given) else imported.worker_class(self.worker_class_str)

    @property
    def is_ssl(self) -> bool:
        return bool(self.certfile or self.keyfile)

    @property
    def ssl_options(self) -> dict[str, Any]:
        return {name: value.get() for name, value in self.settings.items() if value.section == 'TLS'}

    @property
    def env(self) -> dict[str, str]:
        """The variables of `raw_env`. Raises ValueError for an entry that is none."""
        return dict(map(_pair, self.raw_env))

    @property
    def paste_global_conf(self) -> dict[str, str] | None:
        """The variables for PasteDeploy. Raises ValueError for an entry that is none."""
        found = dict(_pair(entry.replace('\\=', '\n')) for entry in self.raw_paste_global_conf)
        return {name.replace('\n', '='): value.replace('\n', '=') for name, value in found.items()} or None


class Served(Protocol):
    """An application with its settings."""

    cfg: Cfg
    callable: Any
    hints: list[str]
    app_uri: str | None
    start_dir: str

    def wsgi(self) -> Any:
        """Return the application; load it the first time."""
        ...

    def reload(self) -> None:
        """Load the settings again. Raises SettingsError."""
        ...


def no_hook(*args: Any) -> None:
    """Stand for a hook that is not set."""


def _address(text: str) -> tuple[str, int] | str | int:
    try:
        found = parse_address(text)
    except ValueError as error:
        raise ValueError(f'{error}.') from None
    if isinstance(found, TCPAddress):
        return '' if text.removeprefix('tcp://')[:1] in ('', ':') else found.host.lower(), found.port
    return found.number if isinstance(found, DescriptorAddress) else found.path


def _pair(entry: str) -> tuple[str, str]:
    """Return name and value of `NAME=VALUE`. Raises ValueError."""
    name, sign, value = entry.partition('=')
    if not (name and sign) or '\0' in entry:
        raise ValueError(f'environment setting {entry!r} invalid')
    return name, value


def _shown(value: Any) -> Any:
    return f'<{value.__qualname__}()>' if callable(value) and hasattr(value, '__qualname__') else value
