"""Every refusal and every warning of granian.messages, each provoked once."""

import ast
import errno
import json
import re
import socket
import ssl
import string
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest

from granian import _internal, _loops, cli, log, messages, net, tls
from granian.addresses import Listening, UnixAddress
from granian.asgi.handler import check_application
from granian.config import OPTIONS, Config
from granian.config import rules as _rules
from granian.constants import Interfaces
from granian.core.loop.accept import Acceptor
from granian.core.system_errors import Shortage
from granian.errors import ConfigurationError, FatalError
from granian.http import HTTP1Settings, HTTP2Settings
from granian.server import embed, mt
from granian.server.pidfile import PidFile
from granian.worker import detect
from granian.worker.failures import failure


def pattern(text: str) -> str:
    """Return a pattern for a message's text with its placeholders open."""
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
    'server_header': lambda tmp: make(server_header='a\r\nb'),
    'too_small': lambda tmp: make(workers=0),
    'too_big': lambda tmp: make(port=70000),
    'wrong_type': lambda tmp: make(port='x'),
    'not_one_of': lambda tmp: make(interface='cgi'),
    'no_such_file': lambda tmp: make(ssl_cert=tmp / 'none'),
    'no_such_dir': lambda tmp: make(working_dir=tmp / 'none'),
    'no_such_path': lambda tmp: make(reload=True, working_dir=tmp, reload_paths=['none']),
    'no_address': lambda tmp: make(address=''),
    'lifespan_asginl': lambda tmp: make(lifespan='on', interface='asginl'),
    'bad_forwarded': lambda tmp: make(forwarded_allow_ips='*', forwarded='x'),
    'bad_network': lambda tmp: make(forwarded_allow_ips='10.0.0.1/8'),
    'bad_statsd': lambda tmp: make(statsd='a:b'),
    'host_with_port': lambda tmp: make(address='0.0.0.0:8000'),
    'app_factory': lambda tmp: detect.resolve(Interfaces.WSGI, lambda: None),
    'target_call': lambda tmp: _internal.load_target('json:loads(x)', tmp),
    'bad_bind': lambda tmp: make(bind='127.0.0.1:http'),
    'bind_twice': lambda tmp: make(bind=':8000', port=8001),
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
    'log_file': lambda tmp: log.configure_logging(log.LogLevels.info, file=str(tmp)),
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
    'cli_octal': lambda tmp: cli.OctalIntType().convert('9x', None, None),
    'cli_octal_range': lambda tmp: cli.OctalIntType(0, 0o777).convert('01000', None, None),
    'cli_empty_path': lambda tmp: cli.FilePath().convert('', None, None),
    'cli_duration': lambda tmp: cli.Duration().convert('10x', None, None),
    'cli_duration_long': lambda tmp: cli.Duration(max=5).convert('6', None, None),
    'cli_duration_short': lambda tmp: cli.Duration(min=5).convert('4s', None, None),
    'listen_stale': lambda tmp: _stale(tmp),
    'pid_unwritable': lambda tmp: PidFile(tmp / 'none' / 'pid').acquire(),
    'pid_unreadable': lambda tmp: PidFile(tmp).acquire(),
    'app_not_callable': lambda tmp: detect.resolve(Interfaces.ASGI, 3),
    'app_unknown': lambda tmp: detect.resolve(Interfaces.AUTO, lambda *args: None),
    'app_other': lambda tmp: detect.resolve(Interfaces.ASGI, lambda environ, start_response: None),
    'app_not_asgi': lambda tmp: check_application(lambda: None),  # type: ignore[arg-type, return-value]
    'app_asgi_2': lambda tmp: check_application(lambda scope: None),  # type: ignore[arg-type, return-value]
    'gevent_needs_processes': lambda tmp: mt.MTServer(
        'm:app', interface='wsgi', core='gevent'
    )._make_launcher(net.Endpoint([]), None, None),
    'embedded_wsgi': lambda tmp: embed.Server(None, interface='wsgi'),
    'embedded_option': lambda tmp: embed.Server(None, workers=2),
    'tls_weak': lambda tmp: _weak(),
    'internal': lambda tmp: _raise(ConfigurationError(failure(ValueError('x')).message)),
}


