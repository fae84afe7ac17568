"""From gunicorn's settings to the native options."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..config import Config, api_arguments
from ..messages import GUNICORN
from ..observe.atoms import expression_of
from . import addresses, imported, logs
from .cfg import Cfg
from .contract import Served
from .loader import SettingsError
from .settings import COPY, REFUSE, TABLE, WARN
from .workers import Kind, resolve

MAX_FIELDS = 32768
MAX_HEAD = 4 * 1024 * 1024
PLAIN_HEAD = 65536
NO_LIMIT = 2**31 - 1

Options = dict[str, Any]


class Plan:
    """The settings of one start, or of one reload, as the native server needs them."""

    def __init__(self, app: Served) -> None:
        self.kind = resolve(app.cfg.worker_class, app.cfg.threads)
        self.options, self.notices = native(app.cfg, self.kind)
        self.target = app.cfg.proc_name
        self.access: Any = None
        """The `access` method of a logger_class of the user's, which replaces the access log."""

    @property
    def arguments(self) -> Mapping[str, Any]:
        """Arguments of the native server. The front itself deals with the pid file and the titles."""
        given = {
            name: value for name, value in self.options.items() if name not in ('pid_file', 'process_name')
        }
        if self.access is not None:
            given.update(log_access=False, log_access_format=None)
        return api_arguments(given)

    def config(self) -> Config:
        """Return the native configuration. Raises ConfigurationError."""
        return Config.from_api(self.target, **self.arguments)


def native(cfg: Cfg, kind: Kind) -> tuple[Options, list[str]]:
    """Return the native options by field, and the warnings. Raises SettingsError for what cannot be had."""
    notices = [*_without_effect(cfg), *kind.notices]
    _refuse(cfg)
    options: Options = {
        setting.native: cfg.settings[name].get() for name, setting in TABLE.items() if setting.effect == COPY
    }
    for part in (_listening, _workers, _times, _limits, _http, _proxies, _process, _logging, _tls):
        part(cfg, kind, options, notices)
    forwarded = kind.options.get('forwarded', '')
    options.update({name: value for name, value in kind.options.items() if name != 'headers'})
    if forwarded is None:
        for name in ('forwarded', 'forwarded_allow_ips', 'forwarder_headers', 'secure_scheme_headers'):
            options.pop(name, None)
    return options, notices


def _without_effect(cfg: Cfg) -> list[str]:
    lines = [
        GUNICORN['warn'].format(name=name, reason=setting.meaning)
        for name, setting in TABLE.items()
        if setting.effect == WARN and cfg.given(name) and cfg.settings[name].get() != setting.default
    ]
    if cfg.given('ssl_version'):
        lines.append('option `ssl_version` is deprecated and it is ignored. Use ssl_context instead.')
    return lines


def _refuse(cfg: Cfg) -> None:
    for name, setting in TABLE.items():
        value = cfg.settings[name].get()
        if setting.effect == REFUSE and value != setting.default:
            reason, _, instead = setting.meaning.partition('; ')
            raise SettingsError(
                GUNICORN['refuse'].format(
                    name=name, value=value, reason=reason, instead=instead or 'remove it'
                )
            )


def _listening(cfg: Cfg, kind: Kind, options: Options, notices: list[str]) -> None:
    try:
        options['bind'] = [addresses.native(each) for each in cfg.bind or ['']]
    except ValueError as error:
        raise SettingsError(error) from None
    options['backlog'] = max(1, cfg.backlog)


