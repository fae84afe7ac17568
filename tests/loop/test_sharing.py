"""Workers that share the listeners share their connections."""

import multiprocessing
import socket

import pytest

from granian.core.sharing import SLOTS, Board

PLAIN = [(b'content-type', b'text/plain')]


def test_worker_waits_while_a_sibling_has_clearly_fewer():
    board = Board()
    one, two = board.share(1), board.share(2)
    one.set(1)
    assert not one.too_many()
    one.set(2)
    assert one.too_many()
    assert not two.too_many()
    two.set(2)
    assert not one.too_many()


def test_worker_that_leaves_is_not_waited_for():
    board = Board()
    one, two = board.share(1), board.share(2)
    one.set(5)
    two.leave()
    assert not one.too_many()


def test_worker_beyond_the_slots_shares_nothing():
    assert Board().share(SLOTS + 1) is None


def _publish(board):
    board.share(2).set(7)


@pytest.mark.parametrize('method', ['fork', 'spawn'])
def test_board_is_seen_by_a_process_of_any_start_method(method):
    board = Board()
    process = multiprocessing.get_context(method).Process(target=_publish, args=(board,))
    process.start()
    process.join(60)
    assert board.slots[1] == 8


def test_loops_on_one_listener_have_equally_many_connections(kind):
    from served import Served

    async def handler(stream):
        stream.respond(200, PLAIN, b'')

    board = Board()
    listener = socket.create_server(('127.0.0.1', 0), backlog=128)
    served = [
        Served(kind, handler, listeners=[listener.dup()], share=board.share(number))
        for number in (1, 2, 3, 4)
    ]
    clients = [served[0].connect() for _ in range(48)]
    for client in clients:
        assert client.get()[0] == 200
    counts = [one.call(lambda one=one: len(one.core.connections)) for one in served]
    for client in clients:
        client.close()
    for one in served:
        one.stop()
    listener.close()
    assert sum(counts) == 48
    assert min(counts) >= 9
    assert max(counts) <= 15
