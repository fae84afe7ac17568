"""The CI-sized variants of clients.py and hostile.py."""

from __future__ import annotations

import socket
from pathlib import Path

import attacks
import clients
import hostile
import pytest
import tls_writer
from proof_server import CORES, serving

SECONDS = 3


@pytest.mark.parametrize('tls', [False, True], ids=['clear', 'tls'])
@pytest.mark.parametrize('kind', CORES)
def test_each_answer_is_the_one_to_its_request(kind: str, tls: bool, tmp_path: Path) -> None:
    tally, log = clients.prove(kind, tls, SECONDS, 16, seed=1, folder=tmp_path)
    assert tally.errors == []
    assert tally.answers > 100
    assert 'Traceback' not in log


CASES = [
    pytest.param(name, kind, id=f'{name}-{kind}')
    for name in attacks.ATTACKS
    for kind in CORES
    if name not in hostile.STAYING and name not in attacks.FURTHER and hostile.applies(name, kind, False)
]


@pytest.mark.parametrize(('name', 'kind'), CASES)
def test_well_behaved_client_is_served_under_attack(name: str, kind: str, tmp_path: Path) -> None:
    serves_under_attack(name, kind, False, 1, tmp_path)


def serves_under_attack(name: str, kind: str, tls: bool, seconds: float, folder: Path) -> None:
    result = hostile.prove(name, kind, tls, seconds, folder, many=100, rest=0)
    assert result.made
    assert result.alive, result.log
    assert result.client.errors == []
    assert result.client.times
    assert result.most - result.before < 60, 'MiB that the attack has cost'


@pytest.mark.parametrize('name', ['key_updates', 'update_requests', 'renegotiations'])
@pytest.mark.parametrize('kind', CORES)
def test_client_is_served_beside_tls_records_without_data(kind: str, name: str, tmp_path: Path) -> None:
    pytest.importorskip('cryptography')
    serves_under_attack(name, kind, True, 0.5, tmp_path)


def ask(sock: socket.socket, client: tls_writer.Client, data: bytes) -> bytes:
    """Send records; return the answer to the request in them, b'' if the connection is ended."""
    answer = b''
    try:
        sock.sendall(data)
        while not answer.endswith(b'well'):
            data = sock.recv(65536)
            if not data:
                return b''
            client.feed(data)
            while part := client.read():
                answer += part
    except OSError:
        return b''
    return answer


def shake_hands(sock: socket.socket) -> tls_writer.Client:
    client = tls_writer.Client()
    while not client.shaken:
        sock.sendall(client.outgoing)
        client.feed(sock.recv(65536))
    sock.sendall(client.outgoing)
    return client


@pytest.mark.parametrize('kind', CORES)
def test_key_update_before_each_request_is_served(kind: str, tmp_path: Path) -> None:
    """Send more updates in all than a connection may send without data."""
    pytest.importorskip('cryptography')
    messages = (tls_writer.KEY_UPDATE, tls_writer.KEY_UPDATE_REQUEST)
    with (
        serving(kind, tmp_path, tls=True) as server,
        socket.create_connection(('127.0.0.1', server.port), 10) as sock,
    ):
        client = shake_hands(sock)
        writer = client.writer()
        for number in range(40):
            updates = b''.join(writer.key_update(messages[number % 2]) for _ in range(100))
            assert ask(sock, client, updates + writer.record(tls_writer.DATA, hostile.REQUEST))


@pytest.mark.parametrize('kind', CORES)
def test_updates_that_ask_for_ours_count_for_more(kind: str, tmp_path: Path) -> None:
    """Send 1,000 updates: 27 KB, and as much from us if they ask for it."""
    pytest.importorskip('cryptography')
    with serving(kind, tmp_path, tls=True) as server:
        for message, served in ((tls_writer.KEY_UPDATE, True), (tls_writer.KEY_UPDATE_REQUEST, False)):
            with socket.create_connection(('127.0.0.1', server.port), 10) as sock:
                client = shake_hands(sock)
                writer = client.writer()
                updates = b''.join(writer.key_update(message) for _ in range(1000))
                request = writer.record(tls_writer.DATA, hostile.REQUEST)
                assert bool(ask(sock, client, updates + request)) == served


STAYING = [
    ('half_head', False), ('half_head', True), ('half_body', False), ('prefaces', False),
    ('kept_alive', True), ('silent', False), ('tls_stall', True),
]  # fmt: skip


@pytest.mark.parametrize(('name', 'tls'), STAYING)
@pytest.mark.parametrize('kind', CORES)
def test_connections_that_stay_make_room(name: str, tls: bool, kind: str, tmp_path: Path) -> None:
    """Hold 150 connections on a server with 64 descriptors; they are opened again when they are closed."""
    with hostile.besieged(name, kind, tls, tmp_path) as server:
        client = hostile.WellBehaved(server.port, tls)
        for _ in range(5):
            client.once(None).close()
        assert 'Closing idle and incomplete connections' in server.log
        assert 'Traceback' not in server.log
