"""`Declaration`: the one list of options.

The command line, the `GRANIAN_` environment variables, `Granian(...)`'s signature, what a
worker is given and the options page are projections of this class. A new option is a new field
here. Rules between options are in `granian.config.rules`, their texts in `granian.messages`.
"""

# ruff: noqa: RUF009 (opt() makes a dataclasses.field, which ruff cannot see)

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ..constants import (
    ClientVerify,
    Cores,
    HeaderMaps,
    HTTP2Engines,
    HTTPModes,
    Interfaces,
    Lifespans,
    LogLevels,
    Loops,
    ProxyProtocols,
    RuntimeModes,
    SSLProtocols,
    TaskImpl,
)
from ..observe.expressions import ATOMS
from .options import Option, bind, opt

_MAX_WINDOW = 2**31 - 1  # RFC 9113 6.9.1

DEFAULT_THREADS = 16
"""Default threads of a WSGI worker: a database has connections for that many, times the workers."""

APP = 'Application'
BIND = 'Where to listen'
WORK = 'Workers and threads'
PROTO = 'Protocols and limits'
HTTP1 = 'HTTP/1'
HTTP2 = 'HTTP/2'
WS = 'WebSocket'
PROXY = 'Behind proxies'
LOG = 'Logging'
TLS = 'TLS'
RESPAWN = 'Replacing workers'
STATIC = 'Static files'
METRICS = 'Metrics'
RELOAD = 'Reload on changes'
PROCESS = 'Process'


def _http1(kind: str, default: Any, help: str, setting: str, **more: Any) -> Any:
    return opt(HTTP1, kind, default, help, setting=('http1_settings', setting), **more)


def _http2(kind: str, default: Any, help: str, setting: str, **more: Any) -> Any:
    return opt(HTTP2, kind, default, help, setting=('http2_settings', setting), **more)


