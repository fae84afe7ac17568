"""Every option, walked from Config: flag, environment variable, default, range, and the Python API."""

import inspect
import pickle
from dataclasses import fields
from enum import Enum

import click
import pytest

from granian.config import OPTIONS, Config, api_arguments, signature
from granian.config.options import Option, coerce, parse_duration
from granian.constants import Interfaces, LogLevels, Loops, SSLProtocols
from granian.errors import ConfigurationError
from granian.http import HTTP1Settings, HTTP2Settings

ALL = list(OPTIONS.values())
ON_COMMAND_LINE = [option for option in ALL if option.flags]
NUMBERS = [option for option in ALL if option.kind in ('int', 'octal', 'float', 'duration')]

# The contract, written out once more on purpose: name on the command line, default.
CLI_DEFAULTS = {
    'statsd': None, 'statsd_prefix': 'granian', 'statsd_tags': (),
    'forwarder_headers': (),
    'proxy_protocol': 'off', 'proxy_allow_ips': ('127.0.0.1', '::1'),
    'forwarded_allow_ips': (),
    'log_file': None, 'access_log_file': None,
    'bind': (), 'reuse_port': False,
    'host': '127.0.0.1', 'port': 8000, 'uds': None, 'uds_permissions': None, 'interface': 'rsgi',
    'http': 'auto', 'websockets': True, 'workers': 1, 'blocking_threads': None,
    'blocking_threads_idle_timeout': 30, 'runtime_threads': 1, 'runtime_blocking_threads': None,
    'runtime_mode': 'auto', 'loop': 'auto', 'task_impl': 'asyncio', 'backlog': 1024, 'backpressure': None,
    'http1_buffer_size': 417792, 'http1_header_read_timeout': 30000, 'http1_keep_alive': True,
    'http1_pipeline_flush': False, 'http2_adaptive_window': False,
    'http2_initial_connection_window_size': 1048576, 'http2_initial_stream_window_size': 1048576,
    'http2_keep_alive_interval': None, 'http2_keep_alive_timeout': 20, 'http2_max_concurrent_streams': 200,
    'http2_max_frame_size': 16384, 'http2_max_headers_size': 65536, 'http2_max_send_buffer_size': 409600,
    'log_enabled': True, 'log_level': 'info', 'log_config': None, 'log_access_enabled': False,
    'log_access_fmt': None, 'ssl_certificate': None, 'ssl_keyfile': None, 'ssl_keyfile_password': None,
    'ssl_protocol_min': 'tls1.3', 'ssl_ca': None, 'ssl_crl': (),
    'ssl_client_verify': 'none', 'ssl_ciphers': None, 'root_path': '', 'lifespan': 'auto',
    'check': False, 'sendfile': True,
    'url_path_prefix': None, 'respawn_failed_workers': False, 'respawn_interval': 3.5,
    'rss_sample_interval': 30, 'rss_samples': 1, 'workers_lifetime': None, 'workers_max_rss': None,
    'workers_kill_timeout': 30, 'factory': False, 'working_dir': None, 'env_files': (),
    'static_path_route': ('/static',), 'static_path_mount': (), 'static_path_dir_to_file': None,
    'static_path_expires': 86400, 'metrics_enabled': False, 'metrics_scrape_interval': 15,
    'metrics_address': '127.0.0.1', 'metrics_port': 9090, 'reload': False, 'reload_paths': (),
    'reload_ignore_dirs': (), 'reload_ignore_patterns': (), 'reload_ignore_paths': (), 'reload_tick': 50,
    'reload_ignore_worker_failure': False, 'process_name': None, 'pid_file': None, 'core': 'threads',
    'http1_keep_alive_timeout': 75, 'http1_max_head_size': 65536, 'http1_max_headers': 100,
    'http1_max_request_line': 0, 'http1_max_field_size': 0, 'header_map': 'drop',
    'http2_engine': 'lean', 'http2_worker_streams': 10_000, 'server_header': 'granian',
    'ws_app': None, 'asgi_pathsend': False, 'request_body_spool': 67108864,
    'request_min_rate': 500, 'response_min_rate': 500,
    'request_body_timeout': 60, 'response_write_timeout': 60, 'ssl_handshake_timeout': 15,
    'ws_ping_interval': 20, 'ws_ping_timeout': 20, 'ws_max_message_size': 16777216, 'ws_max_queue': 32,
    'ws_per_message_deflate': True, 'static_path_precompressed': False, 'static_path_dotfiles': False,
    'reload_extra_files': (), 'worker_timeout': 0, 'user': None, 'group': None, 'initgroups': False,
    'umask': None, 'preload': False, 'respawn_max_deaths': None, 'workers_start_timeout': 60,
    'workers_lifetime_jitter': 0, 'workers_max_requests': None, 'workers_max_requests_jitter': 0,
}  # fmt: skip
RANGES = {
    'workers': (1, None), 'blocking_threads': (1, None), 'blocking_threads_idle_timeout': (5, 600),
    'runtime_threads': (1, None), 'runtime_blocking_threads': (1, None), 'backlog': (1, None),
    'backpressure': (1, None), 'http1_buffer_size': (8192, None), 'http1_header_read_timeout': (1, 60000),
    'http2_keep_alive_interval': (1, 60000), 'http2_keep_alive_timeout': (1, None), 'rss_samples': (1, None),
    'rss_sample_interval': (1, 300), 'workers_lifetime': (60, None), 'workers_max_rss': (1, None),
    'workers_kill_timeout': (1, 1800), 'static_path_expires': (0, None), 'metrics_scrape_interval': (1, 60),
    'reload_tick': (50, 5000), 'http1_max_head_size': (4096, None), 'http1_keep_alive_timeout': (1, None),
    'http1_max_headers': (1, None), 'http1_max_request_line': (0, None), 'http1_max_field_size': (0, None),
    'http2_max_headers_size': (1, None),
    'http2_max_send_buffer_size': (1024, None), 'http2_worker_streams': (0, None),
}  # fmt: skip
ENUM_MEMBERS = {
    'interface': {'asgi', 'asginl', 'rsgi', 'wsgi', 'auto'}, 'http': {'auto', '1', '2'},
    'header_map': {'drop', 'refuse', 'dangerous'}, 'http2_engine': {'lean', 'h2'},
    'runtime_mode': {'auto', 'mt', 'st'}, 'loop': {'auto', 'asyncio', 'rloop', 'uvloop', 'winloop'},
    'task_impl': {'asyncio', 'rust'}, 'ssl_protocol_min': {'tls1.2', 'tls1.3'}, 'core': {'threads', 'gevent'},
    'proxy_protocol': {'off', 'v1', 'v2', 'auto'},
    'lifespan': {'auto', 'on', 'off'}, 'ssl_client_verify': {'none', 'optional', 'required'},
    'log_level': {'critical', 'error', 'warning', 'warn', 'info', 'debug', 'notset'},
}  # fmt: skip
API_NAMES = {
    'host': 'address', 'log_access_enabled': 'log_access', 'log_access_fmt': 'log_access_format',
    'ssl_certificate': 'ssl_cert', 'ssl_keyfile': 'ssl_key', 'ssl_keyfile_password': 'ssl_key_password',
}  # fmt: skip


