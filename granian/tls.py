"""TLS: a server's `ssl.SSLContext` from plain arguments, and what a handshake settled.

Knows certificates, keys and the standard library's `ssl`; no socket, no configuration
object, no command line. Mistakes in files become one `ConfigurationError` each, which says
which file and what is wrong with it.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import ConfigurationError
from .messages import refusal
from .protocol.error_pages import error_response
from .protocol.limits import Clock
from .stream import TLSInfo

ALPN = {'auto': ['h2', 'http/1.1'], '1': ['http/1.1'], '2': ['h2']}
"""What is offered, by HTTP mode."""

# Forward secrecy and AEAD only: RFC 9113 9.2.2 and appendix A leave nothing else of TLS 1.2.
_TLS12_CIPHERS = 'ECDHE+AESGCM:ECDHE+CHACHA20'
_CERTIFICATE = b'-----BEGIN CERTIFICATE-----'
_TRUSTED = b'-----BEGIN TRUSTED CERTIFICATE-----'
_KEY = re.compile(rb'-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----')
_CRL = b'-----BEGIN X509 CRL-----'


@dataclass(frozen=True)
class TLSSettings:
    """Paths are of PEM files."""

    certificate: Path | None
    """The server's certificate, then those that lead to its root."""
    key: Path | None
    """PKCS#1, PKCS#8 or EC, encrypted or not."""
    password: str | None = None
    minimum: str = 'tls1.3'
    """'tls1.2' or 'tls1.3'."""
    ca: Path | None = None
    crl: Sequence[Path] = ()
    client_verify: str = 'none'
    """'none', 'optional' or 'required': a client certificate that leads to `ca`. Without a `ca`: 'none'."""
    ciphers: str | None = None
    """OpenSSL's list for TLS 1.2; None: forward secrecy and AEAD only."""
    http: str = 'auto'


class ServerContext(ssl.SSLContext):
    """A server's context that can also say which certificate it shows."""

    certificate: bytes | None = None
    """The server's own, DER."""


def make_context(settings: TLSSettings) -> ServerContext:
    """Read the files and make a context for the server's side.

    Raises ConfigurationError, with one line for the user.
    """
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = (
        ssl.TLSVersion.TLSv1_2 if settings.minimum == 'tls1.2' else ssl.TLSVersion.TLSv1_3
    )
    _set_ciphers(context, settings.ciphers)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    # A client that closes without close_notify is the rule, not the exception.
    context.options |= getattr(ssl, 'OP_IGNORE_UNEXPECTED_EOF', 0)
    context.set_alpn_protocols(ALPN[settings.http])
    if settings.certificate is not None and settings.key is not None:
        context.certificate = _load_pair(context, settings.certificate, settings.key, settings.password)
    if settings.client_verify != 'none' and settings.ca is not None:
        _load_authorities(context, settings.ca)
        for path in settings.crl:
            _load_revocations(context, path)
        required = settings.client_verify == 'required'
        context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    return context


def custom_context(
    settings: TLSSettings, hook: Callable[[Any, Callable[[], ssl.SSLContext]], object], config: object
) -> ssl.SSLContext:
    """Return the context that the user's hook makes: `hook(config, factory)`; `factory()` makes ours.

    A context that the hook has made otherwise gets the ALPN protocols of ours. Raises ConfigurationError.
    """
    try:
        context = hook(config, lambda: make_context(settings))
    except ConfigurationError:
        raise
    except Exception as error:
        raise ConfigurationError(refusal('tls_hook', kind=type(error).__name__, error=error)) from error
    if not isinstance(context, ssl.SSLContext):
        raise ConfigurationError(refusal('tls_hook_result', kind=type(context).__name__))
    if not isinstance(context, ServerContext):
        context.set_alpn_protocols(ALPN[settings.http])
    return context


def _set_ciphers(context: ssl.SSLContext, ciphers: str | None) -> None:
    try:
        context.set_ciphers(ciphers or _TLS12_CIPHERS)
    except ssl.SSLError:
        raise ConfigurationError(refusal('tls_ciphers', ciphers=ciphers)) from None


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigurationError(refusal('tls_unreadable', what=what, path=path, reason=reason)) from None


def _load_pair(context: ssl.SSLContext, certificate: Path, key: Path, given: str | None) -> bytes:
    """Load certificate chain and key into the context. Return the first certificate as DER."""
    der = _check_certificate(certificate)
    pem = _read(key, 'TLS key')
    if not _KEY.search(pem):
        raise _other('TLS key', key, 'private key')
    asked = False

    def password() -> str:
        # Called only if the key is encrypted; without it OpenSSL would ask on the terminal.
        nonlocal asked
        asked = True
        return given or ''

    try:
        context.load_cert_chain(certificate, key, password)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise ConfigurationError(_pair_problem(certificate, key, given, error, asked)) from None
    return der


