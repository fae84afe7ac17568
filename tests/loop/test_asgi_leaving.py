"""A Starlette stream that waits learns that its client has left."""

import asyncio

import h2.config
import h2.connection
import pytest

from granian.asgi import asgi_handler

responses = pytest.importorskip('starlette.responses')


class Waiting:
    """An application whose stream sends one piece, then waits for ever."""

    def __init__(self):
        self.ended = False

    async def __call__(self, scope, receive, send):
        await responses.StreamingResponse(self._pieces())(scope, receive, send)

    async def _pieces(self):
        try:
            yield b'first'
            await asyncio.Event().wait()
        finally:
            self.ended = True


@pytest.mark.parametrize('leave', ['close', 'reset'])
def test_http1_stream_ends_when_the_client_leaves(serve, leave):
    app = Waiting()
    served = serve(asgi_handler(app))
    client = served.connect()
    client.send(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    client.until(b'first')
    client.reset() if leave == 'reset' else client.close()
    served.wait_for(lambda: app.ended and not served.core.running)


@pytest.mark.parametrize('leave', ['close', 'reset', 'cancel'])
def test_http2_stream_ends_when_the_client_leaves(serve, leave):
    app = Waiting()
    served = serve(asgi_handler(app))
    client = served.connect()
    http2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    http2.initiate_connection()
    fields = [(':method', 'GET'), (':path', '/'), (':scheme', 'http'), (':authority', 'x')]
    http2.send_headers(1, fields, end_stream=True)
    client.send(http2.data_to_send())
    client.until(b'first')
    if leave == 'cancel':
        http2.reset_stream(1, 8)
        client.send(http2.data_to_send())
    elif leave == 'reset':
        client.reset()
    else:
        client.close()
    served.wait_for(lambda: app.ended and not served.core.running)
