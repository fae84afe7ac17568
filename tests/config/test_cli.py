"""The command line as click sees it, with the server replaced: options in, keywords out."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

import granian
from granian import cli, messages
from granian.cli_habits import INSTEAD
from granian.config import OPTIONS, Config
from granian.config.options import Option
from granian.constants import Interfaces
from granian.errors import ConfigurationError, FatalError
from granian.gunicorn.settings import TABLE

ON_COMMAND_LINE = [option for option in OPTIONS.values() if option.flags]
BY_NAME = {option.name: option for option in ON_COMMAND_LINE}


class FakeServer:
    made: Config
    error: Exception | None = None

    def __init__(self, target: str, **options: Any) -> None:
        FakeServer.made = Config.from_api(target, **options)

    def serve(self) -> None:
        if self.error:
            raise self.error


@pytest.fixture(autouse=True)
def _fake(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith('GRANIAN_')]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(cli, 'Server', FakeServer)
    monkeypatch.setattr('importlib.util.find_spec', lambda name: name)


def run(*args: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(cli.cli, [*args, 'm:app'], env=env)


def given(*args: str, env: dict[str, str] | None = None) -> Config:
    result = run(*args, env=env)
    assert result.exit_code == 0, result.output
    return FakeServer.made


def sample(option: Option, tmp_path: Path) -> tuple[str, Any]:
    """Return a text that is not the default, and the value it stands for."""
    file = tmp_path / 'a-file'
    file.touch()
    if option.kind == 'enum':
        assert option.enum is not None
        member = next(member for member in reversed(option.enum) if member is not option.default)
        if option.name == 'interface':
            member = Interfaces.WSGI
        return member.value, member
    if option.kind in ('int', 'duration'):
        value = int(option.default or option.ge or 0) + 1
        return (f'{value // 60}m{value % 60}s' if option.kind == 'duration' else str(value)), value
    samples: dict[str, tuple[str, Any]] = {
        'octal': ('0640', 0o640), 'float': ('1.25', 1.25), 'path': ('x/y', Path('x/y')),
        'file': (str(file), file), 'dir': (str(tmp_path), tmp_path),
        'bool': ('false' if option.default else 'true', not option.default),
    }  # fmt: skip
    return {
        'url_path_prefix': ('/p', '/p'),
        'bind': ('[::1]:80', '[::1]:80'),
        'statsd': ('h:1', 'h:1'),
        'statsd_tags': ('a,b', ('a', 'b')),
        'proxy_allow_ips': ('*', ('*',)),
        'forwarded_allow_ips': ('10.0.0.1, 10.1.0.0/16', ('10.0.0.1', '10.1.0.0/16')),
        'forwarder_headers': ('SCRIPT_NAME, X_A', ('SCRIPT_NAME', 'X_A')),
        'log_access_fmt': ('%(path)s', '%(path)s'),
    }.get(option.name, samples.get(option.kind, ('/x', '/x')))


# What an option cannot be given without.
TOGETHER = {
    'ssl_certificate': ['ssl_keyfile'], 'ssl_keyfile': ['ssl_certificate'], 'ssl_client_verify': ['ssl_ca'],
    'core': ['interface'],
}  # fmt: skip


def adapted(option: Option, value: Any) -> Any:
    """Return what Config makes of the value, where the API differs from the command line."""
    return {'task_impl': 'asyncio'}.get(option.name, (value,) if option.multiple else value)


@pytest.mark.parametrize('option', ON_COMMAND_LINE, ids=lambda option: option.name)
def test_flag_and_environment(option: Option, tmp_path: Path) -> None:
    args: list[str] = []
    for other in (BY_NAME[name] for name in TOGETHER.get(option.name, [])):
        args += [other.flags, sample(other, tmp_path)[0]]
    text, value = sample(option, tmp_path)
    value = adapted(option, value)
    positive, _, negative = option.flags.partition('/')
    flag = [positive if value else negative] if option.kind == 'bool' else [positive, text]
    assert getattr(given(), option.field) == option.default
    assert getattr(given(*args, *flag), option.field) == value
    assert option.env == f'GRANIAN_{option.name.upper()}'
    assert getattr(given(*args, env={option.env: text}), option.field) == value
    # The flag is stronger than the environment.
    if option.kind == 'bool':
        assert getattr(given(*args, positive, env={option.env: 'false'}), option.field) is True
        assert getattr(given(*args, negative, env={option.env: 'true'}), option.field) is False
    elif not option.multiple:
        assert getattr(given(*args, *flag, env={option.env: 'ignored'}), option.field) == value


@pytest.mark.parametrize('option', [o for o in ON_COMMAND_LINE if o.kind != 'bool'], ids=lambda o: o.name)
def test_ranges_and_kinds_are_refused_by_the_command_line(option: Option) -> None:
    wrong = []
    if option.ge is not None and not (option.ge == 1 and option.zero):
        wrong.append(str(int(option.ge) - 1))
    if option.le is not None:
        above = int(option.le) + 1
        wrong.append(f'0{above:o}' if option.kind == 'octal' else str(above))
    if option.kind not in ('text', 'list', 'path'):
        wrong.append('/no/such/thing')
    for text in wrong:
        result = run(f'{option.flags}={text}')
        assert result.exit_code == 2, text
        assert f"Error: Invalid value for '{option.flags}'" in result.output
        assert 'Traceback' not in result.output


@pytest.mark.parametrize('option', [o for o in ON_COMMAND_LINE if o.multiple], ids=lambda option: option.name)
def test_repeatable(option: Option, tmp_path: Path) -> None:
    files = [tmp_path / 'a', tmp_path / 'b']
    for file in files:
        file.mkdir() if option.kind == 'dir' else file.touch()
    routes = ['--static-path-route=/a', '--static-path-route=/b']
    args = routes if option.name == 'static_path_mount' else []
    texts = ['127.0.0.1:1', 'unix:s'] if option.name == 'bind' else [str(file) for file in files]
    for text in texts:
        args += [option.flags, text]
    values = [text if option.kind == 'text' else Path(text) for text in texts]
    assert getattr(given(*args), option.field) == tuple(values)


def shown_default(option: Option) -> str:
    if option.default_text is not None:
        return option.default_text
    if option.kind == 'bool':
        return 'enabled' if option.default else 'disabled'
    if option.default in (None, ()):
        return 'none'
    if option.kind == 'list':
        return ','.join(option.default)
    return option.default[0] if option.multiple else str(option.default)


def test_help_tells_variable_default_and_range_of_each_option() -> None:
    text = ' '.join(CliRunner().invoke(cli.cli, ['--help'], auto_envvar_prefix='GRANIAN').output.split())
    for option in ON_COMMAND_LINE:
        start = text.index(f' {option.flags.replace("/", " / ")} ')
        found = re.search(rf'\[env var: {option.env}; default: ([^\]]*)\]', text[start:])
        assert found is not None, option.name
        default, *limits = found[1].split('; ')
        assert default == shown_default(option), option.name
        if option.kind in ('int', 'duration', 'float') and option.ge is not None:
            upper = option.le is not None
            assert limits == [f'{option.ge}<=x<={option.le}' if upper else f'x>={option.ge}'], option.name
    assert '(' not in re.findall(r'default: (.)', text)


def test_help_is_not_wider_than_the_terminal_and_breaks_no_word() -> None:
    output = CliRunner().invoke(cli.cli, ['--help'], terminal_width=80).output
    assert max(map(len, output.splitlines())) <= 80
    assert re.findall(r'--[a-z0-9-]*-$', output, re.MULTILINE) == []
    for option in ON_COMMAND_LINE:
        assert option.env in output


VERSION = f'granian {granian.__version__} (pure Python)\n'


def test_version() -> None:
    assert CliRunner().invoke(cli.cli, ['--version']).output == VERSION


def test_no_application() -> None:
    result = CliRunner().invoke(cli.cli, [])
    assert result.exit_code == 2
    assert "Missing argument 'APP'" in result.output


@pytest.mark.parametrize(
    ('option', 'value', 'said'),
    [('--workers-lifetime', '10x', "'10x' is not a valid duration"),
     ('--workers-lifetime', '59', "'59' is less than the minimum allowed value of 60 seconds"),
     ('--workers-kill-timeout', '1h', "'1h' is greater than the maximum allowed value of 1800 seconds"),
     ('--blocking-threads-idle-timeout', '4s', "'4s' is less than the minimum allowed value of 5 seconds"),
     ('--uds-permissions', '9z', "'9z' is not a valid octal or decimal number"),
     ('--uds-permissions', '08', "'08' is not a valid octal or decimal number"),
     ('--interface', 'cgi', "'cgi' is not one of 'asgi', 'asginl', 'rsgi', 'wsgi', 'auto'")],
)  # fmt: skip
def test_messages(option: str, value: str, said: str) -> None:
    result = run(option, value)
    assert result.exit_code == 2
    assert said in result.output.replace('\n', ' ')


def test_zero_turns_the_kill_timeout_off() -> None:
    assert given('--workers-kill-timeout', '0').workers_kill_timeout == 0


@pytest.mark.parametrize('text', ['0666', '438'])
def test_permissions_are_octal_when_they_start_with_0(text: str) -> None:
    assert given('--uds', 's', '--uds-permissions', text).uds_permissions == 0o666


@pytest.mark.parametrize(
    ('error', 'status', 'said'),
    [(ConfigurationError('one line'), 1, 'Error: one line\n'), (FatalError(), 1, ''), (None, 0, '')],
)
def test_fatal_errors_are_one_line_and_status_1(
    error: Exception | None, status: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeServer, 'error', error)
    result = run('--interface', 'wsgi')
    assert (result.exit_code, result.output) == (status, said)


def test_wrong_combinations_are_one_line_and_status_1(tmp_path: Path) -> None:
    (tmp_path / 'cert').touch()
    for args, name in (
        (['--ssl-certificate', str(tmp_path / 'cert')], 'cert_without_key'),
        (['--static-path-mount', str(tmp_path), '--static-path-mount', str(tmp_path)], 'mounts_and_routes'),
    ):
        result = run(*args)
        assert result.exit_code == 1
        assert result.output.startswith('Error: ' + messages.REFUSALS[name][:20])
        assert result.output.count('\n') == 1


def test_websockets_asked_for_on_wsgi_get_a_line() -> None:
    assert run('--interface', 'wsgi').output == ''
    assert run('--interface', 'wsgi', '--ws').output == '--ws has no effect on wsgi applications\n'
    assert run('--interface', 'asgi', '--ws').output == ''
    assert run('--interface', 'wsgi', '--no-ws').output == ''


@pytest.mark.proves('--env-files')
def test_env_files_can_hold_options_and_the_environment_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / '.env'
    file.write_text('GRANIAN_PORT=8111\nGRANIAN_WORKERS=3\nGRANIAN_INTERFACE=wsgi\n')
    for name in ('GRANIAN_PORT', 'GRANIAN_INTERFACE'):
        monkeypatch.setenv(name, '')
        monkeypatch.delenv(name)
    monkeypatch.setenv('GRANIAN_WORKERS', '2')
    config = given('--env-files', str(file))
    assert (config.port, config.workers, config.interface) == (8111, 2, Interfaces.WSGI)
    assert config.env_files == (file,)


def test_frameworks_can_parse_the_command_line() -> None:
    assert isinstance(cli.cli, click.Command)
    context = cli.cli.make_context('granian', ['--port', '81', 'm:app'], auto_envvar_prefix='GRANIAN')
    assert context.params['port'] == 81
    assert context.params['app'] == 'm:app'
    assert set(context.params) == {*BY_NAME, 'app'}


def test_frameworks_can_reuse_the_types() -> None:
    class Choice(cli.EnumType):
        def __init__(self, enum: Any, case_sensitive: bool = False) -> None:
            super().__init__(enum, case_sensitive)

    @click.command()
    @click.option('--interface', type=Choice(Interfaces), default=Interfaces.RSGI)
    @click.option('--time', type=cli.Duration(1, 9), default=3, show_default=cli._pretty_print_default(3))
    @click.option('--mode', type=cli.OctalIntType())
    def command(interface: Interfaces, time: int, mode: int) -> None:
        click.echo(repr((interface.name, time, mode)))

    def out(*args: str) -> str:
        return CliRunner().invoke(command, args).output.strip()

    assert out() == "('RSGI', 3, None)"
    assert out('--interface', 'WSGI', '--time', '5s', '--mode', '0600') == "('WSGI', 5, 384)"
    shown = [cli._pretty_print_default(value) for value in (True, False, None, 5, Interfaces.WSGI)]
    assert shown == ['enabled', 'disabled', None, 5, 'wsgi']


@pytest.mark.parametrize(
    'command', [['-m', 'granian'], ['-c', 'from granian.cli import entrypoint; entrypoint()']]
)
def test_the_command_itself(command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, *command, '--version'], capture_output=True, text=True, check=False, timeout=30
    )
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        VERSION,
        '',
    )


@pytest.mark.parametrize(
    ('args', 'value'),
    [
        (['--ssl-client-verify'], 'required'),
        (['--ssl-client-verify', 'optional'], 'optional'),
        (['--ssl-client-verify=none'], 'none'),
        (['--ssl-client-verify', '--no-ssl-client-verify'], 'none'),
    ],
)
def test_client_verification_takes_a_value_or_none(args: list[str], value: str, tmp_path: Path) -> None:
    file = sample(BY_NAME['ssl_ca'], tmp_path)[0]
    tls = [f'--ssl-{name}={file}' for name in ('certificate', 'keyfile', 'ca')]
    assert given(*tls, *args).ssl_client_verify == value


def test_client_verification_in_the_environment_may_be_true(tmp_path: Path) -> None:
    file = sample(BY_NAME['ssl_ca'], tmp_path)[0]
    tls = [f'--ssl-{name}={file}' for name in ('certificate', 'keyfile', 'ca')]
    for text, value in (('true', 'required'), ('0', 'none'), ('optional', 'optional')):
        assert given(*tls, env={'GRANIAN_SSL_CLIENT_VERIFY': text}).ssl_client_verify == value


def test_flags_that_are_named_exist() -> None:
    named = {flag for text in INSTEAD.values() for flag in re.findall(r'--[a-z0-9-]+', text)}
    named -= {'--help', '--version'}
    assert named - {flag for other in ALL_FLAGS for flag in other} <= LATER
    assert not INSTEAD.keys() & {flag for other in ALL_FLAGS for flag in other}


LATER = {'--worker-timeout', '--user', '--group', '--umask', '--reload-extra-files'}
"""Named as soon as there are options of these names."""


@pytest.mark.parametrize(
    'option', [name for name, text in INSTEAD.items() if not LATER & set(re.findall(r'--[a-z0-9-]+', text))]
)
def test_option_of_another_server_is_answered_with_ours(option: str) -> None:
    result = run(option)
    assert result.exit_code == 2
    assert f'{option} is an option of another server; here it is ' in result.output
    assert 'Did you mean' not in result.output


@pytest.mark.parametrize('option', sorted({flag for row in TABLE.values() for flag in row.flags}))
def test_option_of_gunicorn_is_never_answered_with_a_guess(option: str) -> None:
    """Take it, or say what to use; `granian gunicorn` where there is nothing."""
    result = run(option)
    assert 'No such option' not in result.output
    assert 'Did you mean' not in result.output


ALL_FLAGS = [re.findall(r'--[a-z0-9-]+', option.flags) for option in ON_COMMAND_LINE]


def test_variable_that_kubernetes_sets_is_passed_over() -> None:
    env = {
        'GRANIAN_PORT': 'tcp://10.0.0.10:80', 'GRANIAN_SERVICE_HOST': '10.0.0.10',
        'GRANIAN_SERVICE_PORT': '80',
        'GRANIAN_PORT_80_TCP': 'tcp://10.0.0.10:80', 'GRANIAN_PORT_80_TCP_ADDR': '10.0.0.10',
        'GRANIAN_SERVICE_PORT_HTTP': '80', 'GRANIAN_ADMIN_PORT_80_TCP': 'tcp://10.0.0.11:80',
    }  # fmt: skip
    result = run(env=env)
    assert result.exit_code == 0
    assert FakeServer.made.port == 8000
    assert result.output == (
        'GRANIAN_PORT=tcp://10.0.0.10:80 is not an option: Kubernetes sets it for a service named granian\n'
    )


@pytest.mark.parametrize(
    ('name', 'nearest'),
    [
        ('GRANIAN_WORKER', 'GRANIAN_WORKERS'),
        ('GRANIAN_THREADS', 'GRANIAN_BLOCKING_THREADS'),
        ('GRANIAN_LOGLEVEL', 'GRANIAN_LOG_LEVEL'),
        ('GRANIAN_ACCESS_LOG', 'GRANIAN_LOG_ACCESS_ENABLED'),
        ('GRANIAN_WS', 'GRANIAN_WEBSOCKETS'),
        ('GRANIAN_XYZZY', None),
    ],
)
def test_unknown_variable_is_named_with_the_nearest(name: str, nearest: str | None) -> None:
    hint = f'; did you mean {nearest}?' if nearest else ''
    result = run(env={name: '4'})
    assert result.exit_code == 0
    assert result.output == f'{name} is not the variable of an option{hint}\n'


def test_variable_of_an_image_is_no_mistake() -> None:
    assert run(env={'GRANIAN_VERSION': '2.8'}).output == ''
