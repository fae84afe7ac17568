"""`Declaration`: the one list of options.

The command line, the `GRANIAN_` environment variables, `Granian(...)`'s signature, what a
worker is given and the options page are projections of this class. A new option is a new field
here. Those whose place in the signature is fixed are in `granian.config.positional`. Rules between options
are in `granian.config.rules`, their texts in `granian.messages`.
"""

# ruff: noqa: RUF009 (opt() makes a dataclasses.field, which ruff cannot see)

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..constants import Cores, HeaderMaps, HTTP2Engines, Lifespans, ProxyProtocols
from . import groups as g
from .options import Option, bind, opt
from .positional import Positional


# Without generated methods, which take 7 ms to make for 140 fields: Config has its own.
@dataclass(init=False, repr=False, eq=False)
class Declaration(Positional):
    """Every option as a field. Times are in seconds and sizes in bytes unless the help says otherwise."""

    bind: tuple[str, ...] = opt(
        g.BIND, 'text', (), multiple=True, default_text='--host and --port, or --uds',
        help='Address to bind: HOST:PORT, HOST, :PORT, [IPV6]:PORT, unix:PATH, or fd://N for an inherited '
        'socket',
    )  # fmt: skip
    reuse_port: bool = opt(
        g.BIND, 'bool', False, 'Set SO_REUSEPORT, so that a second server can listen on the same port',
        to='listening.reuse_port',
    )  # fmt: skip
    log_config: Path | None = opt(
        g.LOG, 'file', None, 'JSON file in `logging.config.dictConfig` form, laid over the default'
    )
    forwarded_allow_ips: tuple[str, ...] = opt(
        g.PROXY, 'list', (), "Peers whose X-Forwarded-For and -Proto name the client's address and scheme: "
        'addresses, networks, unix, or * for all',
    )  # fmt: skip
    forwarded: str = opt(
        g.PROXY, 'object', 'client', "What trusted peers name: 'client' (and scheme), or 'scheme' alone, by "
        '`secure_scheme_headers`',
    )  # fmt: skip
    secure_scheme_headers: Mapping[str, str] | None = opt(
        g.PROXY, 'object', None, "Fields and the value of each that means https, for `forwarded='scheme'`",
        default_text="gunicorn's",
    )  # fmt: skip
    proxy_protocol: ProxyProtocols = opt(
        g.PROXY, 'enum', ProxyProtocols.off, enum=ProxyProtocols,
        help='Read the PROXY protocol at the beginning of connections; auto: versions 1 and 2',
    )  # fmt: skip
    proxy_allow_ips: tuple[str, ...] = opt(
        g.PROXY, 'list', ('127.0.0.1', '::1'), 'Peers that may use the PROXY protocol, besides Unix sockets: '
        'addresses, networks, or * for all',
    )  # fmt: skip
    statsd: str | None = opt(
        g.METRICS, 'text', None, default_text='off',
        help='Send figures of requests, log and workers to statsd: HOST:PORT (UDP) or unix:PATH',
    )  # fmt: skip
    statsd_prefix: str = opt(g.METRICS, 'text', 'granian', "Prefix of the figures' names")
    statsd_tags: tuple[str, ...] = opt(g.METRICS, 'list', (), 'Tags of each figure, for DogStatsD')
    log_file: str | None = opt(
        g.LOG, 'text', None, "File for the server's log; -: standard output", default_text='standard output'
    )
    access_log_file: str | None = opt(
        g.LOG, 'text', None, 'File for the access log, which this turns on; -: standard output',
        default_text='standard output',
    )  # fmt: skip
    ssl_ciphers: str | None = opt(
        g.TLS, 'text', None, "Ciphers of TLS 1.2, in OpenSSL's form", to='tls.ciphers',
        default_text='forward secrecy and AEAD only',
    )  # fmt: skip
    ssl_context: Any = opt(
        g.TLS, 'object', None, 'A function `(config, factory)` that returns the `ssl.SSLContext`; '
        '`factory()` makes the one that the options describe',
    )  # fmt: skip
    root_path: str = opt(
        g.APP, 'text', '',
        "Path that a proxy has taken off, for the ASGI scope's root_path; every path is served",
        default_text='none',
    )  # fmt: skip
    lifespan: Lifespans = opt(
        g.APP, 'enum', Lifespans.auto, enum=Lifespans,
        help='ASGI lifespan; auto: where the application supports it, on: an application without it does not '
        'start, off: as --interface asginl',
    )  # fmt: skip
    check: bool = opt(
        g.APP, 'bool', False, 'Check the options and load the application, without serving; status 0 or 1'
    )
    sendfile: bool = opt(g.PROTO, 'bool', True, 'Let the kernel send files', to='core.sendfile')
    core: Cores = opt(
        g.WORK, 'enum', Cores.threads, enum=Cores,
        help='What WSGI applications run in: threads, or the greenlets of gevent',
    )  # fmt: skip
    http1_keep_alive_timeout: int = opt(
        g.HTTP1, 'duration', 75, 'An idle kept-alive connection is closed after this', ge=1,
        to='core.keep_alive_timeout',
    )  # fmt: skip
    http1_max_head_size: int = opt(
        g.HTTP1, 'int', 65_536, 'Maximum bytes of a request head, its blank line included; above: 414 or 431',
        ge=4096, to='limits.max_head_size',
    )  # fmt: skip
    http1_max_headers: int = opt(
        g.HTTP1, 'int', 100, 'Maximum header lines; above: 431', ge=1, to='limits.max_headers'
    )
    http1_max_request_line: int = opt(
        g.HTTP1, 'int', 0, ge=0, to='limits.max_request_line',
        help='Maximum bytes of a request line, on HTTP/2 too; above: 414. 0: no limit but the head\'s',
    )  # fmt: skip
    http1_max_field_size: int = opt(
        g.HTTP1, 'int', 0, ge=0, to='limits.max_field_size',
        help='Maximum bytes of one header line, on HTTP/2 too; above: 431. 0: no limit but the head\'s',
    )  # fmt: skip
    header_map: HeaderMaps = opt(
        g.PROTO, 'enum', HeaderMaps.drop, enum=HeaderMaps, to='limits.header_map',
        help='Header names with an underscore: drop hides them from WSGI, refuse answers 400, '
        'dangerous gives them to WSGI as if they had a dash',
    )  # fmt: skip
    forwarder_headers: tuple[str, ...] = opt(
        g.PROXY, 'list', (), 'Header names with an underscore that WSGI gets from trusted peers, such as '
        'SCRIPT_NAME, which is taken off the path; * for all', to='limits.forwarder_headers',
    )  # fmt: skip
    http2_engine: HTTP2Engines = opt(
        g.HTTP2, 'enum', HTTP2Engines.lean, enum=HTTP2Engines, to='limits.http2_engine',
        help='What reads and writes HTTP/2: lean is our own, h2 the library of that name (slower)',
    )  # fmt: skip
    http2_worker_streams: int = opt(
        g.HTTP2, 'int', 10_000, ge=0, to='limits.worker_streams',
        help='Streams that the clients of a worker may have open together, beyond 8 of each connection; '
        'further ones are refused, and clients may send them again',
    )  # fmt: skip
    server_header: str = opt(
        g.PROTO, 'text', 'granian', "Value of the responses' Server header; an empty one sends none",
        to='limits.server_header',
    )  # fmt: skip
    request_body_timeout: int = opt(
        g.PROTO, 'duration', 60, 'Timeout between parts of a request body', ge=1, to='core.body_timeout'
    )
    response_write_timeout: int = opt(
        g.PROTO, 'duration', 60, 'Timeout for a client that takes no bytes of its response', ge=1,
        to='core.write_timeout',
    )  # fmt: skip
    request_min_rate: int = opt(
        g.PROTO, 'int', 500, ge=0, to='core.request_min_rate',
        help='Minimum bytes a second of a request body, after 20 s (ASGI, RSGI: its timeout); 0: no minimum',
    )  # fmt: skip
    response_min_rate: int = opt(
        g.PROTO, 'int', 500, ge=0, to='core.response_min_rate',
        help='Minimum bytes a second of a response, after 20 s (ASGI, RSGI: its timeout); 0: no minimum',
    )  # fmt: skip
    ssl_handshake_timeout: int = opt(
        g.TLS, 'duration', 15, 'Timeout of a TLS handshake', ge=1, to='core.handshake_timeout'
    )
    ws_ping_interval: int = opt(
        g.WS, 'duration', 20, 'Ping after this much silence; 0: never', ge=1, zero=True,
        to='websockets.ping_interval',
    )  # fmt: skip
    ws_ping_timeout: int = opt(
        g.WS, 'duration', 20, 'Close when a ping is not answered in this time; 0: never', ge=1, zero=True,
        to='websockets.ping_timeout',
    )  # fmt: skip
    ws_max_message_size: int = opt(
        g.WS, 'int', 16_777_216, 'Maximum bytes of a message, inflated; above: close code 1009', ge=1,
        to='websockets.max_message_size',
    )  # fmt: skip
    ws_max_queue: int = opt(
        g.WS, 'int', 32,
        'Messages waiting for the application before reading pauses; it does at 1 MiB of them, too', ge=1,
        to='websockets.max_queue',
    )  # fmt: skip
    ws_per_message_deflate: bool = opt(
        g.WS, 'bool', True, 'Offer compression of messages', to='websockets.per_message_deflate'
    )
    static_path_precompressed: bool = opt(
        g.STATIC, 'bool', False, 'Serve the .br, .zst or .gz file beside a file to clients that accept it',
        to='mount.precompressed',
    )  # fmt: skip
    static_path_dotfiles: bool = opt(
        g.STATIC, 'bool', False, 'Serve files whose name starts with a dot', to='mount.dotfiles'
    )
    request_body_spool: int = opt(
        g.PROTO, 'int', 67_108_864, ge=0, to='core.body_spool',
        help='Largest request body of unknown length (chunked) that WSGI takes, in bytes; it is stored in a '
        'temporary file first; above: 413; 0: no limit, not stored, no CONTENT_LENGTH',
    )  # fmt: skip
    ws_app: str | None = opt(
        g.WS, 'text', None, default_text='none',
        help='Import string of an ASGI or RSGI application that answers WebSockets beside a WSGI application',
    )  # fmt: skip
    asgi_pathsend: bool = opt(
        g.PROTO, 'bool', False,
        'Offer http.response.pathsend to ASGI applications; middleware that reads bodies must know it',
    )  # fmt: skip
    workers_lifetime_jitter: int = opt(
        g.RESPAWN, 'duration', 0, 'Lengthen each --workers-lifetime by a random time up to this', ge=0
    )
    workers_max_requests: int | None = opt(
        g.RESPAWN, 'int', None, ge=1, default_text='off',
        help='Replace a worker after this many requests; after twice as many it stops at once',
    )  # fmt: skip
    workers_max_requests_jitter: int = opt(
        g.RESPAWN, 'int', 0, 'Raise each --workers-max-requests by a random number up to this', ge=0
    )
    preload: bool = opt(
        g.APP, 'bool', False,
        'Load APP once, in the main process, and fork the workers from it; a reload does not load it again',
    )  # fmt: skip
    respawn_max_deaths: int | None = opt(
        g.RESPAWN, 'int', None, ge=0, default_text='5 for workers that never served, else 0',
        help='Stop the server after this many deaths in a row in one place, each within 10 seconds; 0: never',
    )  # fmt: skip
    worker_timeout: int = opt(
        g.RESPAWN, 'duration', 0, ge=1, zero=True,
        help='Replace a worker that hangs for this long: with one thread, in one call of the application; '
        'with several, in all of them while work waits; else, when the event loop does not turn. 0: never',
    )  # fmt: skip
    user: str | None = opt(
        g.PROCESS, 'text', None, 'User of the workers, name or number; the main process keeps its own',
        default_text="the main process's",
    )  # fmt: skip
    group: str | None = opt(
        g.PROCESS, 'text', None, 'Group of the workers, name or number', default_text="the user's",
    )  # fmt: skip
    initgroups: bool = opt(g.PROCESS, 'bool', False, "Give the workers the user's other groups as well")
    umask: int | None = opt(
        g.PROCESS, 'octal', None, ge=0, le=0o777, default_text='unchanged',
        help='File mode mask of workers and Unix sockets, such as 022; octal only when it starts with 0',
    )  # fmt: skip
    reload_extra_files: tuple[Path, ...] = opt(
        g.RELOAD, 'path', (), multiple=True,
        help='File, or pattern of files, whose change reloads as well; checked once a second',
    )  # fmt: skip
    workers_start_timeout: int = opt(
        g.RESPAWN, 'duration', 60, 'Kill a worker that has not loaded APP by then; 0: never',
        ge=1, zero=True,
    )  # fmt: skip


OPTIONS: dict[str, Option] = {
    each.name: bind(each.metadata['option'], each.name)
    for each in fields(Declaration)
    if 'option' in each.metadata
}
"""Every option by the name of its field, in the order of the declaration."""
