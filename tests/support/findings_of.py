"""What `verify` finds in a store that somebody else may own; it does not know what was done to it."""

from collections.abc import Sequence

from casework.runtime.seams import World
from casework.runtime.store.urls import open_reader
from casework.runtime.store.verify import Finding, verify


async def told(url: str) -> Sequence[Finding]:
    """Give what is wrong with a store, through a reader of its own."""
    reader = await open_reader(url, World())
    try:
        return await verify(reader)
    finally:
        await reader.aclose()
