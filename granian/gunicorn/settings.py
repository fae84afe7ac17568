"""Every setting of gunicorn as data: name, flags, kind, default, and what it becomes here.

`values` holds the kinds, `translate` the settings that need more than a conversion.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .._internal import start_folder
from . import values as v

NATIVE = 'native'
"""The value becomes the native field, converted if the row has a converter."""
FRONT = 'front'
"""This room obeys it itself, in `translate`, `serving` or `logs`."""
LOADER = 'loader'
"""Says which settings or which application to load."""
SILENT = 'silent'
"""Accepted, nothing to do."""
WARN = 'warn'
"""Accepted, one warning, no effect."""
REFUSE = 'refuse'
"""Any value but the default ends the start."""


@dataclass(frozen=True)
class Setting:
    """One setting. `meaning` is the help's text; for WARN and REFUSE it is the reason."""

    section: str
    name: str
    flags: tuple[str, ...]
    kind: v.Kind
    default: Any
    effect: str
    meaning: str
    native: str = ''
    """The field of Config that NATIVE fills, or that the help names; for a hook, the native hook."""
    convert: Callable[[Any], Any] = v.anything
    """From the setting's value to the field's. None leaves the native default."""


def within(least: int, most: int = 2**31 - 1) -> Callable[[int], int]:
    """Return a converter to the nearest number of a range."""
    return lambda value: min(max(least, value), most)


def or_none(value: Any) -> Any:
    return value or None


def with_unix(peers: list[str]) -> list[str]:
    """Add the peers of Unix sockets, all of which gunicorn trusts."""
    return [*peers, 'unix']


def lowercase(headers: Mapping[str, Any]) -> dict[str, str]:
    return {str(name).lower(): str(value) for name, value in headers.items()}


def level(word: str | None) -> str:
    """Return the native log level; an unknown word is info."""
    name = (word or 'info').strip().lower()
    return name if name in ('debug', 'info', 'warning', 'warn', 'error', 'critical') else 'info'


def statsd_address(host: str | tuple[str, int] | None) -> str | None:
    if host is None:
        return None
    return f'unix:{host}' if isinstance(host, str) else f'{host[0]}:{host[1]}'


ACCESS_FORMAT = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'
LOOPBACK = '127.0.0.1,::1'
HOOKS = 'Hooks'
NO_LIMIT = 2**31 - 1
MAX_FIELDS = 32768
SCHEMES = {'X-FORWARDED-PROTOCOL': 'ssl', 'X-FORWARDED-PROTO': 'https', 'X-FORWARDED-SSL': 'on'}
_PARSING = 'such requests stay refused'
_DIRTY = 'there are no dirty workers here'

