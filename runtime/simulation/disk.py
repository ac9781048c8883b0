"""The store of a simulated run: one store in memory as the disk, and for each process a way to it that goes wrong.

    refused               nothing was done, and the caller hears so
    unheard               an append was done, and the caller hears that nobody knows
    outage                nobody reaches the disk
    dead before or after  the process ends at the point, with the disk as it was or as it should be

Leases are kept in the disk's own time, whatever a machine's clock says, and what one process wrote is told to the
others by hints that may be lost: both as PostgreSQL does it. So are the looks every `POLL_SECONDS` and when a lease
ends, without which a lost hint would be lost for good.
It does not know what a record means.
"""

import inspect
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from functools import partial
from typing import Any, Final, TypeVar, cast, final

import anyio

from casework.protocols.codec import decode_entry
from casework.protocols.records import Call, Undone
from casework.protocols.wire import Failed
from casework.runtime.errors import StoreUnavailable
from casework.runtime.seams import MICROS
from casework.runtime.simulation.loop import BEATING, SimulationLoop
from casework.runtime.simulation.messages import Messages
from casework.runtime.simulation.mischief import Mischief
from casework.runtime.simulation.process import PROCESS, Phase, Process
from casework.runtime.simulation.world import Machine, SimulatedClock, alive
from casework.runtime.store.accounts import Draw
from casework.runtime.store.base import (
    Append,
    AppendResult,
    CaseKey,
    CaseStatus,
    DecideResult,
    DeliverResult,
    DrawResult,
    LimitResult,
    Opening,
    OpenResult,
    Record,
    Store,
    Unavailable,
    Unknown,
)
from casework.runtime.store.claims import NOBODY, Claimed
from casework.runtime.store.memory import MemoryStore
from casework.runtime.store.taking import Delivery

T = TypeVar("T")

#: Seconds between two looks of a node when it hears nothing.
POLL_SECONDS: Final = 20.0
#: Seconds after the end of a lease at which the others look: it is really over then.
OVER_SECONDS: Final = 0.1

Heard = Callable[[Sequence[CaseKey]], None]


@final
class Disk:
    """What all processes of a run share."""

    def __init__(
        self, loop: SimulationLoop, mischief: Mischief, messages: Messages, inner: Store | None = None
    ) -> None:
        self.inner: Store = MemoryStore() if inner is None else inner
        self.loop = loop
        self.mischief = mischief
        self.out_until = 0.0  #: nobody reaches it before that, in seconds of the run
        self._messages = messages
        self._listeners: dict[Process, Heard] = {}
        self._leases: dict[str, Any] = {}
        self.inner.on_arrival(self._arrived)

    def view(self, process: Process, machine: Machine, clock: SimulatedClock) -> Store:
        """Give a process its way to the disk."""
        return cast("Store", DiskView(self, process, machine, clock))

    def listen(self, process: Process, heard: Heard) -> None:
        """Tell a process from now on of what comes; whoever is dead hears nothing."""
        self._listeners = {each: told for each, told in self._listeners.items() if each.phase is not Phase.DEAD}
        self._listeners[process] = heard
        self._poll(process)

    def renewed(self, process: Process, node: str, until: float) -> None:
        """Hear until when a node lives, in seconds of the run: when that is over, the others look."""
        if node in self._leases:
            self._leases[node].cancel()
        at = max(until, self.loop.time()) + OVER_SECONDS
        self._leases[node] = self.loop.call_at(at, self._over, process, node, context=_beating(Context()))

    def _over(self, process: Process, node: str) -> None:
        del self._leases[node]
        for each, heard in self._listeners.items():
            if each is not process:
                self._tell(each, heard, [NOBODY])

    def _arrived(self, keys: Sequence[CaseKey]) -> None:
        keys, writer = list(keys), PROCESS.get()
        for process, heard in self._listeners.items():
            if process is writer:
                self.loop.call_soon(heard, keys, context=process.context())
            else:
                self._messages.send(_telling(heard, keys), process.context())

    def _poll(self, process: Process) -> None:
        def look() -> None:
            heard = self._listeners.get(process)
            if heard is not None and process.phase is not Phase.DEAD:
                self._tell(process, heard, [NOBODY])
                self._poll(process)

        self.loop.call_later(POLL_SECONDS, look, context=_beating(Context()))

    def _tell(self, process: Process, heard: Heard, keys: list[CaseKey]) -> None:
        self.loop.call_soon(heard, keys, context=process.context())


