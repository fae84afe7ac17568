"""Pipes between processes of the server."""

from __future__ import annotations

import multiprocessing
import os
import socket
import threading

import pytest

from granian.pipes import PipeEnd, make_pipe, wait


def test_messages_arrive_whole_and_in_order() -> None:
    one, other = make_pipe()
    sent = [('metrics', {'n': 1}), 'x' * 1_000_000, None]
    sender = threading.Thread(target=lambda: [one.send(message) for message in sent])
    sender.start()
    assert [other.recv() for _ in sent] == sent
    sender.join()
    one.close()
    other.close()


def test_closed_peer_ends_reading_and_refuses_sending() -> None:
    one, other = make_pipe()
    one.send('last')
    one.close()
    assert one.closed
    assert other.recv() == 'last'
    assert other.poll()
    with pytest.raises(EOFError):
        other.recv()
    with pytest.raises(BrokenPipeError):
        other.send('unread')
    other.close()
    with pytest.raises(OSError, match='closed'):
        other.fileno()


def test_default_timeout_of_sockets_does_not_matter() -> None:
    socket.setdefaulttimeout(0.001)
    try:
        one, other = make_pipe()
    finally:
        socket.setdefaulttimeout(None)
    threading.Timer(0.05, one.send, ['late']).start()
    assert other.recv() == 'late'


def test_wait_returns_the_readable_sources() -> None:
    one, other = make_pipe()
    reader, writer = os.pipe()
    assert wait([one, other, reader], 0) == []
    one.send(1)
    os.write(writer, b'x')
    assert wait([one, other, reader]) == [other, reader]
    for fd in (reader, writer):
        os.close(fd)


@pytest.mark.parametrize('seconds', [30 * 86400, 1e30])
def test_wait_of_more_than_poll_can_is_no_error(seconds: float) -> None:
    one, other = make_pipe()
    one.send(1)
    assert wait([other], seconds) == [other]
    one.close()
    other.close()


def _answer(end: PipeEnd) -> None:
    end.send(('heard', end.recv()))


def test_spawned_process_gets_its_end() -> None:
    ours, theirs = make_pipe()
    process = multiprocessing.get_context('spawn').Process(target=_answer, args=(theirs,))
    process.start()
    theirs.close()
    ours.send('hello')
    assert ours.recv() == ('heard', 'hello')
    process.join(20)
