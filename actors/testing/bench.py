"""The bench: a crew at work in a test, on virtual time, with fake tools and fake people, on a store in memory.

    async with CaseBench(crew, tools={"bank.pay": FakeTool(result=7)}) as bench:
        await bench.open("refund", "r-1", Refund("c-7", 40))
        await bench.forward(days=30)
        bench.log("r-1").assert_has("intent bank.pay", "done bank.pay", "closed completed")

Every call returns when nobody has anything left to do at that moment; only `forward` moves time. What a tool or agent
waits for must come by the clock of its world or through the case: the bench cannot tell a socket from a timer.
It does not know what the right outcome is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self, TypeVar, final

import anyio
from anyio.abc import TaskGroup
from msgspec import Struct

from casework.actors.crew import Crew
from casework.actors.testing.clock import START, CountedIds, InlineOffload, VirtualClock, quiet
from casework.actors.testing.log import CaseLog
from casework.actors.testing.people import FakePerson
from casework.actors.testing.process import Kill, MortalStore, Process
from casework.actors.testing.tools import FakeTool, Outside, ToolCall
from casework.protocols.codec import decode_entry, unpack
from casework.protocols.records import Closed, Review, ReviewAction
from casework.runtime.errors import Stopping
from casework.runtime.runtime import Runtime
from casework.runtime.seams import MICROS, World
from casework.runtime.store.base import CaseKey, CaseRow, DecideResult, DeliverResult, Record, ReviewRow, Wait, WaitKind
from casework.runtime.store.memory import MemoryStore

T = TypeVar("T")

#: Seconds in a minute, an hour and a day.
MINUTE: Final = 60.0
HOUR: Final = 3_600.0
DAY: Final = 86_400.0


@dataclass(slots=True, eq=False)
class Snapshot:
    """What the store held when everybody last had nothing to do."""

    rows: dict[str, CaseRow] = field(default_factory=dict[str, CaseRow])
    records: dict[str, list[Record]] = field(default_factory=dict[str, list[Record]])
    reviews: list[ReviewRow] = field(default_factory=list[ReviewRow])


@final
class CaseBench:
    """A crew at work; use it with `async with`, or get one from the fixture `case_bench`."""

    def __init__(
        self,
        crew: Crew,
        *,
        tools: Mapping[str, FakeTool] | None = None,
        people: Sequence[FakePerson] = (),
        settings: Mapping[str, str] | None = None,
        tenant: str = "default",
        start: int = START,
        kill: Kill | None = None,
    ) -> None:
        """Prepare; nothing happens before the bench is entered.

        Args:
            crew: what the user deploys.
            tools: fakes by the name of the tool that each stands for; the other tools stay what they are.
            people: who decides on reviews; a review that is nobody's stays open.
            settings: settings of the run, for tools.
            tenant: whose cases are opened.
            start: when time begins, in microseconds since the epoch.
            kill: where the first process dies.

        Raises:
            ToolUnknown: a fake stands for a tool that the crew does not have.
        """
        for name in tools or {}:
            crew.tools.get(name)
        self.clock = VirtualClock(start)
        self.outside = Outside()
        self.people = tuple(people)
        self.decisions: list[DecideResult] = []
        """What became of each decision of the fake people, in order."""
        self._crew = crew
        self._faked = dict(tools or {})
        self._settings = dict(settings or {})
        self._tenant = tenant
        self._store = MemoryStore()
        self._world = World(clock=self.clock, ids=CountedIds(), offload=InlineOffload())
        self._seen = Snapshot()
        self._kill = kill
        self._delivered = 0
        # Whatever became of it: a decision that came too late is not tried again.
        self._decided: set[str] = set()
        self._group: TaskGroup | None = None
        self._process: Process | None = None

    async def __aenter__(self) -> Self:
        """Start the crew."""
        group = anyio.create_task_group()
        await group.__aenter__()
        try:
            await self.begin(group)
        except BaseException as error:
            await group.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Kill the process; nothing of it is left. An error of the block goes out as it is, in no group."""
        assert self._group is not None, "entered before"
        await self.end()
        if isinstance(error, Exception):
            await self._group.__aexit__(None, None, None)
            return None
        return await self._group.__aexit__(kind, error, trace)

    async def begin(self, group: TaskGroup) -> None:
        """Start the crew in a task group of the caller's, who must `end` it."""
        self._group = group
        await self._start(self._kill)

    async def end(self) -> None:
        """Kill the process; again is harmless."""
        if self._process is not None:
            await self._process.kill()

    async def crash(self) -> None:
        """Kill the process and let another node go on over the same store; no time passes."""
        await self.end()
        await self._start(None)
        await self.settle()

    @property
    def runtime(self) -> Runtime:
        """The runtime of the process that lives now."""
        if self._process is None:
            raise Stopping
        return self._process.runtime

    @property
    def store(self) -> MortalStore:
        """The living process's way to the store."""
        if self._process is None:
            raise Stopping
        return self._process.store

    # What happens to the crew.

    async def open(self, flow: str, case_id: str, inputs: Struct) -> CaseKey:
        """Open a case and let it go as far as it can without more time; raises as `Runtime.open`."""
        key = await self.runtime.open(flow, case_id, inputs)
        await self.settle()
        return key

    async def forward(
        self, *, days: float = 0.0, hours: float = 0.0, minutes: float = 0.0, seconds: float = 0.0
    ) -> None:
        """Let time pass: everything that comes due meanwhile happens in order, each at its own moment."""
        seconds += days * DAY + hours * HOUR + minutes * MINUTE
        if seconds < 0:
            raise ValueError(f"time only goes on: {seconds:g} seconds are behind it")
        target = self.clock.wall_micros() + round(seconds * MICROS)
        await self.settle()
        due = self.next_due()
        while due is not None and due <= target:
            await self.clock.move(due)
            await self.settle()
            due = self.next_due()
        await self.clock.move(target)
        await self.settle()

    def next_due(self) -> int | None:
        """Give the next moment at which something happens by itself; None if nothing does."""
        dues = [self.clock.next_due(), *(person.due(review) for review, person in self._undecided())]
        return min((due for due in dues if due is not None), default=None)

    async def deliver(
        self,
        target: str,
        value: object = None,
        *,
        by: str = "test",
        data: bytes | None = None,
        label: str = "",
        message_id: str = "",
    ) -> DeliverResult:
        """Deliver a thing to a case that waits for one, or to whatever waits for a key; raises as `Runtime.deliver`.

        Each delivery is a new one, whatever it brings, unless it has the `message_id` of an earlier one.
        """
        key = target
        if target in self._seen.rows:
            keys = [wait.key for wait in self.waits(target) if wait.kind is WaitKind.EVIDENCE]
            key = keys[0] if len(keys) == 1 else ""
        self._delivered += 1
        message_id = message_id or f"delivery:{self._delivered}"
        given = await self.runtime.deliver(
            target, by=by, key=key, value=value, data=data, label=label, message_id=message_id
        )
        await self.settle()
        return given

    async def cancel(self, case_id: str, *, by: str = "test", reason: str = "") -> None:
        """Ask a case to stop."""
        await self.runtime.cancel(case_id, by=by, reason=reason)
        await self.settle()

    async def decide(
        self,
        action: str | ReviewAction,
        *,
        rule: str = "*",
        title: str = "*",
        by: str = "ann",
        edited: object = None,
        reason: str = "",
    ) -> DecideResult:
        """Decide the oldest open review that fits, as a person would.

        Raises:
            LookupError: no open review fits; the text names those that are open.
        """
        person = FakePerson(action, rule=rule, title=title, by=by, edited=edited, reason=reason)
        for review in self.reviews():
            if person.takes(_rule(review), review.title):
                (given,) = await self._decides(person, review)
                await self.settle()
                return given
        shown = ", ".join(f"{review.title!r} by rule {_rule(review)!r}" for review in self.reviews()) or "none"
        raise LookupError(f"no open review has rule {rule!r} and title {title!r}; open: {shown}")

    async def settle(self) -> None:
        """Wait until nobody can do anything more at this moment; people whose time has come decide."""
        while True:
            await quiet()
            await self._look()
            now = self.clock.wall_micros()
            due = [(review, person) for review, person in self._undecided() if person.due(review) <= now]
            if not due or not self.store.alive:
                return
            for review, person in due:
                await self._decides(person, review)

    # What can be seen; as it stood when everybody last had nothing to do.

    def calls(self, tool: str) -> list[object]:
        """Give the arguments of every call that reached a tool, as the tool declares them."""
        return [call.arguments for call in self.tool_calls(tool)]

    def tool_calls(self, tool: str) -> list[ToolCall]:
        """Give every call that reached a tool: its arguments, key, moment, and whether it happened.

        Raises:
            ToolUnknown: the crew has no such tool.
        """
        self._crew.tools.get(tool)
        return [call for call in self.outside.calls if call.tool == tool]

    def log(self, case_id: str) -> CaseLog:
        """Give the durable log of a case."""
        return CaseLog(case_id, tuple(self._seen.records[self.row(case_id).key.case_id]))

    def row(self, case_id: str) -> CaseRow:
        """Give a case as the store has it: status, result, waits.

        Raises:
            KeyError: there is no such case.
        """
        if case_id not in self._seen.rows:
            raise KeyError(f"no case {case_id!r}; there are {', '.join(self._seen.rows) or 'none'}")
        return self._seen.rows[case_id]

    def rows(self) -> list[CaseRow]:
        """Give all cases."""
        return list(self._seen.rows.values())

    def waits(self, case_id: str) -> tuple[Wait, ...]:
        """Give what a case waits for."""
        return self.row(case_id).waits

    def reviews(self) -> list[ReviewRow]:
        """Give the open reviews, oldest first."""
        return [review for review in self._seen.reviews if review.state == "open"]

    def value(self, case_id: str, returns: type[T]) -> T:
        """Give what the flow of a closed case returned.

        Raises:
            AssertionError: the case has not ended, or ended with an error; the text tells its log.
        """
        __tracebackhide__ = True
        log = self.log(case_id)
        last = log.entries[-1]
        if not isinstance(last, Closed):
            raise AssertionError(f"case {case_id} has not ended:\n{log.told()}")
        if last.error:
            raise AssertionError(f"case {case_id} ended {last.result}: {last.error}\n{log.told()}")
        return unpack(last.value, returns)

    async def _start(self, kill: Kill | None) -> None:
        assert self._group is not None, "begun before"
        store = MortalStore(self._store, self.clock, kill)
        self._process = Process(
            crew=self._crew,
            store=store,
            world=self._world,
            clock=self.clock,
            outside=self.outside,
            faked=self._faked,
            settings=self._settings,
            tenant=self._tenant,
        )
        await self._process.begin(self._group)

    async def _look(self) -> None:
        """Read what the store holds, even when the process that wrote it is dead."""
        seen = self._seen
        for row in await self._store.cases(self._tenant):
            case_id = row.key.case_id
            known = seen.records.setdefault(case_id, [])
            if len(known) < row.next_seq:
                known.extend(await self._store.records(row.key, len(known)))
            seen.rows[case_id] = row
        seen.reviews = list(await self._store.reviews())

    def _undecided(self) -> list[tuple[ReviewRow, FakePerson]]:
        found: list[tuple[ReviewRow, FakePerson]] = []
        for review in self.reviews():
            rule = _rule(review)
            if review.id in self._decided:
                continue
            person = next((person for person in self.people if person.takes(rule, review.title)), None)
            if person is not None:
                found.append((review, person))
        return found

    async def _decides(self, person: FakePerson, review: ReviewRow) -> list[DecideResult]:
        given: list[DecideResult] = []
        for action in person.actions:
            edited = person.edited if action is ReviewAction.EDIT else None
            decided = await self.runtime.decide(review.id, action, by=person.by, reason=person.reason, edited=edited)
            given.append(decided)
        self.decisions.extend(given)
        self._decided.add(review.id)
        await quiet()
        await self._look()
        return given


def _rule(review: ReviewRow) -> str:
    entry = decode_entry(review.frame)
    assert isinstance(entry, Review), "a review's frame is its record"
    return entry.rule
