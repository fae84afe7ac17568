"""The atoms of the access log, and formats compiled to functions.

There are two dialects, which a format may mix: long names of our own, such as `%(status)d`, and the
short ones of Apache and gunicorn, such as `%(s)s`. A line is on the path of every request, so a format
becomes one expression, compiled once.
"""

from __future__ import annotations

import os
import re
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

from ..clocks import monotonic
from ..errors import ConfigurationError
from ..messages import REFUSALS
from .expressions import ATOMS, CLEAN, LONG, SHORT, TEXT
from .refusals import RefusedExchange

if TYPE_CHECKING:
    from ..protocol.head import Head
    from .exchange import Exchange

_TEXT_DIRECTIVE = re.compile(r'(%\([sb]\)[-#0 +]*\d*)(?:\.\d+)?[a-zA-Z]')
_ATOMS = {**LONG, **SHORT}
_DIRECTIVE = re.compile(r'%(?:%|\(([^()]*)\)([-#0 +]*\d*(?:\.\d+)?[a-zA-Z])|)')
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_HEADER = re.compile(rf'header\{{({_TOKEN})\}}|\{{({_TOKEN})\}}i')
_RESPONSE_HEADER = re.compile(rf'\{{({_TOKEN})\}}o')
_ENVIRON = re.compile(r'\{([^\s{}"\'\\]+)\}e')
_AUTHORIZATION = ('authorization',)
_DANGEROUS = re.compile(r'["\\]|[^ -~\xa0-\U0010ffff]')

Render = Callable[['Exchange', 'Head', str, str], Any]
"""A function of (exchange, head, time, time in Apache's form)."""


class Format:
    """A compiled format."""

    def __init__(self, fmt: str, every_atom: bool = False) -> None:
        """Raise ConfigurationError, with one line, for a format that cannot be used.

        `every_atom`: `values` has all short atoms, named or not, each with the type that gunicorn gives it.
        """
        template, atoms = _parse(fmt)
        names = _names(template=template)
        self.line: Render = _line([expression for _, expression in atoms], names)
        wanted = {**SHORT, **dict(atoms), **TEXT} if every_atom else dict(atoms)
        pairs = ''.join(f'{name!r}: {expression}, ' for name, expression in wanted.items())
        self._values: Render = _function(names, f'{{{pairs}}}')
        named = _TEXT_DIRECTIVE.sub(r'\1s', fmt) if every_atom else fmt
        self.text = named if atoms else '%(line)s'  # logging leaves a message without arguments as it is
        self.wants_response_headers = any(_RESPONSE_HEADER.fullmatch(name) for name, _ in atoms)
        self.wants_environ = any(_ENVIRON.fullmatch(name) for name, _ in atoms)
        self._fixed = None if atoms else template % ()
        self._try(fmt)

    def values(self, exchange: Exchange, now: str, stamp: str) -> Atoms:
        """Return the arguments of a log record for `text`."""
        if self._fixed is not None:
            return Atoms({'line': self._fixed}, exchange, now, stamp)
        return Atoms(self._values(exchange, exchange.head, now, stamp), exchange, now, stamp)

    def _try(self, fmt: str) -> None:
        sample: Any = RefusedExchange(('127.0.0.1', 1), 400, None)  # the one with the least to say
        try:
            self.line(sample, sample.head, '', '')
        except (TypeError, ValueError) as error:  # such as %(path)d
            raise _bad_format(f'{fmt!r}: {error}') from None


class Atoms(dict[str, Any]):
    """The atoms of one line, as a record's `args`. Atoms that the format does not name can be asked for."""

    def __init__(self, values: dict[str, Any], exchange: Exchange, now: str, stamp: str) -> None:
        super().__init__(values)
        self._finished = _Finished(exchange)
        self._times = now, stamp

    def __missing__(self, name: str) -> Any:
        expression = expression_of(name)
        if expression is None:
            raise KeyError(name)
        finished: Any = self._finished
        render = _function({**_names(), 'clock': _never}, expression)
        value = self[name] = render(finished, finished.head, *self._times)
        return value

    def get(self, name: str, default: Any = None) -> Any:
        try:
            return self[name]
        except KeyError:
            return default


class _Finished:
    """What atoms need of an exchange, kept: streams are used again. Its clock stands at 0."""

    def __init__(self, exchange: Exchange) -> None:
        self.head = exchange.head
        self.status = exchange.status
        self.bytes_sent = exchange.bytes_sent
        self.client = exchange.client
        self.scheme = exchange.scheme
        self.started = exchange.started - monotonic()
        self.response_headers = getattr(exchange, 'response_headers', ())
        self.environ = getattr(exchange, 'environ', None)


def _never() -> float:
    return 0.0


def expression_of(name: str) -> str | None:
    """Return the expression for an atom; None: there is no such atom."""
    if name in _ATOMS:
        return _ATOMS[name]
    if found := _HEADER.fullmatch(name):
        return CLEAN.format(f'header(h, {(found[1] or found[2]).lower()!r})')
    if found := _RESPONSE_HEADER.fullmatch(name):
        return CLEAN.format(f'response_header(e, {found[1].lower()!r})')
    if found := _ENVIRON.fullmatch(name):
        return CLEAN.format(f'variable(e, {found[1]!r})')
    return None


