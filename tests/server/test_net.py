"""Listening sockets: every kind of address, and one clear line for each that cannot be had."""

import errno
import os
import socket
import stat
import subprocess
import sys

import pytest

from granian import net
from granian.addresses import Listening, UnixAddress, parse_address
from granian.server import upgrade

HAS_IPV6 = True
try:
    with socket.create_server(('::1', 0), family=socket.AF_INET6):
        pass
except OSError:
    HAS_IPV6 = False


@pytest.fixture
def opened():
    endpoints = []
    yield lambda endpoint: endpoints.append(endpoint) or endpoint
    for endpoint in endpoints:
        endpoint.close()


def listen_unix(path, permissions=None):
    return net.listen_on([UnixAddress(str(path))], Listening(permissions=permissions))


def connects(sock):
    with socket.socket(sock.family) as client:
        client.connect(sock.getsockname())


def test_ipv4(opened):
    endpoint = opened(net.listen('127.0.0.1', 0))
    (sock,) = endpoint.sockets
    port = sock.getsockname()[1]
    assert port
    assert endpoint.urls() == [f'http://127.0.0.1:{port}']
    assert endpoint.urls('https') == [f'https://127.0.0.1:{port}']
    assert sock.proto == socket.IPPROTO_TCP
    assert not sock.getblocking()
    with sock.dup() as copy:  # which shares the flag
        assert not os.get_blocking(copy.fileno())
        assert not os.get_blocking(sock.fileno())
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    connects(sock)


@pytest.mark.skipif(not HAS_IPV6, reason='no IPv6 here')
@pytest.mark.parametrize('host', ['::1', '[::1]'])
def test_ipv6(opened, host):
    endpoint = opened(net.listen(host, 0))
    assert endpoint.urls() == [f'http://[::1]:{endpoint.sockets[0].getsockname()[1]}']
    connects(endpoint.sockets[0])


def test_localhost_is_every_family_it_resolves_to(opened, monkeypatch):
    families = [socket.AF_INET] + [socket.AF_INET6] * HAS_IPV6
    addresses = {socket.AF_INET: ('127.0.0.1', 0), socket.AF_INET6: ('::1', 0, 0, 0)}
    found = [(family, socket.SOCK_STREAM, 6, '', addresses[family]) for family in families]
    monkeypatch.setattr(socket, 'getaddrinfo', lambda *args, **kwargs: found)
    endpoint = opened(net.listen('localhost', 0))
    assert [sock.family for sock in endpoint.sockets] == families
    assert len({sock.getsockname()[1] for sock in endpoint.sockets}) == 1
    for sock in endpoint.sockets:
        connects(sock)


def test_an_address_that_a_name_has_and_this_host_has_not_is_passed_over(opened, monkeypatch):
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, '', ('192.0.2.1', 0)),  # RFC 5737: documentation
        (socket.AF_INET, socket.SOCK_STREAM, 6, '', ('127.0.0.1', 0)),
    ]
    monkeypatch.setattr(socket, 'getaddrinfo', lambda *args, **kwargs: found)
    endpoint = opened(net.listen('some.name', 0))
    assert [sock.getsockname()[0] for sock in endpoint.sockets] == ['127.0.0.1']


def test_free_port_of_one_family_taken_in_the_other(opened, monkeypatch):
    bind, taken = net._bind, []

    def clash_once(family, address, how, v6only):
        if address[1] and not taken:
            taken.append(address[1])
            raise OSError(98, 'Address already in use')
        return bind(family, address, how, v6only)

    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, '', (host, 0)) for host in ('127.0.0.1', '127.0.0.2')]
    monkeypatch.setattr(socket, 'getaddrinfo', lambda *args, **kwargs: found)
    monkeypatch.setattr(net, '_bind', clash_once)
    endpoint = opened(net.listen('some.name', 0))
    assert taken
    assert len({sock.getsockname()[1] for sock in endpoint.sockets}) == 1


def message(*args, **kwargs):
    with pytest.raises(net.ListenError) as caught:
        net.listen(*args, **kwargs)
    assert '\n' not in str(caught.value)
    return str(caught.value)


