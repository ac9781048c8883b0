"""What all cases of a node share: the store, the staff, the flows, and how the node hears of a case.

A record of references, made once per node. It does not know what a case does with them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from casework.runtime.flow.carrying import carried
from casework.runtime.flow.case import Flow
from casework.runtime.flow.waiters import Waiters
from casework.runtime.lease import Lease
from casework.runtime.seams import World
from casework.runtime.staff import Staff
from casework.runtime.store.base import Store
from casework.runtime.telemetry import Telemetry
from casework.runtime.timers import Timers

if TYPE_CHECKING:
    from casework.runtime.flow.casecell import CaseCell


@dataclass(slots=True, frozen=True, eq=False)
class Household:
    """What all cases of a node share."""

    store: Store
    staff: Staff
    flows: Mapping[str, Flow]
    carries: Sequence[str]
    """Their versions, as the store is told that they are here."""
    crew: str
    world: World
    timers: Timers
    telemetry: Telemetry
    lease: Lease
    waiters: Waiters
    parked: "Callable[[CaseCell], None]"
    """Hear that a case is parked and durable."""
    ended: "Callable[[CaseCell], None]"
    """Hear that a cell has ended: closed, released, or lost to another incarnation."""
    busy: "Callable[[CaseCell], None]"
    """Hear that a case which was parked has something to do."""
    cleared: Callable[[], None]
    """Hear that a suspect has a new record, and so did not kill the process."""


class Host(Protocol):
    """Who runs the cases, as they tell it of themselves."""

    def parked(self, cell: "CaseCell") -> None:
        """Hear that a case is parked and durable."""
        ...

    def ended(self, cell: "CaseCell") -> None:
        """Hear that a cell has ended."""
        ...

    def busy(self, cell: "CaseCell") -> None:
        """Hear that a parked case has something to do again."""
        ...

    def cleared(self) -> None:
        """Hear that a suspect has a new record."""
        ...


def household(
    store: Store, staff: Staff, flows: Mapping[str, Flow], crew: str, world: World, telemetry: Telemetry
) -> Callable[[Host], Household]:
    """Make what a node's cases share, once the node is there."""

    def make(host: Host) -> Household:
        timers, carries = Timers(world.clock), carried(flows)
        return Household(
            store=store,
            staff=staff,
            flows=flows,
            carries=carries,
            crew=crew,
            world=world,
            timers=timers,
            telemetry=telemetry,
            lease=Lease(world.clock),
            waiters=Waiters(store, world, timers, staff, carries=carries),
            parked=host.parked,
            ended=host.ended,
            busy=host.busy,
            cleared=host.cleared,
        )

    return make
