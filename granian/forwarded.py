"""What a reverse proxy says of its client: address and scheme, from header fields of trusted peers.

`Trusted` is the list of peers, `forwarded_address` and `forwarded_scheme` are the grammar. A `Rule`
applies them to streams: `rule.blocking(handler)` and `rule.asynchronous(handler)` are handlers whose
streams have the client's address and scheme. The access log sees them as well.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from .protocol.proxy_preamble import MORE, NONE, Preamble, PreambleError, read_preamble

if TYPE_CHECKING:
    from .protocol.head import Head
    from .stream import Address, AsyncHandler, Handler

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_SCHEMES = {'http': 'http', 'https': 'https', 'ws': 'http', 'wss': 'https'}
_PORT = re.compile(r'[0-9]{1,5}')
_ADDRESS = re.compile(r'[0-9A-Fa-f:.]{2,45}')
"""Without a zone (RFC 6874): that is of no use outside its host, and may be any text."""
_CLIENT_FIELDS = frozenset({'x-forwarded-for', 'x-forwarded-proto'})
UNIX = 'unix'
"""The name of peers on a Unix socket in a list of trusted peers."""
CONTRADICTION = b'Contradictory scheme headers\n'
_PLAIN = [(b'Content-Type', b'text/plain; charset=utf-8')]


class Trusted:
    """The peers that are proxies of ours: addresses, networks, literals such as `unix`, or `*` for all."""

    def __init__(self, hosts: Iterable[str] | str) -> None:
        """Raise ValueError for a network that is none."""
        given = hosts.split(',') if isinstance(hosts, str) else hosts
        names = [name.strip() for name in given if name.strip()]
        self.all = '*' in names
        self.literals = set(names)
        self.networks: list[_Network] = []
        self._known = lru_cache(1024)(self._find)
        for name in names:
            try:
                self.networks.append(ipaddress.ip_network(name))
            except ValueError:
                if '/' in name and not name.startswith(('/', UNIX)):
                    # 10.0.0.1/8 and 10.0.0.0/99 would otherwise be taken for a literal that never matches.
                    raise ValueError(f'{name!r} is not a network') from None

    def __contains__(self, host: str) -> bool:
        return self.all or host in self.literals or self._known(host)

    def _find(self, host: str) -> bool:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        mapped = getattr(address, 'ipv4_mapped', None)  # ::ffff:10.0.0.1 on a dual-stack listener
        return any((mapped or address) in network for network in self.networks)

    def client(self, forwarded_for: Iterable[str]) -> tuple[str, int] | None:
        """Return the rightmost address that is not trusted, the first if all are; None: there is none.

        The walk stops at an entry that is no address: no trusted proxy has added what is left of it.
        """
        found = None
        for entry in reversed([entry.strip() for value in forwarded_for for entry in value.split(',')]):
            if not entry:
                continue
            parsed = forwarded_address(entry)
            if parsed is None:
                break
            found = parsed
            if parsed[0] not in self:
                break
        return found


def forwarded_address(entry: str) -> tuple[str, int] | None:
    """Return host and port of `addr`, `addr:port`, `[v6]` or `[v6]:port`; port 0 where there is none."""
    host, port = entry, ''
    if entry.startswith('['):
        host, bracket, rest = entry[1:].partition(']')
        if not bracket or (rest and not rest.startswith(':')):
            return None
        port = rest[1:]
    elif entry.count(':') == 1:
        host, _, port = entry.partition(':')
    if port and not (_PORT.fullmatch(port) and int(port) < 65536):
        return None
    if not _ADDRESS.fullmatch(host):
        return None
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return None
    return host, int(port or 0)


def forwarded_scheme(values: Iterable[str]) -> str | None:
    """Return 'http' or 'https'; None when no scheme is named, or several that differ."""
    said = {value.strip().lower() for text in values for value in text.split(',')}
    return _SCHEMES.get(said.pop()) if len(said) == 1 else None


class _Peer:
    """A connection's own client and scheme, and the handler's memo for the last forwarded ones."""

    def __init__(self, stream: Any, trusted: bool) -> None:
        self.client, self.scheme, self.memo = stream.client, stream.scheme, stream.memo
        self.trusted = trusted
        self.own = self.client, self.scheme
        self.last: tuple[Any, dict[str, Any]] = self.own, self.memo


class Rule:
    """Which peers are believed, and what of their fields.

    With `secure` (a field's name, and its value that means https) only the scheme is taken, from those
    fields; without, client and scheme are, from X-Forwarded-For and X-Forwarded-Proto.
    """

    def __init__(self, trusted: Sequence[str], secure: Mapping[str, str] | None = None) -> None:
        self.trusted = Trusted(trusted)
        self._secure = None
        if secure is not None:
            self._secure = {name.lower(): value for name, value in secure.items()}
        self._names = _CLIENT_FIELDS if self._secure is None else frozenset(self._secure)

    def trusts(self, client: Address | None) -> bool:
        """Return whether a peer is believed. gunicorn's rule for the scheme believes every Unix socket."""
        if client is None:
            return self._secure is not None or UNIX in self.trusted
        return client[0] in self.trusted

    def blocking(self, handler: Handler) -> Handler:
        def handle(stream: Any) -> None:
            if self._quiet(stream) or self._apply(stream):
                handler(stream)
            else:
                stream.respond(400, _PLAIN, CONTRADICTION)

        return handle

    def asynchronous(self, handler: AsyncHandler) -> AsyncHandler:
        async def handle(stream: Any) -> None:
            if self._quiet(stream) or self._apply(stream):
                await handler(stream)
            else:
                stream.respond(400, _PLAIN, CONTRADICTION)

        return handle

    def _quiet(self, stream: Any) -> bool:
        """Return whether the stream has its own client and scheme, and its head does not name others."""
        peer = stream.memo.get('peer')
        if peer is None:
            peer = self._meet(stream)
        elif peer.last[0] is not peer.own:
            return False
        return not (peer.trusted and stream.head.has_any(self._names))

    def _meet(self, stream: Any) -> _Peer:
        """Return the peer of a new connection, and keep it there: `wsgi.forwarder` asks for its trust."""
        # The real peer's address, where the PROXY protocol has named another one.
        real = stream.client.peer if isinstance(stream.client, ProxiedAddress) else stream.client
        peer = stream.memo['peer'] = _Peer(stream, self.trusts(real))
        return peer

    def _apply(self, stream: Any) -> bool:
        """Give the stream the client's address and scheme. Return False for fields that contradict."""
        peer = stream.memo['peer']
        if not peer.trusted:
            return True
        found = self._read(stream.head, peer)
        if found is None:
            stream.memo = {'peer': peer}
            return False
        stream.client, stream.scheme = found
        known, own = peer.last
        if found == peer.own:
            own = peer.memo
            peer.last = peer.own, own
        elif known != found:
            own = {'peer': peer}
            peer.last = found, own
        # What handlers keep for a connection holds for one client of it.
        stream.memo = own
        return True

    def _read(self, head: Head, peer: _Peer) -> tuple[Address | None, str] | None:
        """Return client and scheme by the fields of a trusted peer, None to believe nothing."""
        if self._secure is not None:
            scheme = _secure_scheme(head, self._secure, peer.scheme)
            return None if scheme is None else (peer.client, scheme)
        addresses, schemes = [], []
        for field, value in head.fields:
            if field.name == 'x-forwarded-for':
                addresses.append(value)
            elif field.name == 'x-forwarded-proto':
                schemes.append(value)
        client = self.trusted.client(addresses) if addresses else None
        return client or peer.client, forwarded_scheme(schemes) or peer.scheme


def _secure_scheme(head: Head, secure: Mapping[str, str], default: str) -> str | None:
    """Return the scheme by the fields in `secure`; None when one is repeated or two disagree."""
    seen: dict[str, str] = {}
    for field, value in head.fields:
        wanted = secure.get(field.name)
        if wanted is not None:
            if field.name in seen:
                return None
            seen[field.name] = 'https' if value == wanted else 'http'
    schemes = set(seen.values())
    if len(schemes) > 1:
        return None
    return schemes.pop() if schemes else default


class ProxiedAddress(tuple[str, int]):
    """A client's address as the PROXY protocol names it."""

    peer: Address | None
    """The proxy's own address; None on a Unix socket."""
    preamble: Preamble

    @classmethod
    def of(cls, preamble: Preamble, peer: Address | None) -> ProxiedAddress:
        made = cls(preamble.source)
        made.peer = peer
        made.preamble = preamble
        return made


class Refusal(Exception):
    """The connection's first bytes are refused with this status."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class ProxyRule:
    """Which versions of the PROXY protocol are read, and from which peers. Unix sockets are believed."""

    def __init__(self, versions: frozenset[int], trusted: Sequence[str]) -> None:
        self._versions = versions
        self._trusted = Trusted(trusted)

    def read(self, data: bytes, client: Address | None) -> tuple[int, Address | None] | None:
        """Return the preamble's length and the client; None: further bytes decide. Raises Refusal."""
        try:
            found = read_preamble(data, self._versions)
        except PreambleError as error:
            self._need_trust(client)
            raise Refusal(400, str(error)) from None
        if found is MORE:
            return None
        if found is NONE:
            return 0, client
        self._need_trust(client)
        return found.length, ProxiedAddress.of(found, client) if found.protocol else client

    def _need_trust(self, client: Address | None) -> None:
        if client is not None and client[0] not in self._trusted:
            raise Refusal(403, 'PROXY protocol from a peer that is not trusted')
