"""The thread that has a SQLite file, and what must be held for exactly as long as it may write there.

It lets go itself, as the last thing that it does: whoever closes the file may be torn away before, past every shield,
and then nobody else is left to do it. It does not know what it runs, nor what is held.
"""

from collections.abc import Callable
from functools import partial
from typing import Final, final

import anyio

from casework.runtime.seams import World
from casework.runtime.wakeup import Wakeup

#: How long who closes a file waits for what is queued before he goes.
CLOSE_SECONDS_MAX: Final = 30.0


@final
class HoldingThread:
    """One thread that holds something until its end, seen from the event loop."""

    def __init__(self, world: World, wakeup: Wakeup, let_go: Callable[[], None]) -> None:
        """Prepare; `let_go` is called once, on the thread, or by who waits for the end of one that never began."""
        self._world = world
        self._wakeup = wakeup
        self._let_go = let_go
        self._begun = False
        self._over = anyio.Event()

    @property
    def ended(self) -> bool:
        """Tell whether it has let go, and the loop has heard so."""
        return self._over.is_set()

    def start(self, name: str, body: Callable[[], None]) -> None:
        """Start it; raises what starting a thread raises."""
        self._world.offload.thread(name, partial(self._run, body))
        self._begun = True

    async def wait_ended(self) -> None:
        """Wait until it has ended, or hangs for `CLOSE_SECONDS_MAX`; it lets go all the same whenever it ends.

        If cancelled, this goes on waiting; cancelled twice by what no shield holds off, it does not.
        """
        if not self._begun:
            self._begun = True
            self._let_go()
            self._over.set()
        with anyio.move_on_after(CLOSE_SECONDS_MAX, shield=True):
            try:
                await self._over.wait()
            except anyio.get_cancelled_exc_class():
                # Unless the time is over, it came past the shield; then it is raised when there is nothing left to do.
                await self._over.wait()
                raise

    def _run(self, body: Callable[[], None]) -> None:
        try:
            body()
        finally:
            self._let_go()
            self._wakeup.call(self._over.set)
