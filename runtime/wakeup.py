"""Calls back into the event loop from another thread, without waiting: the one file that names event loops.

Everything else speaks anyio, which can run a function in the loop only by making the thread wait for it. A writer
thread that waited for the loop after each commit would commit at the loop's pace.
It does not know what the callbacks do.
"""

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import final


@final
class Wakeup:
    """A bell into the event loop in which it was made."""

    def __init__(self) -> None:
        """Remember the running loop; to be called inside it."""
        ring = _trio_ring()
        self._ring = ring or asyncio.get_running_loop().call_soon_threadsafe
        self._next = ring or asyncio.get_running_loop().call_soon

    def soon(self, callback: Callable[[], object]) -> None:
        """Have `callback` called in the next round of the loop, from the loop itself: it need not be woken."""
        self._next(callback)

    def call(self, callback: Callable[[], object]) -> None:
        """Have `callback` called soon in the loop, from any thread; where the loop has ended nobody is left to hear."""
        with suppress(RuntimeError):
            self._ring(callback)


def _trio_ring() -> Callable[[Callable[[], object]], object] | None:
    # Asked first, for a trio that is the guest of another loop has that loop running as well. Whoever runs inside
    # trio has imported it, so nobody pays for the import who does not use it.
    if "trio" not in sys.modules:
        return None
    import trio

    try:
        return trio.lowlevel.current_trio_token().run_sync_soon
    except RuntimeError:
        return None
