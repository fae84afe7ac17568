"""--reload by polling, where watchfiles is not installed, and --reload-extra-files."""

import pytest

from granian.config import Config
from granian.errors import ConfigurationError

APP = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'{}']\n"
ENV = {'POLLS': '1', 'PYTHONDONTWRITEBYTECODE': '1'}


@pytest.fixture
def polled(serve, tmp_path):
    def start(**options):
        return serve('changing:app', 'default', script='hookserver.py', reload=True, env=ENV, **options)

    return start


def change_until(server, path, text, pattern):
    """Change the file until that is seen: what changes before the worker names its files is not."""
    for attempt in range(20):
        path.write_text(f'{text}# {attempt}\n')
        try:
            return server.expect(pattern, patience=2)
        except TimeoutError:
            pass
    return pytest.fail('the change was not seen')


def test_changed_module_reloads_and_other_files_do_not(polled, tmp_path):
    source = tmp_path / 'changing.py'
    source.write_text(APP.format('one'))
    (tmp_path / 'other.py').write_text('')
    server = polled()
    server.wait_ready()
    assert server.get() == 'one'
    (tmp_path / 'other.py').write_text('changed')
    (tmp_path / 'db.sqlite3').write_text('changed')
    change_until(server, source, APP.format('three'), 'Changes detected: changing.py$')
    server.expect('hook: after 1 ')
    assert server.get() == 'three'
    server.signal()
    assert server.wait() == 0
    assert 'other.py' not in server.output
    assert 'sqlite3' not in server.output


def test_broken_application_is_followed(polled, tmp_path):
    source = tmp_path / 'changing.py'
    source.write_text('def app(\n')
    server = polled(reload_ignore_worker_failure=True)
    server.expect('waiting for a change')
    source.write_text(APP.format('good'))
    server.expect('Changes detected: changing.py')
    server.expect('Started worker-1')
    server.signal()
    assert server.wait() == 0


@pytest.mark.proves('--reload-extra-files')
def test_extra_files_and_patterns_reload(polled, tmp_path):
    (tmp_path / 'changing.py').write_text(APP.format('one'))
    (tmp_path / 'settings.toml').write_text('a = 1')
    server = polled(reload_extra_files=['settings.toml', 'pages/*.html'])
    server.wait_ready()
    (tmp_path / 'settings.toml').write_text('a = 22')
    server.expect('Changes detected: settings.toml')
    server.expect('Stopping worker-1')
    (tmp_path / 'pages').mkdir()
    (tmp_path / 'pages' / 'new.html').write_text('x')
    server.expect('Changes detected: pages/new.html')


def test_missing_extra_file_is_refused():
    with pytest.raises(ConfigurationError, match='--reload-extra-files'):
        Config.from_api('m:app', reload=True, reload_extra_files=['no/such/file'])
