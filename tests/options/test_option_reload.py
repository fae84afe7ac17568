"""Which changes of which files count: the watcher as the options make it, in a process of its own."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from granian import net, pipes
from granian.config import Config
from granian.server.reload import FileWatch

watchfiles = pytest.importorskip('watchfiles')


class OnlyText(watchfiles.BaseFilter):
    def __call__(self, change, path):
        return path.endswith('.txt') and super().__call__(change, path)


@pytest.fixture
def watch(tmp_path, caplog):  # noqa: C901 (a fixture; counts its helpers within it)
    """Yield `watch(**options)`, which watches files.

    Its `seen(*names)` touches the files, and then one that counts, and returns the names that were
    reported.
    """
    caplog.set_level('INFO', '_granian')
    watches = []

    def start(last='last.py', **options):
        config = Config.from_api('m:app', reload=True, working_dir=tmp_path, **options)
        made = FileWatch(False, config, tmp_path, net.Endpoint([]), lambda: None)
        watches.append(made)
        said: set[str] = set()
        made._changes = said.update

        def look(patience):
            deadline = time.monotonic() + patience
            while pipes.wait([made._pipe], max(0, deadline - time.monotonic())):
                made.look([made._pipe], 0)
                if str(tmp_path / last) in said:
                    return True
            return False

        def settle():
            deadline = time.monotonic() + 30
            while True:  # the watcher does not say when it begins; what was changed before is told together
                (tmp_path / last).write_text(str(time.monotonic()))
                if look(0.5):
                    break
                assert time.monotonic() < deadline

        def seen(*names):
            settle()
            said.clear()
            for name in names:
                (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / name).write_text(str(time.monotonic()))
            settle()
            return {str(Path(path).relative_to(tmp_path)) for path in said} & set(names)

        seen.look, seen.settle = look, settle
        return seen

    yield start
    for made in watches:
        made.close()


@pytest.mark.proves('--reload-ignore-dirs', '--reload-ignore-patterns', '--reload-ignore-paths')
def test_what_is_ignored(watch, tmp_path):
    (tmp_path / 'data').mkdir()
    seen = watch(reload_ignore_dirs=['media'], reload_ignore_patterns=[r'\.sqlite3$'],
                 reload_ignore_paths=[tmp_path / 'data'])  # fmt: skip
    ignored = {'media/a.py', 'db.sqlite3', 'data/a.py', '__pycache__/a.py'}
    counted = {'media.py', 'database.py', 'sqlite3.py'}
    assert seen(*ignored, *counted) == counted


def test_only_python_files_count_in_the_working_directory(watch):
    seen = watch()
    assert seen('app.py', 'db.sqlite3', 'page.html', 'data.json') == {'app.py'}


@pytest.mark.proves('--reload-paths')
def test_what_is_watched(watch, tmp_path):
    for name in ('one', 'two', 'three'):
        (tmp_path / name).mkdir()
    seen = watch(last='one/last.py', reload_paths=['one', tmp_path / 'two'])
    assert seen('one/a.py', 'two/b.html', 'three/c.py', 'd.py') == {'one/a.py', 'two/b.html'}


@pytest.mark.proves('reload_filter')
def test_a_filter_of_the_users(watch):
    seen = watch(last='last.txt', reload_filter=OnlyText, reload_ignore_patterns=['^private'])
    assert seen('a.txt', 'a.py', 'private.txt') == {'a.txt'}


@pytest.mark.proves('--reload-tick')
def test_changes_are_told_after_a_tick(watch, tmp_path):
    """Report changes only after a tick without another change."""
    seen = watch(reload_tick=700)
    seen.settle()
    (tmp_path / 'last.py').write_text('again')
    begun = time.monotonic()
    assert not seen.look(0.6)
    assert seen.look(20)
    assert time.monotonic() - begun > 0.6
