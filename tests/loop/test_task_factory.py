"""A task factory of the application that raises."""

from __future__ import annotations

import asyncio

PLAIN = [(b'content-type', b'text/plain')]


def refuse(loop, coro, **more):
    raise RuntimeError('no task')


async def answer(stream):
    stream.respond(200, PLAIN, b'ok')


class Lifespan:
    """Sets the factory before the first request."""

    def __init__(self):
        self.asked = []

    async def startup(self):
        asyncio.get_running_loop().set_task_factory(self.refuse)

    async def shutdown(self):
        asyncio.get_running_loop().set_task_factory(None)

    def refuse(self, loop, coro, **more):
        self.asked.append(coro.__name__)
        refuse(loop, coro)


def test_factory_that_raises_is_not_used_again(serve):
    lifespan = Lifespan()
    serve.errors.append('The task factory of the event loop raises')
    client = serve(answer, lifespan=lifespan).connect()
    for _ in range(3):
        assert client.get()[0] == 200
    assert lifespan.asked == ['_run']


def test_factory_set_by_a_request_leaves_accepting_alone(serve):
    async def handler(stream):
        asyncio.get_running_loop().set_task_factory(refuse)
        await answer(stream)

    server = serve(handler)
    for _ in range(3):
        assert server.connect().get()[0] == 200
    server.loop.set_task_factory(None)
