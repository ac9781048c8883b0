"""A case that waits for money goes on when another call gives some back: once, in its turn, after a kill as well."""

import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import pytest
from postgres_server import PostgresServer

from casework.protocols.codec import decode_entry
from casework.protocols.records import Arrived, Decision
from casework.runtime.flow.waiters import PROMISE_SECONDS, Waiters, needs_of, tell_parked
from casework.runtime.limits import set_limit
from casework.runtime.seams import World
from casework.runtime.store import waiting as waits
from casework.runtime.store.accounts import Settlement
from casework.runtime.store.base import CaseKey, CaseStatus, Delivered, Duplicate, Store, Wait, WaitKind
from casework.runtime.store.conformance.support import parked
from casework.runtime.store.memory import MemoryStore
from casework.runtime.store.urls import open_reader, open_store
from casework.runtime.switches import Switch, switch_key
from tests.support import freeing_crew
from tests.support.budget_crew import DEAR, Job
from tests.support.freeing_crew import HELD, Desk

NUMBERS = count()
ROOT = Path(__file__).parents[3]
AGENT = "agent/default/clerk"


async def story(store: Store, case_id: str) -> tuple[int, list[str]]:
    """Give how often a case had too little, and by whom it was woken."""
    entries = [decode_entry(record.frame) for record in await store.records(CaseKey("default", case_id))]
    short = [each for each in entries if isinstance(each, Decision) and each.subject.startswith("budget:")]
    return len(short), [each.by.partition(":")[0] for each in entries if isinstance(each, Arrived)]


async def goes_on(desk: Desk, store: Store) -> None:
    """Have two cases wait for what a third holds: the longer waiting first, each once, without a person."""
    async with desk.runtime(store) as runtime:
        await runtime.open("job", "holds", Job(micros=HELD))
        await desk.began.wait()
        for case_id in ("first", "second"):
            await runtime.open("job", case_id, Job(micros=100))
            assert (await runtime.wait(case_id)).status is CaseStatus.PARKED
        desk.go.set()
        await runtime.wait("holds")
        await runtime.wait_idle()
        for case_id in ("first", "second"):
            assert (await runtime.wait(case_id)).result == "completed"
            assert await story(store, case_id) == (1, ["ledger"])
        spent = [(entry.kind, entry.micros) for entry in await store.ledger(AGENT)]
    assert spent[1:] == [("draw", DEAR), ("settle", HELD), *([("draw", DEAR), ("settle", 100)] * 2)]


@pytest.mark.promise("BUDGET-2")
@pytest.mark.parametrize("kind", ["memory", "file"])
async def test_a_case_that_waits_for_money_goes_on_when_another_call_gives_some_back(kind: str, tmp_path: Path) -> None:
    url = "memory:" if kind == "memory" else f"sqlite:///{tmp_path / 'cases.db'}"
    with anyio.fail_after(10):
        store = await open_store(url, World())
        await goes_on(Desk(), store)
        await store.aclose()


@pytest.fixture
async def nodes(postgres: PostgresServer) -> AsyncIterator[list[Store]]:
    url = postgres.url(f"freed_{next(NUMBERS)}")
    stores = [await open_store(url, World()) for _ in range(2)]
    yield stores
    for store in stores:
        await store.aclose()


class TestInADatabase:
    """The same on several nodes."""

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

    @pytest.mark.promise("BUDGET-2")
    async def test_a_case_goes_on_by_what_a_call_on_another_node_gives_back(self, nodes: list[Store]) -> None:
        one, other = nodes
        holding, waiting = Desk(), Desk()
        with anyio.fail_after(20):
            async with holding.runtime(one) as holder:
                await holder.open("job", "holds", Job(micros=HELD))
                await holding.began.wait()
                async with waiting.runtime(other) as waiter:
                    await waiter.open("job", "waits", Job(micros=100))
                    assert (await waiter.wait("waits")).status is CaseStatus.PARKED
                    holding.go.set()
                    # Either node may take it then, and only the one that does hears of its end.
                    row = await one.case(CaseKey("default", "waits"))
                    while row is None or row.status is not CaseStatus.CLOSED:
                        row = await one.case(CaseKey("default", "waits"))
                    assert row.result == "completed"
        assert await story(one, "waits") == (1, ["ledger"])

    async def test_and_in_its_turn_on_one(self, nodes: list[Store]) -> None:
        with anyio.fail_after(20):
            await goes_on(Desk(), nodes[0])


