"""Cases that end their process: real processes that die, and a store that counts how often."""

import os
import sqlite3
import sys
from contextlib import closing
from functools import partial
from pathlib import Path

import anyio
import pytest

from casework.protocols.codec import encode, pack, unpack
from casework.protocols.records import Arrived, Halted
from casework.runtime.flow.case import Case
from casework.runtime.letters import dead_letters, redrive
from casework.runtime.node import Node
from casework.runtime.seams import World
from casework.runtime.store.base import CaseKey, CaseStatus, Delivered, WaitKind
from casework.runtime.store.memory import MemoryStore
from casework.runtime.store.urls import open_store
from casework.runtime.store.verify import verify
from tests.support import poison_service
from tests.support.flow_scene import LEASE_OVER, Ask, crashing, crew, entries, runtime, until, value
from tests.support.manual_clock import ManualClock
from tests.support.small_staff import SmallStaff

#: Runs cases on a file until they rest.
SERVICE = Path(poison_service.__file__)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/cases.db"


async def service(url: str, *flows: str, **said: str) -> int:
    """Run cases in a process of their own until it ends, and give its exit code."""
    environment = {**os.environ, "PYTHONPATH": f"{os.getcwd()}/src:{os.getcwd()}", **said}
    with anyio.fail_after(60):
        command = [sys.executable, str(SERVICE), url, *flows]
        return (await anyio.run_process(command, env=environment, stderr=None, check=False)).returncode


@pytest.mark.promise("NODE-3")
async def test_a_case_that_ended_its_process_four_times_parks_and_the_others_go_on(url: str) -> None:
    flows = ("slow", "deadly", "slow", "slow")
    assert [await service(url, *flows) for _ in range(5)] == [9, 9, 9, 9, 0]
    store = await open_store(url, World())
    rows = {row.key.case_id: row for row in await store.cases()}
    assert rows["c1"].status is CaseStatus.PARKED
    assert rows["c1"].waits[0].kind is WaitKind.OPERATOR
    assert rows["c1"].waits[0].reason.startswith("poison: 4 processes")
    assert rows["c1"].waits[0].reason.endswith("none of them left a word why")
    assert {rows[name].result for name in ("c0", "c2", "c3")} == {"completed"}
    assert len(await entries(store, Halted, CaseKey("default", "c1"))) == 1
    await store.aclose()


@pytest.mark.promise("NODE-3")
async def test_a_task_that_ended_its_process_four_times_fails_as_its_contract_says_and_its_case_goes_on(
    url: str,
) -> None:
    exits = [await service(url, "beside")]
    while exits[-1] and len(exits) < 12:
        exits.append(await service(url, "beside"))
    # The first lives leave a record: that the tasks were given out, and what the one that lives gave.
    assert exits[:4] == [9, 9, 9, 9]
    assert exits[-1] == 0
    store = await open_store(url, World())
    died, lived = await value(store, list[str], CaseKey("default", "c0"))
    assert "poison: 4 processes that worked on it ended" in died
    assert lived == "lives"
    assert await dead_letters(store) == []
    await store.aclose()


async def deliver(url: str, *papers: str) -> None:
    store = await open_store(url, World())
    for number, paper in enumerate(papers):
        arrived = Arrived(key="paper", message_id=f"{paper}-{number}", by="ben", value=pack(paper))
        assert isinstance(await store.deliver("default", "paper", arrived.message_id, encode(arrived)), Delivered)
    await store.aclose()


@pytest.mark.promise("LETTER-1")
@pytest.mark.promise("NODE-3")
async def test_a_message_that_ended_each_process_that_took_it_is_set_aside_and_the_case_takes_the_others(
    url: str,
) -> None:
    assert await service(url, "hears") == 0
    await deliver(url, "good", "deadly", "good")
    exits = [await service(url, "hears")]
    while exits[-1] and len(exits) < 9:
        exits.append(await service(url, "hears"))
    # The first life took it with a good one before it, the second one alone, so that it was durable; then four more.
    assert exits == [9] * 6 + [0]
    store, key = await open_store(url, World()), CaseKey("default", "c0")
    (letter,) = await dead_letters(store)
    assert (letter.key, letter.kind, letter.what) == ("retry:c0:message:deadly-1", "message", "deadly-1")
    assert letter.error.startswith("message deadly-1 is set aside: poison: 4 processes")
    assert [unpack(each.value, str) for each in await entries(store, Arrived, key)] == ["good", "good"]
    assert await verify(store) == []
    await redrive(store, letter, by="ann", reason="mended", world=World())
    await store.aclose()
    assert await service(url, "hears", MENDED="1") == 0
    store = await open_store(url, World())
    assert await value(store, list[str], key) == ["good", "good", "deadly"]
    assert await dead_letters(store) == []
    assert await verify(store) == []
    await store.aclose()


