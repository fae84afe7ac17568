"""An application whose every request asks another server: the address in WAITING_UPSTREAM.

The path says by which client: from the most convenient to the leanest.
"""

import os
import socket

import requests
import urllib3

URL = os.environ['WAITING_UPSTREAM']
HOST, PORT = URL.removeprefix('http://').rstrip('/').split(':')
TEXT = ('Content-Type', 'text/plain; charset=utf-8')
ENOUGH = 1000
"""Connections that a pool keeps."""


def session(**attributes):
    made = requests.Session()
    made.mount('http://', requests.adapters.HTTPAdapter(pool_maxsize=ENOUGH))
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


SHARED = session()
LEAN = session(trust_env=False)
POOL = urllib3.PoolManager(maxsize=ENOUGH)


def by_hand():
    """What waiting costs without an HTTP client."""
    with socket.create_connection((HOST, int(PORT))) as sock:
        sock.sendall(b'GET / HTTP/1.1\r\nHost: test\r\n\r\n')
        return sock.recv(65536).partition(b'\r\n\r\n')[2]


CLIENTS = {
    '/get': lambda: requests.get(URL).content,
    '/session': lambda: SHARED.get(URL).content,
    '/lean': lambda: LEAN.get(URL).content,
    '/urllib3': lambda: POOL.request('GET', URL).data,
    '/socket': by_hand,
}


def app(environ, start_response):
    body = CLIENTS[environ['PATH_INFO']]()
    start_response('200 OK', [TEXT, ('Content-Length', str(len(body)))])
    return [body]