# Without generated methods, which take 7 ms to make for 140 fields: Config has its own.
@dataclass(init=False, repr=False, eq=False)
class Declaration:
    """Every option as a field. Times are in seconds and sizes in bytes unless the help says otherwise."""

    target: str
    """Import string of the application."""
    notices: tuple[str, ...] = field(default=(), kw_only=True)
    """Warnings for the log about options that have no effect, or another effect than their words."""

    # In the order of the Python API's signature.
    address: str = opt(BIND, 'text', '127.0.0.1', 'Address to bind', name='host')
    port: int = opt(BIND, 'int', 8000, 'Port to bind; 0: any free one', ge=0, le=65535)
    uds: Path | None = opt(BIND, 'path', None, 'Bind this Unix socket in place of host and port')
    uds_permissions: int | None = opt(
        BIND, 'octal', None, ge=0, le=0o7777, default_text="the umask's",
        help='Permissions of the Unix socket file, such as 0660; octal only when it starts with 0',
        to='listening.permissions',
    )  # fmt: skip
    interface: Interfaces = opt(
        APP, 'enum', Interfaces.RSGI, enum=Interfaces,
        help='Interface of the application; asginl is ASGI without lifespan, auto looks at the application',
    )  # fmt: skip
    workers: int = opt(WORK, 'int', 1, 'Worker processes', ge=1)
    blocking_threads: int | None = opt(
        WORK, 'int', None, 'Maximum threads (or greenlets) per worker', ge=1,
        default_text=f'{DEFAULT_THREADS} for WSGI (gevent: the backpressure), else 1',
    )  # fmt: skip
    blocking_threads_idle_timeout: int = opt(
        WORK,
        'duration',
        30,
        'An idle pool thread ends after this',
        ge=5,
        le=600,
        to='core.thread_idle_timeout',
    )
    runtime_threads: int = opt(
        WORK, 'int', 1, 'Accepted for compatibility: a worker has one event loop', ge=1
    )
    runtime_blocking_threads: int | None = opt(
        WORK, 'int', None, "Threads for the event loop's file I/O", ge=1, default_text="Python's choice"
    )
    runtime_mode: RuntimeModes = opt(
        WORK, 'enum', RuntimeModes.auto, enum=RuntimeModes,
        help='Accepted for compatibility: a worker has one event loop',
    )  # fmt: skip
    loop: Loops = opt(
        WORK, 'enum', Loops.auto, 'Event loop; auto takes the fastest that is installed', enum=Loops
    )
    task_impl: TaskImpl = opt(
        WORK, 'enum', TaskImpl.asyncio, 'Accepted for compatibility: tasks are always asyncio', enum=TaskImpl
    )
    http: HTTPModes = opt(
        PROTO, 'enum', HTTPModes.auto, enum=HTTPModes,
        help='HTTP versions spoken; auto: both, as the client chooses (ALPN with TLS, else its first bytes)',
        to='core.http',
    )  # fmt: skip
    websockets: bool = opt(
        WS, 'bool', True, 'WebSocket, on ASGI and RSGI and by --ws-app', flags='--ws/--no-ws'
    )
    backlog: int = opt(
        WORK, 'int', 1024, "Connections the kernel holds until they're accepted", ge=1, to='listening.backlog'
    )
    backpressure: int | None = opt(
        WORK, 'int', None, ge=1, default_text='backlog // workers',
        help='Requests a worker holds at once, running or waiting, before it stops accepting; '
        'idle connections do not count',
    )  # fmt: skip

    http1_header_read_timeout: int = _http1(
        'int', 30_000, 'Time allowed to send a whole request head, in milliseconds',
        'header_read_timeout', ge=1, le=60_000, to='core.head_timeout', milliseconds=True,
    )  # fmt: skip
    http1_keep_alive: bool = _http1(
        'bool', True, 'Keep connections open between requests', 'keep_alive', to='limits.keep_alive'
    )
    http1_buffer_size: int = _http1(
        'int',
        417_792,
        'Maximum bytes buffered per connection',
        'max_buffer_size',
        ge=8192,
        to='limits.max_buffer_size',
    )
    http1_pipeline_flush: bool = _http1(
        'bool', False, 'Join the writes of pipelined responses', 'pipeline_flush', to='core.pipeline_flush'
    )

    http2_adaptive_window: bool = _http2(
        'bool',
        False,
        'Grow the receive windows with the measured bandwidth-delay product',
        'adaptive_window',
        to='limits.adaptive_window',
    )
    http2_initial_connection_window_size: int = _http2(
        'int', 1_048_576, "A connection's receive window in bytes", 'initial_connection_window_size',
        ge=1024, le=_MAX_WINDOW, to='limits.initial_connection_window_size',
    )  # fmt: skip
    http2_initial_stream_window_size: int = _http2(
        'int', 1_048_576, "A stream's receive window in bytes", 'initial_stream_window_size',
        ge=1024, le=_MAX_WINDOW, to='limits.initial_stream_window_size',
    )  # fmt: skip
    http2_keep_alive_interval: int | None = _http2(
        'int', None, 'Send a PING this often, in milliseconds', 'keep_alive_interval',
        ge=1, le=60_000, default_text='off', to='core.http2_keep_alive_interval', milliseconds=True,
    )  # fmt: skip
    http2_keep_alive_timeout: int = _http2(
        'duration',
        20,
        'Close when a PING is not answered in this time',
        'keep_alive_timeout',
        ge=1,
        to='core.http2_keep_alive_timeout',
    )
    http2_max_concurrent_streams: int = _http2(
        'int', 200, 'Streams a client may have open at once', 'max_concurrent_streams',
        ge=10, le=_MAX_WINDOW, to='limits.max_concurrent_streams',
    )  # fmt: skip
    http2_max_frame_size: int = _http2(
        'int', 16_384, 'Largest frame payload a client may send, in bytes', 'max_frame_size',
        ge=1024, le=2**24 - 1, to='limits.max_frame_size',
    )  # fmt: skip
    http2_max_headers_size: int = _http2(
        'int',
        65_536,
        'Maximum bytes of a decoded header list',
        'max_headers_size',
        ge=1,
        to='limits.max_headers_size',
    )
    http2_max_send_buffer_size: int = _http2(
        'int',
        409_600,
        'Maximum unsent bytes per stream',
        'max_send_buffer_size',
        ge=1024,
        to='limits.max_send_buffer_size',
    )

    log_enabled: bool = opt(LOG, 'bool', True, 'Write logs', flags='--log/--no-log')
    log_level: LogLevels = opt(LOG, 'enum', LogLevels.info, 'Log level', enum=LogLevels)
    log_dictconfig: Mapping[str, Any] | None = opt(
        LOG, 'object', None, 'A mapping in `logging.config.dictConfig` form, laid over the default'
    )
    log_access: bool = opt(
        LOG, 'bool', False, 'Write a line for each request and its response',
        name='log_access_enabled', flags='--access-log/--no-access-log',
    )  # fmt: skip
    log_access_format: str | None = opt(
        LOG, 'text', None, name='log_access_fmt', flags='--access-log-fmt',
        default_text='time, address, request line, status, milliseconds',
        help=f'Format of an access log line, of the atoms {", ".join(ATOMS)} and header{{name}}, '
        "or gunicorn's short ones",
    )  # fmt: skip

    ssl_cert: Path | None = opt(
        TLS, 'file', None, 'Certificate chain (PEM); TLS is on when this and the key are given',
        name='ssl_certificate', to='tls.certificate',
    )  # fmt: skip
    ssl_key: Path | None = opt(TLS, 'file', None, 'Private key (PEM)', name='ssl_keyfile', to='tls.key')
    ssl_key_password: str | None = opt(
        TLS, 'text', None, 'Password of the private key', name='ssl_keyfile_password', to='tls.password'
    )
    ssl_protocol_min: SSLProtocols = opt(
        TLS, 'enum', SSLProtocols.tls13, 'Oldest TLS version accepted', enum=SSLProtocols, to='tls.minimum'
    )
    ssl_ca: Path | None = opt(
        TLS, 'file', None, 'Root certificates for client certificates (PEM)', to='tls.ca'
    )
    ssl_crl: tuple[Path, ...] = opt(
        TLS, 'file', (), 'Revocation list for client certificates (PEM)', multiple=True, to='tls.crl'
    )
    ssl_client_verify: ClientVerify = opt(
        TLS, 'enum', ClientVerify.none, enum=ClientVerify, flag_value='required',
        help='Ask clients for a certificate; without a value: required', to='tls.client_verify',
    )  # fmt: skip

    url_path_prefix: str | None = opt(
        APP, 'text', None, 'Path the application is mounted on, such as /app; anything else is 404'
    )
    respawn_failed_workers: bool = opt(
        RESPAWN, 'bool', False, 'Replace a worker that died; off: the server stops with status 1'
    )
    respawn_interval: float = opt(
        RESPAWN, 'float', 3.5, "Seconds between one worker's replacement and the next", ge=0
    )
    rss_sample_interval: int = opt(
        RESPAWN, 'duration', 30, "Time between two samples of the workers' memory", ge=1, le=300
    )
    rss_samples: int = opt(
        RESPAWN, 'int', 1, 'Samples over --workers-max-rss, one after another, before a replacement', ge=1
    )
    workers_lifetime: int | None = opt(
        RESPAWN, 'duration', None, 'Replace a worker after this', ge=60, default_text='off'
    )
    workers_max_rss: int | None = opt(
        RESPAWN, 'int', None, 'Replace a worker that holds more memory than this, in MiB', ge=1,
        default_text='off',
    )  # fmt: skip
    workers_kill_timeout: int = opt(
        RESPAWN, 'duration', 30, 'Kill a worker that has not stopped by then; 0: never',
        ge=1, le=1800, zero=True,
    )  # fmt: skip
    factory: bool = opt(APP, 'bool', False, 'Call APP, without arguments, to get the application')
    working_dir: Path | None = opt(APP, 'dir', None, 'Working directory', default_text='the current one')
    env_files: tuple[Path, ...] = opt(
        APP, 'file', (), multiple=True,
        help='Files of environment variables; what the environment has already wins (extra dotenv)',
    )  # fmt: skip

    static_path_route: tuple[str, ...] = opt(
        STATIC, 'text', ('/static',), 'URL path for each --static-path-mount, in order', multiple=True
    )
    static_path_mount: tuple[Path, ...] = opt(
        STATIC, 'dir', (), 'Folder whose files are served without the application', multiple=True
    )
    static_path_dir_to_file: str | None = opt(
        STATIC,
        'text',
        None,
        'Name of the file served for a folder',
        default_text='none: 404',
        to='mount.index',
    )
    static_path_expires: int = opt(
        STATIC,
        'duration',
        86400,
        'max-age of the cache-control header; 0: no header',
        ge=0,
        to='mount.expires',
    )
    metrics_enabled: bool = opt(
        METRICS, 'bool', False, 'Export metrics to Prometheus', flags='--metrics/--no-metrics'
    )
    metrics_scrape_interval: int = opt(
        METRICS, 'duration', 15, 'How often metrics are gathered from the workers', ge=1, le=60
    )
    metrics_address: str = opt(METRICS, 'text', '127.0.0.1', 'Address the exporter binds')
    metrics_port: int = opt(METRICS, 'int', 9090, 'Port the exporter binds', ge=0, le=65535)

    reload: bool = opt(
        RELOAD, 'bool', False,
        'Replace the workers when Python files in the working directory change (extra reload); without '
        'watchfiles: files of loaded modules, checked once a second',
    )  # fmt: skip
    reload_paths: tuple[Path, ...] = opt(
        RELOAD, 'path', (), 'Path to watch', multiple=True, default_text='the working directory'
    )
    reload_ignore_dirs: tuple[str, ...] = opt(
        RELOAD, 'text', (), "Name of folders to ignore, added to watchfiles' own", multiple=True
    )
    reload_ignore_patterns: tuple[str, ...] = opt(
        RELOAD, 'text', (), "Regular expression of names to ignore, added to watchfiles' own", multiple=True
    )
    reload_ignore_paths: tuple[Path, ...] = opt(
        RELOAD, 'path', (), 'Path to ignore, with all that is under it', multiple=True
    )
    reload_filter: Any = opt(RELOAD, 'object', None, 'A `watchfiles.BaseFilter` class to use instead')
    reload_tick: int = opt(RELOAD, 'int', 50, 'Milliseconds between two checks for changes', ge=50, le=5000)
    reload_ignore_worker_failure: bool = opt(
        RELOAD, 'bool', False, 'A worker that fails while reloading does not stop the server'
    )
    process_name: str | None = opt(
        PROCESS, 'text', None, default_text='unchanged',
        help='Name of the processes in ps; workers get worker-N added (extra pname)',
    )  # fmt: skip
    pid_file: Path | None = opt(
        PROCESS, 'path', None, "Write the main process's id to this file; refused if it names a live process"
    )

    # Of our own.
    bind: tuple[str, ...] = opt(
        BIND, 'text', (), multiple=True, default_text='--host and --port, or --uds',
        help='Address to bind: HOST:PORT, HOST, :PORT, [IPV6]:PORT, unix:PATH, or fd://N for an inherited '
        'socket',
    )  # fmt: skip
    reuse_port: bool = opt(
        BIND, 'bool', False, 'Set SO_REUSEPORT, so that a second server can listen on the same port',
        to='listening.reuse_port',
    )  # fmt: skip
    log_config: Path | None = opt(
        LOG, 'file', None, 'JSON file in `logging.config.dictConfig` form, laid over the default'
    )
    forwarded_allow_ips: tuple[str, ...] = opt(
        PROXY, 'list', (), "Peers whose X-Forwarded-For and -Proto name the client's address and scheme: "
        'addresses, networks, unix, or * for all',
    )  # fmt: skip
    forwarded: str = opt(
        PROXY, 'object', 'client', "What trusted peers name: 'client' (and scheme), or 'scheme' alone, by "
        '`secure_scheme_headers`',
    )  # fmt: skip
    secure_scheme_headers: Mapping[str, str] | None = opt(
        PROXY, 'object', None, "Fields and the value of each that means https, for `forwarded='scheme'`",
        default_text="gunicorn's",
    )  # fmt: skip
    proxy_protocol: ProxyProtocols = opt(
        PROXY, 'enum', ProxyProtocols.off, enum=ProxyProtocols,
        help='Read the PROXY protocol at the beginning of connections; auto: versions 1 and 2',
    )  # fmt: skip
    proxy_allow_ips: tuple[str, ...] = opt(
        PROXY, 'list', ('127.0.0.1', '::1'), 'Peers that may use the PROXY protocol, besides Unix sockets: '
        'addresses, networks, or * for all',
    )  # fmt: skip
    statsd: str | None = opt(
        METRICS, 'text', None, default_text='off',
        help='Send figures of requests, log and workers to statsd: HOST:PORT (UDP) or unix:PATH',
    )  # fmt: skip
    statsd_prefix: str = opt(METRICS, 'text', 'granian', "Prefix of the figures' names")
    statsd_tags: tuple[str, ...] = opt(METRICS, 'list', (), 'Tags of each figure, for DogStatsD')
    log_file: str | None = opt(
        LOG, 'text', None, "File for the server's log; -: standard output", default_text='standard output'
    )
    access_log_file: str | None = opt(
        LOG, 'text', None, 'File for the access log, which this turns on; -: standard output',
        default_text='standard output',
    )  # fmt: skip
    ssl_ciphers: str | None = opt(
        TLS, 'text', None, "Ciphers of TLS 1.2, in OpenSSL's form", to='tls.ciphers',
        default_text='forward secrecy and AEAD only',
    )  # fmt: skip
    ssl_context: Any = opt(
        TLS, 'object', None, 'A function `(config, factory)` that returns the `ssl.SSLContext`; `factory()` '
        'makes the one that the options describe',
    )  # fmt: skip
    root_path: str = opt(
        APP,
        'text',
        '',
        "Path that a proxy has taken off, for the ASGI scope's root_path; every path is served",
        default_text='none',
    )
    lifespan: Lifespans = opt(
        APP, 'enum', Lifespans.auto, enum=Lifespans,
        help='ASGI lifespan; auto: where the application supports it, on: an application without it does not '
        'start, off: as --interface asginl',
    )  # fmt: skip
    check: bool = opt(
        APP, 'bool', False, 'Check the options and load the application, without serving; status 0 or 1'
    )
    sendfile: bool = opt(PROTO, 'bool', True, 'Let the kernel send files', to='core.sendfile')
    core: Cores = opt(
        WORK, 'enum', Cores.threads, enum=Cores,
        help='What WSGI applications run in: threads, or the greenlets of gevent',
    )  # fmt: skip
    http1_keep_alive_timeout: int = opt(
        HTTP1,
        'duration',
        75,
        'An idle kept-alive connection is closed after this',
        ge=1,
        to='core.keep_alive_timeout',
    )
    http1_max_head_size: int = opt(
        HTTP1, 'int', 65_536, 'Maximum bytes of a request head, its blank line included; above: 414 or 431',
        ge=4096, to='limits.max_head_size',
    )  # fmt: skip
    http1_max_headers: int = opt(
        HTTP1, 'int', 100, 'Maximum header lines; above: 431', ge=1, to='limits.max_headers'
    )
    http1_max_request_line: int = opt(
        HTTP1, 'int', 0, ge=0, to='limits.max_request_line',
        help='Maximum bytes of a request line, on HTTP/2 too; above: 414. 0: no limit but the head\'s',
    )  # fmt: skip
    http1_max_field_size: int = opt(
        HTTP1, 'int', 0, ge=0, to='limits.max_field_size',
        help='Maximum bytes of one header line, on HTTP/2 too; above: 431. 0: no limit but the head\'s',
    )  # fmt: skip
    header_map: HeaderMaps = opt(
        PROTO, 'enum', HeaderMaps.drop, enum=HeaderMaps, to='limits.header_map',
        help='Header names with an underscore: drop hides them from WSGI, refuse answers 400, '
        'dangerous gives them to WSGI as if they had a dash',
    )  # fmt: skip
    forwarder_headers: tuple[str, ...] = opt(
        PROXY, 'list', (), 'Header names with an underscore that WSGI gets from trusted peers, such as '
        'SCRIPT_NAME, which is taken off the path; * for all', to='limits.forwarder_headers',
    )  # fmt: skip
    http2_engine: HTTP2Engines = opt(
        HTTP2, 'enum', HTTP2Engines.lean, enum=HTTP2Engines, to='limits.http2_engine',
        help='What reads and writes HTTP/2: lean is our own, h2 the library of that name (slower)',
    )  # fmt: skip
    server_header: str = opt(
        PROTO, 'text', 'granian', "Value of the responses' Server header; an empty one sends none",
        to='limits.server_header',
    )  # fmt: skip
    request_body_timeout: int = opt(
        PROTO, 'duration', 60, 'Timeout between parts of a request body', ge=1, to='core.body_timeout'
    )
    response_write_timeout: int = opt(
        PROTO,
        'duration',
        60,
        'Timeout for a client that takes no bytes of its response',
        ge=1,
        to='core.write_timeout',
    )
    request_min_rate: int = opt(
        PROTO, 'int', 500, ge=0, to='core.request_min_rate',
        help='Minimum bytes a second of a request body, after 20 s (ASGI, RSGI: its timeout); 0: no minimum',
    )  # fmt: skip
    response_min_rate: int = opt(
        PROTO, 'int', 500, ge=0, to='core.response_min_rate',
        help='Minimum bytes a second of a response, after 20 s (ASGI, RSGI: its timeout); 0: no minimum',
    )  # fmt: skip
    ssl_handshake_timeout: int = opt(
        TLS, 'duration', 15, 'Timeout of a TLS handshake', ge=1, to='core.handshake_timeout'
    )
    ws_ping_interval: int = opt(
        WS,
        'duration',
        20,
        'Ping after this much silence; 0: never',
        ge=1,
        zero=True,
        to='websockets.ping_interval',
    )
    ws_ping_timeout: int = opt(
        WS,
        'duration',
        20,
        'Close when a ping is not answered in this time; 0: never',
        ge=1,
        zero=True,
        to='websockets.ping_timeout',
    )
    ws_max_message_size: int = opt(
        WS,
        'int',
        16_777_216,
        'Maximum bytes of a message, inflated; above: close code 1009',
        ge=1,
        to='websockets.max_message_size',
    )
    ws_max_queue: int = opt(
        WS,
        'int',
        32,
        'Messages waiting for the application before reading pauses',
        ge=1,
        to='websockets.max_queue',
    )
    ws_per_message_deflate: bool = opt(
        WS, 'bool', True, 'Offer compression of messages', to='websockets.per_message_deflate'
    )
    static_path_precompressed: bool = opt(
        STATIC,
        'bool',
        False,
        'Serve the .br, .zst or .gz file beside a file to clients that accept it',
        to='mount.precompressed',
    )
    static_path_dotfiles: bool = opt(
        STATIC, 'bool', False, 'Serve files whose name starts with a dot', to='mount.dotfiles'
    )
    request_body_spool: int = opt(
        PROTO, 'int', 67_108_864, ge=0, to='core.body_spool',
        help='Largest request body of unknown length (chunked) that WSGI takes, in bytes; it is stored in a '
        'temporary file first; above: 413; 0: no limit, not stored, no CONTENT_LENGTH',
    )  # fmt: skip
    ws_app: str | None = opt(
        WS, 'text', None, default_text='none',
        help='Import string of an ASGI or RSGI application that answers WebSockets beside a WSGI application',
    )  # fmt: skip
    asgi_pathsend: bool = opt(
        PROTO, 'bool', False,
        'Offer http.response.pathsend to ASGI applications; middleware that reads bodies must know it',
    )  # fmt: skip
    workers_lifetime_jitter: int = opt(
        RESPAWN, 'duration', 0, 'Lengthen each --workers-lifetime by a random time up to this', ge=0
    )
    workers_max_requests: int | None = opt(
        RESPAWN,
        'int',
        None,
        ge=1,
        default_text='off',
        help='Replace a worker after this many requests; after twice as many it stops at once',
    )
    workers_max_requests_jitter: int = opt(
        RESPAWN, 'int', 0, 'Raise each --workers-max-requests by a random number up to this', ge=0
    )
    preload: bool = opt(
        APP, 'bool', False,
        'Load APP once, in the main process, and fork the workers from it; a reload does not load it again',
    )  # fmt: skip
    respawn_max_deaths: int | None = opt(
        RESPAWN, 'int', None, ge=0, default_text='5 for workers that never served, else 0',
        help='Stop the server after this many deaths in a row in one place, each within 10 seconds; 0: never',
    )  # fmt: skip
    worker_timeout: int = opt(
        RESPAWN, 'duration', 0, ge=1, zero=True,
        help='Replace a worker that hangs for this long: with one thread, in one call of the application; '
        'with several, in all of them while work waits; else, when the event loop does not turn. 0: never',
    )  # fmt: skip
    user: str | None = opt(
        PROCESS, 'text', None, 'User of the workers, name or number; the main process keeps its own',
        default_text="the main process's",
    )  # fmt: skip
    group: str | None = opt(
        PROCESS, 'text', None, 'Group of the workers, name or number', default_text="the user's",
    )  # fmt: skip
    initgroups: bool = opt(PROCESS, 'bool', False, "Give the workers the user's other groups as well")
    umask: int | None = opt(
        PROCESS, 'octal', None, ge=0, le=0o777, default_text='unchanged',
        help='File mode mask of workers and Unix sockets, such as 022; octal only when it starts with 0',
    )  # fmt: skip
    reload_extra_files: tuple[Path, ...] = opt(
        RELOAD, 'path', (), multiple=True,
        help='File, or pattern of files, whose change reloads as well; checked once a second',
    )  # fmt: skip
    workers_start_timeout: int = opt(
        RESPAWN, 'duration', 60, 'Kill a worker that has not loaded APP by then; 0: never',
        ge=1, zero=True,
    )  # fmt: skip


OPTIONS: dict[str, Option] = {
    each.name: bind(each.metadata['option'], each.name)
    for each in fields(Declaration)
    if 'option' in each.metadata
}
"""Every option by the name of its field, in the order of the declaration."""
