"""Every refusal and every warning of granian.messages, each provoked once."""

import json
import re
import string
from pathlib import Path
from typing import Any

import pytest

from granian import _internal, _loops, _rules, log, messages
from granian.config import OPTIONS, Config
from granian.errors import ConfigurationError, TargetError
from granian.http import HTTP1Settings, HTTP2Settings


@pytest.fixture(autouse=True)
def _every_room_built(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if 'not_built' not in request.node.name:
        monkeypatch.setattr(_rules, 'NOT_BUILT', {})


def pattern(text: str) -> str:
    """A message's text with its placeholders open."""
    return ''.join(re.escape(literal) + ('.*' if name is not None else '')
                   for literal, name, _, _ in string.Formatter().parse(text))  # fmt: skip


def make(**options: Any) -> Config:
    return Config.from_api('m:app', **options)


def mounts(tmp_path: Path) -> dict[str, Any]:
    return {'static_path_mount': [tmp_path, tmp_path], 'static_path_route': ['/a']}


def _file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / 'file'
    path.write_text(text)
    return path


REFUSED = {
    'too_small': lambda tmp: make(workers=0),
    'too_big': lambda tmp: make(port=70000),
    'wrong_type': lambda tmp: make(port='x'),
    'not_one_of': lambda tmp: make(interface='cgi'),
    'no_such_file': lambda tmp: make(ssl_cert=tmp / 'none'),
    'no_such_dir': lambda tmp: make(working_dir=tmp / 'none'),
    'no_such_path': lambda tmp: make(reload=True, working_dir=tmp, reload_paths=['none']),
    'no_address': lambda tmp: make(address=''),
    'target_not_text': lambda tmp: Config.from_api(3),  # type: ignore[arg-type]
    'no_target': lambda tmp: Config.from_api(' '),
    'cert_without_key': lambda tmp: make(ssl_cert=_file(tmp, '')),
    'key_without_cert': lambda tmp: make(ssl_key=_file(tmp, '')),
    'mounts_and_routes': lambda tmp: make(**mounts(tmp)),
    'route_twice': lambda tmp: make(static_path_mount=[tmp, tmp], static_path_route=['/a', '/a/']),
    'log_config_twice': lambda tmp: make(log_config=_file(tmp, '{}'), log_dictconfig={}),
    'log_config_unreadable': lambda tmp: make(log_config=_file(tmp, '{')).logging_config(),
    'log_config_not_object': lambda tmp: make(log_config=_file(tmp, '[]')).logging_config(),
    'log_config_invalid': lambda tmp: log.configure_logging(log.LogLevels.info, {'handlers': {'x': {}}}),
    'access_format': lambda tmp: make(log_access=True, log_access_format='%(nope)s'),
    'gevent_needs_wsgi': lambda tmp: make(core='gevent', interface='asgi'),
    'bad_pattern': lambda tmp: make(reload=True, reload_ignore_patterns=['(']),
    'env_file_unreadable': lambda tmp: _internal.load_env_files([tmp]),
    'no_such_loop': lambda tmp: _loops.loops.get('nope'),
    'target_malformed': lambda tmp: _internal.load_target('a:', tmp),
    'target_no_file': lambda tmp: _internal.load_target('none.py:app', tmp),
    'target_no_module': lambda tmp: _internal.load_target('no_such_module_:app', tmp),
    'target_no_attribute': lambda tmp: _internal.load_target('json:nope', tmp),
    'target_not_callable': lambda tmp: _internal.load_target('json:__name__', tmp, factory=True),
}
ELSEWHERE = {
    'needs_extra', 'not_built', 'uds_on_windows',
    'gevent_half_patched', 'gevent_too_late', 'gevent_missing',
}  # fmt: skip


def test_every_refusal_has_a_case() -> None:
    assert set(REFUSED) | ELSEWHERE == set(messages.REFUSALS)


@pytest.mark.parametrize('name', REFUSED)
def test_refusal(name: str, tmp_path: Path) -> None:
    with pytest.raises((ConfigurationError, TargetError), match=pattern(messages.REFUSALS[name])) as caught:
        REFUSED[name](tmp_path)
    assert '\n' not in str(caught.value)
    assert '{' not in str(caught.value).replace('header{name}', '')


def test_unix_sockets_are_refused_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('sys.platform', 'win32')
    with pytest.raises(ConfigurationError, match='no Unix sockets on Windows'):
        make(uds='x')


@pytest.mark.parametrize('row', _rules.NEEDS_EXTRA, ids=lambda row: row[0])
def test_a_missing_extra_is_named(row: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    what, module, extra, _ = row
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    name, _, value = what[2:].partition(' ')
    values = {'reload': True, 'process_name': 'x', 'env_files': [_file(tmp_path, '')], 'loop': value}
    option = name.replace('-', '_')
    with pytest.raises(ConfigurationError) as caught:
        make(**{option: values[option]})
    assert str(caught.value) == f'{what} needs {module}, which is not installed: pip install granian[{extra}]'


def test_what_is_not_built_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_rules, 'NOT_BUILT', {'--url-path-prefix': lambda c: c.url_path_prefix is not None})
    make()
    with pytest.raises(ConfigurationError, match=pattern(messages.REFUSALS['not_built'])):
        make(url_path_prefix='/p')


def test_what_is_left_as_not_built_is_never_a_default_but_the_interface() -> None:
    config = Config.from_api('m:app', interface='wsgi')
    assert [what for what, wanted in _rules.NOT_BUILT.items() if wanted(config)] == []


WARNED: dict[str, dict[str, Any]] = {
    'needs': {'metrics_port': 1},
    'other_interface': {'interface': 'asgi', 'blocking_threads': 5},
    'other_http': {'http': '1', 'http2_settings': HTTP2Settings(max_headers_size=100)},
    'compatibility': {'runtime_threads': 2},
    'task_impl': {'task_impl': 'rust'},
    'head_size': {'http1_max_head_size': 10000, 'http1_settings': HTTP1Settings(max_buffer_size=9000)},
    'permissions': {'uds': 's', 'uds_permissions': 660},
    'frame_size': {'http2_settings': HTTP2Settings(max_frame_size=1024)},
}


def test_every_warning_has_a_case() -> None:
    assert {*WARNED, 'client_verify'} == set(messages.WARNINGS)


@pytest.mark.parametrize('name', WARNED)
def test_warning(name: str) -> None:
    notices = make(**WARNED[name]).notices
    assert [n for n in notices if re.fullmatch(pattern(messages.WARNINGS[name]), n)] == list(notices) != []


def test_client_verification_without_roots_is_ignored_with_a_warning(tmp_path: Path) -> None:
    file = _file(tmp_path, '')
    config = make(ssl_cert=file, ssl_key=file, ssl_client_verify=True)
    assert config.ssl_client_verify is False
    assert config.notices == (messages.WARNINGS['client_verify'],)
    assert make(ssl_cert=file, ssl_key=file, ssl_client_verify=True, ssl_ca=file).ssl_client_verify is True


def test_permissions_that_look_like_octal_and_are_not() -> None:
    def told(mode: int) -> bool:
        return bool(make(uds='s', uds_permissions=mode).notices)

    assert all(told(int(f'{mode:o}')) for mode in range(0o600, 0o1000))
    assert not any(told(mode) for mode in (0o600, 0o660, 0o666, 0o644, 0o700, 0o770, 0o777, 0o1777))
    (notice,) = make(uds='s', uds_permissions=660).notices
    assert '660 without a leading 0 is decimal, and stands for the mode 1224: write 0660' in notice


def test_values_that_are_adapted() -> None:
    assert make(task_impl='rust').task_impl == 'asyncio'
    assert make(http2_settings=HTTP2Settings(max_frame_size=1024)).http2_max_frame_size == 16384
    small = make(http1_settings=HTTP1Settings(max_buffer_size=9000))
    assert (small.http1_max_head_size, small.notices) == (9000, ())


def test_frameworks_that_spell_out_what_is_so_anyway_get_no_warning() -> None:
    assert make(interface='asgi', runtime_mode='st', runtime_threads=1, blocking_threads=1).notices == ()
    assert len(make(interface='asgi', runtime_mode='mt').notices) == 1


def test_defaults_give_no_warning() -> None:
    for interface in ('wsgi', 'asgi', 'asginl', 'rsgi', 'auto'):
        for http in ('auto', '1', '2'):
            assert make(interface=interface, http=http).notices == ()


def test_every_dependent_option_names_what_it_needs(tmp_path: Path) -> None:
    file = _file(tmp_path, '{}')
    special = {'ssl_protocol_min': 'tls1.2', 'reload_ignore_patterns': ['x'], 'log_access_format': 'x',
               'reload_filter': object, 'ssl_key_password': 'x'}  # fmt: skip
    for name, other in _rules.NEEDS_OPTION.items():
        option = OPTIONS[name]
        if option.setting:
            continue
        by_kind = {'file': file, 'path': file, 'text': 'x', 'bool': not option.default, 'octal': 0o600}
        value = special.get(name, by_kind.get(option.kind))
        if value is None:
            value = option.default + 1
        off = {'websockets': False} if other == 'websockets' else {}
        notices = make(**{name: value}, **off).notices
        expected = messages.WARNINGS['needs'].format(option=option.label, other=OPTIONS[other].label)
        assert expected in notices, name


def test_log_config_is_read_anew_each_time(tmp_path: Path) -> None:
    file = _file(tmp_path, '{"version": 1}')
    config = make(log_config=file)
    assert config.logging_config() == {'version': 1}
    file.write_text(json.dumps({'version': 1, 'loggers': {}}))
    assert config.logging_config() == {'version': 1, 'loggers': {}}
    assert make(log_dictconfig={'a': 1}).logging_config() == {'a': 1}
    assert make().logging_config() is None


def test_paths_to_watch_are_relative_to_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / 'src').mkdir()
    assert make(reload=True, working_dir=tmp_path, reload_paths=['src']).reload_paths == (Path('src'),)
    assert make(reload_paths=['src'], working_dir=tmp_path).notices  # not watched: said, and no more


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_a_time_is_a_finite_number(value: float) -> None:
    with pytest.raises(ConfigurationError, match='--respawn-interval: expected a number'):
        make(respawn_interval=value)


@pytest.mark.parametrize(
    ('name', 'value', 'what'),
    [
        ('http1_settings', 3, 'an HTTP1Settings'),
        ('http1_settings', HTTP2Settings(), 'an HTTP1Settings'),
        ('http2_settings', {'max_frame_size': 20000}, 'an HTTP2Settings'),
        ('log_dictconfig', 'logging.json', 'a mapping'),
    ],
)
def test_an_object_of_another_kind_is_refused(name: str, value: object, what: str) -> None:
    with pytest.raises(ConfigurationError, match=f'{name}: expected {what}, got '):
        make(**{name: value})


def test_the_timeout_of_idle_connections_holds_for_http2_as_well() -> None:
    assert make(http='2', http1_keep_alive_timeout=5).notices == ()
    assert make(http='2', http1_max_headers=5).notices
