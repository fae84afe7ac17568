"""Where values come from: precedence, the configuration file, the command line, and every refusal in one line."""

from __future__ import annotations

import logging
import subprocess
import sys
from logging.handlers import SysLogHandler
from pathlib import Path
from typing import Any

import pytest

from granian.errors import FatalError
from granian.gunicorn import application, logs
from granian.gunicorn.app.base import BaseApplication
from granian.gunicorn.app.wsgiapp import WSGIApplication
from granian.gunicorn.application import AppError
from granian.gunicorn.loader import near_misses
from granian.gunicorn.translate import Plan


@pytest.fixture(autouse=True)
def _place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ('PORT', 'WEB_CONCURRENCY', 'FORWARDED_ALLOW_IPS', 'GUNICORN_CMD_ARGS'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'path', list(sys.path))


def load(monkeypatch: pytest.MonkeyPatch, *argv: str) -> Any:
    monkeypatch.setattr(sys, 'argv', ['gunicorn', *argv])
    return WSGIApplication().cfg


def test_command_line_wins_over_variable_file_and_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / 'gunicorn.conf.py').write_text(
        'workers = 2\ntimeout = 20\nkeepalive = 20\nbacklog = 20\nbind = ["a:1", "b:1"]'
    )
    monkeypatch.setenv('GUNICORN_CMD_ARGS', '--timeout 30 --keep-alive 30 -b c:1 ignored')
    monkeypatch.setenv('WEB_CONCURRENCY', '9')
    cfg = load(monkeypatch, 'app', '--keep-alive', '40')
    assert (cfg.workers, cfg.timeout, cfg.keepalive, cfg.backlog, cfg.bind) == (2, 30, 40, 20, ['c:1'])


def test_config_flag_wins_over_the_variable_s(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / 'a.py').write_text('workers = 2')
    (tmp_path / 'b.py').write_text('workers = 3')
    monkeypatch.setenv('GUNICORN_CMD_ARGS', '-c a.py')
    assert load(monkeypatch, 'app').workers == 2
    assert load(monkeypatch, 'app', '-c', 'b.py').workers == 3


def test_abbreviated_flags_and_options_after_app(monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = load(
        monkeypatch,
        '-w4',
        'module:app',
        '--thread',
        '4',
        '-b:8001',
        '--error-log',
        '-',
        'data.csv',
        '--proxy-protocol',
    )
    assert (cfg.workers, cfg.threads, cfg.bind, cfg.proxy_protocol) == (4, 4, [':8001'], 'auto')
    assert cfg.default_proc_name == 'module:app'


def test_file_is_python_with_names_that_are_no_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / 'gunicorn.conf.py').write_text(
        'import os, sys\nassert sys.modules["__config__"].__file__ == __file__\n'
        'worker_class = lambda: "gthread"\npreload = True\nraw_env = "A=1"\nwsgi_app = "m:a"\nconfig = "nowhere"\n'
    )  # fmt: skip
    cfg = load(monkeypatch)
    assert (cfg.worker_class_str, cfg.raw_env, cfg.env, cfg.default_proc_name) == (
        'gthread',
        ['A=1'],
        {'A': '1'},
        'm:a',
    )


def test_python_module_as_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / 'conf_in_a_module.py').write_text('workers = "7"')
    assert load(monkeypatch, 'app', '-c', 'python:conf_in_a_module').workers == 7


def test_chdir_does_not_move_the_search_of_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / 'sub').mkdir()
    (tmp_path / 'sub' / 'gunicorn.conf.py').write_text('workers = 9')
    assert load(monkeypatch, 'app', '--chdir', 'sub').workers == 1


def test_near_miss_is_named() -> None:
    assert near_misses({'preload': True, 'keepallive': 3, 'cores': 4, 'workers': 2}) == [
        "'preload' is no setting; did you mean preload_app?", "'keepallive' is no setting; did you mean keepalive?",
    ]  # fmt: skip


