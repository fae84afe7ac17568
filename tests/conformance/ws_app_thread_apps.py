"""An ASGI application for --ws-app whose messages name a way to leave the event loop for a thread."""

import asyncio
import concurrent.futures
import socket
import sys
import threading
import time

import anyio
import anyio.from_thread
import anyio.to_thread
from asgiref.sync import ThreadSensitiveContext, async_to_sync, sync_to_async

OWN_POOL = concurrent.futures.ThreadPoolExecutor(2)
STATE = []


def wsgi(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain')])
    if environ['PATH_INFO'] == '/pool':
        return [OWN_POOL.submit(work, 'pool').result().encode()]
    return [','.join(STATE).encode()]


def work(text, seconds=0.01):
    """Wait as a database driver does, where no event loop is running."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        time.sleep(seconds)
        return text
    return 'in the loop'


async def coroutine(text):
    await asyncio.sleep(0)
    return text


def fails():
    raise ValueError('on purpose')


async def default_executor():
    return await asyncio.get_running_loop().run_in_executor(None, work, 'default_executor')


async def to_thread():
    return await asyncio.to_thread(work, 'to_thread')


async def own_pool():
    return await asyncio.get_running_loop().run_in_executor(OWN_POOL, work, 'own_pool')


async def new_pool():
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(work, 'new_pool').result()


async def refused_by_pool():
    pool = concurrent.futures.ThreadPoolExecutor(1)
    pool.shutdown()
    try:
        await asyncio.wrap_future(pool.submit(work, 'x'))
    except RuntimeError:
        return 'refused_by_pool'


async def thread_sensitive():
    return await sync_to_async(work)('thread_sensitive')


async def not_thread_sensitive():
    return await sync_to_async(work, thread_sensitive=False)('not_thread_sensitive')


async def context_of_its_own():
    async with ThreadSensitiveContext():
        return await sync_to_async(work)('context_of_its_own')


async def there_and_back():
    return await sync_to_async(async_to_sync(coroutine))('there_and_back')


async def nested():
    async def inner():
        return await sync_to_async(work)('nested')

    return await sync_to_async(async_to_sync(inner))()


async def anyio_thread():
    return await anyio.to_thread.run_sync(work, 'anyio_thread')


async def anyio_there_and_back():
    def back():
        return anyio.from_thread.run(coroutine, 'anyio_there_and_back')

    return await anyio.to_thread.run_sync(back)


async def coroutine_from_thread():
    loop = asyncio.get_running_loop()

    def back():
        return asyncio.run_coroutine_threadsafe(coroutine('coroutine_from_thread'), loop).result(10)

    return await asyncio.to_thread(back)


async def thread():
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    started = threading.Thread(target=lambda: (work('x'), loop.call_soon_threadsafe(done.set)))
    started.start()
    await done.wait()
    started.join()
    return 'thread' if not started.is_alive() else 'alive'


async def addresses():
    found = await asyncio.get_running_loop().getaddrinfo('localhost', 80, type=socket.SOCK_STREAM)
    return 'addresses' if found else 'none'


async def failure():
    try:
        await sync_to_async(fails)()
    except ValueError:
        return 'failure'


async def cancelled():
    task = asyncio.ensure_future(asyncio.to_thread(work, 'x', 0.2))
    await asyncio.sleep(0.01)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return 'cancelled'


async def child_process():
    process = await asyncio.create_subprocess_exec('echo', 'child_process', stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    return output.decode().strip()


async def peak():
    """Return how many of five calls run at a time in the default executor."""
    running = []
    found = []

    def call():
        running.append(1)
        found.append(len(running))
        time.sleep(0.01)
        running.pop()

    await asyncio.gather(*(asyncio.to_thread(call) for _ in range(5)))
    return str(max(found))


async def together():
    """Twenty threads that wait for each other, then for the loop."""
    meeting = threading.Barrier(20)
    met = threading.Event()

    def meet():
        meeting.wait(10)
        return met.wait(10)

    tasks = [asyncio.ensure_future(anyio.to_thread.run_sync(meet)) for _ in range(20)]
    for _ in range(5):
        await asyncio.sleep(0.001)
    met.set()
    return 'together' if all(await asyncio.gather(*tasks)) else 'never'


WAYS = {
    way.__name__: way
    for way in (
        default_executor, to_thread, own_pool, new_pool, refused_by_pool, thread_sensitive,
        not_thread_sensitive, context_of_its_own, there_and_back, nested, anyio_thread, anyio_there_and_back,
        coroutine_from_thread, thread, addresses, failure, cancelled, child_process,
        together, peak,
    )
}  # fmt: skip


async def asgi(scope, receive, send):
    if scope['type'] == 'lifespan':
        await receive()
        STATE.append(await sync_to_async(work)('started'))
        await send({'type': 'lifespan.startup.complete'})
        await receive()
        sys.stdout.write(await asyncio.to_thread(work, 'stopped in a thread') + '\n')
        await send({'type': 'lifespan.shutdown.complete'})
        return
    await receive()
    await send({'type': 'websocket.accept'})
    while (message := await receive())['type'] != 'websocket.disconnect':
        text = await WAYS[message['text']]()
        await send({'type': 'websocket.send', 'text': text})
