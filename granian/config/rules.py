"""Rules between options: values adapted with a warning, and combinations refused.

The tables here name fields of Config; the texts are in `granian.messages`.
"""

from __future__ import annotations

import glob
import importlib.util
import os
import re
import sys
from collections.abc import Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

from .. import messages
from ..addresses import parse_address
from ..constants import (
    ClientVerify,
    Cores,
    HTTP2Engines,
    HTTPModes,
    Interfaces,
    Lifespans,
    Loops,
    RuntimeModes,
    TaskImpl,
)
from ..errors import ConfigurationError
from .declaration import OPTIONS, Declaration

Values = MutableMapping[str, Any]

NEEDS_EXTRA: list[tuple[str, str, str, Callable[[Declaration], bool]]] = [
    ('--reload-paths', 'watchfiles', 'reload', lambda c: c.reload and bool(c.reload_paths)),
    ('--env-files', 'dotenv', 'dotenv', lambda c: bool(c.env_files)),
    ('--loop uvloop', 'uvloop', 'uvloop', lambda c: c.loop == Loops.uvloop),
    ('--loop rloop', 'rloop', 'rloop', lambda c: c.loop == Loops.rloop),
    ('--loop winloop', 'winloop', 'winloop', lambda c: c.loop == Loops.winloop),
]
"""(what was asked for, module that must be there, extra that brings it, when)."""

NEEDS_OPTION: dict[str, str] = {
    'statsd_prefix': 'statsd',
    'statsd_tags': 'statsd',
    'forwarded': 'forwarded_allow_ips',
    'forwarder_headers': 'forwarded_allow_ips',
    'secure_scheme_headers': 'forwarded_allow_ips',
    'http2_keep_alive_timeout': 'http2_keep_alive_interval',
    'log_access_format': 'log_access',
    'ssl_key_password': 'ssl_key',
    'ssl_protocol_min': 'ssl_cert',
    'ssl_ca': 'ssl_cert',
    'ssl_crl': 'ssl_ca',
    'ssl_ciphers': 'ssl_cert',
    'ssl_handshake_timeout': 'ssl_cert',
    'rss_sample_interval': 'workers_max_rss',
    'rss_samples': 'workers_max_rss',
    'workers_lifetime_jitter': 'workers_lifetime',
    'respawn_max_deaths': 'respawn_failed_workers',
    'initgroups': 'user',
    'workers_max_requests_jitter': 'workers_max_requests',
    'static_path_route': 'static_path_mount',
    'static_path_dir_to_file': 'static_path_mount',
    'static_path_expires': 'static_path_mount',
    'static_path_precompressed': 'static_path_mount',
    'static_path_dotfiles': 'static_path_mount',
    'metrics_scrape_interval': 'metrics_enabled',
    'metrics_address': 'metrics_enabled',
    'metrics_port': 'metrics_enabled',
    'reload_paths': 'reload',
    'reload_ignore_dirs': 'reload',
    'reload_ignore_patterns': 'reload',
    'reload_ignore_paths': 'reload',
    'reload_filter': 'reload',
    'reload_extra_files': 'reload',
    'reload_tick': 'reload',
    'reload_ignore_worker_failure': 'reload',
    'ws_app': 'websockets',
    'ws_ping_interval': 'websockets',
    'ws_ping_timeout': 'websockets',
    'ws_max_message_size': 'websockets',
    'ws_max_queue': 'websockets',
    'ws_per_message_deflate': 'websockets',
}
"""Options without effect on their own, and the option that each of them needs."""

BOTH_VERSIONS = (
    'http1_keep_alive_timeout',
    'http1_max_headers',
    'http1_max_request_line',
    'http1_max_field_size',
)
"""Options of HTTP/1 that HTTP/2 obeys as well."""
ASYNC_ONLY = ('loop', 'runtime_blocking_threads', 'ws_ping_interval', 'ws_ping_timeout',
              'ws_max_message_size', 'ws_max_queue', 'ws_per_message_deflate')  # fmt: skip
