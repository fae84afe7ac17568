"""WSGI applications that take the socket of a WebSocket handshake over, plainly and by libraries."""

import base64
import hashlib
import sys

try:
    from flask import Flask
    from flask_sock import Sock
except ImportError:
    flask_app = None
else:
    flask_app = Flask(__name__)
    flask_app.config['SOCK_SERVER_OPTIONS'] = {'ping_interval': 0.5}
    sock = Sock(flask_app)

    @sock.route('/echo')
    def echo(ws):
        while True:
            ws.send(ws.receive())

    @sock.route('/once')
    def once(ws):
        ws.send(ws.receive())

    @sock.route('/pings')
    def pings(ws):
        while True:
            ws.send(ws.receive())

    @sock.route('/fails')
    def fails(ws):
        raise ValueError('on purpose')

    @flask_app.route('/page')
    def page():
        return 'page'


try:
    import flask_socketio
except ImportError:
    socketio_app = None
else:
    socketio_app = Flask('socketio')
    patched = 'gevent.monkey' in sys.modules
    mode = 'gevent' if patched else 'threading'
    socketio = flask_socketio.SocketIO(socketio_app, async_mode=mode)

    @socketio.on('message')
    def on_message(data):
        flask_socketio.send(f'echo {data}')


GUID = b'258EAFA5-E914-47DA-95CA-C5AB0DC85B11'


def wsgi(environ, start_response):
    """Speak just enough WebSocket, on the key that the path names."""
    if environ.get('HTTP_UPGRADE') != 'websocket' or environ['PATH_INFO'] == '/page':
        start_response('200 OK', [('Content-Type', 'text/plain')])
        return [b'page']
    if environ['PATH_INFO'] == '/refused':
        start_response('403 Forbidden', [('Content-Length', '2')])
        return [b'no']
    sock = environ[environ['PATH_INFO'][1:] + '.socket']
    key = environ['HTTP_SEC_WEBSOCKET_KEY'].encode()
    accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
    sock.sendall(
        b'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
        b'Sec-WebSocket-Accept: ' + accept + b'\r\n\r\n'
    )
    while data := sock.recv(65536):
        sock.sendall(data.upper())
    if environ['QUERY_STRING'] == 'returns':
        return []
    if environ['QUERY_STRING'] == 'disconnects':
        raise ConnectionError
    raise StopIteration