# (name, flags, kind, default, effect, meaning, native field)
_SECTIONS: dict[str, list[tuple[Any, ...]]] = {
    'Configuration': [
        ('config', '-c --config', v.text, './gunicorn.conf.py', LOADER, 'configuration file: PATH, file:PATH or python:MODULE'),
        ('wsgi_app', '', v.text, None, LOADER, 'the application, where the command line names none'),
        ('check_config', '--check-config', v.flag, False, LOADER, 'load settings and application, then exit'),
        ('print_config', '--print-config', v.flag, False, LOADER, 'print the settings, then as --check-config'),
    ],
    'Server socket': [
        ('bind', '-b --bind', v.texts, ['127.0.0.1:8000'], NATIVE, 'HOST:PORT, unix:PATH or fd://N, repeatable', 'bind', lambda value: value or ['']),
        ('backlog', '--backlog', v.whole, 2048, NATIVE, 'connections that wait in the kernel', 'backlog', within(1)),
        ('reuse_port', '--reuse-port', v.flag, False, NATIVE, 'a second server may listen on the same port', 'reuse_port'),
    ],
    'Workers': [
        ('workers', '-w --workers', v.whole, 1, NATIVE, 'worker processes', 'workers'),
        ('worker_class', '-k --worker-class', v.class_or_name, 'sync', FRONT, 'sync, gthread, gevent, asgi or uvicorn.workers.UvicornWorker', 'interface'),
        ('threads', '--threads', v.whole, 1, FRONT, 'threads of a worker; more than one: gthread', 'blocking_threads'),
        ('worker_connections', '--worker-connections', v.whole, 1000, FRONT, 'requests a worker holds; greenlets of gevent', 'backpressure'),
        ('max_requests', '--max-requests', v.whole, 0, NATIVE, 'replace a worker after so many requests', 'workers_max_requests', or_none),
        ('max_requests_jitter', '--max-requests-jitter', v.whole, 0, NATIVE, 'random addition to --max-requests', 'workers_max_requests_jitter'),
        ('timeout', '-t --timeout', v.whole, 30, NATIVE, 'seconds until a hanging worker is replaced; 0: never', 'worker_timeout'),
        ('graceful_timeout', '--graceful-timeout', v.whole, 30, NATIVE, 'seconds that requests have to end at a stop', 'workers_kill_timeout', within(1, 1800)),
        ('keepalive', '--keep-alive', v.whole, 2, FRONT, 'seconds that an idle connection is kept', 'http1_keep_alive_timeout'),
        ('asgi_loop', '--asgi-loop', v.one_of('asgi_loop', 'auto', 'asyncio', 'uvloop'), 'auto', NATIVE, 'event loop', 'loop'),
        ('asgi_lifespan', '--asgi-lifespan', v.one_of('asgi_lifespan', 'auto', 'on', 'off'), 'auto', NATIVE, 'lifespan of ASGI applications', 'lifespan'),
        ('asgi_disconnect_grace_period', '--asgi-disconnect-grace-period', v.whole, 3, SILENT, 'applications are not cancelled here'),
        ('websocket_max_message_size', '--websocket-max-message-size', v.whole, 16_777_216, NATIVE, 'largest WebSocket message', 'ws_max_message_size', lambda value: value or NO_LIMIT),
    ],
    'HTTP': [
        ('limit_request_line', '--limit-request-line', v.whole, 4094, NATIVE, 'bytes of a request line, else 414; 0: no limit', 'http1_max_request_line'),
        ('limit_request_fields', '--limit-request-fields', v.whole, 100, NATIVE, 'header fields, else 431', 'http1_max_headers', lambda value: value if 0 < value < MAX_FIELDS else MAX_FIELDS),
        ('limit_request_field_size', '--limit-request-field_size', v.whole, 8190, NATIVE, 'bytes of a header field, else 431; 0: no limit', 'http1_max_field_size'),
        ('http_parser', '--http-parser', v.one_of('http_parser', 'auto', 'fast', 'python'), 'auto', SILENT, 'there is one parser here'),
        ('http_protocols', '--http-protocols', v.protocols, 'h1', FRONT, 'h1, h2 or both', 'http'),
        ('http2_cleartext', '--http2-cleartext', v.switch('http2_cleartext', 'prior-knowledge', 'upgrade', 'both'), 'off', FRONT, 'prior-knowledge: HTTP/2 without TLS'),
        ('http2_max_concurrent_streams', '--http2-max-concurrent-streams', v.whole, 100, NATIVE, 'HTTP/2 streams of a connection', 'http2_max_concurrent_streams', within(10)),
        ('http2_initial_window_size', '--http2-initial-window-size', v.whole, 65535, FRONT, 'HTTP/2 receive window', 'http2_initial_stream_window_size'),
        ('http2_max_frame_size', '--http2-max-frame-size', v.frame_size, 16384, NATIVE, 'largest HTTP/2 frame', 'http2_max_frame_size'),
        ('http2_max_header_list_size', '--http2-max-header-list-size', v.whole, 65536, NATIVE, 'bytes of an HTTP/2 header list', 'http2_max_headers_size', within(1)),
        ('permit_obsolete_folding', '--permit-obsolete-folding', v.flag, False, WARN, _PARSING),
        ('strip_header_spaces', '--strip-header-spaces', v.flag, False, WARN, _PARSING),
        ('permit_unconventional_http_method', '--permit-unconventional-http-method', v.flag, False, WARN, _PARSING),
        ('permit_unconventional_http_version', '--permit-unconventional-http-version', v.flag, False, WARN, _PARSING),
        ('casefold_http_method', '--casefold-http-method', v.flag, False, WARN, _PARSING),
        ('header_map', '--header-map', v.one_of('header_map', 'drop', 'refuse', 'dangerous'), 'drop', NATIVE, 'header names with an underscore', 'header_map'),
        ('forwarder_headers', '--forwarder-headers', v.uppercase_commas, 'SCRIPT_NAME,PATH_INFO', NATIVE, 'names kept from trusted peers', 'forwarder_headers'),
    ],
    'Behind a proxy': [
        ('forwarded_allow_ips', '--forwarded-allow-ips', v.addresses, LOOPBACK, NATIVE, 'peers whose X-Forwarded- headers count', 'forwarded_allow_ips', with_unix),
        ('secure_scheme_headers', '', v.mapping, SCHEMES, NATIVE, 'headers that say https', 'secure_scheme_headers', lowercase),
        ('proxy_protocol', '--proxy-protocol', v.switch('proxy_protocol', 'auto', 'v1', 'v2'), 'off', NATIVE, 'PROXY protocol: off, v1, v2 or auto', 'proxy_protocol'),
        ('proxy_allow_ips', '--proxy-allow-from', v.addresses, LOOPBACK, NATIVE, 'peers that may speak the PROXY protocol', 'proxy_allow_ips'),
        ('protocol', '--protocol', v.text, 'http', REFUSE, 'the uwsgi protocol is not spoken; in nginx say proxy_pass in place of uwsgi_pass'),
        ('uwsgi_allow_ips', '--uwsgi-allow-from', v.addresses, LOOPBACK, SILENT, 'the uwsgi protocol is not spoken'),
    ],
    'Process': [
        ('reload', '--reload', v.flag, False, NATIVE, "replace the workers when the application's files change", 'reload'),
        ('reload_engine', '--reload-engine', v.one_of('reload_engine', 'auto', 'poll', 'inotify'), 'auto', SILENT, 'what is best here is taken'),
        ('reload_extra_files', '--reload-extra-file', v.existing, [], NATIVE, 'more files to watch', 'reload_extra_files'),
        ('spew', '--spew', v.flag, False, WARN, 'lines are not traced'),
        ('preload_app', '--preload', v.flag, False, FRONT, 'load the application before the workers are forked', 'preload'),
        ('sendfile', '--no-sendfile', v.flag, None, NATIVE, 'files are not sent by the kernel', 'sendfile', lambda value: value is not False),
        ('chdir', '--chdir', v.folder, None, NATIVE, 'working directory', 'working_dir'),
        ('daemon', '-D --daemon', v.flag, False, FRONT, 'run in the background'),
        ('raw_env', '-e --env', v.texts, [], FRONT, 'NAME=VALUE for the environment, repeatable'),
        ('pidfile', '-p --pid', v.text, None, NATIVE, "file for the main process's id", 'pid_file', or_none),
        ('worker_tmp_dir', '--worker-tmp-dir', v.text, None, SILENT, 'there is no heartbeat file here'),
        ('user', '-u --user', v.user, None, NATIVE, "the workers' user", 'user', lambda value: None if value == os.geteuid() else str(value)),
        ('group', '-g --group', v.group, None, NATIVE, "the workers' group", 'group', lambda value: None if value == os.getegid() else str(value)),
        ('umask', '-m --umask', v.mode, 0, NATIVE, "umask of the Unix socket and the workers", 'umask'),
        ('initgroups', '--initgroups', v.flag, False, NATIVE, "all groups of the workers' user", 'initgroups'),
        ('tmp_upload_dir', '', v.text, None, SILENT, 'temporary files go to the folder that TMPDIR names'),
        ('pythonpath', '--pythonpath', v.text, None, FRONT, 'folders, comma-separated, for imports'),
        ('proc_name', '-n --name', v.text, None, FRONT, 'name of the processes', 'process_name'),
        ('default_proc_name', '', v.text, 'gunicorn', LOADER, 'name of the processes without --name'),
        ('root_path', '--root-path', v.text, '', NATIVE, "root_path of ASGI's scope", 'root_path'),
        ('paste', '--paste --paster', v.text, None, FRONT, 'PasteDeploy file'),
        ('raw_paste_global_conf', '--paste-global', v.texts, [], FRONT, 'NAME=VALUE for PasteDeploy, repeatable'),
    ],
    'Logging': [
        ('accesslog', '--access-logfile', v.text, None, FRONT, 'file for the access log; -: standard output', 'access_log_file'),
        ('access_log_format', '--access-logformat', v.text, ACCESS_FORMAT, FRONT, 'format of the access log', 'log_access_format'),
        ('errorlog', '--error-logfile --log-file', v.text, '-', FRONT, "file for the server's log; -: standard error", 'log_file'),
        ('loglevel', '--log-level', v.text, 'info', NATIVE, 'log level', 'log_level', level),
        ('capture_output', '--capture-output', v.flag, False, FRONT, "standard output and error go to --error-logfile's file"),
        ('logconfig', '--log-config', v.text, None, FRONT, "file in logging.config's ini form"),
        ('logconfig_dict', '', v.mapping, {}, FRONT, "mapping in logging.config's form"),
        ('logconfig_json', '--log-config-json', v.text, None, FRONT, "JSON file in logging.config's form"),
        ('logger_class', '--logger-class', v.class_or_name, 'gunicorn.glogging.Logger', FRONT, 'class of the logger'),
        ('enable_stdio_inheritance', '-R --enable-stdio-inheritance', v.flag, False, FRONT, 'with --daemon: keep standard output and error'),
        ('syslog', '--log-syslog', v.flag, False, FRONT, 'log to syslog as well'),
        ('syslog_addr', '--log-syslog-to', v.text, 'udp://localhost:514', FRONT, 'where syslog listens'),
        ('syslog_prefix', '--log-syslog-prefix', v.text, None, FRONT, 'program name for syslog'),
        ('syslog_facility', '--log-syslog-facility', v.text, 'user', FRONT, 'facility for syslog'),
        ('disable_redirect_access_to_syslog', '--disable-redirect-access-to-syslog', v.flag, False, FRONT, 'no access log in syslog'),
        ('statsd_host', '--statsd-host', v.statsd, None, NATIVE, 'HOST:PORT or unix://PATH of statsd', 'statsd', statsd_address),
        ('statsd_prefix', '--statsd-prefix', v.text, '', NATIVE, 'prefix of statsd names', 'statsd_prefix', lambda value: '.'.join(filter(None, [(value or '').rstrip('.'), 'gunicorn']))),
        ('dogstatsd_tags', '--dogstatsd-tags', v.text, '', NATIVE, 'tags for dogstatsd', 'statsd_tags', v.commas),
        ('enable_backlog_metric', '--enable-backlog-metric', v.flag, False, WARN, 'the backlog is not measured'),
    ],
    'TLS': [
        ('certfile', '--certfile', v.text, None, FRONT, 'certificate (PEM)', 'ssl_cert'),
        ('keyfile', '--keyfile', v.text, None, FRONT, 'private key (PEM)', 'ssl_key'),
        ('ca_certs', '--ca-certs', v.text, None, NATIVE, 'root certificates for client certificates', 'ssl_ca', or_none),
        ('cert_reqs', '--cert-reqs', v.whole, 0, FRONT, 'client certificates: 0 none, 1 optional, 2 required', 'ssl_client_verify'),
        ('ciphers', '--ciphers', v.text, None, NATIVE, 'ciphers in the form of OpenSSL', 'ssl_ciphers', or_none),
        ('ssl_version', '--ssl-version', v.anything, 2, WARN, 'it is deprecated; use ssl_context instead'),
        ('suppress_ragged_eofs', '--suppress-ragged-eofs', v.flag, True, SILENT, 'nothing to suppress here'),
        ('do_handshake_on_connect', '--do-handshake-on-connect', v.flag, False, SILENT, 'handshakes have a time limit here'),
    ],
    'Not here': [
        ('dirty_apps', '--dirty-app', v.texts, [], REFUSE, _DIRTY),
        ('dirty_workers', '--dirty-workers', v.whole, 0, REFUSE, _DIRTY),
        ('dirty_timeout', '--dirty-timeout', v.whole, 300, SILENT, _DIRTY),
        ('dirty_threads', '--dirty-threads', v.whole, 1, SILENT, _DIRTY),
        ('dirty_graceful_timeout', '--dirty-graceful-timeout', v.whole, 30, SILENT, _DIRTY),
        ('control_socket', '--control-socket', v.text, 'gunicorn.ctl', WARN, 'there is no control socket here'),
        ('control_socket_mode', '--control-socket-mode', v.mode, 0o600, WARN, 'there is no control socket here'),
        ('control_socket_disable', '--no-control-socket', v.flag, False, SILENT, 'there is no control socket here'),
    ],
}  # fmt: skip