@pytest.mark.promise("BUDGET-2")
async def test_nobody_is_woken_for_whom_it_is_not_enough(tmp_path: Path) -> None:
    desk, store = Desk("[budgets]\nagent = 0.025\n"), MemoryStore()
    with anyio.fail_after(10):
        async with desk.runtime(store) as runtime:
            await runtime.open("job", "holds", Job(micros=HELD))
            await desk.began.wait()
            for number in range(5):
                await runtime.open("job", f"c{number}", Job(micros=DEAR))
                await runtime.wait(f"c{number}")
            desk.go.set()
            await runtime.wait("holds")
            await runtime.wait_idle()
            rows = [await runtime.wait(f"c{number}") for number in range(5)]
    assert [row.status for row in rows] == [CaseStatus.CLOSED, *[CaseStatus.PARKED] * 4]
    assert [await story(store, f"c{number}") for number in range(5)] == [(1, ["ledger"]), *[(1, [])] * 4]


async def test_where_nothing_is_left_no_log_is_read_of_those_who_waited_less_long() -> None:
    desk, store = Desk(f"[budgets]\nagent = {(DEAR + HELD) / 1e6}\n"), MemoryStore()
    with anyio.fail_after(10):
        async with desk.runtime(store) as runtime:
            await runtime.open("job", "holds", Job(micros=HELD))
            await desk.began.wait()
            for number in range(5):
                await runtime.open("job", f"c{number}", Job(micros=DEAR))
                await runtime.wait(f"c{number}")
            desk.go.set()
            await runtime.wait("holds")
            await runtime.wait_idle()
            assert (await runtime.wait("c0")).status is CaseStatus.CLOSED
            read = [case_id for _, case_id, _ in runtime.node._house.waiters._needs]
    assert read == ["c0"]


async def test_a_limit_that_a_person_sets_wakes_as_before() -> None:
    desk, store = Desk(), MemoryStore()
    with anyio.fail_after(10):
        async with desk.runtime(store) as runtime:
            await runtime.open("job", "holds", Job(micros=HELD))
            await desk.began.wait()
            await runtime.open("job", "waits", Job(micros=100))
            await runtime.wait("waits")
            await set_limit(store, AGENT, 10 * DEAR, by="ann", world=World())
            assert (await runtime.wait("waits")).result == "completed"
            desk.go.set()
            await runtime.wait("holds")
    assert await story(store, "waits") == (1, ["ann"])


@pytest.mark.promise("BUDGET-2")
async def test_what_a_woken_case_does_not_take_is_for_the_next_one_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk, store, alarms = Desk(), MemoryStore(), list[tuple[float, Callable[[], None]]]()
    with anyio.fail_after(10):
        async with desk.runtime(store) as runtime:
            await runtime.open("job", "holds", Job(micros=HELD))
            await desk.began.wait()
            for case_id in ("first", "second"):
                await runtime.open("job", case_id, Job(micros=100))
                await runtime.wait(case_id)
            waiters = runtime.node._house.waiters
            monkeypatch.setattr(waiters, "_timers", _Timers(alarms))
            # As if its node had gone before it read what woke it.
            monkeypatch.setattr(store, "deliver", _unread(store, "first"))
            desk.go.set()
            await runtime.wait("holds")
            await runtime.wait_idle()
            assert (await runtime.wait("second")).status is CaseStatus.PARKED
            ((seconds, again),) = alarms
            assert seconds == PROMISE_SECONDS
            again()
            await runtime.wait_idle()
            assert (await runtime.wait("second")).result == "completed"
            assert (await runtime.wait("first")).status is CaseStatus.PARKED


class _Timers:
    """Keeps alarms for the test to ring."""

    def __init__(self, alarms: list[tuple[float, Callable[[], None]]]) -> None:
        self._alarms = alarms

    def after(self, seconds: float, ring: Callable[[], None]) -> None:
        self._alarms.append((seconds, ring))


def _unread(store: MemoryStore, case_id: str) -> Callable[..., object]:
    deliver, told = store.deliver, set[str]()

    async def delivering(tenant: str, target: str, item_id: str, frame: bytes) -> object:
        if target != case_id:
            return await deliver(tenant, target, item_id, frame)
        keys = (CaseKey(tenant, target),)
        again = item_id in told
        told.add(item_id)
        return Duplicate(keys) if again else Delivered(keys)

    return delivering


async def test_a_settlement_whose_draw_is_not_known_has_everybody_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    desk, store = Desk(), MemoryStore()
    with anyio.fail_after(10):
        async with desk.runtime(store) as runtime:
            await runtime.open("job", "holds", Job(micros=HELD))
            await desk.began.wait()
            await runtime.open("job", "waits", Job(micros=100))
            await runtime.wait("waits")
            settled = Waiters.settled
            monkeypatch.setattr(Waiters, "settled", lambda self, settlement, _: settled(self, settlement, None))
            desk.go.set()
            await runtime.wait("holds")
            await runtime.wait_idle()
            assert (await runtime.wait("waits")).result == "completed"


