"""Figures for statsd."""

from __future__ import annotations

import socket

import pytest

from granian.observe.statsd import Sender, check_address


@pytest.fixture
def receiver():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(('127.0.0.1', 0))
        sock.settimeout(20)
        yield sock


def test_figures_have_prefix_and_tags(receiver):
    sender = Sender(f'127.0.0.1:{receiver.getsockname()[1]}', 'app.', ('a:b', 'c'))
    sender.count('requests')
    sender.gauge('workers', 2)
    sender.time('request.duration', 12)
    assert [receiver.recv(100) for _ in range(3)] == [
        b'app.requests:1|c|@1.0|#a:b,c',
        b'app.workers:2|g|#a:b,c',
        b'app.request.duration:12|ms|#a:b,c',
    ]
    sender.close()


def test_unix_socket_may_appear_later(tmp_path):
    path = tmp_path / 's'
    sender = Sender(f'unix://{path}')
    sender.count('lost')
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(path))
        sender.count('x')
        assert sock.recv(100) == b'x:1|c|@1.0'
    sender.close()


@pytest.mark.parametrize('address', ['unix:', 'a:b', 'a:70000', 'fd://3', '/path'])
def test_address_that_is_none_is_a_value_error(address):
    with pytest.raises(ValueError, match=r'.+'):
        check_address(address)


@pytest.mark.parametrize('address', ['localhost', '127.0.0.1:8125', '[::1]:8125', '[::1]', 'unix:/x'])
def test_address_is_accepted(address):
    check_address(address)
