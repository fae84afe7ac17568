"""The request head: its grammar, judged strictly, and what it says.

Measured: 6-7 µs for a browser's head of twelve headers, whatever the values, with no cache
of heads. Only field *names* are remembered, in a bounded table: each is checked once.
"""

from __future__ import annotations


class Field:
    """A field name, checked once: the forms that adapters need of it."""

    __slots__ = ('environ_key', 'name', 'raw', 'role')

    def __init__(self, name: str, raw: bytes, environ_key: str | None, role: int) -> None:
        self.name = name
        """Lower case, as str (RSGI's keys)."""
        self.raw = raw
        """Lower case, as bytes (ASGI's, HTTP/2's)."""
        self.environ_key = environ_key
        """`HTTP_…`, `CONTENT_TYPE` or `CONTENT_LENGTH`; None where WSGI must not see the field
        (a name with an underscore, `Proxy`)."""
        self.role = role
        """Non-zero for the names that framing or routing depends on, see the ROLE_ constants."""


class Head:
    """A request head that has passed every check. One class for HTTP/1 and HTTP/2."""

    __slots__ = (
        'authority', 'chunked', 'content_length', 'expects_continue', 'fields', 'keep_alive',
        'method', 'path', 'query', 'scheme', 'target', 'upgrade', 'version',
    )  # fmt: skip

    method: str
    """As sent; a token of at most 32 characters."""
    target: str
    """The request target as sent (HTTP/2: `:path`)."""
    path: str
    """The target's path, still percent-encoded, '*' for OPTIONS *; of absolute-form, its path."""
    query: str
    """What follows the first '?', '' when there is none."""
    version: str
    """'1.0', '1.1' or '2'."""
    fields: list[tuple[Field, str]]
    """In order, repeats kept; values as latin-1 text without surrounding SP and HTAB.
    HTTP/2: without pseudo-fields; cookie crumbs joined; `host` added from `:authority` if absent."""
    authority: str | None
    """Absolute-form's or `:authority`'s; None where only Host speaks. Host agrees with it: on
    HTTP/1 the value of the Host field is replaced by it (RFC 9112 3.2.2)."""
    scheme: str | None
    """Absolute-form's or `:scheme`'s; None in origin-form. Never sets `url_scheme`: the connection does."""
    content_length: int | None
    chunked: bool
    keep_alive: bool
    """The client allows another request on this connection (always true on HTTP/2)."""
    expects_continue: bool
    upgrade: str | None
    """'websocket' where an upgrade to it is asked for (Upgrade on HTTP/1, `:protocol` on HTTP/2),
    else None: other upgrades are ignored (never h2c)."""
