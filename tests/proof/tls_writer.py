"""Write TLS records that no library sends: any type, any content, any number of them.

Python's ssl does the handshake, and its key log tells the secrets. The records that follow it are encrypted
here, as RFC 8446 (TLS 1.3) and RFC 5246 with RFC 5288 (TLS 1.2, AES-GCM) say. `cryptography` has the ciphers.
"""

from __future__ import annotations

import hashlib
import hmac
import ssl
import struct
import tempfile
from typing import Any

from proof_server import client_context

ALERT, HANDSHAKE, DATA = 21, 22, 23
CLOSE_NOTIFY, WARNING = b'\x01\x00', b'\x01\x5a'  # the second: user_canceled
KEY_UPDATE, KEY_UPDATE_REQUEST = b'\x18\0\0\x01\0', b'\x18\0\0\x01\x01'
SUITES = {
    'TLS_AES_256_GCM_SHA384': ('AESGCM', 32, 'sha384'),
    'TLS_AES_128_GCM_SHA256': ('AESGCM', 16, 'sha256'),
    'TLS_CHACHA20_POLY1305_SHA256': ('ChaCha20Poly1305', 32, 'sha256'),
}
OLD_SUITES = 'ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256'


def cipher(name: str, key: bytes) -> Any:
    """Return an AEAD cipher; the other attacks do without the package that has it."""
    from cryptography.hazmat.primitives.ciphers import aead

    return getattr(aead, name)(key)


class Client:
    """A TLS client in memory: `outgoing` is to be sent, `feed` takes what has been received."""

    def __init__(self, old: bool = False) -> None:
        """Begin a handshake: of TLS 1.3, or of TLS 1.2 where it is an `old` one."""
        context = client_context.__wrapped__()
        version = ssl.TLSVersion.TLSv1_2 if old else ssl.TLSVersion.TLSv1_3
        context.minimum_version = context.maximum_version = version
        context.set_ciphers(OLD_SUITES)  # those of TLS 1.2 only
        self._old, self._received, self._to_send = old, ssl.MemoryBIO(), ssl.MemoryBIO()
        self._log = tempfile.NamedTemporaryFile('r')  # noqa: SIM115 (goes with the client)
        context.keylog_filename = self._log.name
        self.tls = context.wrap_bio(self._received, self._to_send, server_hostname='localhost')
        self._answer = b''
        self.shaken = False
        self._shake()
        self.outgoing = self._to_send.read()
        self.hello = self.outgoing[5:]
        """The handshake message ClientHello, without the header of its record."""

    def _shake(self) -> None:
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return
        self.shaken = True

    def feed(self, data: bytes) -> None:
        """Take input of the handshake, or of the answers that `read` then returns."""
        self._received.write(data)
        if not self.shaken:
            self._answer += data
            self._shake()
            self.outgoing = self._to_send.read()

    def read(self) -> bytes:
        """Return decrypted input, b'' if more records are needed. The library's own replies are dropped."""
        try:
            return self.tls.read(65536)
        except ssl.SSLWantReadError:
            return b''

    def writer(self) -> Writer:
        """Return the writer of all further records: this library must not send any."""
        secrets = dict(line.split(' ', 1) for line in self._log.read().splitlines() if line[0] != '#')
        if self._old:
            random, master = map(bytes.fromhex, secrets['CLIENT_RANDOM'].split())
            return OldWriter(random, self._answer[11:43], master)  # the random of the ServerHello
        secret = bytes.fromhex(secrets['CLIENT_TRAFFIC_SECRET_0'].split()[1])
        suite = self.tls.cipher()
        assert suite is not None
        return Writer(suite[0], secret)


class Writer:
    """Records of TLS 1.3."""

    def __init__(self, suite: str, secret: bytes) -> None:
        self._name, self._key_size, self._hash = SUITES[suite]
        self._use(secret)

    def _use(self, secret: bytes) -> None:
        self._secret, self._number = secret, 0
        self._sealing = cipher(self._name, self._expand(b'key', self._key_size))
        self._iv = int.from_bytes(self._expand(b'iv', 12), 'big')

    def _expand(self, label: bytes, size: int) -> bytes:
        """Return HKDF-Expand-Label of the secret, of one block."""
        label = b'tls13 ' + label
        info = struct.pack('!HB', size, len(label)) + label + b'\0\1'
        return hmac.digest(self._secret, info, self._hash)[:size]

    def record(self, kind: int, content: bytes = b'') -> bytes:
        """Return a record, with the keys of now."""
        header = struct.pack('!BHH', DATA, 0x303, len(content) + 17)
        nonce = (self._iv ^ self._number).to_bytes(12, 'big')
        self._number += 1
        return header + self._sealing.encrypt(nonce, content + bytes([kind]), header)

    def key_update(self, message: bytes = KEY_UPDATE) -> bytes:
        """Return the record that announces new keys, and use them from then on."""
        record = self.record(HANDSHAKE, message)
        self._use(self._expand(b'traffic upd', hashlib.new(self._hash).digest_size))
        return record


class OldWriter(Writer):
    """Records of TLS 1.2 with AES-GCM."""

    def __init__(self, client_random: bytes, server_random: bytes, master: bytes) -> None:
        seed = b'key expansion' + server_random + client_random
        block, link = b'', seed
        while len(block) < 40:  # two keys of 16 bytes, two salts of 4
            link = hmac.digest(master, link, 'sha256')
            block += hmac.digest(master, link + seed, 'sha256')
        self._sealing, self._salt = cipher('AESGCM', block[:16]), block[32:36]
        self._number = 1  # Finished was the first

    def record(self, kind: int, content: bytes = b'') -> bytes:
        number = self._number.to_bytes(8, 'big')
        self._number += 1
        sealed = self._sealing.encrypt(
            self._salt + number, content, number + struct.pack('!BHH', kind, 0x303, len(content))
        )
        return struct.pack('!BHH', kind, 0x303, len(sealed) + 8) + number + sealed
