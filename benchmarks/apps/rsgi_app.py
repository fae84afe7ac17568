"""The RSGI application of the benchmark."""

import asyncio
import os

TEXT = [('content-type', 'text/plain; charset=utf-8')]
HELLO = b'Hello, world!'
BODY_10K = b'0123456789' * 1024
PART = b'abcdefghij' * 1024
FILE = os.environ.get('BENCHMARK_FILE', '')


async def hello(scope, protocol):
    protocol.response_bytes(200, TEXT, HELLO)


async def body(scope, protocol):
    protocol.response_bytes(200, TEXT, BODY_10K)


async def echo(scope, protocol):
    protocol.response_bytes(200, TEXT, await protocol())


async def stream(scope, protocol):
    transport = protocol.response_stream(200, TEXT)
    for _ in range(10):
        await transport.send_bytes(PART)


async def sleep(scope, protocol):
    await asyncio.sleep(0.01)
    protocol.response_bytes(200, TEXT, HELLO)


async def file(scope, protocol):
    protocol.response_file(200, TEXT, FILE)


async def websocket(scope, protocol):
    transport = await protocol.accept()
    while (message := await transport.receive()).kind:
        if message.kind == 1:
            await transport.send_bytes(message.data)
        else:
            await transport.send_str(message.data)


ROUTES = {'/': hello, '/10k': body, '/echo': echo, '/stream': stream, '/sleep': sleep, '/file': file}


async def app(scope, protocol):
    if scope.proto == 'http':
        await ROUTES[scope.path](scope, protocol)
    else:
        await websocket(scope, protocol)