# Name, numbers of parameters, when it is called, and the native hook.
_HOOKS: tuple[tuple[Any, ...], ...] = (
    ('on_starting', (1,), 'main process, before the sockets'),
    ('on_reload', (1,), 'main process, at SIGHUP'),
    ('when_ready', (1,), 'main process, when the sockets listen'),
    ('pre_fork', (2,), 'main process, before a worker is forked', 'before_worker'),
    ('post_fork', (2,), 'worker, before the application is loaded', 'on_worker_start'),
    ('post_worker_init', (1,), 'worker, after the application is loaded', 'on_worker_ready'),
    ('worker_int', (1,), 'worker, at SIGINT or SIGQUIT', 'on_worker_interrupt'),
    ('worker_abort', (1,), 'worker, at SIGABRT', 'on_worker_timeout'),
    ('pre_exec', (1,), 'new main process, at SIGUSR2, before the command is started again'),
    ('pre_request', (2,), 'worker, before the application is called', 'on_request'),
    ('post_request', (4, 3, 2), 'worker, after the application was called', 'on_response'),
    ('child_exit', (2,), 'main process, after a worker has ended', 'after_worker'),
    ('worker_exit', (2,), 'worker, last of all', 'on_worker_stop'),
    ('nworkers_changed', (3,), 'main process, when the number of workers changes'),
    ('on_exit', (1,), 'main process, last of all'),
    ('ssl_context', (2,), 'makes the TLS context'),
    ('on_dirty_starting', (1,), 'never'),
    ('dirty_post_fork', (2,), 'never'),
    ('dirty_worker_init', (1,), 'never'),
    ('dirty_worker_exit', (2,), 'never'),
)


