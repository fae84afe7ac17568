"""Applications that close descriptors of their worker: GET /all, /epoll, /listener, /wake or /log."""

import os
import socket


def descriptors(*kinds):
    found = []
    for name in os.listdir('/proc/self/fd'):
        try:
            target = os.readlink(f'/proc/self/fd/{name}')
        except OSError:
            continue  # that of listdir()
        if int(name) > 2 and any(kind in target for kind in kinds):
            found.append(int(name))
    return found


def listens(fd):
    with socket.socket(fileno=os.dup(fd)) as sock:
        try:
            return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        except OSError:
            return False


def sabotage(name):
    if name == 'all':
        os.closerange(3, 50)
    chosen = {
        'epoll': descriptors('eventpoll'),
        'listener': [fd for fd in descriptors('socket:') if listens(fd)],
        'wake': descriptors('eventfd', 'pipe:'),
        'log': [1, 2],
    }.get(name, [])
    for fd in chosen:
        os.close(fd)


def wsgi(environ, start_response):
    sabotage(environ['PATH_INFO'].strip('/'))
    body = b'%d' % os.getpid()
    start_response('200 OK', [('Content-Length', str(len(body)))])
    return [body]


async def asgi(scope, receive, send):
    sabotage(scope['path'].strip('/'))
    body = b'%d' % os.getpid()
    fields = [(b'content-length', str(len(body)).encode())]
    await send({'type': 'http.response.start', 'status': 200, 'headers': fields})
    await send({'type': 'http.response.body', 'body': body})
