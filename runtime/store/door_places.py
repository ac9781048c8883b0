"""The places at a store's door: how many clients it serves at once, and who gives way where all of them are taken.

A client has a place from its connection to its answer. While its bytes are on their way nobody works for it, so it may
be cut off without harm: in the end whoever is late, and much sooner, where all places are taken, whoever moves next to
nothing. Whom the store works for keeps its place, and who has long to wait for something gives it back first.
It does not know what clients ask.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final, final

import anyio
from anyio import CancelScope

from casework.runtime.store.door_wire import Channel

#: How long a client may take to send a request or to take an answer, all its bytes together.
TRANSFER_SECONDS_MAX: Final = 15.0
#: How long a client may be silent while its bytes are on their way, where all places are taken.
SILENT_SECONDS_MAX: Final = 1.0
#: Fewer bytes in that time are as good as none; the largest message would take minutes.
PACE_BYTES_MIN: Final = 64 << 10
#: How long bytes may take to be read that came while this process was busy with something else.
READ_SECONDS_MAX: Final = 0.1


@final
class Place:
    """One client's place."""

    def __init__(self, places: "Places") -> None:
        """Use `Places.take`."""
        self._places = places
        self._held = True

    def leave(self) -> None:
        """Give it to somebody else; twice does no harm."""
        if self._held:
            self._held = False
            self._places.free.release()

    @contextmanager
    def transfer(self, channel: Channel) -> Generator[None]:
        """Send or receive one message over its channel.

        Raises:
            TimeoutError: the client was late, or gave way.
        """
        moving = self._places.moving
        with anyio.fail_after(TRANSFER_SECONDS_MAX) as scope:
            moving[scope] = channel
            try:
                yield
            finally:
                del moving[scope]


@final
class Places:
    """All places at a door."""

    def __init__(self, count: int) -> None:
        self.free: Final = anyio.Semaphore(count)
        self.moving: Final[dict[CancelScope, Channel]] = {}
        """The messages that are on their way."""

    async def take(self) -> Place:
        """Wait for a place, and take it; meanwhile who is silent gives way. If cancelled, none is taken."""
        while True:
            before = {scope: channel.received for scope, channel in self.moving.items()}
            if await self._freed(SILENT_SECONDS_MAX) or await self._freed(READ_SECONDS_MAX):
                return Place(self)
            for scope, received in before.items():
                channel = self.moving.get(scope)
                if channel is not None and channel.received - received < PACE_BYTES_MIN:
                    scope.deadline = anyio.current_time()

    async def _freed(self, seconds: float) -> bool:
        with anyio.move_on_after(seconds):
            await self.free.acquire()
            return True
        return False