def _raise(error: Exception) -> None:
    raise error


def _stale(tmp_path: Path) -> None:
    path = tmp_path / 's'
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, 'unlink', lambda *args, **options: _raise(PermissionError(1, 'Not permitted')))
        net.listen_on([UnixAddress(str(path))], Listening())


def _weak() -> None:
    error = ssl.SSLError()
    error.reason = 'EE_KEY_TOO_SMALL'
    raise ConfigurationError(tls._pair_problem(Path('c'), Path('k'), None, error, asked=False))


def _watchdog() -> None:
    module = pytest.importorskip('granian.core.greenlets.watchdog')
    module.Watchdog._report(SimpleNamespace(_thread=threading.get_ident()))


def _acceptor() -> Acceptor:
    loop = SimpleNamespace(call_later=lambda *args: None, time=lambda: 100.0)
    settings = SimpleNamespace(handshake_timeout=1, share=None, on_exit=None)
    core = SimpleNamespace(connections=set(), loop=loop, clock=None, settings=settings)
    return Acceptor(core, [])  # type: ignore[arg-type]


def _complain(name: str) -> None:
    error = OSError(errno.EMFILE, 'Too many open files')
    Shortage().warn(100, name, error.strerror)


LISTENER: Any = SimpleNamespace(getsockopt=lambda *_: b'')
"""One of which the kernel tells nothing."""
LOGGED = {
    'no_descriptors': lambda: _complain('no_descriptors'),
    'making_room': lambda: _complain('making_room'),
    'accept_failed': lambda: _acceptor()._accept_failed(OSError(errno.EPERM, 'x'), LISTENER),
    'accept_paused': lambda: _acceptor()._accept_failed(OSError(errno.EMFILE, 'x'), LISTENER),
    'gevent_held': _watchdog,
}


@pytest.mark.parametrize('name', LOGGED)
def test_warning_while_serving(name: str, caplog: pytest.LogCaptureFixture) -> None:
    LOGGED[name]()
    (record,) = caplog.records
    assert (record.levelname, record.msg) == ('WARNING', messages.WARNINGS[name])


def test_no_refusal_and_no_warning_is_spelled_elsewhere() -> None:
    """Neither where one is raised nor where a warning is logged."""
    found = []
    for path in Path(messages.__file__).parent.rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = getattr(node.func, 'attr', getattr(node.func, 'id', ''))
            ours = name in {'FatalError', 'ConfigurationError', 'PidFileError', 'TargetError', 'LoadError'}
            if (
                ours
                or name in {'ClickException', 'UsageError', 'BadParameter', 'Failure', 'warning'}
                or (name == 'fail' and path.name == 'cli.py')
            ):
                text = node.args[0]
                if isinstance(text, (ast.JoinedStr, ast.BinOp)) or (
                    isinstance(text, ast.Constant) and isinstance(text.value, str)
                ):
                    found.append(f'{path.name}:{node.lineno}')
    assert found == []


def test_every_text_is_used() -> None:
    texts = [path.read_text(encoding='utf-8') for path in Path(messages.__file__).parent.rglob('*.py')
             if path.name != 'messages.py']  # fmt: skip
    source = '\n'.join(texts)
    unused = [name for name in {**messages.REFUSALS, **messages.WARNINGS} if f"'{name}'" not in source]
    assert set(unused) == {'no_such_file', 'no_such_dir'}  # by their kind


def test_what_is_provoked_elsewhere_is_there() -> None:
    for name, (file, test) in ELSEWHERE.items():
        path = Path(__file__).parents[1] / f'{file}.py'
        assert re.search(rf'^(async )?def {test}\(', path.read_text(encoding='utf-8'), re.MULTILINE), name


