"""Looks again and again at what other processes do, since nobody tells. It does not know what it looks at."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

import anyio

from casework.runtime.errors import StoreUnavailable

T = TypeVar("T")

#: Seconds between two looks at a store that other processes write.
LOOK_SECONDS = 0.1
#: Seconds until a process that neither ends nor goes on is given up.
PATIENCE_SECONDS = 60.0


async def until(
    holds: Callable[[], Awaitable[bool]], *, every: float = LOOK_SECONDS, patience: float = PATIENCE_SECONDS
) -> None:
    """Wait until something holds; `every` and `patience` are in seconds.

    Raises:
        TimeoutError: it took too long.
    """
    with anyio.fail_after(patience):
        while not await patiently(holds):  # noqa: ASYNC110 - no event comes out of another process
            await anyio.sleep(every)


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask a store something, and again while it does not answer: a busy machine may stand still longer than it waits.

    Raises:
        TimeoutError: it took too long.
    """
    with anyio.fail_after(PATIENCE_SECONDS):
        while True:
            with suppress(StoreUnavailable):
                return await ask()
            await anyio.sleep(LOOK_SECONDS)
