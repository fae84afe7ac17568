import os


async def asgi(scope, receive, send):
    if scope['type'] == 'lifespan':
        for step in ('startup', 'shutdown'):
            await receive()
            await send({'type': f'lifespan.{step}.complete'})
        return
    await send({'type': 'http.response.start', 'status': 200, 'headers': []})
    await send({'type': 'http.response.body', 'body': str(os.getpid()).encode()})


async def rsgi(scope, protocol):
    protocol.response_str(200, [], str(os.getpid()))
