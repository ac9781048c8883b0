"""Sagas over any program of writes, blocks and branches, with failures, a cancel and a crash; and on a disk."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from casework.protocols.codec import decode_entry, plain
from casework.protocols.effects import Effect, Standing, Write
from casework.protocols.records import Closed, Done, Intent, Partial, ReviewAction
from casework.protocols.wire import RiskTier
from casework.runtime.errors import CallFailed
from casework.runtime.flow.case import Case
from casework.runtime.flow.replay import split_mark
from casework.runtime.flow.saga import account, order
from casework.runtime.seams import World
from casework.runtime.store.base import Append, AppendResult, CaseStatus
from casework.runtime.store.chain import broken_at
from casework.runtime.store.memory import MemoryStore
from casework.runtime.store.urls import open_store
from tests.support.flow_scene import KEY, LEASE_OVER, Ask, crashing, crew, runtime
from tests.support.manual_clock import ManualClock
from tests.support.odd_stores import OddStore
from tests.support.small_staff import Gone, SmallStaff, SmallTool

# The decision, alone.


def written(step_id: str, standing: Standing = Standing.DONE, undo: str = "undo") -> Write:
    return Write(step_id=step_id, tool="tool", key=f"key of {step_id}", standing=standing, undo=undo)


def test_of_what_stands_and_can_be_undone_the_newest_comes_first() -> None:
    writes = [
        written("a"),
        written("b", Standing.UNDONE),
        written("c"),
        written("d", Standing.UNKNOWN),
        written("e", undo=""),
        written("f"),
    ]
    assert [write.step_id for write in order(writes)] == ["f", "c", "a"]


def test_the_account_says_of_each_write_where_it_stands_and_why() -> None:
    writes = [
        written("f"),
        written("b", Standing.UNDONE),
        written("c"),
        written("d", Standing.UNKNOWN),
        written("a"),
    ]

    def effect(step_id: str, why: str = "") -> Effect:
        return Effect(step_id=step_id, tool="tool", key=f"key of {step_id}", why=why)

    assert account(writes, {"f": "", "c": "it failed"}) == Partial(
        done=(effect("a", "undo was not called"), effect("c", "it failed")),
        undone=(effect("b"), effect("f")),
        unknown=(effect("d"),),
    )


# Any program.


@dataclass
class Ledger:
    """The world outside: what was done and undone, each with its number; some of it fails, one call cancels."""

    fails: frozenset[int]
    stuck: frozenset[int]
    done: list[int] = field(default_factory=list)
    undone: list[int] = field(default_factory=list)
    cancel_at: int = 0
    cancel: Callable[[], Coroutine[object, object, object]] | None = None

    async def do(self, arguments: Any) -> int:
        number = int(arguments["n"])
        if number in self.fails:
            raise Gone("it was not done")
        self.done.append(number)
        if number == self.cancel_at and self.cancel is not None:
            await self.cancel()
        return number

    async def undo(self, arguments: Any) -> int:
        number = int(arguments["n"])
        if number in self.stuck:
            raise Gone("it was not undone")
        self.undone.append(number)
        return number

    async def was_done(self, arguments: Any) -> int:
        return self._found(self.done, arguments)

    async def was_undone(self, arguments: Any) -> int:
        return self._found(self.undone, arguments)

    def _found(self, among: list[int], arguments: Any) -> int:
        if arguments["n"] not in among:
            raise Gone("it is not there")
        return int(arguments["n"])

    def staff(self, program: "Program") -> SmallStaff:
        async def play(case: Case, inputs: Ask) -> None:
            await played(case, program.items, iter(range(1, 1_000)))

        write = RiskTier.REVERSIBLE
        tools = {
            "do": SmallTool(self.do, write, undo="undo", lookup=self.was_done),
            "undo": SmallTool(self.undo, write, undo="do", lookup=self.was_undone),
            "send": SmallTool(self.do, RiskTier.IRREVERSIBLE, lookup=self.was_done),
        }
        return crew(play, tools=tools)


Item = str | tuple[str, tuple[Any, ...]]


@dataclass(frozen=True)
class Program:
    items: tuple[Item, ...]
    fails: frozenset[int]
    stuck: frozenset[int]
    cancel_at: int
    kill: int
    durable: bool
    rejects: bool


async def played(case: Case, items: tuple[Item, ...], numbers: Any) -> None:
    """Play a program; each write has a number of its own."""
    for item in items:
        match item:
            case str():
                await case.call(item, {"n": next(numbers)}, returns=int)
            case ("saga", body):
                async with case.saga():
                    await played(case, body, numbers)
            case ("try", body):
                try:
                    await played(case, body, numbers)
                except CallFailed:
                    await case.note("caught")
            case (_, body):
                # Each branch has its own numbers: which one comes first must not change them.
                half, first = len(body) // 2, next(numbers) * 50
                left, right = iter(range(first + 1, first + 25)), iter(range(first + 26, first + 50))
                await case.gather(played(case, body[:half], left), played(case, body[half:], right))


ITEMS = st.recursive(
    st.sampled_from(["do", "do", "do", "send"]),
    lambda inner: st.tuples(
        st.sampled_from(["saga", "saga", "try", "gather"]), st.lists(inner, min_size=1, max_size=4).map(tuple)
    ),
    max_leaves=8,
)
NUMBERS = st.frozensets(st.sampled_from([2, 3, 4, 5, 6, 7, 51, 52, 77, 101, 102, 127]), max_size=4)
PROGRAMS = st.builds(
    Program,
    items=st.lists(ITEMS, min_size=1, max_size=5).map(tuple),
    fails=NUMBERS,
    stuck=NUMBERS,
    cancel_at=st.sampled_from([0, 0, 0, 1, 2, 3, 5]),
    kill=st.integers(0, 12),
    durable=st.booleans(),
    rejects=st.booleans(),
)


def kill_at(store: OddStore, number: int, *, durable: bool) -> None:
    def answer(count: int, append: Append) -> AppendResult | None:
        store.dead = store.dead or count >= number > 0
        return None

    store.answers = answer
    store.dead_after = durable


async def help_along(
    store: Any, machine: Any, clock: ManualClock, *, rejects: bool, dying: OddStore | None = None
) -> None:
    """Decide what is asked, as long as the case has not ended; the first account may be rejected."""
    while dying is None or not dying.dead:
        await anyio.lowlevel.checkpoint()
        row = await store.case(KEY)
        if row is None or row.status is CaseStatus.CLOSED:
            return
        for review in await store.reviews(state="open"):
            first = len(await store.reviews()) == 1
            await machine.decide(
                review.id, ReviewAction.REJECT if rejects and first else ReviewAction.APPROVE, by="ann"
            )


async def run(program: Program, ledger: Ledger, inner: Any) -> None:
    """Run a program to its end, with its crash if it has one."""
    store, clock = OddStore(inner), ManualClock()
    kill_at(store, program.kill, durable=program.durable)
    with anyio.fail_after(10):
        async with crashing(runtime(ledger.staff(program), store, clock)) as machine:
            ledger.cancel = lambda: machine.cancel("c1", by="ann", reason="enough")
            await machine.open("play", "c1", Ask())
            await help_along(inner, machine, clock, rejects=program.rejects, dying=store)
        if (await inner.case(KEY)).status is CaseStatus.CLOSED:
            return
        clock.advance(LEASE_OVER)
        async with runtime(ledger.staff(program), inner, clock) as machine:
            ledger.cancel = lambda: machine.cancel("c1", by="ann", reason="enough")
            await help_along(inner, machine, clock, rejects=program.rejects)


async def checked(program: Program) -> None:
    store, ledger = MemoryStore(), Ledger(program.fails, program.stuck, cancel_at=program.cancel_at)
    await run(program, ledger, store)
    row, records = await store.case(KEY), await store.records(KEY)
    assert row is not None
    entries = [(record.step_id, decode_entry(record.frame)) for record in records]
    assert len(set(ledger.done)) == len(ledger.done), "nothing is done twice"
    assert len(set(ledger.undone)) == len(ledger.undone), "nothing is undone twice"
    assert set(ledger.undone) <= set(ledger.done), "only what was done is undone"
    steps = {step: number_of(entry) for step, entry in entries if isinstance(entry, Intent) and not entry.undoes}
    accounts = [entry for _, entry in entries if isinstance(entry, Partial)]
    listed = {steps[effect.step_id] for each in accounts for effect in (*each.done, *each.unknown)}
    left = set(ledger.done) - set(ledger.undone)
    closed = entries[-1][1]
    assert isinstance(closed, Closed)
    if closed.error:
        assert left <= listed, "what is not undone was shown to a person"
    if row.result in {"failed", "cancelled"}:
        assert not left, "a case that just failed has left nothing behind"
    assert row.result != "partial" or accounts
    assert_backwards(entries)
    assert broken_at(row, records) is None


def assert_backwards(entries: list[tuple[str, Any]]) -> None:
    """Fail unless each round of undoing goes backwards through what was done; a failed undo is left out."""
    done_at: dict[str, int] = {}
    last: dict[str, int] = {}
    undoing = {step: entry.undoes for step, entry in entries if isinstance(entry, Intent) and entry.undoes}
    for place, (step, entry) in enumerate(entries):
        name, _ = split_mark(step)
        if not isinstance(entry, Done):
            continue
        done_at.setdefault(name, place)
        if name in undoing and name == step:
            # `saga/undo/first/0/undo` is a step of the round `saga/undo/first`.
            round_, _, _ = name.rpartition("/0/")
            assert done_at[undoing[name]] < last.get(round_, place), f"{name} was undone too late"
            last[round_] = done_at[undoing[name]]


def number_of(intent: Intent) -> int:
    arguments = plain(intent.arguments)
    assert isinstance(arguments, dict)
    return int(str(arguments["n"]))


@pytest.mark.promise("SAGA-1", "SAGA-2", "SAGA-3")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(program=PROGRAMS)
def test_whatever_fails_is_cancelled_or_killed_each_write_is_undone_once_or_shown_to_a_person(program: Program) -> None:
    anyio.run(checked, program)


# On a disk.


PROGRAM = Program(
    items=(("saga", ("do", ("saga", ("do",)), "send", "do", "do")),),
    fails=frozenset({5}),
    stuck=frozenset({2}),
    cancel_at=0,
    kill=0,
    durable=False,
    rejects=True,
)


@pytest.mark.promise("SAGA-2")
@pytest.mark.parametrize("durable", [False, True])
async def test_killed_at_every_append_a_saga_on_a_disk_is_taken_up_by_whoever_opens_it_again(
    tmp_path: Path, durable: bool
) -> None:
    number, last = 0, 1
    while number < last:
        ledger, url = Ledger(PROGRAM.fails, PROGRAM.stuck), f"sqlite:///{tmp_path}/{number}.db"
        with anyio.fail_after(20):
            store = await open_store(url, World())
            odd = OddStore(store)  # type: ignore[arg-type]  # it passes every call on
            kill_at(odd, number, durable=durable)
            async with crashing(runtime(ledger.staff(PROGRAM), odd)) as machine:
                await machine.open("play", "c1", Ask())
                await help_along(store, machine, ManualClock(), rejects=True, dying=odd)
            await store.aclose()
            last = len(odd.appends) if number == 0 else last
            again = await open_store(url, World())
            async with runtime(ledger.staff(PROGRAM), again) as machine:
                await help_along(again, machine, ManualClock(), rejects=True)
            row, records = await again.case(KEY), await again.records(KEY)
            await again.aclose()
        assert row is not None
        assert row.result in {"partial", "failed"}, number
        left = set(ledger.done) - set(ledger.undone)
        assert (len(ledger.done), len(ledger.undone)) == (len(set(ledger.done)), len(set(ledger.undone))), number
        assert left == set(ledger.done) & {2, 3}, number
        assert broken_at(row, records) is None
        number += 1
    assert last > 8
