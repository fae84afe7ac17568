import errno
import os
import subprocess

import pytest

from granian.errors import PidFileError
from granian.server.pidfile import PidFile


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'server.pid'


def test_written_and_removed(path):
    file = PidFile(path)
    file.acquire()
    assert path.read_text() == f'{os.getpid()}\n'
    file.release()
    assert not path.exists()
    file.release()


def test_link_of_the_name_written_aside_is_not_followed(path, tmp_path):
    other = tmp_path / 'other'
    other.write_text('kept')
    path.with_name(f'{path.name}.{os.getpid()}').symlink_to(other)
    PidFile(path).acquire()
    assert other.read_text() == 'kept'
    assert path.read_text() == f'{os.getpid()}\n'
    assert not path.is_symlink()


@pytest.mark.skipif(not hasattr(os, 'geteuid') or os.geteuid() != 0, reason='links of two users')
@pytest.mark.parametrize('owner', [0, 65534])
def test_folder_behind_a_link_of_another_user_is_refused(tmp_path, owner):
    (tmp_path / 'data').mkdir()
    (tmp_path / 'run').symlink_to('data')
    os.lchown(tmp_path / 'run', owner, owner)
    file = PidFile(tmp_path / 'run' / 'app.pid')
    if owner:
        with pytest.raises(PidFileError, match='symbolic link of another user'):
            file.acquire()
        assert not any((tmp_path / 'data').iterdir())
    else:
        file.acquire()
        file.release()


def test_live_process_is_respected(path):
    with subprocess.Popen(['sleep', '60']) as other:
        path.write_text(str(other.pid))
        with pytest.raises(PidFileError, match=rf'names a running process \({other.pid}\)'):
            PidFile(path).acquire()
        other.kill()
    assert path.read_text() == str(other.pid)
    PidFile(path).acquire()
    assert path.read_text() == f'{os.getpid()}\n'


@pytest.mark.skipif(not os.path.exists('/proc/self/stat'), reason='needs /proc')
def test_ended_process_that_is_not_reaped_does_not_count(path):
    with subprocess.Popen(['sleep', '60']) as other:
        path.write_text(str(other.pid))
        other.kill()
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
        PidFile(path).acquire()
    assert path.read_text() == f'{os.getpid()}\n'


@pytest.mark.parametrize('content', ['', 'nonsense', '-1', '0', '999999999999999999999', '\0\xff', '12 13'])
def test_stale_or_senseless_content_is_replaced(path, content):
    path.write_text(content)
    PidFile(path).acquire()
    assert path.read_text() == f'{os.getpid()}\n'


def test_our_own_id_is_no_other_server(path):
    """Start with the own id in the file, as the main process of a container does each time."""
    path.write_text(str(os.getpid()))
    PidFile(path).acquire()


def test_not_removed_when_it_is_somebody_elses(path):
    file = PidFile(path)
    file.acquire()
    path.write_text('1\n')
    file.release()
    assert path.read_text() == '1\n'


def test_unwritable(path, tmp_path):
    with pytest.raises(PidFileError, match='cannot write the pid file'):
        PidFile(tmp_path / 'none' / 'server.pid').acquire()
    path.mkdir()
    with pytest.raises(PidFileError, match='cannot read the pid file'):
        PidFile(path).acquire()


@pytest.mark.parametrize('code', [errno.EROFS, errno.ENAMETOOLONG])
def test_folder_that_takes_no_change_is_one_line(path, monkeypatch, code):
    def refuse(*args, **more):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, 'unlink', refuse)
    with pytest.raises(PidFileError, match=f'cannot write the pid file .*: {os.strerror(code).lower()}'):
        PidFile(path).acquire()
