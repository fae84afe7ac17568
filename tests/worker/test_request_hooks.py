"""Hooks around requests see a head of their own."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from granian.protocol.events import Request
from granian.protocol.http1 import Http1, templates
from granian.protocol.limits import Clock, Limits
from granian.worker.request_hooks import HookedExchange

LINES = b'Host: x\r\nUser-Agent: q\r\n\r\n'


@pytest.mark.parametrize('changing', [False, True], ids=['equal', 'changing'])
def test_hook_that_adds_a_field_changes_its_request_only(
    changing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(templates, '_ASKED_ENOUGH', 1)
    http = Http1(Limits(), Clock())
    heads, counts = [], []
    for number in range(20):
        http.receive_data(b'GET /%d HTTP/1.1\r\n' % (number * changing) + LINES)
        event = http.next_event()
        assert isinstance(event, Request)
        exchange = HookedExchange(SimpleNamespace(head=event.head))
        exchange.head.fields.append(exchange.head.fields[0])
        heads.append(event.head)
        counts.append((len(event.head.fields), len(exchange.head.fields)))
        http.respond(1, 200, [], b'')
    assert counts == [(2, 3)] * 20
    assert (heads[-1] is heads[-2]) is not changing
