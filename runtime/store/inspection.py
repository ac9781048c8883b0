"""What a store can say of itself that no log tells: whether what it keeps beside the logs is whole.

Each store knows what can go wrong with its own tables; who wants to hear it asks for `Inspected`. It does not know
what the logs say.
"""

from collections.abc import Collection, Sequence
from typing import Protocol, runtime_checkable

from msgspec import Struct

from casework.runtime.store.base import CaseKey

#: Oddities that are told at most: a file with more of them is to be restored, not read about.
ODDITIES_MAX = 100


class Oddity(Struct, frozen=True):
    """One thing that is not as it was written."""

    why: str
    key: CaseKey | None = None
    """The case that it is about; None where it is about the store."""


@runtime_checkable
class Inspected(Protocol):
    """What anybody may have looked through."""

    async def inspect(self) -> Sequence[Oddity]:
        """Look through everything beside the logs; raises StoreUnavailable, StoreInvalid."""
        ...

    async def missing(self, names: Collection[str]) -> Sequence[str]:
        """Give those of some delivered files, by their content hashes, that are not kept; raises as `inspect`."""
        ...
