"""Figures for statsd."""

from __future__ import annotations

import socket
import threading
from types import SimpleNamespace

import pytest

from granian.observe import lookup, statsd
from granian.observe.statsd import RequestFigures, Sender, check_address
from granian.server.statsd import WorkersGauge


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


@pytest.fixture
def names(monkeypatch):
    """Resolve names when the test says so, and to nothing before `server` is set."""

    class Names:
        server = None

        def __init__(self):
            self.asked, self.answer = threading.Event(), threading.Event()

        def resolve(self, host, port, **more):
            if more.get('flags'):
                raise socket.gaierror(socket.EAI_NONAME, 'not an address')
            self.asked.set()
            assert self.answer.wait(20)
            if self.server is None:
                raise socket.gaierror(socket.EAI_AGAIN, 'no answer')
            return [(socket.AF_INET, socket.SOCK_DGRAM, 17, '', self.server)]

        def finish(self):
            """Let the lookup end, and wait for that."""
            self.answer.set()
            for thread in threading.enumerate():
                if thread.name == 'granian-lookup':
                    thread.join(20)

    names = Names()
    monkeypatch.setattr(socket, 'getaddrinfo', names.resolve)
    monkeypatch.setattr('granian.observe.statsd.FIRST_WAIT', 0.0)
    lookup.lookup.cache_clear()
    yield names
    names.finish()
    lookup.lookup.cache_clear()


def test_name_server_without_an_answer_delays_no_figure(names, receiver):
    sender = Sender('statsd.example:8125')
    sender.count('lost')  # would wait for the name server in the caller's thread
    assert names.asked.wait(20)
    assert not names.answer.is_set()
    names.server = receiver.getsockname()
    names.finish()
    sender.count('x')
    assert receiver.recv(100) == b'x:1|c|@1.0'
    sender.close()


def test_unresolved_name_is_one_warning_and_tried_again(names, receiver, monkeypatch, caplog):
    class Supervisor:
        workers = ()

    names.answer.set()
    sender = Sender('statsd.example:8125')
    names.finish()
    gauge = WorkersGauge(sender, Supervisor(), 0.0)
    gauge.look((), 0.0)
    gauge.look((), 20.0)
    assert [record.getMessage() for record in caplog.records] == [
        '--statsd: the name of the server cannot be resolved: no figures until it can be'
    ]
    names.server = receiver.getsockname()
    due = sender._lookup._due
    monkeypatch.setattr(lookup, 'monotonic', lambda: due)
    sender.gauge('workers', 2)  # lost, unless the lookup is quicker
    names.finish()
    sender.gauge('workers', 2)
    assert receiver.recv(100) == b'workers:2|g'
    gauge.close()


@pytest.mark.parametrize('host', ['a..b', f'{"x" * 64}.example', f'{"é" * 64}.example'])
def test_name_that_cannot_be_one_is_unresolved(host):
    sender = Sender(f'{host}:8125')
    for thread in threading.enumerate():
        if thread.name == 'granian-lookup':
            thread.join(20)
    sender.count('lost')
    assert sender.unresolved


def test_socket_that_another_thread_closes_is_no_error(receiver):
    class Sending(Sender):
        """Has another thread close the socket, after a failure, once this one has looked at it."""

        made = None
        closes = False

        @property
        def _socket(self):
            made = self.made
            if self.closes:
                self.made = None
            return made

        @_socket.setter
        def _socket(self, made):
            self.made = made

    sender = Sending(f'127.0.0.1:{receiver.getsockname()[1]}')
    sender.count('a')
    sender.closes = True
    sender.count('b')
    assert [receiver.recv(100) for _ in range(2)] == [b'a:1|c|@1.0', b'b:1|c|@1.0']


def test_forked_child_looks_a_name_up_itself(names, monkeypatch):
    sender = Sender('statsd.example:8125')
    assert names.asked.wait(20)
    monkeypatch.setattr(lookup.os, 'getpid', lambda: -1)  # as in a child, which has no such thread
    names.asked.clear()
    sender.count('lost')
    assert names.asked.wait(20)


def test_figures_go_on_after_a_thread_that_could_not_start(receiver, monkeypatch):
    start, failures = statsd.start_thread, [RuntimeError("can't start new thread"), MemoryError()]

    def no_room(run, name):
        if failures:
            raise failures.pop()
        return start(run, name)

    monkeypatch.setattr(statsd, 'start_thread', no_room)
    figures = RequestFigures(Sender(f'127.0.0.1:{receiver.getsockname()[1]}'))
    for _ in range(3):
        figures(SimpleNamespace(status=200, started=0.0))
    received = [receiver.recv(1000) for _ in range(9)]
    figures.close()
    assert sum(b'request.status.200' in each for each in received) == 3
