"""Applications that would serve anything, so that a test can tell their responses from the mounts'."""

from __future__ import annotations


def flask_app():
    from flask import Flask

    app = Flask(__name__, static_folder=None)

    @app.route('/', defaults={'path': ''})
    @app.route('/<path:path>')
    def anything(path):
        return f'flask {path}'

    return app


async def asgi(scope, receive, send):
    body = f'asgi {scope["path"][1:]}'.encode()
    await send({'type': 'http.response.start', 'status': 200, 'headers': [(b'content-type', b'text/plain')]})
    await send({'type': 'http.response.body', 'body': body})


async def rsgi(scope, protocol):
    protocol.response_str(200, [], f'rsgi {scope.path[1:]}')
