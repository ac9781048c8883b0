"""Logical addresses: actors that are there when a message comes, and cost nothing while none does.

A kind of actor is declared once, with what makes the actor of a key; `account:4711` is then the address of the actor
of kind `account` for the key `4711`, whether it is in memory or not. The first message wakes it (after Orleans' virtual
actors). When it has had nothing to do for a while it is passivated: `stopped` lets it put its state away, and the
next message makes a new one. A message that comes while it tidies up is handled by that new one, so none is lost.
One job watches all that are idle, in the order in which they became so; no idle actor has a job or a timer.
It does not know where an actor keeps its state.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, final

import anyio

from casework.runtime.behavior import Behavior, System
from casework.runtime.cell import Cell
from casework.runtime.children import CellOptions, ChildGroup
from casework.runtime.errors import KindTaken, WakeFailed
from casework.runtime.kernel import Kernel
from casework.runtime.life import Life
from casework.runtime.lifecycle import ChildEnded
from casework.runtime.mailbox import Envelope
from casework.runtime.ref import Port

#: Seconds without a message after which an actor of a logical address is passivated, unless its kind says otherwise.
IDLE_SECONDS: Final = 60.0


@final
@dataclass(slots=True, eq=False)
class _Kind:
    """One declared kind, and since when each of its idle actors has had nothing to do; the longest idle first."""

    factory: Callable[[str], Behavior]
    options: CellOptions
    idle_seconds: float
    now: Callable[[], float]
    look: Callable[[float], None]
    since: dict[Life, float] = field(default_factory=dict[Life, float])

    def idle(self, life: Life) -> None:
        """Hear that an actor has nothing to do."""
        now, nobody = self.now(), not self.since
        self.since.pop(life, None)
        self.since[life] = now
        if nobody:
            self.look(now + self.idle_seconds)

    def forget(self, life: Life) -> None:
        """Hear that an actor has ended."""
        self.since.pop(life, None)

    def child_ended(self, ended: ChildEnded) -> None:
        """An actor is gone; whatever the reason, the next message wakes a new one."""

    def due(self) -> float:
        """Say when the next actor is to be passivated, in monotonic seconds."""
        return next(iter(self.since.values()), math.inf) + self.idle_seconds

    def passivate(self, now: float) -> None:
        """End those that have been idle for long enough."""
        for life, at in tuple(self.since.items()):
            if at + self.idle_seconds > now:
                return
            del self.since[life]
            if life.busy:
                self.since[life] = now
            else:
                life.passivate()


@final
class Homes:
    """The declared kinds of one system."""

    def __init__(self, kernel: Kernel, system: System, group: ChildGroup) -> None:
        self._kernel = kernel
        self._system = system
        self._group = group
        self._kinds: dict[str, _Kind] = {}
        self._asleep: anyio.CancelScope | None = None
        self._until = math.inf

    def declare(
        self, kind: str, factory: Callable[[str], Behavior], options: CellOptions, *, idle_seconds: float
    ) -> None:
        """Make `kind:...` logical addresses; `factory` is given the key.

        Raises:
            KindTaken: it is declared already, or it is no name.
            ValueError: `idle_seconds` is not more than 0.
        """
        if not idle_seconds > 0:
            raise ValueError(f"an actor is idle for more than 0 seconds before it rests, not for {idle_seconds}")
        if kind in self._kinds or not kind or ":" in kind:
            raise KindTaken(kind)
        if not self._kinds:
            self._kernel.start_soon(self._passivate, name="casework passivation")
        now = self._kernel.clock.monotonic
        self._kinds[kind] = _Kind(factory, options, idle_seconds, now, self._look)

    def owns(self, address: str) -> bool:
        """Say whether an address is a logical one, awake or not; those of its children, `kind:key/child`, are not."""
        return self._home(address)[0] is not None

    def wake(self, envelope: Envelope) -> Port | None:
        """Make the actor that is to get the message; None if its address is no logical one.

        Raises:
            WakeFailed: its behavior could not be made.
        """
        address = self._kernel.names.get(envelope.receiver, envelope.receiver)
        kind, key = self._home(address)
        if kind is None:
            return None
        try:
            return Cell(
                self._kernel,
                address,
                partial(kind.factory, key),
                kind.options,
                system=self._system,
                group=self._group,
                parent=kind,
                home=kind,
            )
        except Exception as error:
            raise WakeFailed(envelope, error) from error

    def _home(self, address: str) -> tuple[_Kind | None, str]:
        """Give the kind and the key of a logical address; no kind for any other."""
        name, colon, key = address.partition(":")
        return (self._kinds.get(name) if colon and "/" not in key else None), key

    async def _passivate(self) -> None:
        """Watch the idle ones until cancelled."""
        clock = self._kernel.clock
        while True:
            now = clock.monotonic()
            for kind in self._kinds.values():
                kind.passivate(now)
            self._until = min((kind.due() for kind in self._kinds.values()), default=math.inf)
            with anyio.CancelScope() as self._asleep:
                await (anyio.sleep_forever() if self._until == math.inf else clock.sleep(max(self._until - now, 0.0)))
            self._asleep = None

    def _look(self, due: float) -> None:
        if self._asleep is not None and due < self._until:
            self._asleep.cancel()