async def test_a_call_that_cost_all_that_it_held_has_nobody_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[object]()
    store = MemoryStore()
    awaiting = store.awaiting
    with anyio.fail_after(10):
        async with Desk().runtime(store) as runtime:
            await runtime.wait_idle()

            async def counted(keys: list[str], **page: Any) -> object:
                asked.append(keys)
                return await awaiting(keys, **page)

            monkeypatch.setattr(store, "awaiting", counted)
            await runtime.open("job", "c1", Job())
            await runtime.wait("c1")
            await runtime.wait_idle()
            assert asked == []
            runtime.node._house.waiters.settled(Settlement("d", 1, 1), ((AGENT,), 2))
            await runtime.wait_idle()
    assert asked == [[f"budget:{AGENT}"]]


async def test_who_waits_is_read_a_page_at_a_time_and_no_further_than_the_money_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(waits, "PAGE", 2)
    asked = list[int]()
    desk, store = Desk(f"[budgets]\nagent = {(DEAR + HELD) / 1e6}\n"), MemoryStore()
    awaiting = store.awaiting
    with anyio.fail_after(10):
        async with desk.runtime(store) as runtime:
            await runtime.open("job", "holds", Job(micros=HELD))
            await desk.began.wait()
            for number in range(9):
                await runtime.open("job", f"c{number}", Job(micros=DEAR))
                await runtime.wait(f"c{number}")

            async def counted(keys: list[str], *, limit: int, **after: Any) -> object:
                rows = await awaiting(keys, limit=limit, **after)
                asked.append(len(rows))
                return rows

            monkeypatch.setattr(store, "awaiting", counted)
            desk.go.set()
            await runtime.wait("holds")
            await runtime.wait_idle()
            closed = [number for number in range(9) if (await runtime.wait(f"c{number}")).status is CaseStatus.CLOSED]
    assert closed == [0]
    # What the first one got is all that there was.
    assert sum(asked) == 2


@pytest.mark.parametrize("page", [1, 3, 100])
async def test_all_that_wait_are_told_of_what_was_resumed_whatever_a_page_holds(
    page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waits, "PAGE", page)
    store = MemoryStore()
    switch = Switch(target="tool:t", paused=False, by="ann", reason="r", at=1)
    for number in range(7):
        await parked(store, f"c{number}", Wait(switch_key("tool:t"), WaitKind.OPERATOR, "paused"))
    assert await tell_parked(store, switch) == 7
    assert [len(await store.inbox(row.key)) for row in await store.cases()] == [1] * 7


async def test_who_waits_is_found_without_reading_every_case_that_is_parked(monkeypatch: pytest.MonkeyPatch) -> None:
    read, desk, store = list[object](), Desk(), MemoryStore()
    cases = store.cases

    async def counted(*_: object, status: CaseStatus | None = None, **__: object) -> object:
        read.append(status)
        return await cases(status=status)

    with anyio.fail_after(10):
        async with desk.runtime(store) as runtime:
            await runtime.open("job", "holds", Job(micros=HELD))
            await desk.began.wait()
            await runtime.open("job", "waits", Job(micros=100))
            await runtime.wait("waits")
            waiters = runtime.node._house.waiters
            monkeypatch.setattr(Waiters, "settled", lambda *_: None)
            desk.go.set()
            await runtime.wait("holds")
            monkeypatch.setattr(store, "cases", counted)
            waiters.look_at_all()
            await runtime.wait_idle()
            monkeypatch.setattr(store, "cases", cases)
            assert (await runtime.wait("waits")).result == "completed"
    assert CaseStatus.PARKED not in read


async def test_what_a_case_needs_stands_in_its_log() -> None:
    desk, store = Desk(), MemoryStore()
    with anyio.fail_after(10):
        async with desk.runtime(store) as runtime:
            await runtime.open("job", "holds", Job(micros=HELD))
            await desk.began.wait()
            await runtime.open("job", "waits", Job())
            await runtime.wait("waits")
            assert needs_of(await store.records(CaseKey("default", "waits"))) == {AGENT: DEAR}
            desk.go.set()
            await runtime.wait("holds")
            await runtime.wait_idle()
            assert needs_of(await store.records(CaseKey("default", "waits"))) == {}


@pytest.mark.promise("BUDGET-2")
def test_killed_before_it_looked_who_waits_the_next_process_looks(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'cases.db'}"
    command = [sys.executable, "-m", freeing_crew.__name__, url]
    assert subprocess.run([*command, "kill"], cwd=ROOT, timeout=60, check=False).returncode == -signal.SIGKILL

    async def results() -> list[str]:
        reader = await open_reader(url, World())
        try:
            return [row.result or row.status.value for row in await reader.cases()]
        finally:
            await reader.aclose()

    assert anyio.run(results)[1] == "parked"
    assert subprocess.run(command, cwd=ROOT, timeout=60, check=False).returncode == 0
    assert anyio.run(results) == ["completed", "completed"]