@pytest.mark.promise("NODE-3")
async def test_cases_with_new_records_never_park_however_often_their_process_is_killed(url: str) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{os.getcwd()}/src:{os.getcwd()}"}
    store_file = Path(url.removeprefix("sqlite:///"))
    for _ in range(4):
        command = [sys.executable, str(SERVICE), url, "steady", "steady"]
        async with await anyio.open_process(command, env=environment, stderr=None) as process:
            with anyio.fail_after(60):
                assert process.stdout is not None
                await process.stdout.receive()
                grown = await _length(store_file)
                while await _length(store_file) < grown + 2:
                    await anyio.lowlevel.checkpoint()
                process.kill()
                await process.wait()
    store = await open_store(url, World())
    for row in await store.cases():
        assert row.claims <= 1
        assert row.status is not CaseStatus.PARKED
    await store.aclose()


async def _length(path: Path) -> int:
    """Count the durable records, by a look into the file that takes nothing from its owner."""
    await anyio.lowlevel.checkpoint()
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return min(int(count) for (count,) in connection.execute('SELECT next_seq FROM "case"').fetchall())


async def stays(case: Case, inputs: Ask) -> None:
    await case.delegate("work", {}, returns=str, goal="work")


def _hasten(node: Node) -> None:
    """Have a drain drop what still works almost at once."""
    full = node.drain
    node.drain = lambda timeout_seconds: full(0.01)  # type: ignore[method-assign]


def _sent(staff: SmallStaff) -> bool:
    return bool(staff.sent)


async def _never(inputs: object, call: object) -> None:
    await anyio.sleep_forever()


@pytest.mark.promise("NODE-3")
async def test_a_drain_that_leaves_a_case_at_work_does_not_count_against_it() -> None:
    store, clock = MemoryStore(), ManualClock()
    with anyio.fail_after(5):
        # What the first life recorded had no time to reach the disk; the second, which is doubted, waits for it.
        for _ in range(6):
            staff = crew(stays, doers={"work": _never})
            async with runtime(staff, store, clock) as machine:
                await machine.open("stays", "c1", Ask())
                await until(machine, partial(_sent, staff))
                _hasten(machine.node)
        row = await store.case(CaseKey("default", "c1"))
        assert row is not None
        assert (row.claims, row.status) == (0, CaseStatus.OPEN)


@pytest.mark.promise("NODE-3")
async def test_a_task_that_ended_its_process_four_times_is_set_aside_until_an_operator_has_it_tried_again() -> None:
    store, clock = MemoryStore(), ManualClock()
    with anyio.fail_after(5):
        # What the first life recorded had no time to reach the disk; the second, which is doubted, waits for it.
        for _ in range(6):
            staff = crew(stays, doers={"work": _never})
            async with crashing(runtime(staff, store, clock)) as machine:
                await machine.open("stays", "c1", Ask())
                await until(machine, partial(_sent, staff))
                await anyio.wait_all_tasks_blocked()
            clock.advance(LEASE_OVER)

        async def works(inputs: object, call: object) -> str:
            return "done"

        async with runtime(crew(stays, doers={"work": works}), store, clock) as machine:
            row = await machine.wait("c1")
            assert row.waits[0].reason.startswith("task work stopped: poison: 4 processes"), row
            (letter,) = await dead_letters(store)
            assert (letter.kind, letter.what) == ("task", "work")
            await redrive(store, letter, by="ann", reason="its agent is mended", world=World())
            assert (await machine.wait("c1")).status is CaseStatus.CLOSED