def _check_certificate(path: Path) -> bytes:
    """Return the first certificate in a file, as DER, once OpenSSL has read it."""
    pem = _read(path, 'TLS certificate')
    if _CERTIFICATE not in pem and _TRUSTED not in pem:
        raise _other('TLS certificate', path, 'certificate')
    try:
        start = pem.index(_CERTIFICATE)
        end = pem.index(b'-----END CERTIFICATE-----', start)
        der = ssl.PEM_cert_to_DER_cert(pem[start : end + 25].decode('ascii'))
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=der)
    except (ValueError, ssl.SSLError) as error:
        raise _damaged('TLS certificate', path, error) from None
    return der


def _pair_problem(certificate: Path, key: Path, given: str | None, error: Exception, asked: bool) -> str:
    """Return the message for a certificate and key that cannot be loaded; `asked`: for a password."""
    reason = reason_of(error)
    # A key of another kind (RSA for EC) finds no certificate to go with.
    if reason in ('KEY_VALUES_MISMATCH', 'KEY_TYPE_MISMATCH', 'NO_CERTIFICATE_ASSIGNED'):
        return refusal('tls_pair', key=key, certificate=certificate)
    if reason in ('EE_KEY_TOO_SMALL', 'CA_MD_TOO_WEAK'):
        return refusal('tls_weak', certificate=certificate, reason=reason)
    if asked and not given:
        return refusal('tls_encrypted', key=key)
    if asked:
        return refusal('tls_password', key=key)
    return refusal('tls_key', key=key, certificate=certificate, reason=reason)


def _other(what: str, path: Path, kind: str) -> ConfigurationError:
    return ConfigurationError(refusal('tls_other', what=what, path=path, kind=kind))


def _damaged(what: str, path: Path, error: Exception) -> ConfigurationError:
    return ConfigurationError(refusal('tls_damaged', what=what, path=path, reason=reason_of(error)))


def reason_of(error: object) -> str:
    """Return OpenSSL's short word for the mistake."""
    return str(getattr(error, 'reason', None) or error)


def _load_authorities(context: ssl.SSLContext, path: Path) -> None:
    pem = _read(path, 'CA file')
    if _CERTIFICATE not in pem and _TRUSTED not in pem:
        raise _other('CA file', path, 'certificate')
    try:
        context.load_verify_locations(path)
    except (ssl.SSLError, OSError) as error:
        raise _damaged('CA file', path, error) from None


def _load_revocations(context: ssl.SSLContext, path: Path) -> None:
    """Load a revocation list. With one, each certificate of a client's chain must be covered by a list."""
    if _CRL not in _read(path, 'revocation list'):
        raise _other('revocation list', path, 'CRL')
    try:
        context.load_verify_locations(path)
    except (ssl.SSLError, OSError) as error:
        raise _damaged('revocation list', path, error) from None
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN


# ---- what a handshake settled


def tls_info(connection: ssl.SSLObject | ssl.SSLSocket) -> TLSInfo:
    """Return what applications see of a connection whose handshake is complete."""
    cipher = connection.cipher()
    client = connection.getpeercert(True)
    subject = None
    if client is not None:
        decoded: Any = connection.getpeercert()
        subject = distinguished_name(decoded.get('subject', ()))
    return TLSInfo(
        version=connection.version() or '',
        cipher=cipher[0] if cipher is not None else '',
        server_certificate=getattr(connection.context, 'certificate', None),
        client_certificate=client,
        client_subject=subject,
    )


_SHORT_NAMES = {
    'commonName': 'CN',
    'countryName': 'C',
    'domainComponent': 'DC',
    'localityName': 'L',
    'organizationName': 'O',
    'organizationalUnitName': 'OU',
    'stateOrProvinceName': 'ST',
    'streetAddress': 'STREET',
    'userId': 'UID',
}
_ESCAPED = re.compile(r'[",+;<>\\=]|^[ #]| $')


def distinguished_name(subject: Sequence[Sequence[tuple[str, str]]]) -> str:
    """Format a subject, as `ssl` decodes it, by RFC 4514: the most specific part first."""
    return ','.join(
        '+'.join(f'{_SHORT_NAMES.get(name, name)}={_escape(value)}' for name, value in part)
        for part in reversed(subject)
    )


def _escape(value: str) -> str:
    return _ESCAPED.sub(lambda match: '\\' + match.group(), value).replace('\0', '\\00')


def is_tls_mistake(error: object) -> bool:
    """Return whether a handshake failed by what the client sent, and not because it has left."""
    left = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
    return isinstance(error, ssl.SSLError) and not isinstance(error, left)


# ---- HTTP where TLS was expected

_PLAIN_HTTP = re.compile(rb'[A-Z]{3,20} ').match


def is_plain_http(data: bytes | bytearray) -> bool:
    """Return whether first bytes on a TLS port are a request in clear text (TLS begins with 0x16)."""
    return _PLAIN_HTTP(data) is not None


def plain_http_answer(clock: Clock) -> bytes:
    """Return a response in clear text that says so; close after it."""
    return error_response(400, 'this port speaks TLS: use https', clock)