def _rows() -> dict[str, Setting]:
    table = {}
    for section, rows in _SECTIONS.items():
        for name, flags, *more in rows:
            table[name] = Setting(section, name, tuple(flags.split()), *more)
    for name, arity, *more in _HOOKS:
        table[name] = Setting(HOOKS, name, (), v.hook(*arity), None, FRONT, *more)
    return table


TABLE = _rows()
"""Every setting by its name."""


def defaults(environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return the defaults; variables of the environment, such as PORT and WEB_CONCURRENCY, give some.

    Raises ValueError.
    """
    found = {name: setting.default for name, setting in TABLE.items()}
    found['chdir'] = start_folder()
    if 'PORT' in environ:
        found['bind'] = [f'0.0.0.0:{environ["PORT"]}']
    if 'WEB_CONCURRENCY' in environ:
        found['workers'] = _number('WEB_CONCURRENCY', environ)
    if 'FORWARDED_ALLOW_IPS' in environ:
        found['forwarded_allow_ips'] = environ['FORWARDED_ALLOW_IPS']
    if 'SENDFILE' in environ:
        found['sendfile'] = environ['SENDFILE'].lower() in ('y', '1', 'yes', 'true')
    return found


def _number(name: str, environ: Mapping[str, str]) -> int:
    try:
        return int(environ[name])  # not a literal of Python's: '02' is two
    except ValueError:
        raise ValueError(f'{name}={environ[name]!r} in the environment is not a whole number') from None
