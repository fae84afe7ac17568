"""The layers around the application's handler, each of them only where an option asks for it.

From the inside out: static files, response headers for the access log, the client behind a proxy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..config import projection
from ..constants import ProxyProtocols

PROXY_VERSIONS = {
    ProxyProtocols.v1: frozenset((1,)), ProxyProtocols.v2: frozenset((2,)),
    ProxyProtocols.auto: frozenset((1, 2)),
}  # fmt: skip
SECURE_SCHEME_HEADERS = {'X-Forwarded-Protocol': 'ssl', 'X-Forwarded-Proto': 'https', 'X-Forwarded-Ssl': 'on'}
"""gunicorn's default of its setting secure_scheme_headers."""

if TYPE_CHECKING:
    from .. import static
    from ..config import Config
    from ..forwarded import ProxyRule, Rule
    from ..observe.counters import Counters
    from ..observe.recording import Environs
    from ..stream import AsyncHandler, Handler


def blocking(handler: Handler, config: Config, counters: Counters | None, every_atom: bool) -> Handler:
    """Return the handler of a blocking core, with its layers."""
    mounts = static_mounts(config, counters)
    if mounts is not None:
        from ..static import blocking

        handler = blocking(handler, mounts)
    if every_atom or _format(config, 'wants_response_headers'):
        from ..observe.recording import record_blocking

        handler = record_blocking(handler)
    rule = forwarded_rule(config)
    return rule.blocking(handler) if rule is not None else handler


def asynchronous(
    handler: AsyncHandler, config: Config, counters: Counters | None, every_atom: bool
) -> AsyncHandler:
    """Return the handler of the loop core, with its layers."""
    mounts = static_mounts(config, counters)
    if mounts is not None:
        from ..static import asynchronous

        handler = asynchronous(handler, mounts)
    if every_atom or _format(config, 'wants_response_headers'):
        from ..observe.recording import record_async

        handler = record_async(handler)
    rule = forwarded_rule(config)
    return rule.asynchronous(handler) if rule is not None else handler


def forwarded_rule(config: Config) -> Rule | None:
    """Return the rule about what proxies say; None: no peer is believed."""
    if not config.forwarded_allow_ips:
        return None
    from ..forwarded import Rule

    if config.forwarded == 'client':
        return Rule(config.forwarded_allow_ips)
    return Rule(config.forwarded_allow_ips, config.secure_scheme_headers or SECURE_SCHEME_HEADERS)


def proxy_rule(config: Config) -> ProxyRule | None:
    """Return the rule for the PROXY protocol; None: it is not read."""
    versions = PROXY_VERSIONS.get(config.proxy_protocol)
    if versions is None:
        return None
    from ..forwarded import ProxyRule

    return ProxyRule(versions, config.proxy_allow_ips)


def environs(config: Config, every_atom: bool) -> Environs | None:
    """Return what keeps the environs of requests for the access log; None: it asks for none."""
    if not (every_atom or _format(config, 'wants_environ')):
        return None
    from ..observe.recording import Environs

    return Environs()


def _format(config: Config, wish: str) -> bool:
    fmt = config.log_access_format
    if not config.log_access or fmt is None:
        return False
    from ..observe.atoms import Format

    return bool(getattr(Format(fmt), wish))


def static_mounts(config: Config, counters: Counters | None = None) -> static.Mounts | None:
    """Return the static files' folders; None: there are none."""
    if not config.static_path_mount:
        return None
    from ..static import Mount, Mounts

    mounts = Mounts(
        Mount(
            route,
            folder.absolute(),
            **projection(config, 'mount'),
        )
        for route, folder in zip(config.static_path_route, config.static_path_mount)
    )
    if counters is not None:
        counters.is_static = mounts.covers
    return mounts
