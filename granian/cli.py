"""The command line: a projection of `granian.config` through click."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import click

from . import __version__, _internal, messages
from .cli_habits import instead_of, is_service_address, unknown_variables
from .config import OPTIONS, api_arguments
from .config.options import Option, parse_duration
from .constants import Interfaces
from .errors import ConfigurationError, FatalError
from .server import Server

__all__ = ['Duration', 'EnumType', 'OctalIntType', 'Server', 'cli', 'entrypoint']


_BOOLEANS = {
    **dict.fromkeys(('1', 'true', 't', 'yes', 'y', 'on'), True),
    **dict.fromkeys(('0', 'false', 'f', 'no', 'n', 'off'), False),
}


class EnumType(click.Choice):  # type: ignore[type-arg,unused-ignore]
    """One of an enum's values; converts to the member."""

    def __init__(self, enum: type[Enum], case_sensitive: bool = False, flag_value: str | None = None) -> None:
        """Make a choice. `flag_value` is the value for true in the environment."""
        self.enum = enum
        self.flag_value = flag_value
        super().__init__([member.value for member in enum], case_sensitive=case_sensitive)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value is None or isinstance(value, self.enum):
            return value
        if self.flag_value is not None and value.lower() in _BOOLEANS:
            value = self.flag_value if _BOOLEANS[value.lower()] else self.choices[0]
        return self.enum(super().convert(value, param, ctx))


