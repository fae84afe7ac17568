"""What an application answers must not depend on the server: ours beside gunicorn.

Every exchange is made with both, byte for byte the same, and status, header fields and body
are compared. What may differ is listed here, with the reason; nothing else may.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from e2e_exchanges import BIG, BINARY, Exchange, exchanges

from tests.support.raw_client import Answer, Client
from tests.support.server_process import ServerProcess, serving, tracebacks

APPLICATIONS = {
    'flask': ('examples.flask_app:app', ''),
    'django': ('examples.django_project:application', '/'),
}

# Server and Date name the server and the moment. Connection: gunicorn spells it out on every
# response, we only where RFC 9112 asks for it; test_connection.py says when we close. Nor is the
# version in the status line compared: ours is always our own, HTTP/1.1 (RFC 9110 section 2.5).
MAY_DIFFER = {'server', 'date', 'connection'}

# Drawn for each response by the application itself.
RANDOM = [
    (re.compile(r'\b(csrftoken|sessionid|session)=[^;]+'), r'\1=…'),
    (re.compile(r'(csrfmiddlewaretoken" value=")\w+'), r'\1…'),
    (re.compile(r'(expires=)[^;]+', re.IGNORECASE), r'\1…'),
]


def same_every_time(text: str) -> str:
    for pattern, replacement in RANDOM:
        text = pattern.sub(replacement, text)
    return text


# gunicorn joins cookie lines with a comma, so the second cookie is lost in the value of the first;
# RFC 6265 and RFC 9113 section 8.2.3 join them with a semicolon, and so do we.
COOKIES = 'Cookie lines are joined with "; "'
# Django reads as much as CONTENT_LENGTH says, and for a chunked body gunicorn has none to say. We read
# such a body whole before the application is called, so we know its length and say so.
LENGTH = 'a chunked body that came whole has a CONTENT_LENGTH'
DIGEST = json.dumps({'size': len(BIG), 'sha256': hashlib.sha256(BIG).hexdigest()}).encode()

# (application, exchange): which answer differs, the body ours has, why
DIFFERENCES = {
    ('flask', 'two cookie lines'): (0, b'{"a":"1","b":"2"}\n', COOKIES),
    ('django', 'two cookie lines'): (0, b'{"a": "1", "b": "2"}', COOKIES),
    ('django', 'chunked'): (0, b'in three chunks', LENGTH),
    ('django', 'chunked, 5 MB'): (0, DIGEST, LENGTH),
    ('django', 'chunked, byte by byte'): (0, BINARY, LENGTH),
    ('django', 'chunked with trailers'): (0, b'body', LENGTH),
    ('django', 'chunked with extensions'): (0, b'body', LENGTH),
    ('django', 'keep-alive after a chunked body'): (0, b'chunks', LENGTH),
    ('django', 'pipelined bodies'): (1, b'two', LENGTH),
}


def same_value(name: str, value: str) -> str:
    if name == 'expires':
        return '…'
    if name == 'allow':  # a set, in the order of this process's hashes
        return ', '.join(sorted(value.split(', ')))
    return same_every_time(value)


def comparable(answer: Answer) -> dict[str, Any]:
    headers = sorted(
        (name, same_value(name, value)) for name, value in answer.headers if name not in MAY_DIFFER
    )
    body = answer.body
    if b'csrfmiddlewaretoken' in body:
        body = same_every_time(body.decode()).encode()
    return {'status': answer.status, 'reason': answer.reason, 'headers': headers, 'body': body}


def names_of(answer: dict[str, Any]) -> list[str]:
    return [name for name, _ in answer['headers']]


def play(server: ServerProcess, exchange: Exchange) -> list[Answer]:
    with Client(server.port) as client:
        if exchange.pipelined:
            client.send(b''.join(exchange.requests))
            return [client.read(sent.partition(b' ')[0]) for sent in exchange.requests]
        return [client.ask(sent) for sent in exchange.requests]


@pytest.fixture(scope='module', params=APPLICATIONS)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple]:
    target, _ = APPLICATIONS[request.param]
    data = [str(tmp_path_factory.mktemp('data')) for _ in range(2)]
    with (
        serving('granian', target, DJANGO_PROJECT_DATA=data[0]) as ours,
        serving('gunicorn', target, DJANGO_PROJECT_DATA=data[1]) as peer,
    ):
        yield request.param, ours, peer
    allowed = 'RuntimeError: this error is part of the example'
    assert set(tracebacks(ours.log)) <= {allowed}


@pytest.mark.parametrize('name', [exchange.name for exchange in exchanges('/')])
def test_same(both: tuple[str, ServerProcess, ServerProcess], name: str) -> None:
    application, ours, peer = both
    _, slash = APPLICATIONS[application]
    exchange = next(each for each in exchanges(slash) if each.name == name)
    expected = [comparable(answer) for answer in play(peer, exchange)]
    got = [comparable(answer) for answer in play(ours, exchange)]
    if (application, name) in DIFFERENCES:
        which, body, reason = DIFFERENCES[application, name]
        differing = got.pop(which), expected.pop(which)
        assert differing[0]['body'] == body, reason
        assert differing[1]['body'] != body, 'no difference any more: take it from the list'
        assert differing[0]['status'] == differing[1]['status']
        assert names_of(differing[0]) == names_of(differing[1])
    assert got == expected
