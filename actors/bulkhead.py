"""The bulkhead: so many calls of one tool at a time, the others wait in the order in which they came.

A slow tool fills its own bulkhead and nobody else's. A limiter of anyio does the same for ten times the price, for it
asks who borrows and goes through the event loop twice, where most calls find room at once.
After the bulkhead of Nygard's "Release It!". It does not know what a call does.
"""

from collections import deque
from typing import Final, final

import anyio


@final
class Bulkhead:
    """Places for one tool's calls: `async with` takes one."""

    def __init__(self, places: int) -> None:
        """Make one with so many places, at least one."""
        assert places >= 1, "a tool that may be called has a place for it"
        self._free = places
        self._waiting: Final[deque[anyio.Event]] = deque()

    async def __aenter__(self) -> None:
        """Take a place, waiting for one if need be; if cancelled, none is taken."""
        if self._free:
            self._free -= 1
            return
        turn = anyio.Event()
        self._waiting.append(turn)
        try:
            await turn.wait()
        except BaseException:
            if turn.is_set():
                # It was given a place in the moment in which it was cancelled.
                self._leave()
            else:
                self._waiting.remove(turn)
            raise

    async def __aexit__(self, *_: object) -> None:
        """Give the place to whoever waits longest."""
        self._leave()

    def _leave(self) -> None:
        if self._waiting:
            self._waiting.popleft().set()
        else:
            self._free += 1
