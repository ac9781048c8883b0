"""Who waits for what, asked by what is waited for: a store finds them without looking at every case.

It does not know what a key stands for.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from casework.runtime.store.base import CaseRow


class WaitReader(Protocol):
    """What anybody may read of waits; raises as the store's other reads."""

    async def awaiting(self, keys: Sequence[str]) -> "Sequence[CaseRow]":
        """Give the cases, of whatever tenant, that wait for one of these keys, ordered by tenant and case id."""
        ...
