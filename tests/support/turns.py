"""Let an event loop run what is ready, without a wait in seconds."""

import asyncio

from granian.turns import turns_of


async def turns(count: int = 20) -> None:
    """Run the loop this many turns: every task that can go on does."""
    for _ in range(count):
        await asyncio.sleep(0)


async def take_turn(stream: object) -> None:
    """Wait for a turn, as a method of a fake of a stream."""
    turn = turns_of(asyncio.get_running_loop()).ask()
    if turn is not None:
        await turn
