"""A family of actors that write one diary: who began, who ended, what they handled, and of whose end they heard.

A member does what the words of a frame say, one after another; a word that is no command is handled and answered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import anyio
import anyio.lowlevel

from casework.runtime.actorsystem import ActorSystem
from casework.runtime.behavior import Context, System
from casework.runtime.lifecycle import ChildEnded, Down
from casework.runtime.mailbox import MAILBOX_DEPTH_MAX, Envelope, Overflow
from casework.runtime.ref import Ref
from casework.runtime.supervision import Restart, RestartLimit, Strategy, Supervision

#: Longer than any test may last: nobody is killed because its time is up.
LONG = 60.0
PATIENT = Supervision(grace_seconds=LONG)


@dataclass(slots=True, frozen=True)
class Kin:
    """One actor, as it is spawned, with its children; names are unique in a family."""

    name: str
    children: tuple[Kin, ...] = ()
    restart: Restart = Restart.PERMANENT
    supervision: Supervision = PATIENT
    grace_seconds: float | None = None
    mailbox_depth_max: int = MAILBOX_DEPTH_MAX
    overflow: Overflow = Overflow.REFUSE


class Gate:
    """A place where a handler, a start or a job waits to be let through."""

    def __init__(self) -> None:
        self.entered = anyio.Event()
        self.open = anyio.Event()

    async def wait(self) -> None:
        self.entered.set()
        await self.open.wait()


class Diary:
    """What happened to a family, by the names of its members; and the faults and gates that are put in their way."""

    def __init__(self) -> None:
        self.entries: list[str] = []
        self.made: Counter[str] = Counter()
        self.handled: list[str] = []
        self.heard: list[str] = []
        self.factory_faults: Counter[str] = Counter()
        self.start_faults: Counter[str] = Counter()
        self.stop_faults: Counter[str] = Counter()
        self.start_gates: dict[str, Gate] = {}
        self.overlaps: list[str] = []
        self._at_work: dict[str, None] = {}
        self._gates: dict[str, Gate] = {}
        self._awaited: dict[str, anyio.Event] = {}

    def write(self, entry: str) -> None:
        """Write that a member began (`+name`), ended (`-name`), or had its handler cancelled (`!name`)."""
        self.entries.append(entry)
        if entry in self._awaited:
            self._awaited.pop(entry).set()

    async def reads(self, entry: str) -> None:
        """Wait until an entry is there; if cancelled, nothing is left behind."""
        if entry not in self.entries:
            await self._awaited.setdefault(entry, anyio.Event()).wait()

    def gate(self, name: str) -> Gate:
        """Give the gate of that name: a member's own, or `name/job` for its job's."""
        return self._gates.setdefault(name, Gate())

    @property
    def began(self) -> list[str]:
        """Who began, in order."""
        return [entry[1:] for entry in self.entries if entry.startswith("+")]

    @property
    def ended(self) -> list[str]:
        """Who ended without being killed, in order."""
        return [entry[1:] for entry in self.entries if entry.startswith("-")]

    @property
    def cancelled(self) -> list[str]:
        """Whose handlers were cancelled, in order."""
        return [entry[1:] for entry in self.entries if entry.startswith("!")]

    @contextmanager
    def work(self, name: str) -> Iterator[None]:
        """Note who is at work on two things at once, in one incarnation or in two."""
        if name in self._at_work:
            self.overlaps.append(name)
        self._at_work[name] = None
        try:
            yield
        finally:
            self._at_work.pop(name, None)

    def fault(self, faults: Counter[str], name: str) -> None:
        """Raise if a fault is planned there."""
        if faults[name]:
            faults[name] -= 1
            raise ValueError(f"{name} cannot")


class Member:
    """One incarnation of one actor of a family."""

    def __init__(self, kin: Kin, diary: Diary) -> None:
        self.kin = kin
        self.diary = diary
        self.kept: list[Envelope] = []
        diary.made[kin.name] += 1
        self.incarnation = diary.made[kin.name]
        diary.fault(diary.factory_faults, kin.name)

    async def started(self, context: Context) -> None:
        name, diary = self.kin.name, self.diary
        diary.write(f"+{name}")
        with diary.work(name):
            gate = diary.start_gates.pop(name, None)
            if gate is not None:
                await gate.wait()
            diary.fault(diary.start_faults, name)
        for child in self.kin.children:
            settle(context, child, diary)

    async def stopped(self, context: Context) -> None:
        self.diary.write(f"-{self.kin.name}")
        self.diary.fault(self.diary.stop_faults, self.kin.name)

    async def signalled(self, context: Context, signal: ChildEnded | Down) -> None:
        kind = type(signal).__name__
        self.diary.heard.append(f"{self.kin.name}: {kind} {signal.subject} {signal.exit.value}")

    async def receive(self, context: Context, envelope: Envelope) -> None:
        with self.diary.work(self.kin.name):
            for word in envelope.frame.decode().split():
                await self.obey(word, context, envelope)

    async def obey(self, word: str, context: Context, envelope: Envelope) -> None:
        name, gate = self.kin.name, self.diary.gate(self.kin.name)
        match word:
            case "boom":
                raise ValueError(f"{name} went boom")
            case "leave":
                context.stop()
            case "job":
                context.start_soon(self.fail)
            case "job-at-gate":
                context.start_soon(self.fail_at_gate)
            case "wait":
                try:
                    await gate.wait()
                except BaseException:
                    self.diary.write(f"!{name}")
                    raise
            case "shield":
                with anyio.CancelScope(shield=True):
                    await gate.wait()
            case "pause":
                await anyio.lowlevel.checkpoint()
            case "keep":
                self.kept.append(envelope)
            case _ if ":" in word:
                self.reach(context, *word.split(":"))
            case _:
                self.diary.handled.append(f"{name} {word}")
                context.reply(f"{name} {self.incarnation}".encode())

    def reach(self, context: Context, what: str, whom: str) -> None:
        """Spawn a child, spawn one that fails at once, or monitor an actor."""
        if what == "watch":
            context.monitor(found(context.system, whom))
        else:
            child = settle(context, Kin(whom), self.diary)
            if what == "ruin":
                child.tell_nowait(b"boom")

    async def fail(self) -> None:
        raise ValueError(f"a job of {self.kin.name} failed")

    async def fail_at_gate(self) -> None:
        await self.diary.gate(f"{self.kin.name}/job").wait()
        await self.fail()


def settle(where: ActorSystem | Context, kin: Kin, diary: Diary) -> Ref:
    """Spawn one member, which spawns its children when it starts."""
    return where.spawn(
        kin.name,
        lambda: Member(kin, diary),
        restart=kin.restart,
        mailbox_depth_max=kin.mailbox_depth_max,
        overflow=kin.overflow,
        grace_seconds=kin.grace_seconds,
        children=kin.supervision,
    )


def parent_of(
    *children: Kin, strategy: Strategy, intensity: int = 3, period_seconds: float = 5.0, grace_seconds: float = LONG
) -> Kin:
    """Give `p`, the parent of these children."""
    supervision = Supervision(strategy, RestartLimit(intensity, period_seconds), grace_seconds)
    return Kin("p", children, supervision=supervision)


def found(system: System, address: str) -> Ref:
    """Give the running actor of an address."""
    ref = system.lookup(address)
    assert ref is not None, f"{address} does not run"
    return ref


def tell(system: ActorSystem, address: str, words: str) -> None:
    """Send a frame of words."""
    found(system, address).tell_nowait(words.encode())


async def reached(gate: Gate) -> None:
    """Wait until somebody stands at a gate; if cancelled, nothing is left behind."""
    with anyio.fail_after(5):
        await gate.entered.wait()


async def begin(system: ActorSystem, *kin: Kin, diary: Diary) -> None:
    """Start families, and forget that they began."""
    for one in kin:
        settle(system, one, diary)
    await system.wait_quiet()
    diary.entries.clear()


async def engage(system: ActorSystem, diary: Diary, name: str, then: str = "") -> None:
    """Have a child of `p` at work at its gate; afterwards its handler does what `then` says."""
    tell(system, f"p/{name}", f"wait {then}")
    await reached(diary.gate(name))
