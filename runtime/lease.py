"""A node's lease, as far as the node itself may rely on it.

The store keeps who lives until when; here stands how long ago the last renewal was *asked for*, since that moment is
never later than the one at which the store took it. After `FRESH_SECONDS` without a renewal no effect begins: the
lease may be over before the effect has reached the world. A process that was stopped finds out in the same way, and
a renewal that comes late does not bring back what others took meanwhile: it begins a new *term*, and whoever held
something in an earlier one looks first whether it still does.

Time is judged by two clocks, the steady one and the wall's: the first stands still while some machines sleep.
It does not know what is renewed, nor how.
"""

import math
from typing import Final, NamedTuple, final

import anyio

from casework.runtime.seams import MICROS, Clock

#: Seconds that a node's lease lasts in the store.
LEASE_SECONDS: Final = 4.0
#: Seconds after the last renewal within which an effect may begin: the rest is for its way to the world.
FRESH_SECONDS: Final = 3.0


class Moment(NamedTuple):
    """One moment on both clocks, in seconds."""

    steady: float
    wall: float


@final
class Lease:
    """The lease of one incarnation of a node."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._asked = Moment(-math.inf, -math.inf)
        self._renewed = anyio.Event()
        self.term = 0  #: grows whenever the lease may have been over in between

    def moment(self) -> Moment:
        """Give the moment at which a renewal is about to be asked for."""
        return Moment(self._clock.monotonic(), self._clock.wall_micros() / MICROS)

    def renewed(self, asked: Moment) -> None:
        """Hear that the store took a renewal that was asked for at that moment."""
        if self._age() >= LEASE_SECONDS:
            self.term += 1
        self._asked = asked
        renewed, self._renewed = self._renewed, anyio.Event()
        renewed.set()

    def over(self) -> None:
        """Hear that the lease was given back: nothing begins under it any more."""
        self._asked = Moment(-math.inf, -math.inf)

    @property
    def fresh(self) -> bool:
        """Tell whether an effect may begin now."""
        return self._age() < FRESH_SECONDS

    async def wait_fresh(self) -> int:
        """Wait until `fresh` and give the term; if cancelled, nothing is left behind."""
        while not self.fresh:
            await self._renewed.wait()
        return self.term

    def _age(self) -> float:
        clock, asked = self._clock, self._asked
        return max(clock.monotonic() - asked.steady, clock.wall_micros() / MICROS - asked.wall)