def without_unknown(fmt: str) -> tuple[str, list[str]]:
    """Return a format with `-` in place of the atoms that do not exist, and their names."""
    unknown: list[str] = []

    def known(match: re.Match[str]) -> str:
        if match[1] is None or expression_of(match[1]) is not None:
            return match[0]
        unknown.append(match[1])
        return '-'

    return _DIRECTIVE.sub(known, fmt), unknown


def _parse(fmt: str) -> tuple[str, list[tuple[str, str]]]:
    """Return the format with its names taken out, and (name, expression) of each atom in order."""
    atoms: list[tuple[str, str]] = []

    def positional(match: re.Match[str]) -> str:
        name, conversion = match.groups()
        if match[0] == '%%':
            return '%%'
        if name is None:
            raise _bad_format(f"a '%' in {fmt!r} begins no atom: write %% for the sign itself")
        expression = expression_of(name)
        if expression is None:
            raise _bad_format(f"unknown atom '{name}': there are {', '.join(ATOMS)} and header{{name}}")
        atoms.append((name, expression))
        return f'%{conversion}'

    return _DIRECTIVE.sub(positional, fmt), atoms


def _bad_format(reason: str) -> ConfigurationError:
    return ConfigurationError(REFUSALS['access_format'].format(error=reason))


def _function(names: dict[str, Any], expression: str) -> Any:
    # Only expressions of this module, and names that its patterns let through, get here.
    return eval(f'lambda e, h, now, stamp: {expression}', names)


def _line(expressions: list[str], names: dict[str, Any]) -> Render:
    """Return the function of a line: `template` with the values of these expressions.

    A client that repeats a request has one head for all of them, so what only depends on the head is kept
    there (`Head.logged`): 1.4 of the 2.2 µs that a Common Log line takes.
    """
    of_head = [each for each in dict.fromkeys(expressions) if _only_of_head(each)]
    if not of_head:
        return cast(Render, _function(names, f'template % ({_tuple(expressions)})'))
    made = eval(f'lambda h: ({_tuple(of_head)})', names)
    key = object()

    def keep(head: Head) -> tuple[Any, ...]:
        head.logged = found = (key, *made(head))
        return found

    kept = 'k if (k := h.logged)[0] is key else keep(h)'
    values = [f'c[{1 + of_head.index(each)}]' if each in of_head else each for each in expressions]
    line = f'(c := {kept}) and template % ({_tuple(values)})'  # `c` has the key at least, so it is true
    return cast(Render, _function({**names, 'key': key, 'keep': keep}, line))


def _tuple(expressions: list[str]) -> str:
    return ''.join(f'{each}, ' for each in expressions)


def _only_of_head(expression: str) -> bool:
    used = compile(expression, '', 'eval').co_names
    return 'h' in used and not {'e', 'now', 'stamp', 'clock'}.intersection(used)


def _names(**more: Any) -> dict[str, Any]:
    """Return the names that expressions use."""
    return {
        'clean': _escape, 'header': _header, 'status': _status, 'clock': monotonic, 'user': _user,
        'request_line': _request_line, 'decoded': unquote, 'response_header': _response_header,
        'variable': _variable, 'pid': f'<{os.getpid()}>', **more,
    }  # fmt: skip


def _escape(text: str) -> str:
    return _DANGEROUS.sub(lambda m: '\\' + m[0] if m[0] in '"\\' else f'\\u{ord(m[0]):04x}', text)


def _header(head: Head, name: str) -> str:
    """Return the values of a request header, joined as RFC 9110 5.2 has it; '-' when there is none."""
    if not head.has_any((name,)):
        return '-'  # without putting the fields together
    values = [value for field, value in head.fields if field.name == name]
    return (values[0] if len(values) == 1 else ', '.join(values)) or '-' if values else '-'


def _response_header(exchange: Any, name: str) -> str:
    values = [_text(value) for field, value in getattr(exchange, 'response_headers', ())
              if _text(field).lower() == name]  # fmt: skip
    return ', '.join(values) or '-'


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode('latin-1')


def _variable(exchange: Any, name: str) -> str:
    """Return a variable of the WSGI environ, with its name in any case."""
    environ = getattr(exchange, 'environ', None) or {}
    if name in environ:
        return str(environ[name])
    return next((str(value) for key, value in environ.items() if key.lower() == name.lower()), '-')


def _user(head: Head) -> str:
    if not head.has_any(_AUTHORIZATION):
        return '-'
    return basic_user(_header(head, 'authorization'))


def basic_user(authorization: str) -> str:
    """Return the user of Basic credentials (RFC 7617), or '-'."""
    scheme, _, credentials = authorization.partition(' ')
    if scheme.lower() != 'basic':
        return '-'
    try:
        decoded = a2b_base64(credentials.strip().encode('latin-1')).decode('utf-8')
    except (Base64Error, ValueError):
        return '-'
    return decoded.partition(':')[0] or '-'


def _request_line(head: Head) -> str:
    query = f'?{head.query}' if head.query else ''
    return f'{head.method} {head.path}{query} HTTP/{head.version}'


def _status(exchange: Exchange) -> int:
    """Return the unusual statuses: 101 for a WebSocket accepted over HTTP/2, 499 for no response at all."""
    head = exchange.head
    if head.upgrade and exchange.status == 200 and head.version == '2':
        return 101
    return exchange.status or 499
