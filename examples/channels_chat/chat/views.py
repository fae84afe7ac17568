"""The HTTP side: pages, and the history of a room as JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import render

from . import history


def index(request: HttpRequest) -> HttpResponse:
    """A synchronous view: Django runs it in a thread."""
    return render(request, 'chat/index.html', {'rooms': sorted(history.rooms)})


def room(request: HttpRequest, name: str) -> HttpResponse:
    return render(request, 'chat/room.html', {'name': name})


async def lately(request: HttpRequest, name: str) -> JsonResponse:
    """An asynchronous view, on the server's own loop."""
    return JsonResponse({'room': name, 'messages': list(history.rooms[name])})


async def events(request: HttpRequest, name: str) -> StreamingHttpResponse:
    """The room as server-sent events, for who only listens."""
    return StreamingHttpResponse(_follow(name), content_type='text/event-stream')


async def _follow(name: str) -> AsyncIterator[bytes]:
    seen: dict[str, str] | None = None
    while True:
        messages = history.rooms[name]
        if messages and messages[-1] is not seen:
            seen = messages[-1]
            yield b'data: ' + json.dumps(seen).encode() + b'\n\n'
        await asyncio.sleep(0.1)
