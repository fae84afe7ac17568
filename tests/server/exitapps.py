"""Applications whose code outside of requests tries to end the worker."""

import asyncio
import sys


async def _exit():
    sys.exit(3)


def _begin(path, kept=[]):  # noqa: B006 (keeps the task)
    loop = asyncio.get_running_loop()
    if path == '/task':
        kept.append(loop.create_task(_exit()))
    elif path == '/callback':
        loop.call_soon(sys.exit, 3)
    elif path == '/stop':
        loop.stop()
    elif path == '/cancel':
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()


async def asgi(scope, receive, send):
    if scope['type'] != 'http':
        return
    _begin(scope['path'])
    await asyncio.sleep(0.05)
    await send({'type': 'http.response.start', 'status': 200, 'headers': []})
    await send({'type': 'http.response.body', 'body': b'served'})


async def rsgi(scope, protocol):
    _begin(scope.path)
    await asyncio.sleep(0.05)
    protocol.response_str(200, [], 'served')


def _fail():
    raise SystemError('returned a result with an exception set')


def wsgi(environ, start_response):
    import gevent

    if environ['PATH_INFO'] == '/task':
        gevent.spawn(sys.exit, 3)
    elif environ['PATH_INFO'] == '/callback':
        gevent.get_hub().loop.run_callback(sys.exit, 3)
    elif environ['PATH_INFO'] == '/error':
        gevent.spawn(_fail)
    gevent.sleep(0.05)
    start_response('200 OK', [])
    return [b'served']