CLI = 'config/test_cli'
APPLICATION = 'options/test_option_application'
RULES, TLS, NET, PID = (
    'config/test_rules', 'tls/test_tls_context', 'server/test_net', 'server/test_pidfile'
)  # fmt: skip
TARGET = ('config/test_load_target', 'test_a_target_that_leads_nowhere_says_what_was_looked_for_and_where')
ELSEWHERE = {
    'target_colon': TARGET,
    'few_descriptors': ('core/test_shortage', 'test_core_is_made_once_the_limit_is_raised'),
    'limit_raised': ('core/test_shortage', 'test_lowered_limit_is_raised_again'),
    'limit_too_low': ('core/test_shortage', 'test_limit_lowered_for_good_replaces_the_worker_once'),
    'task_factory': ('loop/test_task_factory', 'test_factory_that_raises_is_not_used_again'),
    'threads_run': ('server/test_process_state', 'test_thread_that_delays_a_stop_is_named'),
    'target_arguments': TARGET,
    'needs_extra': (RULES, 'test_a_missing_extra_is_named'),
    'lifespan_missing': (
        'options/test_option_application',
        'test_required_lifespan_is_fatal_when_missing',
    ),
    'tls_ciphers': ('tls/test_tls_options', 'test_ciphers_that_do_not_exist_are_one_line'),
    'tls_hook': ('tls/test_tls_options', 'test_context_hook_that_fails_is_one_line'),
    'tls_hook_result': ('tls/test_tls_options', 'test_context_hook_that_fails_is_one_line'),
    'no_setproctitle': (RULES, 'test_process_name_without_setproctitle_is_a_warning'),
    'cli_gunicorn': (CLI, 'test_option_of_gunicorn_is_never_answered_with_a_guess'),
    'cli_habit': (CLI, 'test_option_of_another_server_is_answered_with_ours'),
    'service_address': (CLI, 'test_variable_that_kubernetes_sets_is_passed_over'),
    'unknown_variable': (CLI, 'test_unknown_variable_is_named_with_the_nearest'),
    'refused': ('server/test_refusals', 'test_refused_request_leaves_a_trace'),
    'exited': ('server/test_exits', 'test_exit_outside_a_request_replaces_the_worker'),
    'log_not_reopened': ('config/test_logging', 'test_file_that_cannot_be_reopened_goes_on'),
    'in_use': (NET, 'test_address_in_use_is_tried_five_times'),
    'no_ipv6': (NET, 'test_ipv6_is_passed_over_where_there_is_none'),
    'passed_sockets': ('server/test_bind', 'test_sockets_passed_by_systemd_win'),
    'reuse_port': (RULES, 'test_reuse_port_is_refused_on_windows'),
    'uds_on_windows': (RULES, 'test_unix_sockets_are_refused_on_windows'),
    'gevent_half_patched': ('e2e/test_gevent', 'test_what_cannot_work_is_one_line'),
    'gevent_unpatched': ('e2e/test_gevent', 'test_modules_imported_early_are_named_and_served'),
    'gevent_missing': ('e2e/test_gevent', 'test_what_cannot_work_is_one_line'),
    'gevent_too_late': ('e2e/test_gevent', 'test_what_cannot_work_is_one_line'),
    'listen_metrics': ('metrics/test_metrics_server', 'test_the_port_is_taken'),
    'app_exits': ('server/test_processes', 'test_an_application_that_leaves_while_it_is_imported'),
    'listen': (NET, 'test_port_in_use'),
    'pid_running': (PID, 'test_live_process_is_respected'),
    'tls_unreadable': (TLS, 'test_files_that_are_not_there'),
    'tls_other': (TLS, 'test_files_that_are_something_else'),
    'tls_damaged': (TLS, 'test_files_that_are_damaged'),
    'tls_pair': (TLS, 'test_a_pair_that_does_not_match'),
    'tls_encrypted': (TLS, 'test_passwords'),
    'tls_password': (TLS, 'test_passwords'),
    'tls_key': (TLS, 'test_files_that_are_damaged'),
    'app_failed': ('adapters/test_asgi_lifespan', 'test_startup_failed'),
    'app_broken': ('server/test_processes', 'test_broken_application_is_told_once'),
    'not_picklable': ('server/test_processes', 'test_target_loader'),
    'no_lifespan': ('adapters/test_asgi_lifespan', 'test_missing_lifespan_is_a_debug_line'),
    'ws_app_wsgi': ('conformance/test_ws_app', 'test_wrong_application_is_one_line'),
    'wsgi_websocket': ('adapters/test_wsgi_environ', 'test_websocket_handshake_keeps_its_fields'),
    'overdue': ('server/test_processes', 'test_kill_timeout'),
    'no_worker': ('server/test_supervisor', 'test_shrink_without_a_worker_is_ignored'),
    'no_room': ('server/test_supervisor', 'test_first_workers_without_room_are_one_line'),
    'metrics_later': ('metrics/test_exporter', 'test_port_of_an_old_main_process_is_taken_after_its_end'),
    'last_worker': ('server/test_processes', 'test_grow_and_shrink'),
    'upgrading': ('server/test_processes', 'test_usr2_starts_a_main_process_that_takes_over'),
    'not_again': ('gunicorn/test_gunicorn_upgrade', 'test_upgrade_without_processes_left_is_one_line'),
    'start_overdue': ('server/test_processes', 'test_reload_that_hangs_is_given_up'),
    'gives_up': ('server/test_processes', 'test_crash_loop_ends_at_the_limit'),
    'crash_loop': ('server/test_supervisor', 'test_crash_loop_pauses_and_goes_on'),
    'no_forkserver': ('server/test_processes', 'test_without_a_temporary_folder_workers_are_spawned'),
    'hook_failed': ('server/test_hooks', 'test_exception_in_a_start_hook_is_logged'),
    'terminated': ('server/test_processes', 'test_terminated_worker_is_replaced'),
    'ws_unfinished': (
        'adapters/test_ws_unfinished',
        'test_oldest_is_closed_and_the_one_that_arrives_is_whole',
    ),
    'statsd_unresolved': ('metrics/test_statsd', 'test_unresolved_name_is_one_warning_and_tried_again'),
    'no_such_user': ('server/test_identity', 'test_unknown_user_and_group'),
    'no_such_group': ('server/test_identity', 'test_unknown_user_and_group'),
    'worker_timeout': ('server/test_worker_timeout', 'test_one_thread_is_cut_with_500_and_a_stack'),
    'no_life': ('server/test_worker_timeout', 'test_stopped_process_is_replaced'),
    'no_folder': ('server/test_working_dir', 'test_deleted_current_folder_is_one_line'),
    'no_entry': ('server/test_identity', 'test_folder_that_a_worker_may_not_enter_is_one_line'),
    'cannot_become': ('server/test_identity', 'test_ordinary_user_cannot_change'),
    'cannot_give': ('server/test_identity', 'test_ordinary_user_cannot_change'),
    'needs_fork': ('server/test_hooks', 'test_hooks_need_forked_workers'),
    'needs_processes': ('server/test_hooks', 'test_hooks_need_forked_workers'),
    'static_broken': ('static/test_static_served', 'test_a_file_that_becomes_shorter_while_it_is_sent'),
    'client_verify': (RULES, 'test_client_verification_without_roots_is_ignored_with_a_warning'),
}
"""What is provoked by a test of its own: (file below tests/, test)."""


