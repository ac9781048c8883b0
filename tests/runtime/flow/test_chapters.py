"""Long cases: chapters that begin afresh, with a crash at every append round them, and what happens without them."""

from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import msgspec
import pytest

from casework.protocols.codec import encode
from casework.protocols.records import Arrived, Cancel, Chapter, Drawn, Halted, Noted, Opened, Review, ReviewAction
from casework.protocols.wire import RiskTier
from casework.runtime.errors import CaseCancelled
from casework.runtime.flow import chapters
from casework.runtime.flow.case import Case
from casework.runtime.flow.reading import reopened
from casework.runtime.runtime import Runtime
from casework.runtime.store.base import Append, AppendResult, CaseStatus, WaitKind
from casework.runtime.store.chain import broken_at
from casework.runtime.store.claims import Claims
from casework.runtime.store.memory import MemoryStore
from casework.runtime.store.verify import verify
from casework.runtime.telemetry import Telemetry
from tests.support.flow_scene import KEY, LEASE_OVER, Ask, closed, crashing, crew, entries, runtime, steps, value
from tests.support.manual_clock import ManualClock
from tests.support.odd_stores import OddStore
from tests.support.small_staff import Gone, SmallStaff, SmallTool


class Ledger:
    """The world outside: how often each number was booked."""

    def __init__(self) -> None:
        self.booked: list[int] = []

    async def book(self, arguments: Any) -> int:
        self.booked.append(arguments["n"])
        return int(arguments["n"])

    async def look_up(self, arguments: Any) -> int:
        if arguments["n"] not in self.booked:
            raise Gone("it was not booked")
        return int(arguments["n"])


async def serial(case: Case, inputs: Ask) -> list[object]:
    drawn = await case.new_id()
    await case.call("book", {"n": inputs.n}, returns=int)
    reviewed = await case.review("look", {"n": inputs.n}, rule="test")
    arrived = await case.park("page", reason="the next page")
    if inputs.n < 2:
        await case.next_chapter(Ask(inputs.n + 1))
    return [inputs.n, reviewed.by, arrived.message_id, bool(drawn)]


def staff(ledger: Ledger) -> SmallStaff:
    return crew(serial, tools={"book": SmallTool(ledger.book, RiskTier.REVERSIBLE, lookup=ledger.look_up)})


async def help_along(store: Any, machine: Runtime, dying: OddStore | None = None) -> None:
    """Approve what is asked and send three pages, each with a name of its own."""
    for number in range(3):
        await store.deliver("default", "c1", f"p{number}", page(number))
    while dying is None or not dying.dead:
        await anyio.lowlevel.checkpoint()
        row = await store.case(KEY)
        if row is None or row.status is CaseStatus.CLOSED:
            return
        for review in await store.reviews(state="open"):
            await machine.decide(review.id, ReviewAction.APPROVE, by="ann")


def page(number: int) -> bytes:
    return encode(Arrived(key="page", message_id=f"p{number}", by="bob"))


@pytest.mark.promise("FLOW-2")
async def test_a_chapter_begins_the_flow_afresh_from_its_state_and_the_chain_goes_on() -> None:
    store, ledger = MemoryStore(), Ledger()
    with anyio.fail_after(5):
        async with runtime(staff(ledger), store) as machine:
            await machine.open("serial", "c1", Ask())
            await help_along(store, machine)
    assert await value(store) == [2, "ann", "p2", True]
    assert ledger.booked == [0, 1, 2]
    kinds = [kind for kind, _ in await steps(store)]
    assert kinds[0] == "opened"
    assert kinds.count("chapter") == 2
    begun = await entries(store, Chapter)
    opened = (await entries(store, Opened))[0]
    assert [chapter.number for chapter in begun] == [1, 2]
    assert msgspec.structs.replace(reopened(begun[1]), inputs=opened.inputs) == opened
    assert len({review.id for review in await entries(store, Review)}) == 3
    row = await store.case(KEY)
    assert row is not None
    assert row.chapter == max(place for place, kind in enumerate(kinds) if kind == "chapter")
    assert broken_at(row, await store.records(KEY)) is None
    assert not await verify(store)


