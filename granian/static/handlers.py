"""The mounts in front of a handler, in both colours."""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable
from typing import TYPE_CHECKING, BinaryIO

from ..messages import WARNINGS
from ..stream import ClientDisconnected, InvalidResponse
from .answer import Answer, answer
from .files import Representation, open_regular, signature

if TYPE_CHECKING:
    from ..protocol.head import Head
    from ..stream import AsyncHandler, AsyncStream, Handler, Stream
    from .files import Mount, Mounts

logger = logging.getLogger('_granian')


def blocking(handler: Handler, mounts: Mounts) -> Handler:
    """Return a handler that serves `mounts`, and passes every other request to `handler`."""
    prefixes = mounts.prefixes

    def handle(stream: Stream) -> None:
        """Answer from a mount, or give the exchange to the application."""
        head = stream.head
        if not head.path.startswith(prefixes):
            return handler(stream)
        mount = mounts.find(head.path)
        if mount is None:
            return handler(stream)
        reply, source = prepare(head, mounts, mount)
        if source is None:
            stream.respond(reply.status, reply.fields, reply.body)
            return None
        with source:
            stream.send_response(reply.status, reply.fields)
            try:
                stream.send_file(source, reply.offset, reply.length)
            except InvalidResponse as error:
                _broken(head, error)
                stream.abort()
                return None
        stream.send_end()
        return None

    return handle


def asynchronous(handler: AsyncHandler, mounts: Mounts) -> AsyncHandler:
    """Do as `blocking`, on the loop. Access to the disk runs in the loop's default executor."""
    prefixes = mounts.prefixes

    # Not a coroutine function: a request that is not ours costs no coroutine more.
    def handle(stream: AsyncStream) -> Awaitable[None]:
        path = stream.head.path
        if not path.startswith(prefixes):
            return handler(stream)
        mount = mounts.find(path)
        return handler(stream) if mount is None else _serve(stream, mounts, mount)

    return handle


async def _serve(stream: AsyncStream, mounts: Mounts, mount: Mount) -> None:
    """Answer a request for a path of a mount. Files are opened in an executor, unless they are in memory."""
    head = stream.head
    file = mounts.remembered(head.path)
    reply = answer(head, file)
    source: BinaryIO | None = None
    if reply.form is not None or (file is None and reply.status != 405):
        import asyncio  # WSGI workers do without it

        loop = asyncio.get_running_loop()
        reply, source = await loop.run_in_executor(None, prepare, head, mounts, mount)
    if source is None:
        stream.respond(reply.status, reply.fields, reply.body)
        return
    with source:
        if stream.disconnected:
            return
        stream.send_response(reply.status, reply.fields)
        try:
            await stream.send_file(source, reply.offset, reply.length)
        except ClientDisconnected:
            stream.abort()
            return
        if not stream.response_ended:
            stream.send_end()
        elif os.fstat(source.fileno()).st_size < reply.offset + reply.length:
            _broken(head, 'the file became shorter while it was sent')


def _broken(head: Head, error: object) -> None:
    logger.warning(WARNINGS['static_broken'], ascii(head.path), error)


def prepare(head: Head, mounts: Mounts, mount: Mount) -> tuple[Answer, BinaryIO | None]:
    """Return the answer, and the open file if bytes of it are to be sent. Touches the disk."""
    path = head.path
    file = mounts.remembered(path) if head.method in ('GET', 'HEAD') else None
    if file is None and head.method in ('GET', 'HEAD'):
        file = mounts.look(path, mount)
    reply = answer(head, file)
    form = reply.form
    if form is None or file is None:
        return reply, None
    try:
        source = open_regular(form.path)
    except OSError:  # it has gone since we looked
        return answer(head, None), None
    status = os.fstat(source.fileno())
    if signature(status) != form.signature:
        # Replaced or written to since we looked: what is open now is what is answered.
        now = Representation(form.path, form.coding, status, None)
        reply = answer(head, file.with_form(form, now))
        if reply.form is None:
            source.close()
            return reply, None
    return reply, source