ENDS: list[tuple[list[str], str, int, str]] = [
    # arguments, configuration file, status, in the last line
    ([], '', 1, 'Error: No application module specified.'),
    (['--nope', 'a'], '', 2, 'error: unrecognized arguments: --nope'),
    (['-w', 'x', 'a'], '', 2, "invalid int value: 'x'"),
    (['a'], 'workers = "many"', 1, 'Error: '),
    (['a'], 'workers = 0', 1, 'Error: workers: 0'),
    (['a'], 'post_fork = lambda server: 1', 1, 'Error: Value must have an arity of: 2'),
    (['a'], 'raise ValueError("of the file")', 1, 'ValueError: of the file'),
    (['a'], 'raw_env = ["X"]', 1, "Error: environment setting 'X' invalid"),
    (['a'], 'raw_env = ["=X"]', 1, "Error: environment setting '=X' invalid"),
    (['a'], 'raw_env = ["X=\\0"]', 1, "Error: environment setting 'X=\\x00' invalid"),
    (['a'], 'user = 2**32', 1, 'Error: No such user: 4294967296'),
    (['a'], 'group = 10**30', 1, 'Error: No such group: 1'),
    (['a'], 'syslog = True; syslog_addr = "tcp://127.0.0.1:1"', 1, 'Error: the log cannot be opened: '),
    ([''], '', 1, 'Error: No application module specified.'),
    (['--check-config', ':a'], '', 1, "':a' names no module"),
    (['--check-config', '.a'], '', 1, "'.a' names no module"),
    (['-c', 'python:', 'a'], '', 1, "Error: 'python:' names no module"),
    (['-c', 'missing.py', 'a'], '', 1, "Error: 'missing.py' doesn't exist"),
    (['--chdir', '/missing', 'a'], '', 1, "Error: can't chdir to '/missing'"),
    (['-b', 'h:x', 'a'], '', 1, "Error: 'x' is not a valid port number."),
    (['-u', 'no-such-user', 'a'], '', 1, "Error: No such user: 'no-such-user'"),
    (['-k', 'nothing', 'a'], '', 1, "Error: there is no worker class 'nothing'"),
    (['-k', 'no.such.Class', 'a'], '', 1, "Error: worker class 'no.such.Class' cannot be imported"),
    (['-k', 'tornado', 'a'], '', 1, "Error: gunicorn's worker_class=tornado is not available"),
    (['--protocol', 'uwsgi', 'a'], '', 1, "Error: gunicorn's protocol=uwsgi is not available"),
    (['--dirty-app', 'x:y', 'a'], '', 1, "Error: gunicorn's dirty_apps=['x:y'] is not available"),
    (['--paste', 'x.ini'], '', 1, 'Error: --paste needs PasteDeploy'),
    (['--header-map', 'zz', 'a'], '', 1, 'Error: Invalid header_map: zz'),
    (['--forwarded-allow-ips', '10.0.0.1/8', 'a'], '', 1, 'Error: 10.0.0.1/8 has host bits set'),
    (['--log-config', 'missing.ini', 'a'], '', 1, 'Error: log config file not found: missing.ini'),
    (['--log-config-json', 'missing.json', 'a'], '', 1, 'Error: log config file not found: missing.json'),
    (['--check-config', 'missing_module'], '', 1, "ModuleNotFoundError: No module named 'missing_module'"),
    (['--certfile', 'missing.pem', 'a'], '', 1, "Error: --certfile: no file at 'missing.pem'"),
    (['--logger-class', 'no.such.Logger', 'a'], '', 1, "Error: logger class 'no.such.Logger' cannot be imported"),
    (['--reload-extra-file', '/missing/file', 'a'], '', 1, 'Error: File /missing/file does not exist.'),
    (['--check-config', '-e', 'X', 'a'], '', 1, "Error: environment setting 'X' invalid"),
    (['--access-logfile', '-', '--access-logformat', '%(h', 'a'], '', 1, 'Error: --access-logformat: '),
    (['--version'], '', 0, '(gunicorn command line)'),
]  # fmt: skip


@pytest.mark.parametrize(
    ('argv', 'file', 'status', 'said'), ENDS, ids=[' '.join(row[0]) + row[1] for row in ENDS]
)
def test_mistake_ends_the_start_with_its_reason(
    tmp_path: Path, argv: list[str], file: str, status: int, said: str
) -> None:
    if file:
        (tmp_path / 'gunicorn.conf.py').write_text(file)
    (tmp_path / 'a.py').write_text('def application(environ, start_response): pass')
    found = subprocess.run(
        [sys.executable, '-m', 'granian', 'gunicorn', *argv],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
    )
    lines = (found.stderr.strip() or found.stdout.strip()).splitlines()
    assert (found.returncode, said in lines[-1]) == (status, True), found.stderr
    assert 'Traceback' not in found.stderr or 'raise' in file or 'missing_module' in argv