@final
class DiskView:
    """A process's way to the disk: a `Store`."""

    def __init__(self, disk: Disk, process: Process, machine: Machine, clock: SimulatedClock) -> None:
        self._disk = disk
        self._process = process
        self._machine = machine
        self._clock = clock

    @property
    def url(self) -> str:
        """Name the store."""
        return "simulated:"

    def __getattr__(self, name: str) -> Any:
        found: object = getattr(self._disk.inner, name)
        if not inspect.iscoroutinefunction(found):
            return found
        call = cast("Callable[..., Awaitable[object]]", found)

        async def reached(*args: object, **options: object) -> object:
            return await self._do(name, lambda: call(*args, **options))

        return reached

    def on_arrival(self, heard: Heard) -> None:
        """Call `heard` when something comes for a case, as long as this process lives."""
        self._disk.listen(self._process, heard)

    async def aclose(self) -> None:
        """Nothing: the disk is everybody's."""

    async def claim(self, node: str, *, limit: int, now: int) -> Any:
        """Claim, by the disk's time."""
        now -= self._machine.skew_micros
        given = await self._do("claim", lambda: self._disk.inner.claim(node, limit=limit, now=now))
        if self._disk.mischief.strikes("unheard_claim"):
            raise StoreUnavailable(self.url, "it may have been written")
        return given

    async def renew(self, node: str, *, until: int, carries: Sequence[str] = ()) -> None:
        """Renew, in the disk's time; whoever does so is a heartbeat."""
        self._clock.beats()
        left = (until - self._clock.wall_micros()) / MICROS if until else 0.0
        until = until - self._machine.skew_micros if until else 0
        end = self._disk.loop.time() + left
        await self._do("renew", lambda: self._disk.inner.renew(node, until=until, carries=carries))
        self._disk.renewed(self._process, node, end)

    async def append(self, append: Append) -> AppendResult:
        """Append; the answer may be that nobody knows."""
        try:
            about = _told(append) if self._disk.loop.trace.keeps else ""
            given = await self._do("append", lambda: self._disk.inner.append(append), about)
        except StoreUnavailable as error:
            return Unavailable(error.why)
        if self._disk.mischief.strikes("unheard"):
            return Unknown("it may have been written")
        return given

    async def open_case(self, opening: Opening) -> OpenResult:
        """Open a case; the answer may be that nobody knows."""
        return await self._answered("open_case", lambda: self._disk.inner.open_case(opening), opening.key.case_id)

    async def deliver(self, tenant: str, target: str, item_id: str, frame: bytes) -> DeliverResult:
        """Deliver; the answer may be that nobody knows."""
        return await self._answered("deliver", lambda: self._disk.inner.deliver(tenant, target, item_id, frame), target)

    async def deliver_and_claim(
        self, node: str, delivery: Delivery, *, now: int, taken: Callable[[Claimed], None]
    ) -> DeliverResult:
        """Deliver and claim, by the disk's time; the answer may be that nobody knows, and then nobody is told."""
        now -= self._machine.skew_micros
        given: list[Claimed] = []
        call = partial(self._disk.inner.deliver_and_claim, node, delivery, now=now, taken=given.append)
        result = await self._answered("deliver_and_claim", call, delivery.target)
        if not isinstance(result, Unavailable | Unknown):
            for claimed in given:
                taken(claimed)
        return result

    async def decide(self, review_id: str, proposal_hash: str, frame: bytes, now: int) -> DecideResult:
        """Decide; the answer may be that nobody knows."""
        return await self._answered(
            "decide", lambda: self._disk.inner.decide(review_id, proposal_hash, frame, now), review_id[:12]
        )

    async def set_limit(self, name: str, limit_micros: int, *, by: str, at: int, only_new: bool = False) -> LimitResult:
        """Set a limit; the answer may be that nobody knows."""
        set_limit = partial(self._disk.inner.set_limit, name, limit_micros, by=by, at=at, only_new=only_new)
        return await self._answered("set_limit", set_limit, name)

    async def draw(self, draw: Draw) -> DrawResult:
        """Draw; the answer may be that nobody knows."""
        return await self._answered("draw", lambda: self._disk.inner.draw(draw), draw.id)

    async def _answered(
        self, name: str, call: Callable[[], Awaitable[T]], about: str = ""
    ) -> T | Unavailable | Unknown:
        try:
            given = await self._do(name, call, about)
        except StoreUnavailable as error:
            return Unavailable(error.why)
        return Unknown("it may have been written") if self._disk.mischief.strikes("unheard") else given

    async def _do(self, name: str, call: Callable[[], Awaitable[T]], about: str = "") -> T:
        disk, mischief = self._disk, self._disk.mischief
        await alive()
        mischief.points.point(f"store.{name}.before")
        await alive()
        latency = mischief.seconds("latency_seconds")
        if latency:
            await anyio.sleep(latency / 2)
        if disk.loop.time() < disk.out_until:
            raise StoreUnavailable(self.url, "it is out of reach")
        if mischief.strikes("refusal"):
            raise StoreUnavailable(self.url, "it refuses")
        given = await call()
        disk.loop.trace.event(disk.loop.time(), f"{self._process.name} {name} {type(given).__name__}", about)
        mischief.points.point(f"store.{name}.after")
        await alive()
        if latency:
            await anyio.sleep(latency / 2)
        return given


def _beating(context: Context) -> Context:
    """Give a context whose timers nobody waits for."""
    context.run(BEATING.set, True)
    return context


def _told(append: Append) -> str:
    """Say in a few words what an append changes."""
    records = ", ".join(f"{each.kind} {each.step_id}{_why(each)}".rstrip() for each in append.records)
    status = f"-> {append.status.value}" if append.status is not CaseStatus.OPEN else ""
    return " ".join(filter(None, (append.key.case_id, f"#{append.next_seq}", records, status)))


def _why(record: Record) -> str:
    """Say why something came to nothing, where a record is about that."""
    match decode_entry(record.frame):
        case Failed(kind=kind, message=message) | Undone(kind=kind, message=message):
            return f" ({kind}: {' '.join(message.split())})"
        case Call(failure=failure, message=message) if failure is not None:
            return f" ({failure}: {' '.join(message.split())})"
        case _:
            return ""


def _telling(heard: Heard, keys: list[CaseKey]) -> Callable[[], None]:
    return lambda: heard(keys)