def _workers(cfg: Cfg, kind: Kind, options: Options, notices: list[str]) -> None:
    """Translate the settings of workers: number, kind, threads, limits. Raises SettingsError."""
    if cfg.workers == 0:
        raise SettingsError('workers: 0 is not a number of workers; say 1 or more')
    options['workers'] = cfg.workers
    options['interface'] = 'asgi' if kind.asynchronous else 'wsgi'
    options['core'] = 'gevent' if kind.greenlets else 'threads'
    if kind.asynchronous:
        options['lifespan'] = cfg.asgi_lifespan
        options['loop'] = cfg.asgi_loop
        options['backpressure'] = max(1, cfg.worker_connections)
        options['ws_max_message_size'] = cfg.websocket_max_message_size or NO_LIMIT
    elif kind.greenlets:
        options['blocking_threads'] = options['backpressure'] = max(1, cfg.worker_connections)
    elif kind.family == 'gthread':
        options['blocking_threads'] = max(1, cfg.threads)
        options['backpressure'] = max(1, cfg.threads, cfg.worker_connections)
    else:
        options['blocking_threads'] = 1
    if not kind.asynchronous:
        for name in ('lifespan', 'root_path'):
            options.pop(name, None)
    if cfg.max_requests:
        options['workers_max_requests'] = cfg.max_requests
        options['workers_max_requests_jitter'] = cfg.max_requests_jitter
    options.update(respawn_failed_workers=True, respawn_interval=0, respawn_max_deaths=0)
    options['reload_ignore_worker_failure'] = bool(cfg.reload)
    options['preload'] = bool(cfg.preload_app and not cfg.reload)
    if cfg.preload_app and cfg.reload:
        notices.append(GUNICORN['reload_preload'])


def _times(cfg: Cfg, kind: Kind, options: Options, notices: list[str]) -> None:
    options['worker_timeout'] = cfg.timeout
    options['workers_kill_timeout'] = min(max(1, cfg.graceful_timeout), 1800)
    if cfg.keepalive == 0 or kind.family == 'sync':
        options['http1_keep_alive'] = False
    else:
        options['http1_keep_alive_timeout'] = cfg.keepalive


def _limits(cfg: Cfg, kind: Kind, options: Options, notices: list[str]) -> None:
    fields = cfg.limit_request_fields
    fields = fields if 0 < fields < MAX_FIELDS else MAX_FIELDS
    line, size = cfg.limit_request_line, cfg.limit_request_field_size
    options['http1_max_headers'] = fields
    options['http1_max_request_line'] = line
    options['http1_max_field_size'] = size
    head = (line or MAX_HEAD) + fields * ((size or MAX_HEAD) + 2) + 4
    options['http1_max_head_size'] = min(max(head, PLAIN_HEAD), MAX_HEAD)
    options['http1_buffer_size'] = max(417_792, options['http1_max_head_size'])


def _http(cfg: Cfg, kind: Kind, options: Options, notices: list[str]) -> None:
    """Translate the settings of HTTP/2 and of the Server header."""
    server = imported.server_header()
    if server is not None:
        options['server_header'] = server
    clear = cfg.http2_cleartext != 'off'
    if cfg.http2_cleartext in ('upgrade', 'both'):
        notices.append(_differs(cfg, 'http2_cleartext', 'h2c is spoken with prior knowledge only'))
    options['http'] = 'auto' if ('h2' in cfg.http_protocols and cfg.is_ssl) or clear else '1'
    if options['http'] == '1':
        options.pop('http2_max_frame_size')
        return
    streams = cfg.http2_max_concurrent_streams
    options['http2_max_concurrent_streams'] = max(10, streams)
    if streams < 10:
        notices.append(_differs(cfg, 'http2_max_concurrent_streams', '10 is the least'))
    options['http2_max_headers_size'] = max(1, cfg.http2_max_header_list_size)
    if cfg.given('http2_initial_window_size'):
        options['http2_initial_stream_window_size'] = max(1024, cfg.http2_initial_window_size)


def _proxies(cfg: Cfg, kind: Kind, options: Options, notices: list[str]) -> None:
    # gunicorn trusts every peer of a Unix socket.
    options['forwarded_allow_ips'] = [*cfg.forwarded_allow_ips, 'unix']
    options['forwarded'] = 'client' if kind.family == 'uvicorn' else 'scheme'
    options['secure_scheme_headers'] = {
        str(name).lower(): str(value) for name, value in cfg.secure_scheme_headers.items()
    }


