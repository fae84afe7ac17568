"""Hints of the command line to users of another server: options by other names, variables."""

from __future__ import annotations

import re
from collections.abc import Mapping

INSTEAD: dict[str, str] = {
    '-b': '--bind', '-w': '--workers', '-k': '--interface and --core',
    '--worker-class': '--interface and --core',
    '--threads': '--blocking-threads', '-t': '--worker-timeout', '--timeout': '--worker-timeout',
    '--graceful-timeout': '--workers-kill-timeout', '--keep-alive': '--http1-keep-alive-timeout',
    '--worker-connections': '--backpressure', '--max-requests': '--workers-max-requests',
    '--max-requests-jitter': '--workers-max-requests-jitter', '--preload-app': '--preload',
    '--certfile': '--ssl-certificate', '--keyfile': '--ssl-keyfile', '--ca-certs': '--ssl-ca',
    '--cert-reqs': '--ssl-client-verify', '--ciphers': '--ssl-ciphers', '--ssl-version': '--ssl-protocol-min',
    '--access-logfile': '--access-log-file', '--access-logformat': '--access-log-fmt',
    '--error-logfile': '--log-file', '--log-config-dict': '--log-config', '--logger-class': '--log-config',
    '--chdir': '--working-dir', '-p': '--pid-file', '--pid': '--pid-file', '-n': '--process-name',
    '--name': '--process-name', '-u': '--user', '-g': '--group', '-m': '--umask', '-e': '--env-files',
    '--env': '--env-files', '--reload-extra-file': '--reload-extra-files', '--reload-engine': '--reload',
    '--limit-request-line': '--http1-max-request-line', '--limit-request-fields': '--http1-max-headers',
    '--limit-request-field_size': '--http1-max-field-size', '--check-config': '--check',
    '--proxy-allow-from': '--proxy-allow-ips', '--statsd-host': '--statsd',
    '--dogstatsd-tags': '--statsd-tags',
    '-c': 'options, or the gunicorn command line', '--config': 'options, or the gunicorn command line',
    '-h': '--help', '-v': '--version', '--pythonpath': '--working-dir, or PYTHONPATH',
    '-R': 'nothing, the output is kept', '--enable-stdio-inheritance': 'nothing, the output is kept',
    '--capture-output': 'nothing, the output is kept', '--tmp-upload-dir': 'TMPDIR',
    '-D': 'a service manager such as systemd', '--daemon': 'a service manager such as systemd',
    # uvicorn's and hypercorn's
    '--app-dir': '--working-dir', '--env-file': '--env-files', '--fd': '--bind fd://N',
    '--reload-dir': '--reload-paths', '--reload-include': '--reload-paths',
    '--reload-exclude': '--reload-ignore-paths', '--reload-delay': '--reload-tick',
    '--proxy-headers': '--forwarded-allow-ips',
    '--no-proxy-headers': 'nothing, proxies are not believed by default',
    '--limit-concurrency': '--backpressure', '--limit-max-requests': '--workers-max-requests',
    '--timeout-keep-alive': '--http1-keep-alive-timeout',
    '--timeout-graceful-shutdown': '--workers-kill-timeout', '--ssl-certfile': '--ssl-certificate',
    '--ssl-ca-certs': '--ssl-ca', '--ssl-keyfile-pass': '--ssl-keyfile-password',
    '--ws-max-size': '--ws-max-message-size',
    '--h11-max-incomplete-event-size': '--http1-max-head-size', '--no-server-header': "--server-header ''",
    '--date-header': 'nothing, Date is always sent', '--no-date-header': 'nothing, Date is always sent',
    '--no-use-colors': 'nothing, the log has no colours', '--use-colors': 'nothing, the log has no colours',
    '--header': 'the application, or a proxy',
    '--worker-tmp-dir': 'nothing, workers have no heartbeat file', '--sock': '--bind unix:PATH',
}  # fmt: skip
"""An option of another server, and what to use here."""
PREFIX = 'GRANIAN_'
_OF_A_SERVICE = r'GRANIAN_(?:.*_)?(?:SERVICE_HOST|SERVICE_PORT(?:_.*)?|PORT(?:_\d+_(?:TCP|UDP).*)?)'
_SERVICE_ADDRESS = r'(?:tcp|udp)://\S+'
_OTHERS = frozenset(('GRANIAN_VERSION',))
"""Set by images for their own use."""


def is_service_address(value: str) -> bool:
    """Return whether a value is what Kubernetes puts into NAME_PORT for a service of that name."""
    return re.fullmatch(_SERVICE_ADDRESS, value) is not None


def unknown_variables(environ: Mapping[str, str], known: Mapping[str, str]) -> list[tuple[str, str | None]]:
    """Return the GRANIAN_ variables that no option has, each with the nearest name that one has.

    `known` are the flags of the options and their variables: some have another name than their flag.
    """
    of_flags = {
        PREFIX + flags.partition('/')[0].lstrip('-').replace('-', '_').upper(): variable
        for flags, variable in known.items()
    }
    names = list(known.values())
    found = []
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in names and name not in _OTHERS:
            if re.fullmatch(_OF_A_SERVICE, name):
                continue
            from difflib import get_close_matches

            near = [of_flags[name]] if name in of_flags else get_close_matches(name, names, 1, 0.9)
            near = near or _containing(name, names) or get_close_matches(name, names, 1, 0.75)
            found.append((name, near[0] if near else None))
    return found


def _containing(name: str, names: list[str]) -> list[str]:
    """Return a name that ends with the words of `name`: GRANIAN_THREADS, GRANIAN_BLOCKING_THREADS."""
    words = name.removeprefix(PREFIX)
    return [each for each in names if each.endswith('_' + words)][:1]


def instead_of(option: str, flags: str) -> str | None:
    """Return what to use here for another server's option, among the existing `flags`; None: unknown."""
    instead = INSTEAD.get(option)
    if instead is None or any(named not in flags.split() for named in re.findall(r'--[a-z0-9-]+', instead)):
        return None
    return instead
