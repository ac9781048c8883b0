"""What all cells of one system share: who is where, the tally of messages, dead letters, jobs and deadlines.

The tally proves the conservation law: every message sent was accepted or refused, and every accepted one is waiting,
running, or has come to exactly one end. It does not know how a cell works, nor how a system begins and ends.
"""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, final

import anyio

from casework.runtime.deadlines import DeadlineSweep
from casework.runtime.jobs import JobPool, StartSoon
from casework.runtime.lifecycle import Down, Exit
from casework.runtime.mailbox import Envelope
from casework.runtime.ref import Port
from casework.runtime.seams import World

#: Dead letters kept for looking at; older ones are only counted.
DEAD_LETTERS_MAX: Final = 1_000

_LOG: Final = logging.getLogger("casework.runtime")


class Member(Port, Protocol):
    """A cell, as its kernel counts it."""

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


class DeadLetter(NamedTuple):
    """An accepted message that nobody will handle."""

    envelope: Envelope
    why: str
    at: int
    """Microseconds since the epoch."""


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

    def __init__(self, world: World, hooks: Hooks | None, start_soon: StartSoon) -> None:
        self.world = world
        self.clock = world.clock
        self.hooks = hooks
        self.start_soon = start_soon
        # `anyio.Event()` asks which backend runs each time, 1 us; the answer does not change within a system.
        self.new_event: Callable[[], anyio.Event] = type(anyio.Event())
        self.pool = JobPool(start_soon, self.new_event)
        self.sweep = DeadlineSweep(world.clock)
        self.tally = Tally()
        self.cells: dict[str, Member] = {}
        self.dead_letters: deque[DeadLetter] = deque(maxlen=DEAD_LETTERS_MAX)
        # Cells at or before their turn, and the jobs that cells started: 0 means that nothing moves.
        self.busy = 0
        self._watchers: dict[str, list[Callable[[Down], None]]] = {}
        self._quiet: anyio.Event | None = None

    def find(self, address: str) -> Member | None:
        """Find the running actor of that address."""
        return self.cells.get(address)

    def watch(self, address: str, tell: Callable[[Down], None]) -> None:
        """Have `tell` called when the actor ends for good; at once if there is none."""
        if address in self.cells:
            self._watchers.setdefault(address, []).append(tell)
        else:
            tell(Down(address, Exit.NORMAL))

    def gone(self, address: str, exit_: Exit) -> None:
        """An actor has ended for good: its name is free, and its watchers are told."""
        del self.cells[address]
        for tell in self._watchers.pop(address, ()):
            tell(Down(address, exit_))

    def rest(self) -> None:
        """One cell's turn, or one of its jobs, is over."""
        self.busy -= 1
        if self.busy == 0 and self._quiet is not None:
            self._quiet.set()
            self._quiet = None

    async def wait_quiet(self) -> None:
        """Wait until no cell has anything to do; if cancelled, nothing is left behind."""
        while self.busy:
            if self._quiet is None:
                self._quiet = self.new_event()
            await self._quiet.wait()

    def refused(self) -> None:
        """Count a message that found no actor."""
        self.tally.sent += 1
        self.tally.refused += 1

    def dead_letter(self, envelope: Envelope, why: str) -> None:
        """Keep an accepted message that nobody will handle; its asker is told by the caller."""
        letter = DeadLetter(envelope, why, self.clock.wall_micros())
        self.tally.dead_lettered += 1
        self.dead_letters.append(letter)
        if self.hooks is not None:
            self.hooks.dead_lettered(letter)

    def failed(self, address: str, error: BaseException) -> None:
        """A cell's failure arrives here once, besides supervision and the asker."""
        _LOG.warning("%s failed: %s: %s", address, type(error).__name__, error)
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
