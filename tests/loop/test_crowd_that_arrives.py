"""A crowd that connects at one moment: the newest first, the oldest in their turn, and none is lost."""

from __future__ import annotations

import itertools

import pytest

from granian.core.loop import accept, allowance
from granian.core.sharing import Shares
from tests.loop.test_loop import hello

IN_TURN = 4


@pytest.fixture
def strict(monkeypatch):
    """Set up four in the turn in which they are accepted, and one from their lane in each turn."""
    monkeypatch.setattr(allowance, 'UNWATCHED', IN_TURN)
    monkeypatch.setattr(allowance, 'WATCHED', 1)
    monkeypatch.setattr(allowance, 'SHARE', 0.0)
    monkeypatch.setattr(allowance.Allowance, '_goes_on', lambda self: False)
    monkeypatch.setattr(allowance.Allowance, 'note_long', lambda self: None)


def crowd(served, count: int = 40):
    """Connect while nothing is accepted; return the clients, and the ports of those set up, in order."""
    acceptor = served.core.acceptor
    served.call(acceptor.pause)
    clients = [served.connect() for _ in range(count)]
    order: list[int] = []
    set_up = acceptor._set_up

    def recorded(arrival):
        order.append(arrival.client[1])
        set_up(arrival)

    acceptor._set_up = recorded
    served.call(lambda: setattr(served.core.allowance, 'left', allowance.UNWATCHED))
    return clients, [client.sock.getsockname()[1] for client in clients], order


@pytest.mark.usefixtures('strict')
def test_newest_first_and_the_oldest_in_turn(serve):
    served = serve(hello)
    clients, ports, order = crowd(served)
    served.call(served.core.acceptor.resume)
    served.wait_for(lambda: len(order) == 40)
    assert order[:IN_TURN] == ports[: -IN_TURN - 1 : -1]
    assert order[IN_TURN : IN_TURN + 4] == [*ports[-IN_TURN - 1 : -IN_TURN - 4 : -1], ports[0]]
    assert sorted(order) == sorted(ports)
    assert [client.get()[0] for client in clients] == [200] * 40


@pytest.mark.usefixtures('strict')
def test_those_that_wait_are_served_by_a_worker_that_stops(serve):
    served = serve(hello)
    clients, _, order = crowd(served)

    def accepts_and_stops():
        acceptor = served.core.acceptor
        acceptor.accept(acceptor.listeners[0])
        assert len(acceptor._arrived) == 40 - IN_TURN
        served.core.stop(reload=True)

    served.call(accepts_and_stops)
    assert [client.get()[0] for client in clients] == [200] * 40
    assert len(order) == 40


@pytest.mark.usefixtures('strict')
def test_those_that_wait_count_and_wait_on_under_pressure(serve):
    served = serve(hello)
    clients, _, order = crowd(served)
    acceptor = served.core.acceptor

    def accepts():
        acceptor.accept(acceptor.listeners[0])
        acceptor.press()
        return acceptor._count()

    assert served.call(accepts) == 40
    served.wait_for(lambda: not served.core.allowance._line)
    assert len(order) == IN_TURN
    served.call(acceptor.release)
    assert [client.get()[0] for client in clients] == [200] * 40


def test_clients_that_have_reset_are_not_set_up(serve):
    served = serve(hello)
    clients, _, order = crowd(served)
    made = []
    make = served.core.acceptor._make_protocol

    def recorded(arrival, client):
        made.append(client[1])
        return make(arrival, client)

    served.core.acceptor._make_protocol = recorded
    for client in clients[1:]:
        client.send(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
        client.reset()
    port = clients[0].sock.getsockname()[1]
    served.call(served.core.acceptor.resume)
    assert clients[0].get()[0] == 200
    served.wait_for(lambda: len(order) == 40)
    assert made == [port]
    assert served.core.connections_failed == 39


def test_worker_that_stops_under_pressure_sets_up_all(serve):
    served = serve(hello)
    clients, _, order = crowd(served)
    acceptor = served.core.acceptor

    def accepts_and_stops():
        acceptor.press()
        acceptor.accept(acceptor.listeners[0])
        served.core.stop()

    served.call(accepts_and_stops)
    assert [client.get()[0] for client in clients] == [200] * 40
    assert len(order) == 40


def test_crowd_of_costly_set_ups_leaves_turns_to_others(serve, tls, monkeypatch):
    """Look at the clock after each set-up, where it is always too late for another one."""
    monkeypatch.setattr(allowance, 'SHARE', 0.0)
    served = serve(hello, tls=tls)
    _, _, order = crowd(served)
    counts = []

    def accepts():
        served.core.acceptor.accept(served.core.acceptor.listeners[0])
        return len(order)

    def begins(self):
        counts.append(len(order))
        begin(self)

    begin = allowance.Allowance._begin
    monkeypatch.setattr(allowance.Allowance, '_begin', begins)
    assert served.call(accepts) <= 2
    served.wait_for(lambda: len(order) == 40)
    assert max(after - before for before, after in itertools.pairwise(counts)) <= 2


def test_worker_that_is_not_alone_leaves_a_crowd_to_the_others(serve, monkeypatch):
    monkeypatch.setattr('granian.core.sharing.Share.regards_others', lambda self, now: False)
    shares = Shares()
    share, other = shares.claim(), shares.claim()
    other.publish(0)
    served = serve(hello, share=share)
    clients, _, _ = crowd(served)

    def accepts():
        served.core.acceptor.accept(served.core.acceptor.listeners[0])
        return served.core.acceptor._count()

    assert served.call(accepts) <= accept.BURST
    served.call(served.core.acceptor.resume)
    assert [client.get()[0] for client in clients] == [200] * 40
