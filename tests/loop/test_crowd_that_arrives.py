"""A crowd that connects at one moment: the newest first, the oldest in their turn, and none is lost."""

from __future__ import annotations

from granian.core.loop import accept
from granian.core.sharing import Shares
from tests.loop.test_loop import hello


def crowd(served, count: int = 40):
    """Connect while nothing is accepted; return the clients, and the ports of those set up, in order."""
    acceptor = served.core.acceptor
    served.call(acceptor.pause)
    clients = [served.connect() for _ in range(count)]
    order: list[int] = []
    join = acceptor._join

    async def recorded(sock, address, listener):
        order.append(address[1])
        await join(sock, address, listener)

    acceptor._join = recorded
    return clients, [client.sock.getsockname()[1] for client in clients], order


def test_newest_first_and_the_oldest_in_turn(serve):
    served = serve(hello)
    clients, ports, order = crowd(served)
    served.call(served.core.acceptor.resume)
    assert [client.get()[0] for client in clients] == [200] * 40
    half = accept.BURST // 2
    assert order[:half] == ports[: -half - 1 : -1]
    assert order[half : half + 2] == ports[1::-1]
    assert sorted(order) == sorted(ports)


def test_those_that_wait_are_served_by_a_worker_that_stops(serve):
    served = serve(hello)
    clients, _, order = crowd(served)

    def accepts_and_stops():
        acceptor = served.core.acceptor
        acceptor.accept(acceptor.listeners[0])
        assert len(acceptor._arrived) == 40 - accept.BURST // 2
        served.core.stop(reload=True)

    served.call(accepts_and_stops)
    assert [client.get()[0] for client in clients] == [200] * 40
    assert len(order) == 40


def test_those_that_wait_count_and_wait_on_under_pressure(serve):
    served = serve(hello)
    clients, _, order = crowd(served)
    acceptor = served.core.acceptor

    def accepts():
        acceptor.accept(acceptor.listeners[0])
        acceptor.press()
        return acceptor._count()

    assert served.call(accepts) == 40
    served.wait_for(lambda: not acceptor._set_up_due)
    assert len(order) == accept.BURST // 2
    served.call(acceptor.release)
    assert [client.get()[0] for client in clients] == [200] * 40


def test_worker_that_is_not_alone_leaves_a_crowd_to_the_others(serve, monkeypatch):
    monkeypatch.setattr('granian.core.sharing.Share.regards_others', lambda self, now: False)
    shares = Shares()
    share, other = shares.claim(), shares.claim()
    other.publish(0)
    served = serve(hello, share=share)
    clients, _, order = crowd(served)

    def accepts():
        served.core.acceptor.accept(served.core.acceptor.listeners[0])
        return len(order) + served.core.acceptor._count()

    assert served.call(accepts) <= accept.BURST
    served.call(served.core.acceptor.resume)
    assert [client.get()[0] for client in clients] == [200] * 40