def ids(option: Option) -> str:
    return option.field


def test_the_declared_options_are_those_of_the_contract() -> None:
    assert {option.name: option.default for option in ON_COMMAND_LINE} == CLI_DEFAULTS
    assert {o.name: o.field for o in ON_COMMAND_LINE if o.name != o.field} == API_NAMES
    for name, limits in RANGES.items():
        assert (OPTIONS[name].ge, OPTIONS[name].le) == limits, name
    found = {o.name: {member.value for member in o.enum} for o in ALL if o.enum}
    assert found == ENUM_MEMBERS


def test_every_field_is_an_option_but_the_target_and_the_notices() -> None:
    assert {field.name for field in fields(Config)} - set(OPTIONS) == {'target', 'notices'}


def test_the_signature_is_the_published_one() -> None:
    names = list(signature().parameters)
    assert names[:19] == [
        'target', 'address', 'port', 'uds', 'uds_permissions', 'interface', 'workers', 'blocking_threads',
        'blocking_threads_idle_timeout', 'runtime_threads', 'runtime_blocking_threads', 'runtime_mode',
        'loop', 'task_impl', 'http', 'websockets', 'backlog', 'backpressure', 'http1_settings',
    ]  # fmt: skip
    assert not [name for name in names if name.startswith(('http1_buffer', 'http2_max'))]
    assert signature().parameters['interface'].default is Interfaces.RSGI
    for name in ('ssl_crl', 'env_files', 'static_path_route', 'reload_paths', 'http2_settings'):
        assert signature().parameters[name].default is None


def test_the_settings_classes_and_the_flat_options_agree() -> None:
    for settings, prefix in ((HTTP1Settings, 'http1_settings'), (HTTP2Settings, 'http2_settings')):
        flat = {o.setting[1]: o.default for o in ALL if o.setting and o.setting[0] == prefix}
        assert {field.name: field.default for field in fields(settings)} == flat


def test_options_are_grouped_and_described() -> None:
    for option in ALL:
        assert option.group, option
        assert option.help[0].isupper() or not option.help[0].isalpha() or option.help.startswith('max-age')
        assert not option.help.endswith('.')


@pytest.mark.parametrize('option', NUMBERS, ids=ids)
def test_range_of_the_python_api(option: Option) -> None:
    for limit, step, side in ((option.ge, -1, 'less'), (option.le, 1, 'greater')):
        if limit is None:
            continue
        assert coerce(option, limit) == limit
        outside = limit + step
        if option.zero and outside == 0:
            assert coerce(option, 0) == 0
            continue
        with pytest.raises(ConfigurationError, match=f'is {side} than the m..imum allowed value of {limit}'):
            coerce(option, outside)
    for wrong in ('1', True, [1]):
        with pytest.raises(ConfigurationError, match=r'expected a (whole )?number'):
            coerce(option, wrong)