@pytest.mark.parametrize(('variable', 'value', 'said'), [
    ('PORT', 'x', "'x' is not a valid port number."), ('WEB_CONCURRENCY', '', "WEB_CONCURRENCY=''"), ('WEB_CONCURRENCY', 'two', 'two'),
    ('FORWARDED_ALLOW_IPS', 'proxy', 'proxy'),
])  # fmt: skip
def test_bad_variable_is_one_line(
    tmp_path: Path, variable: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    (tmp_path / 'a.py').write_text('def application(environ, start_response): pass')
    found = subprocess.run(
        [sys.executable, '-m', 'granian', 'gunicorn', 'a'],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert found.returncode == 1
    assert said in found.stderr
    assert len(found.stderr.strip().splitlines()) == 1


# APP


def test_app_forms(tmp_path: Path) -> None:
    (tmp_path / 'forms_app.py').write_text(
        'def application(e, s): pass\ndef make(title="none", *, debug=True):\n return lambda e, s: (title, debug)\n'
        'class holder:\n  app = application\n  make = staticmethod(make)\nnothing = None\nnumber = 3\n'
    )  # fmt: skip
    sys.path.insert(0, str(tmp_path))
    module = __import__('forms_app')
    assert application.load('forms_app') is module.application
    assert application.load('forms_app:holder.app') is module.application
    assert application.load('forms_app:holder.app\r') is module.application
    assert application.load("forms_app:make('x', debug=False)")(0, 0) == ('x', False)
    assert application.load('forms_app:holder.make("y")')(0, 0) == ('y', True)
    for text in ('forms_app:missing', 'forms_app:nothing', 'forms_app:number', 'forms_app:make(x)', 'forms_app:make(1, 2)',
                 'forms_app:make(', 'forms_app:[1]', 'forms_app:make(**{"title": 1})'):  # fmt: skip
        with pytest.raises(AppError):
            application.load(text)
    with pytest.raises(FatalError, match="did you mean 'forms_app:app'"):
        application.load('forms_app.py:app')


# Embedding


class Embedded(BaseApplication):
    def __init__(self, **options: Any) -> None:
        self.options = options
        super().__init__()

    def load_config(self) -> None:
        for name, value in self.options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        return None


def test_embedded_application_reads_no_arguments_and_no_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / 'gunicorn.conf.py').write_text('workers = 9')
    monkeypatch.setenv('GUNICORN_CMD_ARGS', '-w 8')
    monkeypatch.setattr(sys, 'argv', ['x', '-w', '7', '--not-ours'])
    assert Embedded(threads=3).cfg.workers == 1


def test_mistake_in_load_config_ends_with_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        Embedded(workers='many')
    assert ended.value.code == 1
    assert 'Error: ' in capsys.readouterr().err


def test_empty_name_of_the_processes_is_no_mistake() -> None:
    assert Plan(Embedded(proc_name='')).config().target == 'gunicorn'


def test_syslog_without_an_address_is_at_the_ordinary_one() -> None:
    embedded = Embedded(syslog=True, syslog_addr=None, errorlog=None)
    handlers = logs.make(embedded.cfg).error_log.handlers
    assert [each.address for each in handlers if isinstance(each, SysLogHandler)] == [('localhost', 514)]
    handlers.clear()
    logging.getLogger('gunicorn.access').handlers.clear()


def test_pid_file_in_a_missing_folder_is_one_error(tmp_path: Path) -> None:
    (tmp_path / 'a.py').write_text('def application(environ, start_response): pass')
    found = subprocess.run(
        [sys.executable, '-m', 'granian', 'gunicorn', '-b', '127.0.0.1:0', '-p', 'missing/web.pid', 'a'],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert found.returncode == 1
    assert 'cannot write the pid file' in found.stderr
    assert 'FileNotFoundError' not in found.stderr