ASGI_ONLY = ('asgi_pathsend', 'lifespan', 'root_path')
WSGI_ONLY = ('blocking_threads', 'blocking_threads_idle_timeout', 'request_body_spool', 'ws_app')
OF_WS_APP = ('loop', 'runtime_blocking_threads', 'ws_ping_interval', 'ws_ping_timeout', 'ws_max_message_size',
             'ws_max_queue', 'ws_per_message_deflate', 'lifespan', 'root_path')  # fmt: skip
"""Options that --ws-app obeys beside a WSGI application."""
COMPATIBILITY_ONLY: dict[str, tuple[Any, ...]] = {
    'runtime_threads': (1,), 'runtime_mode': (RuntimeModes.auto, RuntimeModes.st),
}  # fmt: skip
"""Options of the compiled server that change nothing here, with the values that are taken in silence."""


def adapt(values: Values) -> list[str]:
    """Change values that mean something else here. Return the warnings to log."""
    notices: list[str] = []
    for rule in _ADAPTATIONS:
        notices += rule(values)
    values['static_path_route'] = tuple(_prefix(route) or '/' for route in values['static_path_route'])
    if values['url_path_prefix'] is not None:
        values['url_path_prefix'] = _prefix(values['url_path_prefix'])
    return notices


def _given(values: Values, name: str) -> bool:
    return bool(values[name] != OPTIONS[name].default)


def _notice(name: str, **more: Any) -> str:
    return messages.WARNINGS[name].format(**more)


def _without_effect(values: Values) -> Iterator[str]:
    yield from (notice for _, notice in without_effect(values))


def without_effect(values: Values) -> Iterator[tuple[str, str]]:
    """Yield each option that has no effect beside the others, with the warning."""
    for rule in (_needs_option, _other_interface, _other_http):
        yield from rule(values)


def _needs_option(values: Values) -> Iterator[tuple[str, str]]:
    for name, other in NEEDS_OPTION.items():
        # A context that the user's code makes stands for the certificate.
        met = values[other] or (other == 'ssl_cert' and values['ssl_context'] is not None)
        if _given(values, name) and not met:
            yield name, _notice('needs', option=OPTIONS[name].label, other=OPTIONS[other].label)
    if values['uds_permissions'] is not None and not _unix(values):
        yield 'uds_permissions', _notice('needs', option='--uds-permissions', other='--uds')


def _other_interface(values: Values) -> Iterator[tuple[str, str]]:
    interface = values['interface']
    foreign: tuple[str, ...] = ASYNC_ONLY if interface == Interfaces.WSGI else WSGI_ONLY
    if interface not in (Interfaces.ASGI, Interfaces.ASGINL):
        foreign = (*foreign, *ASGI_ONLY)
    if interface == Interfaces.WSGI and values['ws_app']:
        foreign = tuple(name for name in foreign if name not in OF_WS_APP)
    for name in foreign if interface != Interfaces.AUTO else ():
        if _given(values, name) and values[name] != 1:  # one blocking thread is what the others have anyway
            yield name, _notice('other_interface', option=OPTIONS[name].label, interface=interface)


def _compatibility(values: Values) -> Iterator[str]:
    for name, same in COMPATIBILITY_ONLY.items():
        if values[name] not in same:
            yield _notice('compatibility', option=OPTIONS[name].label)
    if values['task_impl'] == TaskImpl.rust:
        yield _notice('task_impl')
        values['task_impl'] = TaskImpl.asyncio


def _other_http(values: Values) -> Iterator[tuple[str, str]]:
    for mode, prefix in ((HTTPModes.http1, 'http2_'), (HTTPModes.http2, 'http1_')):
        for name in OPTIONS if values['http'] == mode else ():
            if name.startswith(prefix) and name not in BOTH_VERSIONS and _given(values, name):
                yield name, _notice('other_http', option=OPTIONS[name].label, http=mode)


def _client_certificates(values: Values) -> Iterator[str]:
    if values['ssl_client_verify'] != ClientVerify.none and not values['ssl_ca']:
        yield _notice('client_verify')
        values['ssl_client_verify'] = ClientVerify.none


