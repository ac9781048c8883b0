"""The nodes that live on a store in memory, and which cases each of them may take.

It does not know what a case has to do.
"""

from collections.abc import Callable, Sequence
from typing import final

from casework.runtime.store.base import CaseRow
from casework.runtime.store.rules import left_to_others, pin


@final
class MemoryNodes:
    """Until when each node lives, and what it says that it carries."""

    def __init__(self) -> None:
        """Begin without any."""
        self._leases: dict[str, tuple[int, Sequence[str]]] = {}

    def renew(self, node: str, until: int, carries: Sequence[str]) -> None:
        """Hear that a node lives until then."""
        self._leases[node] = until, carries

    def bury(self, now: int) -> None:
        """Forget those whose time is over."""
        self._leases = {node: lease for node, lease in self._leases.items() if lease[0] > now}

    def free_for(self, node: str, now: int) -> Callable[[CaseRow], bool]:
        """Give what says whether a node may take a case: nobody holds it who lives, and it is not left to others."""
        carries = self._leases.get(node, (0, ()))[1]
        others = {name: lease[1] for name, lease in self._leases.items() if lease[0] > now and name != node}
        holders, left = {node, *others}, left_to_others(carries, (pin for pins in others.values() for pin in pins))
        if not left:
            return lambda row: row.node not in holders
        return lambda row: row.node not in holders and pin(row.flow, row.version, row.source_hash) not in left
