"""What all cells of one system share: who is where, the tally of messages, dead letters, jobs and deadlines.

Whatever runs in a job of the system bears its mark (`INSIDE`), so a system that drains can refuse what comes from
outside and let its actors finish among themselves. The tally proves the conservation law: every message sent was
accepted or refused, and every accepted one is waiting, running, or has come to exactly one end.
It does not know how a cell works, nor how a system begins and ends.
"""

import logging
import re
from collections.abc import Awaitable, Callable
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple, Protocol, final

import anyio

from casework.protocols.errors import worded
from casework.runtime.deadletters import DeadLetter, DeadLetters
from casework.runtime.deadlines import DeadlineSweep
from casework.runtime.errors import ActorStopped, Draining, NotSent, WakeFailed
from casework.runtime.jobs import JobPool, StartSoon
from casework.runtime.lifecycle import Down, Exit
from casework.runtime.mailbox import Envelope
from casework.runtime.parking import parking
from casework.runtime.ref import Port
from casework.runtime.seams import World

#: How workers of one kind are told apart.
_NUMBERED: Final = re.compile(r"[-/]\d+$")

#: The kernel in whose jobs something runs; None outside.
INSIDE: Final[ContextVar["Kernel | None"]] = ContextVar("inside", default=None)

_LOG: Final = logging.getLogger("casework.runtime")


@lru_cache(maxsize=1_000)
def kind_of(address: str) -> str:
    """Give the kind of an actor: its address before the first colon, without a final number."""
    return _NUMBERED.sub("", address.partition(":")[0])


class Member(Port, Protocol):
    """A cell, as its kernel counts it."""

    @property
    def address(self) -> str:
        """Its name in the system."""
        ...

    @property
    def waiting(self) -> int:
        """Messages in its mailbox."""
        ...

    @property
    def running(self) -> int:
        """1 while it handles a message, else 0."""
        ...

    def abort(self) -> None:
        """The system is gone: account for what is left, without running anything."""
        ...


class Hooks(Protocol):
    """Who hears of what cells do; must be fast and must not raise."""

    def cell_failed(self, address: str, error: BaseException) -> None:
        """A behavior or a job raised."""
        ...

    def cell_restarted(self, address: str) -> None:
        """A behavior was made anew after a failure."""
        ...

    def dead_lettered(self, letter: "DeadLetter") -> None:
        """A message found nobody any more."""
        ...


class Span(Protocol):
    """One message being handled, as it is traced."""

    @property
    def traceparent(self) -> str:
        """The context of what the handler sends."""
        ...

    def end(self, error: str = "") -> None:
        """The handler has ended; `error` is a kind of failure."""
        ...


class Messages(Protocol):
    """Who makes spans of messages that carry a trace."""

    def message(self, kind: str, trace: str, *, asked: bool) -> Span:
        """Begin the span of a message that an actor of some kind begins to handle."""
        ...


class Waker(Protocol):
    """Who makes actors of logical addresses."""

    def owns(self, address: str) -> bool:
        """Say whether an address is a logical one, awake or not."""
        ...

    def wake(self, envelope: Envelope) -> Port | None:
        """Make the actor that is to get the message; None if the address is no logical one."""
        ...


@dataclass(slots=True, eq=False)
class Tally:
    """What became of messages so far."""

    sent: int = 0
    accepted: int = 0
    refused: int = 0
    handled: int = 0
    failed: int = 0
    """Their handler raised or was cancelled."""
    expired: int = 0
    """Dropped unread: too late, or nobody waits for the answer."""
    dead_lettered: int = 0
    restarts: int = 0


class SystemStatistics(NamedTuple):
    """What a system holds and has seen."""

    cells: int
    sent: int
    accepted: int
    refused: int
    handled: int
    failed: int
    expired: int
    dead_lettered: int
    waiting: int
    running: int
    restarts: int
    asks_waiting: int


