"""Let an event loop run what is ready, without a wait in seconds."""

import asyncio


async def turns(count: int = 20) -> None:
    """Run the loop this many turns: every task that can go on does."""
    for _ in range(count):
        await asyncio.sleep(0)
