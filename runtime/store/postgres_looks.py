"""Reads about single cases together: who asks while a look is under way goes along with the next one.

A hundred callers who wait for their cases read as many rows, and each read by itself costs a message there and back.
A look takes in nobody once it has been sent, so whoever asks sees at least what was durable when it asked.
It does not know over which connection a look goes.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Generic, TypeVar, final

import anyio
import anyio.lowlevel

from casework.runtime.errors import StoreInvalid, StoreUnavailable
from casework.runtime.parking import Parked, parking
from casework.runtime.store.base import CaseKey

#: Cases in one look at most; there is hardly ever so much as a tenth of it.
LOOK_MAX: Final = 1_000

T = TypeVar("T")


class _Round(Generic[T]):
    """Those who look together."""

    __slots__ = ("error", "found", "keys", "waiting")

    def __init__(self) -> None:
        self.keys: dict[CaseKey, None] = {}
        self.waiting: list[Parked] = []
        self.found: Mapping[CaseKey, T] | None = None
        self.error: StoreInvalid | StoreUnavailable | None = None


@final
class Looks(Generic[T]):
    """The way to one thing about single cases."""

    def __init__(self, look: Callable[[Sequence[CaseKey]], Awaitable[Mapping[CaseKey, T]]]) -> None:
        """Prepare; `look` gives it for those of some cases that have it; raises StoreInvalid or StoreUnavailable."""
        self._look = look
        self._next: _Round[T] | None = None
        self._new_parked = parking()
        self._turn = anyio.Lock()

    async def look(self, key: CaseKey) -> T | None:
        """Look at one case.

        Raises:
            StoreUnavailable, StoreInvalid: it cannot be read.

        If cancelled, the others of its look are looked for again.
        """
        while True:
            gathering = self._next
            leads = gathering is None or len(gathering.keys) >= LOOK_MAX
            if gathering is None or leads:
                gathering = self._next = _Round()
            gathering.keys[key] = None
            if leads:
                await self._lead(gathering)
            else:
                parked = self._new_parked()
                gathering.waiting.append(parked)
                await parked
            if gathering.error is not None:
                # One error is raised in one place only.
                raise type(gathering.error)(gathering.error.url, gathering.error.why)
            if gathering.found is not None:
                return gathering.found.get(key)

    async def _lead(self, gathering: _Round[T]) -> None:
        try:
            # Whoever else is ready in this round of the loop comes along.
            await anyio.lowlevel.checkpoint()
            async with self._turn:
                self._close(gathering)
                gathering.found = await self._look(list(gathering.keys))
        except (StoreInvalid, StoreUnavailable) as error:
            gathering.error = error
        finally:
            self._close(gathering)
            for parked in gathering.waiting:
                if not parked.done():
                    parked.set_result(b"")

    def _close(self, gathering: _Round[T]) -> None:
        if self._next is gathering:
            self._next = None
