"""A certificate for the tests over TLS, and client contexts that trust anything."""

import ssl

import pytest

from tests.support.certificates import make_pair


@pytest.fixture(scope='session')
def pair(tmp_path_factory):
    """Make a self-signed certificate and its key."""
    return make_pair(tmp_path_factory.mktemp('pair'), 'localhost')


@pytest.fixture
def tls(pair):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    context.set_alpn_protocols(['h2', 'http/1.1'])
    return context


def client_context(*alpn):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(list(alpn))
    return context


def wrapped(served, *alpn):
    client = served.connect()
    client.sock = client_context(*alpn).wrap_socket(client.sock)
    return client


class Begun:
    """A TLS client over memory. Python's own sockets neither stop after the first message nor half-close."""

    def __init__(self, sock, *alpn, split=None):
        """Send the first message of the handshake; only what precedes the bytes `split`, where given."""
        self.sock = sock
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = client_context(*(alpn or ('http/1.1',)))
        self._tls = context.wrap_bio(self._in, self._out, server_hostname='localhost')
        with pytest.raises(ssl.SSLWantReadError):
            self._tls.do_handshake()
        hello = self._out.read()
        size = hello.index(split) if split else len(hello)
        sock.sendall(hello[:size])
        self._out.write(hello[size:])  # it leaves with the next step

    def _drive(self, step):
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                self._flush()
                data = self.sock.recv(65536)
                if not data:
                    raise EOFError from None
                self._in.write(data)
            else:
                self._flush()
                return result

    def _flush(self):
        if self._out.pending:
            self.sock.sendall(self._out.read())

    def encrypt(self, data):
        """Complete the handshake, and return the record of the data."""
        self._drive(self._tls.do_handshake)
        self._tls.write(data)
        return self._out.read()

    def get(self):
        """Complete the handshake, and return the first part of the answer to a request."""
        self._drive(self._tls.do_handshake)
        self._drive(lambda: self._tls.write(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n'))
        return self._drive(lambda: self._tls.read(65536))


class HalfClosing(Begun):
    """A TLS client that can end its side and still read."""

    def __init__(self, sock):
        super().__init__(sock)
        self._drive(self._tls.do_handshake)

    def send_and_end(self, data):
        self._tls.write(data)
        with pytest.raises(ssl.SSLWantReadError):
            self._tls.unwrap()
        self._flush()

    def rest(self):
        """Return the input up to the server's close_notify."""
        parts = []
        try:
            while part := self._drive(lambda: self._tls.read(65536)):
                parts.append(part)
        except ssl.SSLZeroReturnError:
            pass
        return b''.join(parts)
