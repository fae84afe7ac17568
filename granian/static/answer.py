"""The response for a file: RFC 9110's content codings, conditions and ranges. Pure."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from email.utils import mktime_tz, parsedate_tz
from functools import lru_cache
from typing import Final, NamedTuple

from ..protocol.error_pages import error_parts
from ..protocol.head import Head
from .files import CODINGS, File, Representation

_ASKED: Final = frozenset({
    'accept-encoding', 'if-match', 'if-modified-since', 'if-none-match', 'if-range', 'if-unmodified-since',
    'range',
})  # fmt: skip
_TAG: Final = re.compile(r'(?:W/)?"[!#-~\x80-\xff]*"')
_RANGE: Final = re.compile(r'bytes=[ \t]*([0-9]*)-([0-9]*)[ \t]*', re.IGNORECASE).fullmatch
_WEIGHT: Final = re.compile(
    r'[ \t]*;[ \t]*q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)[ \t]*', re.IGNORECASE
).fullmatch
_ALLOW: Final = (('Allow', 'GET, HEAD'),)
_OF_304: Final = frozenset({'Cache-Control', 'ETag', 'Last-Modified', 'Vary'})
"""RFC 9110 15.4.5: nothing that describes a body."""

Fields = Sequence[tuple[str, str]]


class Answer(NamedTuple):
    """A response: whole with `body`, or with `length` bytes of `form`'s file still to be sent."""

    status: int
    fields: Fields
    body: bytes = b''
    form: Representation | None = None
    offset: int = 0
    length: int = 0


def answer(head: Head, file: File | None) -> Answer:
    """Return the answer for `file`, None if there is no such file. All but a 304 have a Content-Length."""
    if head.method not in ('GET', 'HEAD'):
        return error(head, 405, _ALLOW)
    if file is None:
        return error(head, 404)
    asked = _asked(head)
    form = file.forms[0]
    if len(file.forms) > 1:
        form = choose(file.forms, asked.get('accept-encoding'))
    if asked:
        status = judge(asked, form)
        if status == 304:
            return Answer(304, [pair for pair in form.fields if pair[0] in _OF_304])
        if status == 412:
            return error(head, 412)
        # RFC 9110 14.2: a Range means something to GET only.
        if 'range' in asked and head.method == 'GET' and _range_applies(asked.get('if-range'), form):
            return _part(head, form, asked['range'])
    return _content(head, 200, form.fields, form, 0, form.size)


def _asked(head: Head) -> dict[str, str]:
    """Return the fields of the request that the answer depends on, by their names."""
    asked: dict[str, str] = {}
    for field, value in head.fields:
        name = field.name
        if name in _ASKED:
            # RFC 9110 5.3: lines of one name are one list.
            asked[name] = f'{asked[name]}, {value}' if name in asked else value
    return asked


def error(head: Head, status: int, fields: Fields = ()) -> Answer:
    """Return a refusal, with the words that every refusal of ours has."""
    given, text = error_parts(status)
    described = [(name.decode(), value.decode()) for name, value in given]
    body = b'' if head.method == 'HEAD' else text
    return Answer(status, [*fields, *described, ('Content-Length', str(len(text)))], body)


def _content(
    head: Head, status: int, fields: Fields, form: Representation, offset: int, count: int
) -> Answer:
    fields = [*fields, ('Content-Length', str(count))]
    if head.method == 'HEAD' or not count:
        return Answer(status, fields)
    if form.body is None:
        return Answer(status, fields, b'', form, offset, count)
    return Answer(status, fields, form.body if count == form.size else form.body[offset : offset + count])


# Content codings (RFC 9110 12.5.3)


def choose(forms: list[Representation], accepted: str | None) -> Representation:
    """Return the form that the client prefers; among equals the first of CODINGS, the file itself last.

    Return the file itself if the client accepts no form: that is better than a 406.
    """
    weights = _weights(accepted[:512]) if accepted is not None else {}
    best, form = weights.get('identity', 0.0), forms[0]
    for other in reversed(forms[1:]):
        weight = weights.get(other.coding, 0.0)
        if weight > 0 and weight >= best:
            best, form = weight, other
    return form


@lru_cache(maxsize=256)
def _weights(accepted: str) -> dict[str, float]:
    """Return the weights of an Accept-Encoding, with `*` applied to the codings that it does not name."""
    said: dict[str, float] = {}
    for item in accepted.split(','):
        name, semicolon, _ = item.partition(';')
        weight = 1.0
        if semicolon:
            match = _WEIGHT(item[len(name) :])
            weight = float(match[1]) if match else 0.0
        name = name.strip(' \t').lower()
        said['gzip' if name == 'x-gzip' else name] = weight
    if '*' in said:
        said = {**{coding: said['*'] for coding, _ in CODINGS}, **said}
    return said


# Conditions (RFC 9110 13)


def judge(asked: dict[str, str], form: Representation) -> int:
    """Evaluate the conditions in the order of RFC 9110 13.2.2. Return 0 to go on, else 304 or 412."""
    if 'if-match' in asked:
        if not _named(asked['if-match'], form.etag, weakly=False):
            return 412
    elif 'if-unmodified-since' in asked:
        since = _time(asked['if-unmodified-since'])
        if since is not None and form.modified > since:
            return 412
    if 'if-none-match' in asked:
        return 304 if _named(asked['if-none-match'], form.etag, weakly=True) else 0
    if 'if-modified-since' in asked:
        since = _time(asked['if-modified-since'])
        if since is not None and form.modified <= since:
            return 304
    return 0


def _named(tags: str, etag: str, weakly: bool) -> bool:
    if tags.strip(' \t') == '*':
        return True
    found = _TAG.findall(tags)
    return etag in found or (weakly and f'W/{etag}' in found)


def _time(date: str) -> int | None:
    """Return seconds since the epoch, None for an invalid date, which is ignored."""
    try:
        parsed = parsedate_tz(date) if len(date) < 64 else None
        return None if parsed is None else mktime_tz(parsed)
    except (ValueError, OverflowError, IndexError, TypeError):
        return None


def _range_applies(if_range: str | None, form: Representation) -> bool:
    """Compare an If-Range (RFC 9110 13.1.5): a strong tag, or exactly the date that we sent."""
    if if_range is None:
        return True
    if if_range[:1] == '"':
        return if_range == form.etag
    return ('Last-Modified', if_range) in form.fields


# One range (RFC 9110 14). Several are more work than use: the whole is a right answer, too.


def _part(head: Head, form: Representation, wanted: str) -> Answer:
    match = _RANGE(wanted)
    size = form.size
    if match is None or match[1] == match[2] == '':
        return _content(head, 200, form.fields, form, 0, size)
    first, last = _number(match[1]), _number(match[2])
    if first is not None and last is not None and first > last:  # not a range at all
        return _content(head, 200, form.fields, form, 0, size)
    start = first if first is not None else max(0, size - (last or 0))
    end = min(size, last + 1) if first is not None and last is not None else size
    if start >= size:
        return error(head, 416, [('Content-Range', f'bytes */{size}')])
    fields = [*form.fields, ('Content-Range', f'bytes {start}-{end - 1}/{size}')]
    return _content(head, 206, fields, form, start, end - start)


def _number(digits: str) -> int | None:
    """Parse a position. Positions beyond any file are equal, and int() has a limit of its own."""
    if not digits:
        return None
    return int(digits) if len(digits) <= 18 else sys.maxsize
