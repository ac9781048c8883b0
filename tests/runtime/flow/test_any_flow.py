"""Any flow, with cases below it, killed, stopped and cancelled anywhere: it ends, and its log tells what happened.

Programs are made of steps, blocks, branches, chapters and children; whoever helps a case along decides, delivers and
lets time pass in any order, and appends and tools take as long as they like. It does not know how a program should end,
only what holds of every end.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from random import Random
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace as replace_field

from casework.protocols.codec import decode_entry, pack
from casework.protocols.records import Closed, ReviewAction
from casework.protocols.wire import OnStop, RiskTier
from casework.runtime import verifier
from casework.runtime.errors import CallFailed, TaskFailed
from casework.runtime.export import export_case
from casework.runtime.flow.case import Case
from casework.runtime.flow.reading import Reader
from casework.runtime.runtime import Runtime
from casework.runtime.seams import World
from casework.runtime.store.base import Append, AppendResult, CaseRow, CaseStatus, Record, WaitKind
from casework.runtime.store.memory import MemoryStore
from casework.runtime.store.verify import verify
from tests.support.flow_scene import KEY, LEASE_OVER, Ask, crashing, crew, runtime
from tests.support.manual_clock import ManualClock
from tests.support.odd_stores import OddStore
from tests.support.small_staff import Gone, SmallStaff, SmallTool, ToolFunction

Item = tuple[Any, ...]
#: Rounds of help after which a case that has not ended never will.
ROUNDS_MAX = 3_000


@dataclass(frozen=True)
class Program:
    chapters: tuple[tuple[Item, ...], ...]
    child: tuple[Item, ...]
    fails: frozenset[int]
    lives: tuple[tuple[str, int], ...]
    """How each process but the last one ends: killed before or after an append of that number, or stopped there."""
    cancels: frozenset[int]
    """Rounds in which somebody cancels one of the cases."""
    seed: int


@dataclass
class Play:
    """A program in its world."""

    program: Program
    chance: Random
    done: list[str] = field(default_factory=list)
    undone: list[str] = field(default_factory=list)
    rounds: int = 0

    async def dawdle(self, most: int) -> None:
        for _ in range(self.chance.randint(0, most)):
            await anyio.lowlevel.checkpoint()

    async def do(self, arguments: Any) -> str:
        await self.dawdle(6)
        if arguments["n"] in self.program.fails:
            raise Gone("it was not done")
        self.done.append(arguments["at"])
        await self.dawdle(6)
        return str(arguments["at"])

    async def undo(self, arguments: Any) -> str:
        await self.dawdle(6)
        self.undone.append(arguments["at"])
        await self.dawdle(6)
        return str(arguments["at"])

    def found(self, among: list[str]) -> ToolFunction:
        async def look_up(arguments: Any) -> str:
            await self.dawdle(3)
            if arguments["at"] not in among:
                raise Gone("it is not there")
            return str(arguments["at"])

        return look_up

    async def look(self, arguments: Any) -> str:
        await self.dawdle(40)
        return str(arguments["at"])

    async def run(self, case: Case, inputs: Ask) -> list[str]:
        """Play a chapter of the case, or the child; each call says where it stands."""
        root, told = case.id == KEY.case_id, list[str]()
        await self.items(
            case, self.program.chapters[inputs.n] if root else self.program.child, f"{case.id}.{inputs.n}", told
        )
        if root and inputs.n + 1 < len(self.program.chapters):
            await case.next_chapter(Ask(inputs.n + 1))
        return told

    async def items(self, case: Case, items: tuple[Item, ...], place: str, told: list[str]) -> None:
        for number, item in enumerate(items):
            told.append(f"{place}: {await self.item(case, item, f'{place}/{number}', told)}")

    async def item(self, case: Case, item: Item, place: str, told: list[str]) -> object:
        match item:
            case (("do" | "look") as tool, number):
                return await case.call(tool, {"n": number, "at": place}, returns=str)
            case ("task", number):
                asked, tools, tier = {"n": number, "at": place}, ("do", "look"), RiskTier.REVERSIBLE
                given = await case.delegate(
                    "work", asked, returns=str, goal="do", tools=tools, tier=tier, on_stop=OnStop.FAIL
                )
                return given.value
            case ("sleep", seconds):
                await case.sleep(seconds)
            case ("park", key):
                return (await case.park(key, reason="waits")).by
            case ("review", seconds):
                return (await case.review("look", {}, rule="test", expires_seconds=seconds)).action
            case ("open", number) if case.id == KEY.case_id:
                await case.open("run", f"c1/{number}", Ask())
            case (("open" | "stop"), number):
                await case.cancel(f"c1/{number}")
            case ("report", seconds):
                return (await case.first(case.next_report(), case.sleep(seconds)))[0]
            case _:
                await self.block(case, item, place, told)
        return "went on"

    async def block(self, case: Case, item: Item, place: str, told: list[str]) -> None:
        match item:
            case ("saga", body):
                async with case.saga():
                    await self.items(case, body, place, told)
            case ("try", body):
                try:
                    await self.items(case, body, place, told)
                except (CallFailed, TaskFailed):
                    await case.note("caught")
            case (name, body):
                half = len(body) // 2
                sides = [
                    self.items(case, part, f"{place}.{number}", told)
                    for number, part in enumerate((body[:half], body[half:]))
                ]
                await (case.first if name == "first" else case.gather)(*sides)

    def staff(self) -> SmallStaff:
        async def run(case: Case, inputs: Ask) -> list[str]:
            return await self.run(case, inputs)

        async def work(inputs: Any, call: Callable[[str, object], Any]) -> str:
            await call("look", inputs)
            return str(await call("do", inputs))

        write = RiskTier.REVERSIBLE
        tools = {
            "do": SmallTool(self.do, write, undo="undo", lookup=self.found(self.done)),
            "undo": SmallTool(self.undo, write, undo="do", lookup=self.found(self.undone)),
            "look": SmallTool(self.look),
        }
        return crew(run, doers={"work": work}, tools=tools)

    async def help_along(self, store: MemoryStore, machine: Runtime, clock: ManualClock) -> bool:
        """Do one thing that may bring a case further; False if none has to be."""
        chance = self.chance
        self.rounds += 1
        assert self.rounds < ROUNDS_MAX, [(row.key.case_id, row.status, row.waits) for row in await store.cases()]
        await self.dawdle(25)
        rows = [row for row in await store.cases() if row.status is not CaseStatus.CLOSED]
        if not rows:
            return False
        if self.rounds in self.program.cancels:
            await machine.cancel(chance.choice(rows).key.case_id, by="ann", reason="enough")
        match chance.randrange(4):
            case 0:
                for review in await store.reviews(state="open"):
                    await machine.decide(
                        review.id, chance.choice([ReviewAction.APPROVE, ReviewAction.REJECT]), by="ann"
                    )
            case 1:
                waits = [(row.key.case_id, wait) for row in rows for wait in row.waits]
                for case_id, wait in waits:
                    assert wait.kind is not WaitKind.OPERATOR, wait
                    if wait.kind is WaitKind.EVIDENCE:
                        for _ in range(chance.randint(0, 2)):
                            await machine.deliver(case_id, key=wait.key, by="bob", message_id=f"m{self.rounds}")
            case _:
                clock.advance(chance.choice([0, 0.06, 1, 10]))
        return True


def kill_at(store: OddStore, number: int) -> Callable[[int, Append], AppendResult | None]:
    def answer(count: int, append: Append) -> AppendResult | None:
        store.dead = store.dead or count >= number
        return None

    return answer


class SlowStore(OddStore):
    """Takes its time for appends."""

    def __init__(self, inner: MemoryStore, play: Play) -> None:
        super().__init__(inner)
        self.play = play

    async def append(self, append: Append) -> AppendResult:
        await self.play.dawdle(8)
        result = await super().append(append)
        await self.play.dawdle(3)
        return result


async def played(program: Program) -> None:
    play, inner, clock = Play(program, Random(program.seed)), MemoryStore(), ManualClock()
    with anyio.fail_after(30):
        for end, number in (*program.lives, ("end", 0)):
            store = SlowStore(inner, play)
            if end.startswith("killed"):
                store.answers, store.dead_after = kill_at(store, number), end == "killed after"
            machine = runtime(play.staff(), store, clock)
            async with crashing(machine) if end.startswith("killed") else machine:
                await machine.open("run", "c1", Ask())
                while not store.dead and not (end == "stopped" and len(store.appends) >= number):
                    if not await play.help_along(inner, machine, clock):
                        break
            clock.advance(LEASE_OVER)
    assert await verify(inner) == []
    assert not await inner.reviews(state="open")
    assert verifier.findings(verifier.load(await export_case(inner, "memory:", KEY, with_children=True))) == []
    assert len(set(play.done)) == len(play.done), "nothing is done twice"
    assert len(set(play.undone)) == len(play.undone), "nothing is undone twice"
    reader = Reader(play.staff().flows, replace(World(), clock=clock), "policy-1")
    for row in await inner.cases():
        begun = assert_told(reader, row, await inner.records(row.key))
        left = {place for place in play.done if place.startswith(f"{row.key.case_id}.{begun}/")} - {*play.undone}
        assert not left or row.result in {"completed", "partial"}, "what just fails has left nothing behind"


def assert_told(reader: Reader, row: CaseRow, records: Sequence[Record]) -> int:
    """Fail unless a log can be read up to each of its records and ends as it says; give how many chapters followed."""
    begins = [0, *(record.seq for record in records if record.kind == "chapter"), len(records)]
    for first, last in pairwise(begins):
        closed = decode_entry(records[last - 1].frame)
        log = records[first : last - 1 if isinstance(closed, Closed) else last]
        for length in range(1, len(log) + 1):
            reading = reader.read(replace_field(row, claims=0), log[:length])
            engine = reading.engine
            assert engine is not None, (reading.reason, [(record.kind, record.step_id) for record in log])
            if length == len(log):
                assert engine.finished
                assert not engine.outputs
                assert (
                    not isinstance(closed, Closed) or closed.error or bytes(pack(engine.value)) == bytes(closed.value)
                )
            engine.close()
    return len(begins) - 2


LEAVES = st.one_of(
    st.tuples(st.sampled_from(["do", "do", "do", "look", "look", "task"]), st.integers(0, 9)),
    st.tuples(st.sampled_from(["sleep", "report"]), st.sampled_from([0, 3, 20])),
    st.tuples(st.just("park"), st.sampled_from(["paper", "stamp"])),
    st.tuples(st.just("review"), st.sampled_from([0, 3])),
    st.tuples(st.sampled_from(["open", "open", "stop"]), st.integers(1, 2)),
)
ITEMS = st.recursive(
    LEAVES,
    lambda inner: st.tuples(
        st.sampled_from(["saga", "saga", "try", "gather", "first"]), st.lists(inner, min_size=1, max_size=4).map(tuple)
    ),
    max_leaves=8,
)
BODIES = st.lists(ITEMS, min_size=1, max_size=4).map(tuple)
PROGRAMS = st.builds(
    Program,
    chapters=st.lists(BODIES, min_size=1, max_size=3).map(tuple),
    child=BODIES,
    fails=st.frozensets(st.integers(0, 9), max_size=3),
    lives=st.lists(
        st.tuples(st.sampled_from(["killed before", "killed after", "stopped"]), st.integers(1, 15)), max_size=3
    ).map(tuple),
    cancels=st.frozensets(st.integers(1, 60), max_size=2),
    seed=st.integers(0, 2**32),
)


@pytest.mark.promise("FLOW-2", "FLOW-12", "FLOW-35", "SAGA-1", "SAGA-2")
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(program=PROGRAMS)
def test_whatever_a_flow_does_and_whatever_befalls_it_it_ends_and_its_log_can_be_read(program: Program) -> None:
    anyio.run(played, program)
