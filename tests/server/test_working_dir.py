"""--working-dir: what is named on the command line is meant from where the command was given."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from granian.errors import ConfigurationError
from granian.server.upgrade import start_folder
from granian.worker import entry
from tests.support.server_process import ROOT, serving

FORMATTER = """
import logging


class Loud(logging.Formatter):
    def format(self, record):
        return super().format(record).upper()
"""


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / 'project'
    folder.mkdir()
    (folder / 'loudness.py').write_text(FORMATTER)
    return folder


def until_logged(server, path, text):
    """Send requests until the file has been written to: a line waits up to 100 ms."""
    deadline = time.monotonic() + 20
    while not path.exists() or text not in path.read_text():
        assert time.monotonic() < deadline, f'nothing in {path}'
        server.get('/x')


def test_relative_files_are_found_by_the_workers(serve, tmp_path, project):
    (tmp_path / 'one.env').write_text('FROM_FILE=yes\n')
    server = serve(working_dir='project', env_files=['one.env'])
    server.wait_ready()
    assert server.get('/cwd') == str(project)
    assert server.get('/env') == 'yes'


def test_a_relative_mount(serve, tmp_path, project):
    (tmp_path / 'files').mkdir()
    (tmp_path / 'files' / 'a.txt').write_text('from the mount')
    server = serve('realapp:app', script='realserver.py', working_dir='project', static_path_mount=['files'])
    server.wait_ready()
    assert server.get('/static/a.txt') == 'from the mount'


@pytest.mark.parametrize('method', ['fork', 'spawn'])
def test_log_files_are_the_same_for_all_processes(serve, tmp_path, project, method):
    handler = {'class': 'logging.FileHandler', 'filename': 'access.log', 'formatter': 'access'}
    (tmp_path / 'logging.json').write_text(json.dumps({'handlers': {'access': handler}}))
    server = serve(
        'realapp:app', script='realserver.py', method=method,
        working_dir='project', log_access=True, log_config='logging.json',
    )  # fmt: skip
    server.wait_ready()
    until_logged(server, tmp_path / 'access.log', 'GET /x')
    assert not (project / 'access.log').exists()


@pytest.mark.parametrize('method', ['fork', 'spawn'])
def test_a_formatter_of_the_projects_own(serve, project, method):
    overlay = {'formatters': {'generic': {'()': 'loudness.Loud', 'fmt': '%(message)s'}}}
    server = serve(method=method, working_dir='project', log_dictconfig=overlay)
    server.expect('LISTENING AT')
    server.expect('STARTED WORKER-1')


@pytest.mark.skipif(sys.platform == 'win32', reason='Windows keeps a folder that is in use')
@pytest.mark.parametrize('module', ['granian', 'granian.gunicorn'])
def test_deleted_current_folder_is_one_line(module: str, tmp_path: Path) -> None:
    folder = tmp_path / 'gone'
    folder.mkdir()
    start = f"""
import os, runpy, sys
os.rmdir({str(folder)!r})
sys.argv[1:] = ['app:app']
runpy.run_module({module!r}, None, '__main__')
"""
    done = subprocess.run(
        [sys.executable, '-c', start], cwd=folder, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 1
    text = 'Error: the current folder cannot be entered: No such file or directory'
    assert [line for line in done.stderr.splitlines() if line] == [
        text + '; change to one that exists, and start there'
    ]


@pytest.mark.parametrize('name', ['', 'relative', '/no/such/folder', '/dev/null/x', '/'])
def test_pwd_that_names_another_folder_is_passed_over(name, tmp_path, monkeypatch):
    """Start under a process manager, which passes on the PWD of the shell that has started it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('PWD', name)
    assert start_folder() == str(tmp_path)


RELEASE = """
def app(environ, start_response):
    start_response('200 OK', [])
    return [b'%s']
"""


@pytest.mark.skipif(sys.platform == 'win32', reason='Windows has no SIGHUP')
@pytest.mark.parametrize('core', ['threads', 'gevent'])
@pytest.mark.parametrize('way', ['link', 'removed'])
def test_reload_enters_the_folder_by_its_name(core, way, tmp_path):
    """Release again: lead the link to another folder, or remove the folder and make it again."""
    if core == 'gevent':
        pytest.importorskip('gevent')
    for name in ('one', 'two'):
        (tmp_path / name).mkdir()
        (tmp_path / name / 'releaseapp.py').write_text(RELEASE % name)
        (tmp_path / name / 'files').mkdir()
        (tmp_path / name / 'files' / 'name').write_text(name)
    folder = tmp_path / 'current'
    folder.symlink_to('one') if way == 'link' else (tmp_path / 'one').rename(folder)
    env = {'PWD': str(folder), 'PYTHONPATH': str(ROOT)}
    with serving(
        'granian', 'releaseapp:app', f'--core {core} --static-path-mount files', cwd=folder, **env
    ) as server:
        assert ask(server.port) == b'one'
        if way == 'link':
            folder.unlink()
            folder.symlink_to('two')
        else:
            shutil.rmtree(folder)
            (tmp_path / 'two').rename(folder)
        server.process.send_signal(signal.SIGHUP)
        server.wait_for('Stopping worker-1')  # its successor is ready
        deadline = time.monotonic() + 20
        while ask(server.port) != b'two':
            assert time.monotonic() < deadline, server.log
        assert ask(server.port, 'static/name') == b'two'


def ask(port, path=''):
    with urllib.request.urlopen(f'http://127.0.0.1:{port}/{path}', timeout=20) as response:
        return response.read()


@pytest.mark.parametrize('given', [True, False])
def test_only_a_folder_that_was_given_must_be_entered(given, tmp_path, monkeypatch):
    def refuse(folder):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr(os, 'chdir', refuse)
    if given:
        with pytest.raises(ConfigurationError, match='Permission denied'):
            entry.enter(tmp_path)
    else:
        entry.enter(tmp_path, given=False)
