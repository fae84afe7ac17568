"""From gunicorn's settings to the native options."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ..config import Config, api_arguments, effective
from ..messages import GUNICORN
from ..observe.atoms import without_unknown
from . import imported, logs
from .cfg import Cfg, Served
from .loader import SettingsError
from .settings import NATIVE, REFUSE, TABLE, WARN
from .workers import Kind, resolve

MAX_HEAD = 4 * 1024 * 1024
PLAIN_HEAD = 65536
LEAST_STREAMS = 10

Options = dict[str, Any]


class Plan:
    """The settings of one start, or of one reload, as the native server needs them."""

    def __init__(self, app: Served) -> None:
        self.kind = resolve(app.cfg.settings['worker_class'].get(), app.cfg.threads)
        self.options, self.notices = native(app.cfg, self.kind)
        self.target = app.cfg.proc_name or 'gunicorn'
        self.access: Any = None
        """The `access` method of a logger_class of the user's, which replaces the access log."""
        self.figures_by_logger = False
        """A logger_class of the user's sends the figures for statsd."""

    def obey(self, log: Any) -> None:
        """Leave to the logger what its class does itself."""
        if self.kind.family != 'uvicorn':  # its class does not call the logger's access()
            self.access = logs.access_of(log)
        self.figures_by_logger = logs.is_theirs(log, 'gunicorn.instrument.statsd')

    @property
    def arguments(self) -> Mapping[str, Any]:
        """Arguments of the native server."""
        given = {} if self.access is None else {'log_access': False, 'log_access_format': None}
        if self.figures_by_logger:
            given['statsd'] = None
        return api_arguments({**self.options, **given})

    def config(self) -> Config:
        """Return the native configuration. Raises ConfigurationError."""
        return Config.from_api(self.target, **self.arguments)


def native(cfg: Cfg, kind: Kind) -> tuple[Options, list[str]]:
    """Return the native options by field, and the warnings. Raises SettingsError for what cannot be had."""
    notices = [*_without_effect(cfg), *kind.notices]
    _refuse(cfg)
    options: Options = {
        setting.native: setting.convert(cfg.settings[name].get())
        for name, setting in TABLE.items()
        if setting.effect == NATIVE
    }
    for part in (_workers, _heads, _http, _logging, _tls):
        part(cfg, kind, options, notices)
    options.update({name: value for name, value in kind.options.items() if name != 'headers'})
    return effective(options), notices


def _without_effect(cfg: Cfg) -> list[str]:
    return [
        GUNICORN['warn'].format(name=name, reason=setting.meaning)
        for name, setting in TABLE.items()
        if setting.effect == WARN and cfg.given(name) and cfg.settings[name].get() != setting.default
    ]


def _refuse(cfg: Cfg) -> None:
    """Raise SettingsError for the first value that cannot be had."""
    for name, setting in TABLE.items():
        value = cfg.settings[name].get()
        if setting.effect == REFUSE and value != setting.default:
            reason, _, instead = setting.meaning.partition('; ')
            raise SettingsError(
                GUNICORN['refuse'].format(
                    name=name, value=value, reason=reason, instead=instead or 'remove it'
                )
            )
    if cfg.workers == 0:
        raise SettingsError('workers: 0 is not a number of workers; say 1 or more')
    try:
        _ = cfg.address, cfg.env, cfg.paste_global_conf
    except ValueError as error:
        raise SettingsError(error) from None