def _process_name(values: Values) -> Iterator[str]:
    if values['process_name'] is not None and importlib.util.find_spec('setproctitle') is None:
        yield _notice('no_setproctitle')
        values['process_name'] = None


def _access_log_file(values: Values) -> Iterator[str]:
    values['log_access'] = values['log_access'] or values['access_log_file'] is not None
    yield from ()


def _sendfile(values: Values) -> Iterator[str]:
    values['sendfile'] = values['sendfile'] and hasattr(os, 'sendfile')
    yield from ()


def _address_beside_unix(values: Values) -> Iterator[str]:
    for name in ('address', 'port') if values['uds'] is not None else ():
        if _given(values, name):
            yield _notice('port_with_uds', option=OPTIONS[name].label)


def _socket_permissions(values: Values) -> Iterator[str]:
    if _unix(values) and _mistaken_for_octal(values['uds_permissions']):
        yield _notice('permissions', value=values['uds_permissions'])


def _engine(values: Values) -> Iterator[str]:
    if values['http2_engine'] == HTTP2Engines.h2 and values['http2_adaptive_window']:
        yield _notice('adaptive_window')


def _sizes(values: Values) -> Iterator[str]:
    if values['http2_max_frame_size'] < 16384:  # RFC 9113 6.5.2: no setting below it
        yield _notice('frame_size', value=values['http2_max_frame_size'])
        values['http2_max_frame_size'] = 16384
    if values['http1_max_head_size'] > values['http1_buffer_size']:
        if _given(values, 'http1_max_head_size'):
            yield _notice('head_size', buffer=values['http1_buffer_size'])
        values['http1_max_head_size'] = values['http1_buffer_size']


_ADAPTATIONS: tuple[Callable[[Values], Iterator[str]], ...] = (
    _access_log_file, _without_effect, _compatibility, _client_certificates,
    _address_beside_unix, _socket_permissions, _process_name, _sendfile, _sizes, _engine,
)  # fmt: skip


def _unix(values: Values) -> bool:
    """Return whether a Unix socket is bound."""
    return bool(values['uds']) or any(text.strip().startswith('unix:') for text in values['bind'])


def refuse_missing(values: Values) -> None:
    """Raise ConfigurationError for a path to watch that is missing. Called once, at the start: a path that
    goes away later must not keep a worker from starting."""
    folder = values['working_dir'] or Path()
    for path in values['reload_extra_files'] if values['reload'] else ():
        if not glob.has_magic(str(path)) and not (folder / path).exists():
            raise ConfigurationError(
                messages.refusal('no_such_path', option='--reload-extra-files', path=path)
            )
    for path in values['reload_paths'] if values['reload'] else ():
        if not ((values['working_dir'] or Path()) / path).exists():
            text = messages.REFUSALS['no_such_path']
            raise ConfigurationError(text.format(option='--reload-paths', path=path))


def _mistaken_for_octal(mode: int | None) -> bool:
    """Return whether a mode was meant in octal and given in decimal, as 660 for 0660.

    A socket that its owner may not read and write is of no use, and 600 to 777 in decimal are all such."""
    return mode is not None and mode & 0o600 != 0o600 and re.fullmatch('[0-7]{3,4}', str(mode)) is not None


def _field_value(text: str) -> bool:
    """Return whether this can be the value of a header."""
    return re.fullmatch('([!-~\x80-\xff]([\t -~\x80-\xff]*[!-~\x80-\xff])?)?', text) is not None


def _prefix(path: str) -> str | None:
    """Return a path prefix with one slash before and none after; None for the root."""
    return '/' + path.strip('/') if path.strip('/') else None


def refuse(config: Declaration) -> None:
    """Raise ConfigurationError, with one line, for options that cannot be obeyed."""
    if config.log_access_format is not None:
        from ..observe.access_log import check_access_format

        check_access_format(config.log_access_format)
    for name, found, more in _refusals(config):
        if found:
            raise ConfigurationError(messages.REFUSALS[name].format(**more))


