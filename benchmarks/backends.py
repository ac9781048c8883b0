"""The event loops on which our own contenders run, and how operations are split into rounds.

It does not know what runs.
"""

import importlib.util
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
import harness

T = TypeVar("T", float, harness.Run)

#: Those that are installed, in the order of the tables.
BACKENDS = tuple(name for name in ("asyncio", "uvloop", "trio") if importlib.util.find_spec(name) is not None)


def on(backend: str, function: Callable[[int], Awaitable[T]]) -> Callable[[int], T]:
    """Make a contender of an async function that runs on one backend."""

    def contend(operations: int) -> T:
        name = "trio" if backend == "trio" else "asyncio"
        options = {"use_uvloop": True} if backend == "uvloop" else {}
        return anyio.run(function, operations, backend=name, backend_options=options)

    return contend


def rounds(operations: int, size: int) -> list[int]:
    """Split operations into rounds of at most `size`."""
    whole, rest = divmod(operations, size)
    return [size] * whole + ([rest] if rest else [])