class OctalIntType(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A whole number, octal when it starts with 0."""

    name = 'octal integer'

    def __init__(self, min: int | None = None, max: int | None = None) -> None:
        self.min, self.max = min, max

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            number = value if isinstance(value, int) else int(value, 8 if value.startswith('0') else 10)
        except ValueError:
            self.fail(messages.refusal('cli_octal', value=value), param, ctx)
        if (self.min is not None and number < self.min) or (self.max is not None and number > self.max):
            low, high = self.min or 0, self.max or 0
            self.fail(messages.refusal('cli_octal_range', value=value, low=low, high=high), param, ctx)
        return int(number)


class Duration(click.IntRange):
    """Seconds, or `1d2h3m4s` in any subset, in that order. With `zero`, 0 is allowed below `min`."""

    name = 'duration'

    def __init__(self, min: int | None = None, max: int | None = None, zero: bool = False) -> None:
        super().__init__(min=min, max=max)
        self.zero = zero

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        seconds = value if isinstance(value, int) else parse_duration(value)
        if seconds is None:
            self.fail(messages.refusal('cli_duration', value=value), param, ctx)
        if seconds == 0 and self.zero:
            return 0
        if self.max is not None and seconds > self.max:
            self.fail(messages.refusal('cli_duration_long', value=value, limit=self.max), param, ctx)
        if self.min is not None and seconds < self.min:
            self.fail(messages.refusal('cli_duration_short', value=value, limit=self.min), param, ctx)
        return int(seconds)


def _pretty_print_default(value: Any) -> Any:
    """Return a default as help shows it."""
    if isinstance(value, bool):
        return 'enabled' if value else 'disabled'
    if isinstance(value, Enum):
        return value.value
    return value


class ListType(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """Texts separated by commas."""

    name = 'list'

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        if not isinstance(value, str):
            return tuple(value)
        return tuple(item.strip() for item in value.split(',') if item.strip())


class FilePath(click.Path):
    """A path that may not be there yet. An empty one would be the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == '':
            self.fail(messages.refusal('cli_empty_path'), param, ctx)
        return super().convert(value, param, ctx)


_CLICK_TYPES: dict[str, Callable[[Option], Any]] = {
    'text': lambda o: click.STRING,
    'list': lambda o: ListType(),
    'int': lambda o: click.IntRange(o.ge, o.le),  # type: ignore[arg-type]
    'octal': lambda o: OctalIntType(o.ge, o.le),  # type: ignore[arg-type]
    'float': lambda o: click.FloatRange(o.ge, o.le),
    'bool': lambda o: click.BOOL,
    'enum': lambda o: EnumType(o.enum, flag_value=o.flag_value),  # type: ignore[arg-type]
    'duration': lambda o: Duration(o.ge, o.le, o.zero),  # type: ignore[arg-type]
    'path': lambda o: FilePath(path_type=Path),
    'file': lambda o: click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
    'dir': lambda o: click.Path(exists=True, file_okay=False, path_type=Path),
}


def _click_option(option: Option) -> click.Option:
    more: dict[str, Any] = {}
    if option.field == 'env_files':
        # Before the others, so that these files can hold GRANIAN_ variables too.
        more = {'is_eager': True, 'callback': _load_env_files}
    return _Option(
        [*option.flags.split(' '), option.name],
        type=_CLICK_TYPES[option.kind](option),
        default=None if option.multiple and not option.default else option.default,
        show_default=_shown_default(option),
        envvar=option.env,
        show_envvar=True,
        multiple=option.multiple,
        help=option.help + (', repeatable' if option.multiple else ''),
        **more,
    )


def _shown_default(option: Option) -> str:
    if option.default_text is not None:
        return option.default_text
    value = option.default
    if option.kind == 'list':
        return ','.join(value) or 'none'
    if option.multiple:
        return ' '.join(map(str, value)) or 'none'
    return 'none' if value is None else str(_pretty_print_default(value))


def _load_env_files(ctx: click.Context, param: click.Parameter, paths: Sequence[Path]) -> Sequence[Path]:
    if not ctx.resilient_parsing:
        try:
            _internal.load_env_files(paths)
        except ConfigurationError as error:
            raise click.ClickException(str(error)) from None
    return paths


class _Option(click.Option):
    """Shows its default without parentheses; ignores variables that Kubernetes sets for a service."""

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        value = super().resolve_envvar_value(ctx)
        if value is not None and is_service_address(value):
            click.echo(
                messages.WARNINGS['service_address'].format(variable=self.envvar, value=value), err=True
            )
            return None
        return value

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        record = super().get_help_record(ctx)
        if record is None or not isinstance(self.show_default, str):
            return record
        default = f'default: {self.show_default}'
        return record[0], record[1].replace(f'default: ({self.show_default})', default)


class _Command(click.Command):
    """A command whose help shows the options by topic."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, list(with_flag_values(args)))
        except click.NoSuchOption as error:
            flags = ' '.join(option.flags.replace('/', ' ') for option in OPTIONS.values())
            instead = instead_of(error.option_name, f'{flags} --help --version')
            if instead is not None:
                text = messages.refusal('cli_habit', option=error.option_name, instead=instead)
            elif _is_gunicorns(error.option_name):
                text = messages.refusal('cli_gunicorn', option=error.option_name)
            else:
                raise
            raise click.UsageError(text, ctx) from None

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        group_of = {option.name: option.group for option in OPTIONS.values()}
        topics: dict[str, list[tuple[str, str]]] = {group: [] for group in [*group_of.values(), 'Other']}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and isinstance(param, click.Option):
                topics[group_of.get(param.name or '', 'Other')].append(record)
        for topic, records in topics.items():
            with formatter.section(topic):
                formatter.write_dl(records, col_max=26)


def _is_gunicorns(option: str) -> bool:
    from .gunicorn.settings import TABLE  # lazy: a server's start does without it

    return any(option in setting.flags for setting in TABLE.values())


def with_flag_values(args: Sequence[str]) -> Iterator[str]:
    """Give each flag that may stand alone its value: `--x` and `--no-x` become `--x=VALUE`."""
    optional = {option.flags: option for option in OPTIONS.values() if option.flag_value is not None}
    for number, arg in enumerate(args):
        if arg == '--':
            yield from args[number:]
            return
        option = optional.get(arg) or optional.get(arg.replace('--no-', '--', 1))
        if option is None or option.enum is None:
            yield arg
        elif option.flags != arg:
            yield f'{option.flags}={option.default.value}'
        elif args[number + 1 : number + 2] and args[number + 1].lower() in {*(m.value for m in option.enum)}:
            yield arg
        else:
            yield f'{arg}={option.flag_value}'


@click.command('granian', cls=_Command, context_settings={'max_content_width': 110})
@click.argument('app')
@click.version_option(__version__, message='%(prog)s %(version)s (pure Python)', prog_name='granian')
@click.pass_context
def cli(ctx: click.Context, /, app: str, **values: Any) -> None:
    """Serve APP: `module:attribute`, `path/to/file.py:attribute`, or `module` alone for `module:app`.

    Every option can be given in the environment as well. A duration is a number of seconds, or
    1d2h3m4s in any subset, in that order.
    """
    _warn_of_variables()
    named = {option.field: values[option.name] for option in OPTIONS.values() if option.flags}
    named = {field: value or None if OPTIONS[field].multiple else value for field, value in named.items()}
    if values['websockets'] and values['interface'] == Interfaces.WSGI and _asked_for(ctx, 'websockets'):
        click.echo(messages.WARNINGS['other_interface'].format(option='--ws', interface='wsgi'), err=True)
    try:
        server = Server(app, **api_arguments(named))
        server.ends_process = True
        server.serve()
    except FatalError as error:
        if str(error):
            raise click.ClickException(str(error)) from None
        ctx.exit(1)


def _warn_of_variables() -> None:
    known = {option.flags: option.env for option in OPTIONS.values() if option.env}
    for name, near in unknown_variables(os.environ, known):
        hint = f'; did you mean {near}?' if near else ''
        click.echo(messages.WARNINGS['unknown_variable'].format(variable=name, hint=hint), err=True)


def _asked_for(ctx: click.Context, name: str) -> bool:
    sources = click.core.ParameterSource
    return ctx.get_parameter_source(name) in (sources.COMMANDLINE, sources.ENVIRONMENT)


cli.params[1:1] = [_click_option(option) for option in OPTIONS.values() if option.flags]


def entrypoint() -> None:
    """Run the `granian` command; `granian gunicorn …` is the gunicorn command line."""
    if sys.argv[1:2] == ['gunicorn']:
        from .gunicorn import main  # lazy: this room is for those who ask for it

        del sys.argv[1]
        main()
    cli(prog_name='granian')
    sys.exit(0)