@pytest.mark.promise("FLOW-35")
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_killed_at_every_append_round_a_chapter_a_case_ends_the_same_with_the_same_effects(after: bool) -> None:
    killed_at, last = 0, 1
    while killed_at < last:
        killed_at += 1
        inner, clock, ledger = MemoryStore(), ManualClock(), Ledger()
        with anyio.fail_after(5):
            store = OddStore(inner)
            if killed_at > 1 or last > 1:
                store.answers, store.dead_after = dying_at(store, killed_at), after
            async with crashing(runtime(staff(ledger), store, clock)) as machine:
                await machine.open("serial", "c1", Ask())
                await help_along(inner, machine, store)
            if last == 1:
                last, killed_at = len(store.appends), 0
                assert last > 8
                continue
            clock.advance(LEASE_OVER)
            async with runtime(staff(ledger), inner, clock) as machine:
                await help_along(inner, machine)
        row = await inner.case(KEY)
        assert row is not None
        assert broken_at(row, await inner.records(KEY)) is None
        if row.result == "failed":
            # A write that is known not to have happened: its failure is the flow's to handle, and it was not made.
            assert len(ledger.booked) < 3
            continue
        assert await value(inner) == [2, "ann", "p2", True], killed_at
        assert ledger.booked == [0, 1, 2], killed_at


def dying_at(store: OddStore, number: int) -> Callable[[int, Append], AppendResult | None]:
    def answer(count: int, append: Append) -> AppendResult | None:
        store.dead = store.dead or count >= number
        return None

    return answer


async def long(case: Case, inputs: Ask) -> int:
    for number in range(inputs.n):
        await case.note(f"line {number}")
    if inputs.n:
        await case.next_chapter(Ask(0))
    await case.park("go", reason="waits")
    return inputs.n


async def test_replay_reads_the_last_chapter_and_nothing_before_it() -> None:
    store = Watching()
    with anyio.fail_after(5):
        async with runtime(crew(long), store) as machine:
            await machine.open("long", "c1", Ask(500))
            await machine.wait("c1")
        store.read.clear()
        async with runtime(crew(long), store) as machine:
            await machine.deliver("go", by="ann")
            assert (await machine.wait("c1")).status is CaseStatus.CLOSED
        assert store.read == [2]


class Watching(OddStore):
    """A store that counts the records it gives."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[int] = []

    async def claim(self, node: str, *, limit: int, now: int) -> Claims:
        claims = await super().claim(node, limit=limit, now=now)
        self.read += [len(claimed.records) for claimed in claims.cases]
        return claims


async def stoppable(case: Case, inputs: Ask) -> str:
    if inputs.n == 0:
        await case.next_chapter(Ask(1))
    try:
        await case.park("go", reason="waits")
    except CaseCancelled as cancelled:
        await case.note(f"stopped by {cancelled.by}")
    return "stopped"


@pytest.mark.promise("FLOW-31")
async def test_a_cancel_reaches_the_chapter_that_the_case_is_in() -> None:
    store = OddStore()
    with anyio.fail_after(5):
        async with runtime(crew(stoppable), store) as machine:
            store.hold()
            await machine.open("stoppable", "c1", Ask())
            while not store.appends:
                await anyio.lowlevel.checkpoint()
            await machine.cancel("c1", by="ann")
            await anyio.wait_all_tasks_blocked()
            store.let_go()
            await closed(store)
        assert await value(store) == "stopped"
        assert [kind for kind, _ in await steps(store)][:3] == ["opened", "chapter", "parked"]
        assert len(await entries(store, Cancel)) == 1


async def branching(case: Case, inputs: Ask) -> None:
    async def turns() -> None:
        await case.next_chapter(Ask(1))

    await case.gather(turns())


async def mistyped(case: Case, inputs: Ask) -> None:
    await case.next_chapter({"n": "many"})


@pytest.mark.promise("FLOW-8")
@pytest.mark.parametrize(("flow", "why"), [(branching, "outside gather and first"), (mistyped, "FrameInvalid")])
async def test_a_chapter_in_a_branch_or_from_another_type_of_state_parks_the_case(flow: Any, why: str) -> None:
    with anyio.fail_after(5):
        async with runtime(crew(flow)) as machine:
            await machine.open(flow.__name__, "c1", Ask())
            row = await machine.wait("c1")
            assert row.waits[0].kind is WaitKind.OPERATOR
            assert why in row.waits[0].reason
            assert not await entries(machine.store, Chapter)


async def unsettled(case: Case, inputs: Ask) -> int:
    if inputs.n == 0:
        await case.first(case.call("book", {"n": 1}, returns=int), case.park("other", reason="wins"))
        await case.next_chapter(Ask(1))
    return inputs.n


@pytest.mark.promise("FLOW-12")
async def test_a_chapter_waits_until_the_end_of_every_write_is_known() -> None:
    store, release, ledger = MemoryStore(), anyio.Event(), Ledger()

    async def slow(arguments: Any) -> int:
        await release.wait()
        return await ledger.book(arguments)

    tools = {"book": SmallTool(slow, RiskTier.REVERSIBLE, lookup=ledger.look_up)}
    with anyio.fail_after(5):
        async with runtime(crew(unsettled, tools=tools), store) as machine:
            await machine.open("unsettled", "c1", Ask())
            await anyio.wait_all_tasks_blocked()
            await machine.deliver("c1", key="other", by="ann")
            await anyio.wait_all_tasks_blocked()
            assert not await entries(store, Chapter)
            release.set()
            await closed(store)
        assert [kind for kind, _ in await steps(store)][-3:] == ["done", "chapter", "closed"]


async def endless(case: Case, inputs: Ask) -> None:
    for number in range(inputs.n):
        await case.random()
        await case.park(f"k{number}", reason="waits")


def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have chapters be long and full with a hundredth of the records."""
    monkeypatch.setattr(chapters, "RECORDS_LONG", 20)
    monkeypatch.setattr(chapters, "RECORDS_MAX", 100)


