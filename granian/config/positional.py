"""`Positional`: the options of the Rust server, in the order of its `Granian(...)`.

Callers may give them by position, so a field that is added here would shift the others: a new option goes to
`granian.config.declaration`.
"""

# ruff: noqa: RUF009 (opt() makes a dataclasses.field, which ruff cannot see)

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..constants import (
    ClientVerify,
    HTTPModes,
    Interfaces,
    LogLevels,
    Loops,
    RuntimeModes,
    SSLProtocols,
    TaskImpl,
)
from ..observe.expressions import ATOMS
from . import groups as g
from .options import opt

_MAX_WINDOW = 2**31 - 1  # RFC 9113 6.9.1

DEFAULT_THREADS = 16
"""Default threads of a WSGI worker: a database has connections for that many, times the workers."""


def _http1(kind: str, default: Any, help: str, setting: str, **more: Any) -> Any:
    return opt(g.HTTP1, kind, default, help, setting=('http1_settings', setting), **more)


def _http2(kind: str, default: Any, help: str, setting: str, **more: Any) -> Any:
    return opt(g.HTTP2, kind, default, help, setting=('http2_settings', setting), **more)


@dataclass(init=False, repr=False, eq=False)
class Positional:
    """The first fields of `Declaration`."""

    target: str
    """Import string of the application."""
    notices: tuple[str, ...] = field(default=(), kw_only=True)
    """Warnings for the log about options that have no effect, or another effect than their words."""

    address: str = opt(g.BIND, 'text', '127.0.0.1', 'Address to bind', name='host')
    port: int = opt(g.BIND, 'int', 8000, 'Port to bind; 0: any free one', ge=0, le=65535)
    uds: Path | None = opt(g.BIND, 'path', None, 'Bind this Unix socket in place of host and port')
    uds_permissions: int | None = opt(
        g.BIND, 'octal', None, ge=0, le=0o7777, default_text="the umask's",
        help='Permissions of the Unix socket file, such as 0660; octal only when it starts with 0',
        to='listening.permissions',
    )  # fmt: skip
    interface: Interfaces = opt(
        g.APP, 'enum', Interfaces.RSGI, enum=Interfaces,
        help='Interface of the application; asginl is ASGI without lifespan, auto looks at the application',
    )  # fmt: skip
    workers: int = opt(g.WORK, 'int', 1, 'Worker processes', ge=1)
    blocking_threads: int | None = opt(
        g.WORK, 'int', None, 'Maximum threads (or greenlets) per worker', ge=1,
        default_text=f'{DEFAULT_THREADS} for WSGI (gevent: the backpressure), else 1',
    )  # fmt: skip
    blocking_threads_idle_timeout: int = opt(
        g.WORK, 'duration', 30, 'An idle pool thread ends after this', ge=5, le=600,
        to='core.thread_idle_timeout',
    )  # fmt: skip
    runtime_threads: int = opt(
        g.WORK, 'int', 1, 'Accepted for compatibility: a worker has one event loop', ge=1
    )
    runtime_blocking_threads: int | None = opt(
        g.WORK, 'int', None, "Threads for the event loop's file I/O", ge=1, default_text="Python's choice"
    )
    runtime_mode: RuntimeModes = opt(
        g.WORK, 'enum', RuntimeModes.auto, enum=RuntimeModes,
        help='Accepted for compatibility: a worker has one event loop',
    )  # fmt: skip
    loop: Loops = opt(
        g.WORK, 'enum', Loops.auto, 'Event loop; auto takes the fastest that is installed', enum=Loops
    )
    task_impl: TaskImpl = opt(
        g.WORK, 'enum', TaskImpl.asyncio, 'Accepted for compatibility: tasks are always asyncio',
        enum=TaskImpl,
    )  # fmt: skip
    http: HTTPModes = opt(
        g.PROTO, 'enum', HTTPModes.auto, enum=HTTPModes,
        help='HTTP versions spoken; auto: both, as the client chooses (ALPN with TLS, else its first bytes)',
        to='core.http',
    )  # fmt: skip
    websockets: bool = opt(
        g.WS, 'bool', True, 'WebSocket, on ASGI and RSGI and by --ws-app', flags='--ws/--no-ws'
    )
    backlog: int = opt(
        g.WORK, 'int', 1024, "Connections the kernel holds until they're accepted", ge=1,
        to='listening.backlog',
    )  # fmt: skip
    backpressure: int | None = opt(
        g.WORK, 'int', None, ge=1, default_text='backlog // workers',
        help='Requests a worker holds at once, running or waiting, before it stops accepting; '
        'idle connections do not count, nor requests that wait for their client with ASGI and RSGI',
    )  # fmt: skip

    http1_header_read_timeout: int = _http1(
        'int', 30_000, 'Time allowed to send a whole request head, in milliseconds',
        'header_read_timeout', ge=1, le=60_000, to='core.head_timeout', milliseconds=True,
    )  # fmt: skip
    http1_keep_alive: bool = _http1(
        'bool', True, 'Keep connections open between requests', 'keep_alive', to='limits.keep_alive'
    )
    http1_buffer_size: int = _http1(
        'int', 417_792, 'Maximum bytes buffered per connection', 'max_buffer_size', ge=8192,
        to='limits.max_buffer_size',
    )  # fmt: skip
    http1_pipeline_flush: bool = _http1(
        'bool', False, 'Join the writes of pipelined responses', 'pipeline_flush', to='core.pipeline_flush'
    )

    http2_adaptive_window: bool = _http2(
        'bool', False, 'Grow the receive windows with the measured bandwidth-delay product',
        'adaptive_window', to='limits.adaptive_window',
    )  # fmt: skip
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
        'duration', 20, 'Close when a PING is not answered in this time', 'keep_alive_timeout', ge=1,
        to='core.http2_keep_alive_timeout',
    )  # fmt: skip
    http2_max_concurrent_streams: int = _http2(
        'int', 200, 'Streams a client may have open at once', 'max_concurrent_streams',
        ge=10, le=_MAX_WINDOW, to='limits.max_concurrent_streams',
    )  # fmt: skip
    http2_max_frame_size: int = _http2(
        'int', 16_384, 'Largest frame payload a client may send, in bytes', 'max_frame_size',
        ge=1024, le=2**24 - 1, to='limits.max_frame_size',
    )  # fmt: skip
    http2_max_headers_size: int = _http2(
        'int', 65_536, 'Maximum bytes of a decoded header list', 'max_headers_size', ge=1,
        to='limits.max_headers_size',
    )  # fmt: skip
    http2_max_send_buffer_size: int = _http2(
        'int', 409_600, 'Maximum unsent bytes per stream', 'max_send_buffer_size', ge=1024,
        to='limits.max_send_buffer_size',
    )  # fmt: skip

    log_enabled: bool = opt(g.LOG, 'bool', True, 'Write logs', flags='--log/--no-log')
    log_level: LogLevels = opt(g.LOG, 'enum', LogLevels.info, 'Log level', enum=LogLevels)
    log_dictconfig: Mapping[str, Any] | None = opt(
        g.LOG, 'object', None, 'A mapping in `logging.config.dictConfig` form, laid over the default'
    )
    log_access: bool = opt(
        g.LOG, 'bool', False, 'Write a line for each request and its response',
        name='log_access_enabled', flags='--access-log/--no-access-log',
    )  # fmt: skip
    log_access_format: str | None = opt(
        g.LOG, 'text', None, name='log_access_fmt', flags='--access-log-fmt',
        default_text='time, address, request line, status, milliseconds',
        help=f'Format of an access log line, of the atoms {", ".join(ATOMS)} and header{{name}}, '
        "or gunicorn's short ones",
    )  # fmt: skip

    ssl_cert: Path | None = opt(
        g.TLS, 'file', None, 'Certificate chain (PEM); TLS is on when this and the key are given',
        name='ssl_certificate', to='tls.certificate',
    )  # fmt: skip
    ssl_key: Path | None = opt(g.TLS, 'file', None, 'Private key (PEM)', name='ssl_keyfile', to='tls.key')
    ssl_key_password: str | None = opt(
        g.TLS, 'text', None, 'Password of the private key', name='ssl_keyfile_password', to='tls.password'
    )
    ssl_protocol_min: SSLProtocols = opt(
        g.TLS, 'enum', SSLProtocols.tls13, 'Oldest TLS version accepted', enum=SSLProtocols, to='tls.minimum'
    )
    ssl_ca: Path | None = opt(
        g.TLS, 'file', None, 'Root certificates for client certificates (PEM)', to='tls.ca'
    )
    ssl_crl: tuple[Path, ...] = opt(
        g.TLS, 'file', (), 'Revocation list for client certificates (PEM)', multiple=True, to='tls.crl'
    )
    ssl_client_verify: ClientVerify = opt(
        g.TLS, 'enum', ClientVerify.none, enum=ClientVerify, flag_value='required',
        help='Ask clients for a certificate; without a value: required', to='tls.client_verify',
    )  # fmt: skip

    url_path_prefix: str | None = opt(
        g.APP, 'text', None, 'Path the application is mounted on, such as /app; anything else is 404'
    )
    respawn_failed_workers: bool = opt(
        g.RESPAWN, 'bool', False, 'Replace a worker that died; off: the server stops with status 1'
    )
    respawn_interval: float = opt(
        g.RESPAWN, 'float', 3.5, "Seconds between one worker's replacement and the next", ge=0
    )
    rss_sample_interval: int = opt(
        g.RESPAWN, 'duration', 30, "Time between two samples of the workers' memory", ge=1, le=300
    )
    rss_samples: int = opt(
        g.RESPAWN, 'int', 1, 'Samples over --workers-max-rss, one after another, before a replacement', ge=1
    )
    workers_lifetime: int | None = opt(
        g.RESPAWN, 'duration', None, 'Replace a worker after this', ge=60, default_text='off'
    )
    workers_max_rss: int | None = opt(
        g.RESPAWN, 'int', None, 'Replace a worker that holds more memory than this, in MiB', ge=1,
        default_text='off',
    )  # fmt: skip
    workers_kill_timeout: int = opt(
        g.RESPAWN, 'duration', 30, 'Kill a worker that has not stopped by then; 0: never',
        ge=1, le=1800, zero=True,
    )  # fmt: skip
    factory: bool = opt(g.APP, 'bool', False, 'Call APP, without arguments, to get the application')
    working_dir: Path | None = opt(g.APP, 'dir', None, 'Working directory', default_text='the current one')
    env_files: tuple[Path, ...] = opt(
        g.APP, 'file', (), multiple=True,
        help='Files of environment variables; what the environment has already wins (extra dotenv)',
    )  # fmt: skip

    static_path_route: tuple[str, ...] = opt(
        g.STATIC, 'text', ('/static',), 'URL path for each --static-path-mount, in order', multiple=True
    )
    static_path_mount: tuple[Path, ...] = opt(
        g.STATIC, 'dir', (), 'Folder whose files are served without the application', multiple=True
    )
    static_path_dir_to_file: str | None = opt(
        g.STATIC, 'text', None, 'Name of the file served for a folder', default_text='none: 404',
        to='mount.index',
    )  # fmt: skip
    static_path_expires: int = opt(
        g.STATIC, 'duration', 86400, 'max-age of the cache-control header; 0: no header', ge=0,
        to='mount.expires',
    )  # fmt: skip
    metrics_enabled: bool = opt(
        g.METRICS, 'bool', False, 'Export metrics to Prometheus', flags='--metrics/--no-metrics'
    )
    metrics_scrape_interval: int = opt(
        g.METRICS, 'duration', 15, 'How often metrics are gathered from the workers', ge=1, le=60
    )
    metrics_address: str = opt(g.METRICS, 'text', '127.0.0.1', 'Address the exporter binds')
    metrics_port: int = opt(g.METRICS, 'int', 9090, 'Port the exporter binds', ge=0, le=65535)

    reload: bool = opt(
        g.RELOAD, 'bool', False,
        'Replace the workers when Python files in the working directory change (extra reload); without '
        'watchfiles: files of loaded modules, checked once a second',
    )  # fmt: skip
    reload_paths: tuple[Path, ...] = opt(
        g.RELOAD, 'path', (), 'Path to watch', multiple=True, default_text='the working directory'
    )
    reload_ignore_dirs: tuple[str, ...] = opt(
        g.RELOAD, 'text', (), "Name of folders to ignore, added to watchfiles' own", multiple=True
    )
    reload_ignore_patterns: tuple[str, ...] = opt(
        g.RELOAD, 'text', (), "Regular expression of names to ignore, added to watchfiles' own", multiple=True
    )
    reload_ignore_paths: tuple[Path, ...] = opt(
        g.RELOAD, 'path', (), 'Path to ignore, with all that is under it', multiple=True
    )
    reload_filter: Any = opt(g.RELOAD, 'object', None, 'A `watchfiles.BaseFilter` class to use instead')
    reload_tick: int = opt(g.RELOAD, 'int', 50, 'Milliseconds between two checks for changes', ge=50, le=5000)
    reload_ignore_worker_failure: bool = opt(
        g.RELOAD, 'bool', False, 'A worker that fails while reloading does not stop the server'
    )
    process_name: str | None = opt(
        g.PROCESS, 'text', None, default_text='unchanged',
        help='Name of the processes in ps; workers get worker-N added (extra pname)',
    )  # fmt: skip
    pid_file: Path | None = opt(
        g.PROCESS, 'path', None,
        "Write the main process's id to this file; refused if it names a live process",
    )  # fmt: skip