def _refusals(c: Declaration) -> list[tuple[str, bool, dict[str, Any]]]:
    """Return all rules as rows: name of the message, whether it is broken, values for the message.

    A new rule is one row here and its text in `granian.messages`.
    """
    mounts, routes = len(c.static_path_mount), len(c.static_path_route)
    bad_bind = next(filter(None, map(_address_problem, c.bind)), None)
    bad_network = _network_problem(c, 'forwarded_allow_ips', 'proxy_allow_ips')
    bad_statsd = _statsd_problem(c.statsd)
    host, port = _host_with_port(c.address)
    elsewhere = next((OPTIONS[name].label for name in ('uds', 'address', 'port') if _changed(c, name)), None)
    rows: list[tuple[str, bool, dict[str, Any]]] = [
        ('no_target', not c.target.strip(), {}),
        ('bad_forwarded', c.forwarded not in ('client', 'scheme'), {'value': c.forwarded}),
        ('bad_network', bad_network is not None, {'error': bad_network}),
        ('bad_statsd', bad_statsd is not None, {'error': bad_statsd}),
        ('bad_bind', bad_bind is not None, {'error': bad_bind}),
        ('bind_twice', bool(c.bind) and elsewhere is not None, {'option': elsewhere}),
        ('reuse_port', c.reuse_port and sys.platform == 'win32', {}),
        ('server_header', not _field_value(c.server_header), {'value': c.server_header}),
        ('host_with_port', host is not None, {'host': host, 'port': port, 'given': c.address}),
        ('no_address', c.uds is None and not c.address.strip(), {}),
        ('cert_without_key', c.ssl_cert is not None and c.ssl_key is None, {}),
        ('key_without_cert', c.ssl_key is not None and c.ssl_cert is None, {}),
        ('mounts_and_routes', mounts > 0 and mounts != routes, {'mounts': mounts, 'routes': routes}),
        ('route_twice', len(set(c.static_path_route)) != routes, {}),
        ('log_config_twice', c.log_config is not None and c.log_dictconfig is not None, {}),
        (
            'gevent_needs_wsgi',
            c.core == Cores.gevent and c.interface not in (Interfaces.WSGI, Interfaces.AUTO),
            {'interface': c.interface},
        ),
        (
            'lifespan_asginl',
            c.lifespan == Lifespans.on and c.interface == Interfaces.ASGINL,
            {},
        ),
        ('uds_on_windows', c.uds is not None and sys.platform == 'win32', {}),
    ]
    for pattern in c.reload_ignore_patterns:
        problem = _regex_problem(pattern)
        rows.append(('bad_pattern', problem is not None, {'pattern': pattern, 'error': problem}))
    for what, module, extra, wanted in NEEDS_EXTRA:
        missing = wanted(c) and importlib.util.find_spec(module) is None
        rows.append(('needs_extra', missing, {'option': what, 'module': module, 'extra': extra}))
    return rows


def _changed(c: Declaration, name: str) -> bool:
    return bool(getattr(c, name) != OPTIONS[name].default)


def _address_problem(text: str) -> str | None:
    try:
        parse_address(text)
    except ValueError as error:
        return str(error)
    return None


def _network_problem(c: Declaration, *names: str) -> str | None:
    """Return what is wrong with the networks of these options, None if nothing is."""
    for name in names:
        if not _changed(c, name):
            continue
        from ..forwarded import Trusted  # seldom

        try:
            Trusted(getattr(c, name))
        except ValueError as error:
            return f'{OPTIONS[name].label}: {error}'
    return None


def _statsd_problem(address: str | None) -> str | None:
    if address is None:
        return None
    from ..observe.statsd import check_address  # seldom

    try:
        check_address(address)
    except ValueError as error:
        return str(error)
    return None


def _host_with_port(address: str) -> tuple[str | None, str]:
    host, colon, port = address.rpartition(':')
    found = colon and port.isdecimal() and (':' not in host or host.endswith(']'))
    return (host, port) if found else (None, '')


def _regex_problem(pattern: str) -> str | None:
    try:
        re.compile(pattern)
    except re.error as error:
        return str(error)
    return None
