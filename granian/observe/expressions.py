"""The atoms of the access log as expressions. The help of an option needs their names, and no more."""

from __future__ import annotations

# Each atom is an expression of `e` (the exchange), `h` (its head), `now` and `stamp` (the time as text, in
# the two forms), `clock` (clocks.monotonic) and `clean`. Text that a client has chosen goes through CLEAN.
CLEAN = '(v if (v := {}).isprintable() and \'"\' not in v and "\\\\" not in v else clean(v))'
_SECONDS = '(clock() - e.started)'
_STATUS = 'status(e) if h.upgrade or not e.status else e.status'
LONG = {
    'addr': "e.client[0] if e.client else '-'",
    'time': 'now',
    'dt_ms': f'{_SECONDS} * 1000',
    'status': _STATUS,
    'path': CLEAN.format('h.path'),
    'query_string': CLEAN.format('h.query'),
    'method': CLEAN.format('h.method'),
    'scheme': 'e.scheme',
    'protocol': "'HTTP/' + h.version",
    'bytes': 'e.bytes_sent',
    'referer': CLEAN.format("header(h, 'referer')"),
    'user_agent': CLEAN.format("header(h, 'user-agent')"),
    'request_id': CLEAN.format("header(h, 'x-request-id')"),
}
SHORT = {
    'h': LONG['addr'],
    'l': "'-'",
    'u': CLEAN.format('user(h)'),
    't': 'stamp',
    'r': CLEAN.format('request_line(h)'),
    's': _STATUS,
    'b': 'e.bytes_sent',
    'B': 'e.bytes_sent',
    'f': LONG['referer'],
    'a': LONG['user_agent'],
    'T': f'int({_SECONDS})',
    'M': f'int({_SECONDS} * 1000)',
    'D': f'int({_SECONDS} * 1000000)',
    'L': f"'%.6f' % {_SECONDS}",
    'm': LONG['method'],
    'U': CLEAN.format('decoded(h.path)'),
    'q': LONG['query_string'],
    'H': LONG['protocol'],
    'p': 'pid',
}
TEXT = {'s': f'str({_STATUS})', 'b': 'str(e.bytes_sent)'}
"""Atoms that gunicorn gives as text: formatters and filters written for it compare them with '200'."""
ATOMS = tuple(LONG)
"""The long names, header{name} apart."""