def test_port_in_use(opened):
    port = opened(net.listen('127.0.0.1', 0)).sockets[0].getsockname()[1]
    assert message('127.0.0.1', port) == f'cannot listen on 127.0.0.1:{port}: the port is in use'


def test_address_in_use_is_tried_five_times(opened, caplog):
    port = opened(net.listen('127.0.0.1', 0)).sockets[0].getsockname()[1]
    pauses = []
    with pytest.raises(net.ListenError, match='the port is in use'):
        net.listen_patiently(lambda: net.listen('127.0.0.1', port), pauses.append)
    assert pauses == [1.0] * 4
    assert [record.getMessage() for record in caplog.records] == [
        f'Connection in use: 127.0.0.1:{port}; trying again in one second'
    ] * 4


def test_other_errors_are_not_tried_again(caplog):
    with pytest.raises(net.ListenError):
        net.listen_patiently(lambda: net.listen('192.0.2.1', 8000), pytest.fail)
    assert caplog.records == []


def test_ipv6_is_passed_over_where_there_is_none(opened, monkeypatch, caplog):
    bind = net._bind

    def without_ipv6(family, *args):
        if family == socket.AF_INET6:
            raise OSError(97, 'Address family not supported by protocol')
        return bind(family, *args)

    monkeypatch.setattr(net, '_bind', without_ipv6)
    addresses = [parse_address('[::]:0'), parse_address('127.0.0.1:0')]
    endpoint = opened(net.listen_on(addresses, Listening()))
    assert [sock.family for sock in endpoint.sockets] == [socket.AF_INET]
    assert 'Not listening on [::]:0' in caplog.text
    with pytest.raises(net.ListenError):
        net.listen_on(addresses[:1], Listening())


@pytest.mark.skipif(not HAS_IPV6, reason='no IPv6 here')
def test_ipv6_wildcard_alone_takes_ipv4_too(opened):
    port = opened(net.listen('::', 0)).sockets[0].getsockname()[1]
    socket.create_connection(('127.0.0.1', port)).close()


def test_nothing_stays_open_when_one_address_fails(opened, tmp_path):
    taken = opened(net.listen('127.0.0.1', 0)).sockets[0].getsockname()[1]
    free = opened(net.listen('127.0.0.1', 0))
    port = free.sockets[0].getsockname()[1]
    free.close()
    addresses = [parse_address(text) for text in (f':{port}', f'unix:{tmp_path}/s', f'127.0.0.1:{taken}')]
    with pytest.raises(net.ListenError):
        net.listen_on(addresses, Listening())
    assert not (tmp_path / 's').exists()
    opened(net.listen('127.0.0.1', port))


@pytest.mark.parametrize('kind', ['closed', 'file', 'datagram'])
def test_descriptor_that_cannot_listen_is_one_line(kind, tmp_path):
    with open(tmp_path / 'file', 'w') as file, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram:
        number = {'closed': 9999, 'file': file.fileno(), 'datagram': datagram.detach()}[kind]
        with pytest.raises(net.ListenError, match=f'cannot listen on file descriptor {number}: it is not'):
            net.inherit([number], 5)


def test_address_of_somebody_else():
    assert message('192.0.2.1', 8000) == (
        'cannot listen on 192.0.2.1:8000: this machine does not have that address'
    )


@pytest.mark.parametrize('host', ['2001:db8::1', '[2001:db8::1]'])
def test_ipv6_address_of_somebody_else_has_brackets(host):
    assert message(host, 8000) == (
        'cannot listen on [2001:db8::1]:8000: this machine does not have that address'
    )


def test_link_local_address_without_an_interface():
    assert message('fe80::1', 8000) == (
        'cannot listen on [fe80::1]:8000: a link-local address needs its interface, such as fe80::1%eth0'
    )


@pytest.mark.parametrize('host', ['no.such.host.invalid', 'a..b', '1.2.3.4.5', 'x' * 300])
def test_unresolvable(host):
    assert message(host, 8000) == f'cannot listen on {host}:8000: the host {host!r} cannot be resolved'


