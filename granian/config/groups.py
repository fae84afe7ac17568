"""Titles of the groups of options, on the command line and on the options page."""

from __future__ import annotations

APP = 'Application'
BIND = 'Where to listen'
WORK = 'Workers and threads'
PROTO = 'Protocols and limits'
HTTP1 = 'HTTP/1'
HTTP2 = 'HTTP/2'
WS = 'WebSocket'
PROXY = 'Behind proxies'
LOG = 'Logging'
TLS = 'TLS'
RESPAWN = 'Replacing workers'
STATIC = 'Static files'
METRICS = 'Metrics'
RELOAD = 'Reload on changes'
PROCESS = 'Process'
