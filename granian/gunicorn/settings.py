"""Every setting of gunicorn as data: name, flags, kind, default, and what it becomes here.

`values` holds the validators that the kinds name, `translate` the settings that need more than a copy.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

COPY = 'copy'
"""The value becomes the native field as it is."""
FRONT = 'front'
"""This room obeys it itself: `translate`, `serving`, `loader` or `logs`."""
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
    kind: str
    default: Any
    effect: str
    meaning: str
    native: str = ''
    """The field of Config that COPY fills, or that the help names."""
    arity: tuple[int, ...] = ()
    """Numbers of positional parameters that a hook may have."""


ACCESS_FORMAT = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'
LOOPBACK = '127.0.0.1,::1'
SCHEMES = {'X-FORWARDED-PROTOCOL': 'ssl', 'X-FORWARDED-PROTO': 'https', 'X-FORWARDED-SSL': 'on'}
_PARSING = 'such requests stay refused'
_DIRTY = 'there are no dirty workers here'

# (name, flags, kind, default, effect, meaning, native field)
_SECTIONS: dict[str, list[tuple[Any, ...]]] = {
    'Configuration': [
        ('config', '-c --config', 'text', './gunicorn.conf.py', FRONT, 'configuration file: PATH, file:PATH or python:MODULE'),
        ('wsgi_app', '', 'text', None, FRONT, 'the application, where the command line names none'),
        ('check_config', '--check-config', 'flag', False, FRONT, 'load settings and application, then exit'),
        ('print_config', '--print-config', 'flag', False, FRONT, 'print the settings, then as --check-config'),
    ],
    'Server socket': [
        ('bind', '-b --bind', 'list', ['127.0.0.1:8000'], FRONT, 'HOST:PORT, unix:PATH or fd://N, repeatable', 'bind'),
        ('backlog', '--backlog', 'int', 2048, FRONT, 'connections that wait in the kernel', 'backlog'),
        ('reuse_port', '--reuse-port', 'flag', False, COPY, 'a second server may listen on the same port', 'reuse_port'),
    ],
    'Workers': [
        ('workers', '-w --workers', 'int', 1, FRONT, 'worker processes', 'workers'),
        ('worker_class', '-k --worker-class', 'class', 'sync', FRONT, 'sync, gthread, gevent, asgi or uvicorn.workers.UvicornWorker'),
        ('threads', '--threads', 'int', 1, FRONT, 'threads of a worker; more than one: gthread', 'blocking_threads'),
        ('worker_connections', '--worker-connections', 'int', 1000, FRONT, 'requests a worker holds; greenlets of gevent', 'backpressure'),
        ('max_requests', '--max-requests', 'int', 0, FRONT, 'replace a worker after so many requests', 'workers_max_requests'),
        ('max_requests_jitter', '--max-requests-jitter', 'int', 0, FRONT, 'random addition to --max-requests', 'workers_max_requests_jitter'),
        ('timeout', '-t --timeout', 'int', 30, FRONT, 'seconds until a hanging worker is replaced; 0: never', 'worker_timeout'),
        ('graceful_timeout', '--graceful-timeout', 'int', 30, FRONT, 'seconds that requests have to end at a stop', 'workers_kill_timeout'),
        ('keepalive', '--keep-alive', 'int', 2, FRONT, 'seconds that an idle connection is kept', 'http1_keep_alive_timeout'),
        ('asgi_loop', '--asgi-loop', 'one of auto asyncio uvloop', 'auto', FRONT, 'event loop', 'loop'),
        ('asgi_lifespan', '--asgi-lifespan', 'one of auto on off', 'auto', COPY, 'lifespan of ASGI applications', 'lifespan'),
        ('asgi_disconnect_grace_period', '--asgi-disconnect-grace-period', 'int', 3, SILENT, 'applications are not cancelled here'),
        ('websocket_max_message_size', '--websocket-max-message-size', 'int', 16_777_216, FRONT, 'largest WebSocket message', 'ws_max_message_size'),
    ],
    'HTTP': [
        ('limit_request_line', '--limit-request-line', 'int', 4094, FRONT, 'bytes of a request line, else 414; 0: no limit', 'http1_max_request_line'),
        ('limit_request_fields', '--limit-request-fields', 'int', 100, FRONT, 'header fields, else 431', 'http1_max_headers'),
        ('limit_request_field_size', '--limit-request-field_size', 'int', 8190, FRONT, 'bytes of a header field, else 431; 0: no limit', 'http1_max_field_size'),
        ('http_parser', '--http-parser', 'one of auto fast python', 'auto', SILENT, 'there is one parser here'),
        ('http_protocols', '--http-protocols', 'protocols', 'h1', FRONT, 'h1, h2 or both', 'http'),
        ('http2_cleartext', '--http2-cleartext', 'switch prior-knowledge upgrade both', 'off', FRONT, 'prior-knowledge: HTTP/2 without TLS'),
        ('http2_max_concurrent_streams', '--http2-max-concurrent-streams', 'int', 100, FRONT, 'HTTP/2 streams of a connection', 'http2_max_concurrent_streams'),
        ('http2_initial_window_size', '--http2-initial-window-size', 'int', 65535, FRONT, 'HTTP/2 receive window', 'http2_initial_stream_window_size'),
        ('http2_max_frame_size', '--http2-max-frame-size', 'frame size', 16384, COPY, 'largest HTTP/2 frame', 'http2_max_frame_size'),
        ('http2_max_header_list_size', '--http2-max-header-list-size', 'int', 65536, FRONT, 'bytes of an HTTP/2 header list', 'http2_max_headers_size'),
        ('permit_obsolete_folding', '--permit-obsolete-folding', 'flag', False, WARN, _PARSING),
        ('strip_header_spaces', '--strip-header-spaces', 'flag', False, WARN, _PARSING),
        ('permit_unconventional_http_method', '--permit-unconventional-http-method', 'flag', False, WARN, _PARSING),
        ('permit_unconventional_http_version', '--permit-unconventional-http-version', 'flag', False, WARN, _PARSING),
        ('casefold_http_method', '--casefold-http-method', 'flag', False, WARN, _PARSING),
        ('header_map', '--header-map', 'one of drop refuse dangerous', 'drop', COPY, 'header names with an underscore', 'header_map'),
        ('forwarder_headers', '--forwarder-headers', 'upper commas', 'SCRIPT_NAME,PATH_INFO', COPY, 'names kept from trusted peers', 'forwarder_headers'),
    ],
    'Behind a proxy': [
        ('forwarded_allow_ips', '--forwarded-allow-ips', 'addresses', LOOPBACK, COPY, 'peers whose X-Forwarded- headers count', 'forwarded_allow_ips'),
        ('secure_scheme_headers', '', 'mapping', SCHEMES, FRONT, 'headers that say https'),
        ('proxy_protocol', '--proxy-protocol', 'switch auto v1 v2', 'off', COPY, 'PROXY protocol: off, v1, v2 or auto', 'proxy_protocol'),
        ('proxy_allow_ips', '--proxy-allow-from', 'addresses', LOOPBACK, COPY, 'peers that may speak the PROXY protocol', 'proxy_allow_ips'),
        ('protocol', '--protocol', 'text', 'http', REFUSE, 'the uwsgi protocol is not spoken; in nginx say proxy_pass in place of uwsgi_pass'),
        ('uwsgi_allow_ips', '--uwsgi-allow-from', 'addresses', LOOPBACK, SILENT, 'the uwsgi protocol is not spoken'),
    ],
    'Process': [
        ('reload', '--reload', 'flag', False, COPY, "replace the workers when the application's files change", 'reload'),
        ('reload_engine', '--reload-engine', 'one of auto poll inotify', 'auto', SILENT, 'what is best here is taken'),
        ('reload_extra_files', '--reload-extra-file', 'existing', [], COPY, 'more files to watch', 'reload_extra_files'),
        ('spew', '--spew', 'flag', False, WARN, 'lines are not traced'),
        ('preload_app', '--preload', 'flag', False, FRONT, 'load the application before the workers are forked', 'preload'),
        ('sendfile', '--no-sendfile', 'unflag', None, FRONT, 'files are not sent by the kernel', 'sendfile'),
        ('chdir', '--chdir', 'folder', None, FRONT, 'working directory', 'working_dir'),
        ('daemon', '-D --daemon', 'flag', False, FRONT, 'run in the background'),
        ('raw_env', '-e --env', 'list', [], FRONT, 'NAME=VALUE for the environment, repeatable'),
        ('pidfile', '-p --pid', 'text', None, FRONT, "file for the main process's id", 'pid_file'),
        ('worker_tmp_dir', '--worker-tmp-dir', 'text', None, SILENT, 'there is no heartbeat file here'),
        ('user', '-u --user', 'user', None, FRONT, "the workers' user", 'user'),
        ('group', '-g --group', 'group', None, FRONT, "the workers' group", 'group'),
        ('umask', '-m --umask', 'mode', 0, COPY, "umask of the Unix socket and the workers", 'umask'),
        ('initgroups', '--initgroups', 'flag', False, FRONT, "all groups of the workers' user", 'initgroups'),
        ('tmp_upload_dir', '', 'text', None, SILENT, 'temporary files go to the folder that TMPDIR names'),
        ('pythonpath', '--pythonpath', 'text', None, FRONT, 'folders, comma-separated, for imports'),
        ('proc_name', '-n --name', 'text', None, FRONT, 'name of the processes', 'process_name'),
        ('default_proc_name', '', 'text', 'gunicorn', FRONT, 'name of the processes without --name'),
        ('root_path', '--root-path', 'text', '', COPY, "root_path of ASGI's scope", 'root_path'),
        ('paste', '--paste --paster', 'text', None, FRONT, 'PasteDeploy file'),
        ('raw_paste_global_conf', '--paste-global', 'list', [], FRONT, 'NAME=VALUE for PasteDeploy, repeatable'),
    ],
    'Logging': [
        ('accesslog', '--access-logfile', 'text', None, FRONT, 'file for the access log; -: standard output', 'log_access'),
        ('access_log_format', '--access-logformat', 'text', ACCESS_FORMAT, FRONT, 'format of the access log', 'log_access_format'),
        ('errorlog', '--error-logfile --log-file', 'text', '-', FRONT, "file for the server's log; -: standard error"),
        ('loglevel', '--log-level', 'text', 'info', FRONT, 'log level', 'log_level'),
        ('capture_output', '--capture-output', 'flag', False, FRONT, "standard output and error go to --error-logfile's file"),
        ('logconfig', '--log-config', 'text', None, FRONT, "file in logging.config's ini form"),
        ('logconfig_dict', '', 'mapping', {}, FRONT, "mapping in logging.config's form"),
        ('logconfig_json', '--log-config-json', 'text', None, FRONT, "JSON file in logging.config's form"),
        ('logger_class', '--logger-class', 'class', 'gunicorn.glogging.Logger', FRONT, 'class of the logger'),
        ('enable_stdio_inheritance', '-R --enable-stdio-inheritance', 'flag', False, FRONT, 'with --daemon: keep standard output and error'),
        ('syslog', '--log-syslog', 'flag', False, FRONT, 'log to syslog as well'),
        ('syslog_addr', '--log-syslog-to', 'text', 'udp://localhost:514', FRONT, 'where syslog listens'),
        ('syslog_prefix', '--log-syslog-prefix', 'text', None, FRONT, 'program name for syslog'),
        ('syslog_facility', '--log-syslog-facility', 'text', 'user', FRONT, 'facility for syslog'),
        ('disable_redirect_access_to_syslog', '--disable-redirect-access-to-syslog', 'flag', False, FRONT, 'no access log in syslog'),
        ('statsd_host', '--statsd-host', 'statsd', None, FRONT, 'HOST:PORT or unix://PATH of statsd', 'statsd'),
        ('statsd_prefix', '--statsd-prefix', 'text', '', COPY, 'prefix of statsd names', 'statsd_prefix'),
        ('dogstatsd_tags', '--dogstatsd-tags', 'text', '', FRONT, 'tags for dogstatsd', 'statsd_tags'),
        ('enable_backlog_metric', '--enable-backlog-metric', 'flag', False, WARN, 'the backlog is not measured'),
    ],
    'TLS': [
        ('certfile', '--certfile', 'text', None, FRONT, 'certificate (PEM)', 'ssl_cert'),
        ('keyfile', '--keyfile', 'text', None, FRONT, 'private key (PEM)', 'ssl_key'),
        ('ca_certs', '--ca-certs', 'text', None, FRONT, 'root certificates for client certificates', 'ssl_ca'),
        ('cert_reqs', '--cert-reqs', 'int', 0, FRONT, 'client certificates: 0 none, 1 optional, 2 required', 'ssl_client_verify'),
        ('ciphers', '--ciphers', 'text', None, FRONT, 'ciphers in the form of OpenSSL', 'ssl_ciphers'),
        ('ssl_version', '--ssl-version', 'any', 2, FRONT, 'ignored, as in gunicorn'),
        ('suppress_ragged_eofs', '--suppress-ragged-eofs', 'flag', True, SILENT, 'nothing to suppress here'),
        ('do_handshake_on_connect', '--do-handshake-on-connect', 'flag', False, SILENT, 'handshakes have a time limit here'),
    ],
    'Not here': [
        ('dirty_apps', '--dirty-app', 'list', [], REFUSE, _DIRTY),
        ('dirty_workers', '--dirty-workers', 'int', 0, REFUSE, _DIRTY),
        ('dirty_timeout', '--dirty-timeout', 'int', 300, SILENT, _DIRTY),
        ('dirty_threads', '--dirty-threads', 'int', 1, SILENT, _DIRTY),
        ('dirty_graceful_timeout', '--dirty-graceful-timeout', 'int', 30, SILENT, _DIRTY),
        ('control_socket', '--control-socket', 'text', 'gunicorn.ctl', WARN, 'there is no control socket here'),
        ('control_socket_mode', '--control-socket-mode', 'mode', 0o600, WARN, 'there is no control socket here'),
        ('control_socket_disable', '--no-control-socket', 'flag', False, SILENT, 'there is no control socket here'),
    ],
}  # fmt: skip

# Name, numbers of parameters, when it is called.
_HOOKS: tuple[tuple[str, tuple[int, ...], str], ...] = (
    ('on_starting', (1,), 'main process, before the sockets'),
    ('on_reload', (1,), 'main process, at SIGHUP'),
    ('when_ready', (1,), 'main process, when the sockets listen'),
    ('pre_fork', (2,), 'main process, before a worker is forked'),
    ('post_fork', (2,), 'worker, before the application is loaded'),
    ('post_worker_init', (1,), 'worker, after the application is loaded'),
    ('worker_int', (1,), 'worker, at SIGINT or SIGQUIT'),
    ('worker_abort', (1,), 'worker, at SIGABRT'),
    ('pre_exec', (1,), 'new main process, at SIGUSR2, before the command is started again'),
    ('pre_request', (2,), 'worker, before the application is called'),
    ('post_request', (4, 3, 2), 'worker, after the application was called'),
    ('child_exit', (2,), 'main process, after a worker has ended'),
    ('worker_exit', (2,), 'worker, last of all'),
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
    for name, arity, meaning in _HOOKS:
        table[name] = Setting('Hooks', name, (), 'hook', None, FRONT, meaning, arity=arity)
    return table


TABLE = _rows()
"""Every setting by its name."""


def defaults(environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return the defaults; PORT, WEB_CONCURRENCY and FORWARDED_ALLOW_IPS of the environment give some.

    Raises ValueError.
    """
    found = {name: setting.default for name, setting in TABLE.items()}
    found['chdir'] = start_folder(environ)
    if 'PORT' in environ:
        found['bind'] = [f'0.0.0.0:{environ["PORT"]}']
    if 'WEB_CONCURRENCY' in environ:
        found['workers'] = _number('WEB_CONCURRENCY', environ)
    if 'FORWARDED_ALLOW_IPS' in environ:
        found['forwarded_allow_ips'] = environ['FORWARDED_ALLOW_IPS']
    return found


def start_folder(environ: Mapping[str, str] = os.environ) -> str:
    """Return the current folder by the name that the shell has for it.

    A symbolic link in it may lead to another release at the next reload.
    """
    name = environ.get('PWD', '')
    try:
        return name if os.path.isabs(name) and os.path.samefile(name, os.curdir) else os.getcwd()
    except OSError:
        return os.getcwd()


def _number(name: str, environ: Mapping[str, str]) -> int:
    try:
        return int(environ[name])  # not a literal of Python's: '02' is two
    except ValueError:
        raise ValueError(f'{name}={environ[name]!r} in the environment is not a whole number') from None