async def feed(machine: Runtime, first: int) -> int:
    """Deliver what the flow waits for until it waits for something else; give the number that it stands at."""
    for number in range(first, 1000):
        row = await machine.wait("c1")
        if row.waits[0].kind is WaitKind.OPERATOR:
            return number
        await machine.deliver(f"k{number}", by="ann")
    raise AssertionError("it never parked")


@pytest.mark.promise("FLOW-6")
async def test_a_long_chapter_is_warned_of_once_and_a_full_one_parks_until_an_operator_lets_it_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    short(monkeypatch)
    store, telemetry = MemoryStore(), Telemetry(metrics=True)
    with anyio.fail_after(5):
        machine = runtime(crew(endless), store)
        machine._telemetry = telemetry
        async with machine:
            await machine.open("endless", "c1", Ask(1000))
            number = await feed(machine, 0)
            reason = (await machine.wait("c1")).waits[0].reason
            assert "case.next_chapter" in reason
            assert "ChapterFull" in reason
            warned = [note for note in await entries(store, Noted) if note.level == "warning"]
            assert len(warned) == 1
            assert b'casework_chapters_long_total{flow="endless"} 1.0' in telemetry.expose()
            drawn = len(await entries(store, Drawn))
            await machine.deliver("operator:c1", by="ann")
            assert await feed(machine, number - 1) > number
            assert len(await entries(store, Drawn)) > drawn + 10
            assert len(await entries(store, Halted)) == 2


async def runaway(case: Case, inputs: Ask) -> None:
    while True:
        await case.random()


@pytest.mark.promise("FLOW-6")
async def test_a_flow_that_never_waits_parks_and_others_go_on() -> None:
    with anyio.fail_after(5):
        async with runtime(crew(runaway, endless)) as machine:
            await machine.open("runaway", "c1", Ask())
            await machine.open("endless", "c2", Ask(1))
            assert "ChapterFull" in (await machine.wait("c1")).waits[0].reason
            assert (await machine.wait("c2")).waits[0].key == "k0"


async def chaptering(case: Case, inputs: Ask) -> None:
    await case.next_chapter(Ask(inputs.n + 1))


async def at_times(case: Case, inputs: Ask) -> int:
    """Wait for something in every third chapter."""
    if inputs.n % 3 == 0:
        await case.sleep(0)
    if inputs.n < 30:
        await case.next_chapter(Ask(inputs.n + 1))
    return inputs.n


@pytest.mark.promise("FLOW-6")
async def test_a_flow_of_chapters_that_wait_for_nothing_parks_until_an_operator_lets_it_go_on_and_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chapters, "HASTY_MAX", 10)
    store = MemoryStore()
    with anyio.fail_after(5):
        async with runtime(crew(chaptering, at_times), store) as machine:
            await machine.open("chaptering", "c1", Ask())
            await machine.open("at_times", "c2", Ask())
            row = await machine.wait("c1")
            assert row.waits[0].kind is WaitKind.OPERATOR
            assert "without waiting for anything" in row.waits[0].reason
            assert len(await entries(store, Chapter)) == 9
            await machine.deliver("operator:c1", by="ann")
            while len(await entries(store, Halted)) < 2:
                await anyio.lowlevel.checkpoint()
            assert len(await entries(store, Chapter)) == 19
            row = await machine.wait("c2")
            assert (row.status, row.result) == (CaseStatus.CLOSED, "completed")
        assert await verify(store) == []


async def test_how_many_chapters_waited_for_nothing_is_known_to_the_next_process_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chapters, "HASTY_MAX", 10)
    inner, clock = MemoryStore(), ManualClock()
    for _ in range(4):
        with anyio.fail_after(5):
            store = OddStore(inner)
            store.answers = dying_at(store, 4)
            async with crashing(runtime(crew(chaptering), store, clock)) as machine:
                await machine.open("chaptering", "c1", Ask())
                while not store.dead and (await inner.case(KEY)).status is not CaseStatus.PARKED:  # type: ignore[union-attr]
                    await anyio.lowlevel.checkpoint()
        clock.advance(LEASE_OVER)
    assert len(await entries(inner, Chapter)) == 9
    assert len(await entries(inner, Halted)) == 1