@pytest.mark.parametrize('option', [o for o in ALL if o.enum], ids=ids)
def test_plain_strings_for_enums(option: Option) -> None:
    assert option.enum is not None
    for member in option.enum:
        assert coerce(option, member.value) is member
        assert coerce(option, member) is member
        assert coerce(option, str(member).upper()) is member
        assert f'{member}' == str(member) == member.value == member
    with pytest.raises(ConfigurationError, match=r"'nope' is not one of"):
        coerce(option, 'nope')
    with pytest.raises(ConfigurationError, match='is not one of'):
        coerce(option, 3)


def test_wrong_types_are_one_line() -> None:
    for options, text in (
        ({'address': 5}, '--host (address): expected text, got 5'),
        ({'reload': 'yes'}, "--reload: expected true or false, got 'yes'"),
        ({'ssl_cert': 5}, '--ssl-certificate (ssl_cert): expected a path, got 5'),
        ({'working_dir': '/no/such'}, "--working-dir: no folder at '/no/such'"),
        ({'env_files': ['/no/such']}, "--env-files: no file at '/no/such'"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            Config.from_api('m:app', **options)
        assert str(caught.value) == text


def test_none_is_the_default() -> None:
    given = dict.fromkeys((name for name in signature().parameters if name != 'target'), None)
    assert vars(Config.from_api('m:app', **given)) == vars(Config.from_api('m:app'))


def test_a_config_is_picklable_and_can_be_made_again_from_its_values() -> None:
    config = Config.from_api(
        'm:app', '0.0.0.0', 0, interface='wsgi', http1_settings=HTTP1Settings(keep_alive=False)
    )
    assert (config.address, config.port, config.http1_keep_alive) == ('0.0.0.0', 0, False)
    assert vars(pickle.loads(pickle.dumps(config))) == vars(config)
    values = {name: getattr(config, name) for name in OPTIONS}
    assert vars(Config.from_api('m:app', **api_arguments(values))) == vars(config)


def test_arguments_that_do_not_exist_are_type_errors() -> None:
    with pytest.raises(TypeError, match=r'Granian\(\): .*wokers'):
        Config.from_api('m:app', wokers=2)
    with pytest.raises(TypeError, match='too many positional'):
        Config.from_api('m:app', *range(200))
    with pytest.raises(ConfigurationError, match='the target must be an import string'):
        Config.from_api(object())  # type: ignore[arg-type]
    assert 'target' in inspect.signature(Config.from_api).parameters


def test_settings_of_the_http_classes_are_checked_too() -> None:
    with pytest.raises(ConfigurationError, match='--http1-buffer-size: 5 is less than'):
        Config.from_api('m:app', http1_settings=HTTP1Settings(max_buffer_size=5))


def test_worker_threads_and_backpressure_follow_from_the_rest() -> None:
    config = Config.from_api('m:app', interface='wsgi', workers=3)
    assert (config.worker_backpressure, config.worker_threads) == (341, 16)
    assert Config.from_api('m:app', interface='asgi').worker_threads == 1
    assert Config.from_api('m:app', interface='wsgi', blocking_threads=4).worker_threads == 4
    assert Config.from_api('m:app', interface='wsgi', backpressure=1).worker_threads == 1
    assert Config.from_api('m:app', workers=5000).worker_backpressure == 1


def test_one_path_or_text_stands_for_a_list_of_one() -> None:
    assert Config.from_api('m:app', reload=False, static_path_route='x/').static_path_route == ('/x',)
    assert Config.from_api('m:app', ssl_crl=[]).ssl_crl == ()
    assert Config.from_api('m:app', static_path_route=[]).static_path_route == ('/static',)


@pytest.mark.parametrize(
    ('given', 'kept'), [('/p', '/p'), ('p', '/p'), ('/p/', '/p'), ('/', None), ('', None), ('/a/b//', '/a/b')]
)
def test_url_path_prefix_has_one_form(given: str, kept: str | None) -> None:
    assert Config.from_api('m:app', url_path_prefix=given).url_path_prefix == kept


@pytest.mark.parametrize(
    ('text', 'seconds'),
    [('0', 0), ('90', 90), ('1d2h3m4s', 93784), ('1d', 86400), ('2h4s', 7204), ('3m', 180), ('10x', None),
     ('', None), ('4s3m', None), ('1d1d', None), ('-1', None), ('1.5', None), (' 5', None), ('5 ', None),
     ('1D', None), ('٣', None), ('1m٣s', None), ('d', None)],
)  # fmt: skip
def test_durations(text: str, seconds: int | None) -> None:
    assert parse_duration(text) == seconds


def test_values_are_of_the_declared_kind() -> None:
    config = Config.from_api('m:app')
    for option in ALL:
        value = getattr(config, option.field)
        if option.multiple:
            assert isinstance(value, tuple)
        elif option.enum:
            assert isinstance(value, option.enum)
            assert isinstance(value, Enum)
    assert (config.loop, config.log_level, config.ssl_protocol_min) == (
        Loops.auto, LogLevels.info, SSLProtocols.tls13,
    )  # fmt: skip


def test_click_is_not_needed_for_the_python_api() -> None:
    assert not any(isinstance(value, click.ParamType) for option in ALL for value in vars(option).values())
