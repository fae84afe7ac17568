"""The options: what an option is, the one list of them, and the rules between them.

`options` says what an option is, `groups` names their groups, `declaration` is the list, which begins with
`positional`, `rules` is what one value asks of another, and `Config` is a checked set of values. This room
knows no server, worker or core; only cli, gunicorn front, server and worker import it.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, make_dataclass
from typing import TYPE_CHECKING, Any

from .. import log, messages
from ..addresses import Address, Listening, TCPAddress, UnixAddress, parse_address
from ..constants import Cores, Interfaces
from ..errors import ConfigurationError
from . import rules
from .declaration import OPTIONS, Declaration
from .options import Option, coerce
from .positional import DEFAULT_THREADS

if TYPE_CHECKING:
    import logging

    from ..observe.statsd import Sender

__all__ = [
    'OPTIONS', 'Config', 'HTTP1Settings', 'HTTP2Settings', 'api_arguments', 'effective', 'projection',
    'signature',
]  # fmt: skip


def _settings_class(name: str, argument: str) -> Any:
    """Return the dataclass that groups the options of one HTTP version for the Python API."""
    held = [option for option in OPTIONS.values() if option.setting and option.setting[0] == argument]
    made = make_dataclass(
        name, [(option.setting[1], Any, option.default) for option in held if option.setting]
    )
    made.__module__ = 'granian.http'
    made.__doc__ = '\n'.join(
        [f'Options of {held[0].group}.', '', *(f'{o.setting[1]}: {o.help}.' for o in held if o.setting)]
    )
    return made


HTTP1Settings: Any = _settings_class('HTTP1Settings', 'http1_settings')
HTTP2Settings: Any = _settings_class('HTTP2Settings', 'http2_settings')
_SETTINGS: dict[str, Any] = {'http1_settings': HTTP1Settings, 'http2_settings': HTTP2Settings}

_OBJECTS: tuple[tuple[str, Any, str], ...] = (
    ('http1_settings', HTTP1Settings, 'an HTTP1Settings'),
    ('http2_settings', HTTP2Settings, 'an HTTP2Settings'),
    ('log_dictconfig', Mapping, 'a mapping'),
    ('secure_scheme_headers', Mapping, 'a mapping of field names to values'),
)
"""Arguments that only Python can give: (name, type, the type in words). Their contents are not checked."""


class Config(Declaration):
    """A checked set of values: what to serve and how. Raises ConfigurationError, with one line, when made.

    Make one with `Config.from_api`, which takes the arguments of `Granian(...)`. To change a value, use
    `dataclasses.replace`.
    """

    def __init__(self, **values: Any) -> None:
        """Take values by the names of the fields. Fields that are not given have their defaults."""
        unknown = values.keys() - self.__dataclass_fields__
        if unknown:
            raise TypeError(f'no such options: {", ".join(sorted(unknown))}')
        self.__dict__.update(values)
        rules.refuse(self)

    def __setattr__(self, name: str, value: object) -> None:
        raise FrozenInstanceError(f'cannot assign to {name!r}')

    @classmethod
    def from_api(cls, target: str, *args: Any, **options: Any) -> Config:
        """Make a Config from the arguments of `Granian(target, **options)`.

        None stands for the default; strings are accepted for enums and paths. Raises TypeError for an
        unknown keyword, ConfigurationError for a value out of range or options that contradict each other.
        """
        try:
            given = signature().bind(target, *args, **options).arguments
        except TypeError as error:
            raise TypeError(f'Granian(): {error}') from None
        if not isinstance(target, str):
            raise ConfigurationError(messages.refusal('target_not_text', value=target))
        for name, kind, what in _OBJECTS:
            if not isinstance(given.get(name), (kind, type(None))):
                raise ConfigurationError(
                    messages.refusal('wrong_type', option=name, what=what, value=given[name])
                )
        values = {name: coerce(option, _given(given, option)) for name, option in OPTIONS.items()}
        rules.refuse_missing(values)
        notices = rules.adapt(values)
        return cls(target=target, notices=tuple(notices), **values)

    @property
    def worker_backpressure(self) -> int:
        """`backpressure`, or its default: a worker's share of the backlog."""
        return self.backpressure or max(1, self.backlog // self.workers)

    @property
    def worker_threads(self) -> int:
        """`blocking_threads`, or its default for the interface."""
        if self.blocking_threads:
            return self.blocking_threads
        if self.core == Cores.gevent:
            return self.worker_backpressure
        if self.interface != Interfaces.WSGI:
            return 1
        return min(DEFAULT_THREADS, max(1, self.worker_backpressure // 2))

    @property
    def addresses(self) -> list[Address]:
        """The addresses to listen on."""
        if self.bind:
            return [parse_address(text) for text in self.bind]
        if self.uds is not None:
            return [UnixAddress(str(self.uds))]
        return [TCPAddress(self.address, self.port)]

    @property
    def listening(self) -> Listening:
        return Listening(**projection(self, 'listening'))

    @property
    def tls(self) -> bool:
        return self.ssl_cert is not None or self.ssl_context is not None

    def logging_config(self) -> dict[str, Any] | None:
        """Return the user's logging configuration, laid over the default. Each call reads --log-config again.

        Raises ConfigurationError when the file cannot be read or is not a JSON object.
        """
        if self.log_config is None:
            return dict(self.log_dictconfig) if self.log_dictconfig is not None else None
        try:
            import json

            loaded = json.loads(self.log_config.read_text(encoding='utf-8'))
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                messages.refusal('log_config_unreadable', path=self.log_config, error=error)
            ) from None
        if not isinstance(loaded, dict):
            raise ConfigurationError(messages.refusal('log_config_not_object', path=self.log_config))
        return loaded

    def configure_logging(self, overlay: Mapping[str, Any] | None) -> None:
        """Set the loggers up, with `overlay` (see `logging_config`). Raises ConfigurationError."""
        log.configure_logging(self.log_level, overlay, self.log_enabled, self.log_file, self.access_log_file)
        self.count_log()

    def count_log(self, logger: logging.Logger = log.logger) -> None:
        """Let statsd count what this process logs through `logger`."""
        if self.statsd is not None:
            from ..observe.statsd import LogFigures

            LogFigures(self.statsd_sender()).attach(logger)

    def statsd_sender(self) -> Sender:
        """Make a sender to `statsd`."""
        from ..observe.statsd import Sender

        assert self.statsd is not None
        return Sender(self.statsd, self.statsd_prefix, self.statsd_tags)


def projection(config: Config, receiver: str) -> dict[str, Any]:
    """Return the options that go to `receiver` ('limits', 'core', …) as its keyword arguments.

    They are kept: a forked worker need not look at each option, which copies the memory that holds them.
    """
    kept: dict[str, dict[str, Any]] = config.__dict__.setdefault('_projections', {})
    found = kept.get(receiver)
    if found is None:
        found = kept[receiver] = {}
        for option in OPTIONS.values():
            holder, _, name = option.to.partition('.')
            if holder == receiver:
                found[name] = _received(option, getattr(config, option.field))
    return found


def _received(option: Option, value: Any) -> Any:
    """Return an option's value as its receiver takes it: plain values, seconds, None for off."""
    if value is None or (option.zero and value == 0):
        return None
    if option.enum is not None:
        return value.value
    return value / 1000 if option.milliseconds else value


def _given(given: Mapping[str, Any], option: Option) -> Any:
    """Return the option's value among the API's arguments, some of which are in the HTTP settings."""
    if option.setting is None:
        return given.get(option.field)
    return getattr(given.get(option.setting[0]), option.setting[1], None)


def signature() -> inspect.Signature:
    """Return `Granian(target, ...)`'s signature: options in their order, HTTP settings as objects."""
    kinds = inspect.Parameter
    found = {'target': kinds('target', kinds.POSITIONAL_OR_KEYWORD, annotation=str)}
    for option in OPTIONS.values():
        name = option.setting[0] if option.setting else option.field
        default = None if option.setting or option.multiple else option.default
        found.setdefault(name, kinds(name, kinds.POSITIONAL_OR_KEYWORD, default=default))
    return inspect.Signature(list(found.values()))


def api_arguments(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by field name as keywords of `Granian(target, ...)`: HTTP settings in their objects."""
    settings: dict[str, dict[str, Any]] = {argument: {} for argument in _SETTINGS}
    arguments: dict[str, Any] = {}
    for name, value in values.items():
        place = OPTIONS[name].setting
        if place is None:
            arguments[name] = value
        else:
            settings[place[0]][place[1]] = value
    for argument, kind in _SETTINGS.items():
        arguments[argument] = kind(**settings[argument])
    return arguments


def effective(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options, by field name, that have an effect beside each other and the defaults."""
    defaults = {name: option.default for name, option in OPTIONS.items()}
    given = {name: value for name, value in values.items() if value is not None}
    idle = {name for name, _ in rules.without_effect({**defaults, **given})}
    return {name: value for name, value in values.items() if name not in idle}