def _process(cfg: Cfg, kind: Kind, options: Options, notices: list[str]) -> None:
    """Translate the settings of the main process: folder, user, PID file, and what the environment adds."""
    options['working_dir'] = Path(cfg.chdir)
    if not kind.asynchronous and os.environ.get('SCRIPT_NAME'):
        options['url_path_prefix'] = os.environ['SCRIPT_NAME']
    options['pid_file'] = Path(cfg.pidfile) if cfg.pidfile else None
    if cfg.uid != os.geteuid():
        options['user'] = str(cfg.uid)
    if cfg.gid != os.getegid():
        options['group'] = str(cfg.gid)
    if 'user' in options and cfg.initgroups:
        options['initgroups'] = True
    if not cfg.reload:
        options.pop('reload_extra_files')
    sendfile = cfg.sendfile
    if sendfile is None and 'SENDFILE' in os.environ:
        sendfile = os.environ['SENDFILE'].lower() in ('y', '1', 'yes', 'true')
    options['sendfile'] = sendfile is not False
    if cfg.daemon and 'NOTIFY_SOCKET' in os.environ:
        notices.append(GUNICORN['warn'].format(name='daemon', reason='the service manager is to be notified'))


def _logging(cfg: Cfg, kind: Kind, options: Options, notices: list[str]) -> None:
    """Translate the settings of logs and statsd."""
    options['log_level'] = level_name(cfg.loglevel)
    options['log_access'] = access_wanted(cfg)
    if options['log_access']:
        options['log_access_format'] = _known_atoms(cfg, notices)
    if cfg.statsd_host:
        host = cfg.statsd_host
        options['statsd'] = f'unix:{host}' if isinstance(host, str) else f'{host[0]}:{host[1]}'
        options['statsd_tags'] = tuple(
            tag.strip() for tag in (cfg.dogstatsd_tags or '').split(',') if tag.strip()
        )
        options['statsd_prefix'] = '.'.join(filter(None, [(cfg.statsd_prefix or '').rstrip('.'), 'gunicorn']))
    else:
        options.pop('statsd_prefix')


def _known_atoms(cfg: Cfg, notices: list[str]) -> str:
    """Return the format with `-` in place of atoms that do not exist; each gives a warning.

    A logger_class of the user's can have atoms of its own: then there is no warning.
    """
    warns = cfg.settings['logger_class'].get() in (None, *logs.OURS, *logs.STATSD)

    def known(match: re.Match[str]) -> str:
        name = match[1]
        if name is None or expression_of(name) is not None:
            return match[0]
        if warns:
            notices.append(GUNICORN['atom'].format(name=name))
        return '-'

    return _ATOM.sub(known, cfg.access_log_format or '')


_ATOM = re.compile(r'%%|%\(([^()]*)\)[-#0 +]*\d*(?:\.\d+)?[a-zA-Z]')


def access_wanted(cfg: Cfg) -> bool:
    """Return whether a line is written for each request."""
    configured = cfg.accesslog or cfg.logconfig or cfg.logconfig_dict or cfg.logconfig_json
    return bool(configured or (cfg.syslog and not cfg.disable_redirect_access_to_syslog))


def level_name(text: str | None) -> str:
    """Return the native log level; an unknown word is info."""
    name = (text or 'info').strip().lower()
    return name if name in logs.LEVELS else 'info'


def _tls(cfg: Cfg, kind: Kind, options: Options, notices: list[str]) -> None:
    """Translate the settings of TLS, if there are any."""
    if not cfg.is_ssl:
        return
    options['ssl_cert'] = Path(cfg.certfile or cfg.keyfile)
    options['ssl_key'] = Path(cfg.keyfile or cfg.certfile)
    options['ssl_protocol_min'] = 'tls1.2'
    options['ssl_ca'] = Path(cfg.ca_certs) if cfg.ca_certs else None
    options['ssl_client_verify'] = ('none', 'optional', 'required')[min(cfg.cert_reqs, 2)]
    options['ssl_ciphers'] = cfg.ciphers or None
    hook = cfg.hook('ssl_context')
    if hook is not None:
        options['ssl_context'] = lambda config, factory: hook(cfg, factory)


def _differs(cfg: Cfg, name: str, difference: str) -> str:
    return GUNICORN['differs'].format(name=name, value=cfg.settings[name].get(), difference=difference)
