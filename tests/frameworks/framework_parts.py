"""What the applications of this folder have in common: asyncio and nothing of a framework.

A gate is how a test and an application wait for each other: both open and await it by a request.
"""

import asyncio
import gc
import hashlib
import itertools
import os
from collections import defaultdict
from collections.abc import AsyncIterator

DOWNLOAD = os.environ.get('TEST_DOWNLOAD', __file__)
"""The file that /download answers with."""

gates: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)


async def state() -> dict[str, str]:
    """Return what an application puts into its lifespan state: the loop it was started on."""
    return {'loop': type(asyncio.get_running_loop()).__module__.partition('.')[0]}


def ended(state: dict[str, str]) -> None:
    """Write the line by which the test knows the end of the lifespan."""
    print('lifespan over, it was on', state['loop'], flush=True)  # noqa: T201


async def gate(name: str, method: str) -> str:
    """Open at POST; at GET wait until it is open."""
    if method == 'POST':
        gates[name].set()
    while not gates[name].is_set():
        gc.collect()  # Litestar may leave a generator of its own in a traceback, not closed
        await asyncio.sleep(0.01)
    return 'open'


async def pieces(gate: str) -> AsyncIterator[bytes]:
    """Send a response that cannot go on before the client has its beginning."""
    yield b'beginning'
    await gates[gate].wait()
    yield b', middle'
    yield b', end'


async def ticks(gate: str) -> AsyncIterator[int]:
    """Send events without end; open the gate when they are no longer wanted."""
    try:
        for number in itertools.count():
            yield number
            await asyncio.sleep(0.01)
    finally:
        gates[gate].set()


async def later(gate: str) -> None:
    """Run a background task that cannot end before the client has its response."""
    await gates[gate].wait()
    gates[f'{gate}-done'].set()


def described(title: str, name: str, content: bytes) -> dict[str, str | int]:
    return {'title': title, 'name': name, 'size': len(content), 'sha256': hashlib.sha256(content).hexdigest()}