def test_every_refusal_has_a_case() -> None:
    assert set(messages.REFUSALS) - set(ELSEWHERE) == set(REFUSED)
    assert set(ELSEWHERE) <= {*messages.REFUSALS, *messages.WARNINGS}


@pytest.mark.parametrize('name', REFUSED)
def test_refusal(name: str, tmp_path: Path) -> None:
    with pytest.raises((FatalError, click.BadParameter), match=pattern(messages.REFUSALS[name])) as caught:
        REFUSED[name](tmp_path)
    assert '\n' not in str(caught.value)
    assert '{' not in str(caught.value).replace('header{name}', '')


def test_unix_sockets_are_refused_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('sys.platform', 'win32')
    with pytest.raises(ConfigurationError, match='no Unix sockets on Windows'):
        make(uds='x')


def test_process_name_without_setproctitle_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    config = make(process_name='x')
    assert config.process_name is None
    assert config.notices == (messages.WARNINGS['no_setproctitle'],)


def test_reuse_port_is_refused_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('sys.platform', 'win32')
    with pytest.raises(ConfigurationError, match='no SO_REUSEPORT'):
        make(reuse_port=True)


@pytest.mark.parametrize('row', _rules.NEEDS_EXTRA, ids=lambda row: row[0])
def test_a_missing_extra_is_named(row: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    what, module, extra, _ = row
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    name, _, value = what[2:].partition(' ')
    values = {'reload_paths': [tmp_path], 'env_files': [_file(tmp_path, '')], 'loop': value}
    option = name.replace('-', '_')
    with pytest.raises(ConfigurationError) as caught:
        make(reload=True, **{option: values[option]})
    assert str(caught.value) == f'{what} needs {module}, which is not installed: pip install granian[{extra}]'


WARNED: dict[str, dict[str, Any]] = {
    'needs': {'metrics_port': 1},
    'port_with_uds': {'uds': 's', 'port': 8001},
    'other_interface': {'interface': 'asgi', 'blocking_threads': 5},
    'other_http': {'http': '1', 'http2_settings': HTTP2Settings(max_headers_size=100)},
    'compatibility': {'runtime_threads': 2},
    'task_impl': {'task_impl': 'rust'},
    'adaptive_window': {'http2_engine': 'h2', 'http2_settings': HTTP2Settings(adaptive_window=True)},
    'head_size': {'http1_max_head_size': 10000, 'http1_settings': HTTP1Settings(max_buffer_size=9000)},
    'permissions': {'uds': 's', 'uds_permissions': 660},
    'frame_size': {'http2_settings': HTTP2Settings(max_frame_size=1024)},
}


def test_every_warning_has_a_case() -> None:
    assert set(messages.WARNINGS) - set(ELSEWHERE) == {*WARNED, *LOGGED}


@pytest.mark.parametrize('name', WARNED)
def test_warning(name: str) -> None:
    notices = make(**WARNED[name]).notices
    assert [n for n in notices if re.fullmatch(pattern(messages.WARNINGS[name]), n)] == list(notices) != []


def test_client_verification_without_roots_is_ignored_with_a_warning(tmp_path: Path) -> None:
    file = _file(tmp_path, '')
    config = make(ssl_cert=file, ssl_key=file, ssl_client_verify=True)
    assert config.ssl_client_verify == 'none'
    assert config.notices == (messages.WARNINGS['client_verify'],)
    assert (
        make(ssl_cert=file, ssl_key=file, ssl_client_verify=True, ssl_ca=file).ssl_client_verify == 'required'
    )


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
               'reload_filter': object, 'forwarded': 'scheme', 'secure_scheme_headers': {'a': 'b'},
                   'ssl_key_password': 'x', 'respawn_max_deaths': 1}  # fmt: skip
    for name, other in _rules.NEEDS_OPTION.items():
        option = OPTIONS[name]
        if option.setting:
            continue
        by_kind = {
            'file': file,
            'path': file,
            'text': 'x',
            'bool': not option.default,
            'octal': 0o600,
            'list': 'x',
        }
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
    assert make(http='2', http1_max_head_size=5000).notices
    assert make(http='2', http1_max_headers=5, http1_max_request_line=5).notices == ()
