"""Serving on a socket that another process has bound, as litestar-granian's `--fd` does."""

import pickle
import socket
import sys

import pytest
from test_processes import METHODS, change_until

from granian import net
from granian._granian import SocketHolder


@pytest.fixture
def bound():
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        yield sock


def test_holder():
    holder = SocketHolder(7, True, 512)
    assert (holder.get_fd(), holder.is_uds()) == (7, True)
    assert pickle.loads(pickle.dumps(holder)).get_fd() == 7
    assert not SocketHolder(7).is_uds()


def test_adopted(bound):
    port = bound.getsockname()[1]
    endpoint = net.adopt(bound.dup(), 5)
    assert endpoint.urls('https') == [f'https://127.0.0.1:{port}']
    assert endpoint.sockets[0].proto == socket.IPPROTO_TCP
    assert not endpoint.sockets[0].getblocking()
    socket.create_connection(('127.0.0.1', port)).close()
    again = net.adopt(bound.dup())  # one that listens already
    for each in (endpoint, again):
        each.close()
    socket.create_connection(('127.0.0.1', port)).close()  # theirs still


def test_adopted_unix_socket_keeps_its_file(tmp_path):
    path = tmp_path / 's'
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        endpoint = net.adopt(sock)
        assert endpoint.urls() == [f'unix:{path}']
        endpoint.close()
    assert path.exists()


@pytest.mark.skipif(sys.platform != 'linux', reason='the abstract names are Linux')
def test_adopted_unix_socket_without_a_file():
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(b'\0granian-adopted')
        endpoint = net.adopt(sock)
        assert endpoint.urls() == ['unix:@granian-adopted']
        endpoint.close()


def test_a_socket_that_cannot_listen():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, pytest.raises(net.ListenError) as caught:
        net.adopt(sock)
    assert str(caught.value).startswith('cannot listen on file descriptor ')


@pytest.mark.parametrize('method', METHODS)
def test_served(serve_held, bound, method):
    server = serve_held(bound.fileno(), method=method, workers=2)
    server.wait_ready(2)
    assert server.port == bound.getsockname()[1]
    assert server.get()
    server.signal()
    assert server.wait() == 0
    bound.listen()  # it is still there


def test_the_servers_own_socket(serve_held):
    server = serve_held(-1)
    server.wait_ready()
    assert server.get()
    server.signal()
    assert server.wait() == 0


@pytest.mark.parametrize('method', METHODS)
def test_a_reload_filter_made_at_run_time(serve_held, tmp_path, method):
    """Whatever the start method: the watcher needs no copy of it."""
    (tmp_path / 'a.txt').write_text('')
    server = serve_held(-1, method=method, reload=True, env={'HELD_SUFFIX': '.txt'})
    server.wait_ready()
    (tmp_path / 'other.py').write_text('')
    change_until(server, tmp_path / 'a.txt', '', 'Changes detected: a.txt')
    assert 'other.py' not in server.output
    server.signal()
    assert server.wait() == 0


@pytest.fixture
def serve_held(serve):
    def start(fd, method='fork', env=None, **options):
        return serve(
            'wsgiapp:app', method, 'heldserver.py', env={'HELD_FD': str(fd), **(env or {})},
            pass_fds=(fd,) if fd >= 0 else (), **options,
        )  # fmt: skip

    return start
