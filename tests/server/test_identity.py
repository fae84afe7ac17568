"""--user, --group, --umask, --initgroups; the main process keeps its own."""

import os
import socket
import stat

import pytest

from granian.worker.identity import Identity

ROOT = hasattr(os, 'geteuid') and os.geteuid() == 0

APP = """
import os
def app(environ, start_response):
    mask = os.umask(0)
    os.umask(mask)
    start_response('200 OK', [])
    return [f'{os.getuid()} {os.getgid()} {sorted(os.getgroups())} {mask:o}'.encode()]
"""


@pytest.fixture
def start(serve, tmp_path):
    def make(**options):
        (tmp_path / 'who.py').write_text(APP)
        tmp_path.chmod(0o755)
        for folder in tmp_path.parents:
            if not folder.stat().st_mode & stat.S_IXOTH:
                folder.chmod(0o755)
        return serve('who:app', 'default', script='hookserver.py', **options)

    return make


@pytest.mark.proves('--umask')
def test_umask_of_workers_and_socket(start, tmp_path):
    server = start(umask=0o27, uds=str(tmp_path / 'app.sock'))
    server.expect('Started worker-1')
    assert stat.S_IMODE((tmp_path / 'app.sock').stat().st_mode) == 0o750
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(tmp_path / 'app.sock'))
        sock.sendall(b'GET / HTTP/1.0\r\n\r\n')
        assert sock.makefile('rb').read().endswith(b' 27')


@pytest.mark.skipif(not ROOT, reason='only root can change its user')
@pytest.mark.proves('--user', '--group', '--initgroups')
@pytest.mark.parametrize('names', [('nobody', 'daemon'), ('65534', '1')])
def test_user_and_group_of_workers(start, tmp_path, names):
    server = start(user=names[0], group=names[1], uds=str(tmp_path / 'app.sock'), initgroups=True)
    server.expect('hook: worker_start mark-1 True worker')
    server.expect('Started worker-1')
    status = (tmp_path / 'app.sock').stat()
    assert (status.st_uid, status.st_gid) == (65534, 1)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(tmp_path / 'app.sock'))
        sock.sendall(b'GET / HTTP/1.0\r\n\r\n')
        assert b'65534 1 [1' in sock.makefile('rb').read()
    assert os.stat(f'/proc/{server.process.pid}').st_uid == 0
    server.signal()
    assert server.wait() == 0


@pytest.mark.skipif(not ROOT, reason='only root can change its user')
def test_only_regular_files_are_given_away(tmp_path):
    os.mkfifo(tmp_path / 'fifo')
    (tmp_path / 'file').touch()
    fifo = os.fdopen(os.open(tmp_path / 'fifo', os.O_RDWR), 'w')
    with fifo, open(tmp_path / 'file') as file:
        Identity(65534, 65534).own([fifo, file])
    assert [(tmp_path / name).stat().st_uid for name in ('fifo', 'file')] == [0, 65534]


@pytest.mark.skipif(not ROOT, reason='only root can change its user')
def test_groups_of_root_are_dropped(start):
    server = start(user='nobody')
    server.wait_ready()
    assert server.get().startswith('65534 65534 [65534] ')


def test_unknown_user_and_group(start):
    server = start(user='no-such-one')
    assert server.wait() == 1
    assert "No such user: 'no-such-one'" in server.lines[-1]
    server = start(group='no-such-one')
    assert server.wait() == 1
    assert "No such group: 'no-such-one'" in server.lines[-1]


@pytest.mark.parametrize('name', ['4294967295', '99999999999', '9' * 30, '²', 'a\0b'])
def test_number_that_no_user_or_group_has_is_one_line(name):
    from granian.config import Config
    from granian.errors import ConfigurationError
    from granian.worker import identity

    for field in ('user', 'group'):
        with pytest.raises(ConfigurationError) as caught:
            identity.resolve(Config(target='app:app', **{field: name}))
        assert str(caught.value) == f"No such {field}: '{name}'"


@pytest.mark.skipif(not ROOT, reason='root is needed to become an ordinary user')
def test_ordinary_user_cannot_change(monkeypatch, tmp_path):
    from granian.config import Config
    from granian.errors import FatalError
    from granian.worker import identity

    def refuse(*args, **more):
        raise PermissionError(1, 'Operation not permitted')

    monkeypatch.setattr(os, 'setgroups', refuse)
    monkeypatch.setattr(os, 'chown', refuse)
    config = Config.from_api('m:app', user='nobody')
    with pytest.raises(FatalError, match=r'a worker cannot become \w+:- .*: Operation not permitted'):
        identity.assume(config)
    with pytest.raises(FatalError, match=r'cannot give .*: Operation not permitted'):
        identity.resolve(config).own([tmp_path])


def test_folder_that_a_worker_may_not_enter_is_one_line(monkeypatch, tmp_path):
    from granian.errors import FatalError
    from granian.worker import entry

    def refuse(folder):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, 'chdir', refuse)
    entry.enter(tmp_path)  # it is there already
    with pytest.raises(FatalError, match=r"a worker cannot enter '/' \(--working-dir\): Permission denied"):
        entry.enter(tmp_path.root)