def test_privileged_port(monkeypatch):
    def refuse(*args):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr(net, '_bind', lambda *args, **kwargs: refuse())
    assert message('127.0.0.1', 80) == (
        'cannot listen on 127.0.0.1:80: no permission to use port 80 (ports below 1024 need the right to)'
    )


# Unix sockets


def unix_message(path, *args):
    with pytest.raises(net.ListenError) as caught:
        listen_unix(path, *args)
    assert '\n' not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize('mode', [0o600, 0o666])
def test_unix(tmp_path, mode):
    path = tmp_path / 's'
    endpoint = listen_unix(path, mode)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert endpoint.urls('https') == [f'unix:{path}']
    connects(endpoint.sockets[0])
    endpoint.close()
    assert not path.exists()


def test_live_unix_socket_is_refused(tmp_path, opened):
    path = tmp_path / 's'
    opened(listen_unix(path))
    assert unix_message(path) == f'cannot listen on {path}: a server is using it'
    assert path.exists()


def test_live_unix_socket_with_a_full_queue_is_refused(tmp_path):
    path = tmp_path / 's'
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(str(path))
        server.listen(0)
        client.connect(str(path))
        assert unix_message(path) == f'cannot listen on {path}: a server is using it'


def test_socket_file_that_cannot_be_removed_does_not_disturb_the_end(tmp_path, monkeypatch):
    endpoint = net.listen_on([UnixAddress(str(tmp_path / 's'))], net.Listening())

    def refuse(*args, **more):
        raise OSError(errno.EROFS, 'Read-only file system')

    monkeypatch.setattr(os, 'unlink', refuse)
    endpoint.close()
    assert endpoint.closed


def test_stale_unix_socket_is_replaced(tmp_path, opened):
    path = tmp_path / 's'
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    connects(opened(listen_unix(path)).sockets[0])


def test_a_file_that_is_no_socket_is_kept(tmp_path):
    path = tmp_path / 's'
    path.write_text('precious')
    assert unix_message(path) == f'cannot listen on {path}: the file exists and is not a socket'
    assert path.read_text() == 'precious'


def test_unix_path_too_long(tmp_path):
    path = tmp_path / ('s' * 200)
    assert unix_message(path) == f'cannot listen on {path}: the path is too long for a Unix socket'


def test_unix_socket_in_no_folder(tmp_path):
    path = tmp_path / 'none' / 's'
    assert unix_message(path) == f'cannot listen on {path}: no such file or directory'


def test_unix_socket_of_a_successor_is_left_alone(tmp_path, opened):
    path = tmp_path / 's'
    first = listen_unix(path)
    path.unlink()
    opened(listen_unix(path))
    first.close()
    assert path.exists()


def test_a_child_does_not_remove_the_unix_socket(tmp_path, opened):
    path = tmp_path / 's'
    endpoint = opened(listen_unix(path))
    pid = os.fork()
    if not pid:
        endpoint.close()
        os._exit(0)
    os.waitpid(pid, 0)
    assert path.exists()


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='no Unix sockets, no upgrade')
@pytest.mark.parametrize('notices', ['look', 'close'])
def test_files_of_an_old_main_process_go_with_the_new_one_that_stops(tmp_path, monkeypatch, opened, notices):
    """End the old main process after the new one has closed its sockets, and before it has ended."""
    old = opened(listen_unix(tmp_path / 'web.sock'))
    new = opened(net.adopt(old.sockets[0].dup()))
    old.files = []
    assert new.paths == [tmp_path / 'web.sock']
    ended = subprocess.Popen([sys.executable, '-c', ''])
    ended.wait()
    monkeypatch.setenv(upgrade.PREDECESSOR, f'{ended.pid} files')
    succession = upgrade.Succession(lambda: new)
    new.close()
    succession.close() if notices == 'close' else succession.look((), 0.0)
    new.close()
    assert list(tmp_path.iterdir()) == []