@final
class Kernel:
    """The common ground of the cells of one system."""

    def __init__(
        self, world: World, start_soon: StartSoon, *, hooks: Hooks | None = None, messages: Messages | None = None
    ) -> None:
        self.world = world
        self.clock = world.clock
        self.hooks = hooks
        self.messages = messages
        self.start_soon = start_soon
        # A job serves many cells: it must not carry the trace or the settings of whoever sent the first message.
        self.context = copy_context()
        # `anyio.Event()` asks which backend runs each time, 1 us; the answer does not change within a system.
        self.new_event: Callable[[], anyio.Event] = type(anyio.Event())
        self.new_parked = parking()
        self.pool = JobPool(start_soon, self.new_parked, self._look_quiet)
        self.sweep = DeadlineSweep(world.clock)
        self.tally = Tally()
        self.cells: dict[str, Member] = {}
        self.names: dict[str, str] = {}
        """Registered names, each with the address of its actor."""
        self.waker: Waker | None = None
        self.dead_letters = DeadLetters()
        self.draining = False
        #: Actors whose `stopped` took longer than their grace.
        self.cut_short = 0
        #: Jobs that count as something to do, beside the cells at or before their turn.
        self.busy = 0
        self._watchers: dict[str, dict[Callable[[Down], None], None]] = {}
        self._quiet: anyio.Event | None = None

    def find(self, address: str) -> Member | None:
        """Find the running actor of an address or a registered name."""
        member = self.cells.get(address)
        if member is None and address in self.names:
            member = self.cells.get(self.names[address])
        return member

    def reach(self, envelope: Envelope) -> Port:
        """Find the actor that is to get a message, waking it if its address is a logical one.

        Raises:
            ActorStopped, WakeFailed: there is none.
            Draining: the message comes from outside of a system that takes nothing new.
        """
        refusal: NotSent
        if self.draining and envelope.local is None and INSIDE.get() is not self:
            refusal = Draining(envelope)
        else:
            try:
                port: Port | None = self.find(envelope.receiver)
                if port is None and self.waker is not None:
                    port = self.waker.wake(envelope)
                if port is not None:
                    return port
                refusal = ActorStopped(envelope)
            except WakeFailed as error:
                refusal = error
        self.refused()
        raise refusal

    def refused(self) -> None:
        """Count a message that was sent and refused."""
        self.tally.sent += 1
        self.tally.refused += 1

    def taken(self, address: str) -> bool:
        """Say whether an address is somebody's: an actor's, a name's, or a logical one, awake or not."""
        return address in self.cells or address in self.names or (self.waker is not None and self.waker.owns(address))

    def watch(self, address: str, tell: Callable[[Down], None]) -> None:
        """Have `tell` called when the actor of an address or name ends for good; at once if there is none."""
        address = self.names.get(address, address)
        if address in self.cells or (self.waker is not None and self.waker.owns(address)):
            self._watchers.setdefault(address, {})[tell] = None
        else:
            tell(Down(address, Exit.NORMAL))

    def unwatch(self, address: str, tell: Callable[[Down], None]) -> None:
        """Forget about it; nothing happens if it was told already."""
        address = self.names.get(address, address)
        watchers = self._watchers.get(address, {})
        watchers.pop(tell, None)
        if not watchers:
            self._watchers.pop(address, None)

    def gone(self, address: str, exit_: Exit) -> None:
        """An actor has ended: its address is free, and its watchers are told unless the next message wakes it."""
        del self.cells[address]
        if exit_ is not Exit.PASSIVATED:
            for tell in self._watchers.pop(address, ()):
                tell(Down(address, exit_))

    def start_work(self, work: Callable[[], Awaitable[None]], name: str) -> None:
        """Start a job of the kernel's own that counts as something to do."""
        self.busy += 1

        async def run() -> None:
            try:
                await work()
            finally:
                self.rest()

        self.start_soon(run, name=name)

    def rest(self) -> None:
        """A job that counted as something to do is over."""
        self.busy -= 1
        self._look_quiet()

    async def wait_quiet(self) -> None:
        """Wait until no cell has anything to do; if cancelled, nothing is left behind."""
        while self.busy or len(self.pool):
            if self._quiet is None:
                self._quiet = self.new_event()
            await self._quiet.wait()

    def _look_quiet(self) -> None:
        if self._quiet is not None and not self.busy and not len(self.pool):
            self._quiet.set()
            self._quiet = None

    def dead_letter(self, envelope: Envelope, why: str) -> None:
        """Count an accepted message that nobody will handle, and keep it unless the caller tells its asker."""
        letter = DeadLetter(envelope, why, self.clock.wall_micros())
        self.tally.dead_lettered += 1
        if envelope.reply is None:
            self.dead_letters.add(letter)
        if self.hooks is not None:
            self.hooks.dead_lettered(letter)

    def failed(self, address: str, error: BaseException) -> None:
        """A cell's failure arrives here once, besides supervision and the asker."""
        # Not the error itself: a handler that keeps records would keep the whole actor.
        _LOG.warning("%s failed: %s", address, worded(error))
        if self.hooks is not None:
            self.hooks.cell_failed(address, error)

    def restarted(self, address: str) -> None:
        """A cell was given a new behavior."""
        self.tally.restarts += 1
        if self.hooks is not None:
            self.hooks.cell_restarted(address)

    def statistics(self) -> SystemStatistics:
        """Count."""
        tally = self.tally
        return SystemStatistics(
            cells=len(self.cells),
            sent=tally.sent,
            accepted=tally.accepted,
            refused=tally.refused,
            handled=tally.handled,
            failed=tally.failed,
            expired=tally.expired,
            dead_lettered=tally.dead_lettered,
            waiting=sum(cell.waiting for cell in self.cells.values()),
            running=sum(cell.running for cell in self.cells.values()),
            restarts=tally.restarts,
            asks_waiting=len(self.sweep),
        )

    def check_conservation(self) -> None:
        """Fail an assertion, with the figures, unless every message is accounted for."""
        seen = self.statistics()
        assert seen.sent == seen.accepted + seen.refused, f"sent is not accepted + refused: {seen}"
        ended = seen.handled + seen.failed + seen.expired + seen.dead_lettered
        assert seen.accepted == ended + seen.waiting + seen.running, f"accepted messages are missing: {seen}"
