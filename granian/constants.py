"""The closed sets of values that options take."""

from __future__ import annotations

from enum import Enum


class _Choice(str, Enum):
    """A string with a name: prints, compares and formats as its value on every Python."""

    def __str__(self) -> str:
        return str.__str__(self)

    def __format__(self, format_spec: str) -> str:
        return str.__format__(self, format_spec)


class Interfaces(_Choice):
    """How the application is called; ASGINL is ASGI without lifespan, AUTO looks at the application."""

    ASGI = 'asgi'
    ASGINL = 'asginl'
    RSGI = 'rsgi'
    WSGI = 'wsgi'
    AUTO = 'auto'


class HeaderMaps(_Choice):
    drop = 'drop'
    refuse = 'refuse'
    dangerous = 'dangerous'


class HTTP2Engines(_Choice):
    lean = 'lean'
    h2 = 'h2'


class HTTPModes(_Choice):
    auto = 'auto'
    http1 = '1'
    http2 = '2'


class Loops(_Choice):
    auto = 'auto'
    asyncio = 'asyncio'
    rloop = 'rloop'
    uvloop = 'uvloop'
    winloop = 'winloop'


class RuntimeModes(_Choice):
    auto = 'auto'
    mt = 'mt'
    st = 'st'


class Lifespans(_Choice):
    auto = 'auto'
    on = 'on'
    off = 'off'


class TaskImpl(_Choice):
    asyncio = 'asyncio'
    rust = 'rust'


class SSLProtocols(_Choice):
    tls12 = 'tls1.2'
    tls13 = 'tls1.3'


class ClientVerify(_Choice):
    """Client certificates: not asked for, verified where there is one, required."""

    none = 'none'
    optional = 'optional'
    required = 'required'


class ProxyProtocols(_Choice):
    """Versions of the PROXY protocol that are read; auto: both."""

    off = 'off'
    v1 = 'v1'
    v2 = 'v2'
    auto = 'auto'


class Cores(_Choice):
    """What WSGI applications run in."""

    threads = 'threads'
    gevent = 'gevent'


class LogLevels(_Choice):
    critical = 'critical'
    error = 'error'
    warning = 'warning'
    warn = 'warn'
    info = 'info'
    debug = 'debug'
    notset = 'notset'