def _workers(cfg: Cfg, kind: Kind, options: Options, notices: list[str]) -> None:
    """Translate the worker class with its threads and connections, and how workers live and are loaded."""
    connections = max(1, cfg.worker_connections)
    options['interface'] = 'asgi' if kind.asynchronous else 'wsgi'
    options['core'] = 'gevent' if kind.greenlets else 'threads'
    if kind.asynchronous:
        options['backpressure'] = connections
    elif kind.greenlets:
        options['blocking_threads'] = options['backpressure'] = connections
    elif kind.family == 'gthread':
        options['blocking_threads'] = max(1, cfg.threads)
        options['backpressure'] = max(cfg.threads, connections)
    else:
        options['blocking_threads'] = 1
    if cfg.keepalive == 0 or kind.family == 'sync':
        options['http1_keep_alive'] = False
    else:
        options['http1_keep_alive_timeout'] = cfg.keepalive
    options.update(respawn_failed_workers=True, respawn_interval=0, respawn_max_deaths=0)
    options['reload_ignore_worker_failure'] = True
    if cfg.timeout == 0 or cfg.timeout > Config.workers_start_timeout:
        options['workers_start_timeout'] = cfg.timeout
    options['preload'] = bool(cfg.preload_app and not cfg.reload)
    if cfg.preload_app and cfg.reload:
        notices.append(GUNICORN['reload_preload'])
    if cfg.daemon and 'NOTIFY_SOCKET' in os.environ:
        notices.append(GUNICORN['warn'].format(name='daemon', reason='the service manager is to be notified'))


def _heads(cfg: Cfg, kind: Kind, options: Options, notices: list[str]) -> None:
    """Make room for the heads that the limits allow, and translate the Server header."""
    line, size = cfg.limit_request_line or MAX_HEAD, cfg.limit_request_field_size or MAX_HEAD
    head = line + options['http1_max_headers'] * (size + 2) + 4
    options['http1_max_head_size'] = min(max(head, PLAIN_HEAD), MAX_HEAD)
    options['http1_buffer_size'] = max(417_792, options['http1_max_head_size'])
    options['server_header'] = imported.server_header()


def _http(cfg: Cfg, kind: Kind, options: Options, notices: list[str]) -> None:
    """Translate the settings of HTTP/2, and what is behind a proxy or a prefix."""
    clear = cfg.http2_cleartext != 'off'
    if cfg.http2_cleartext in ('upgrade', 'both'):
        notices.append(_differs(cfg, 'http2_cleartext', 'h2c is spoken with prior knowledge only'))
    options['http'] = 'auto' if ('h2' in cfg.http_protocols and cfg.is_ssl) or clear else '1'
    if options['http'] == 'auto' and cfg.http2_max_concurrent_streams < LEAST_STREAMS:
        notices.append(_differs(cfg, 'http2_max_concurrent_streams', f'{LEAST_STREAMS} is the least'))
    if cfg.given('http2_initial_window_size'):
        options['http2_initial_stream_window_size'] = max(1024, cfg.http2_initial_window_size)
    options['forwarded'] = 'client' if kind.family == 'uvicorn' else 'scheme'
    if not kind.asynchronous:
        options['url_path_prefix'] = os.environ.get('SCRIPT_NAME') or None


def _logging(cfg: Cfg, kind: Kind, options: Options, notices: list[str]) -> None:
    """Translate the settings of the access log."""
    options['log_access'] = access_wanted(cfg)
    if options['log_access']:
        options['log_access_format'], unknown = without_unknown(cfg.access_log_format or '')
        if logs.is_ours(cfg):
            notices += [GUNICORN['atom'].format(name=name) for name in unknown]


def access_wanted(cfg: Cfg) -> bool:
    """Return whether a line is written for each request."""
    configured = cfg.accesslog or cfg.logconfig or cfg.logconfig_dict or cfg.logconfig_json
    return bool(configured or (cfg.syslog and not cfg.disable_redirect_access_to_syslog))


def _tls(cfg: Cfg, kind: Kind, options: Options, notices: list[str]) -> None:
    """Translate the settings of TLS, if there are any."""
    if not cfg.is_ssl:
        return
    options['ssl_cert'] = cfg.certfile or cfg.keyfile
    options['ssl_key'] = cfg.keyfile or cfg.certfile
    options['ssl_protocol_min'] = 'tls1.2'
    options['ssl_client_verify'] = ('none', 'optional', 'required')[min(cfg.cert_reqs, 2)]
    hook = cfg.hook('ssl_context')
    if hook is not None:
        options['ssl_context'] = lambda config, factory: hook(cfg, factory)


def _differs(cfg: Cfg, name: str, difference: str) -> str:
    return GUNICORN['differs'].format(name=name, value=cfg.settings[name].get(), difference=difference)
