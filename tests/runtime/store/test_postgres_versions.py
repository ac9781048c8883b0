"""Nodes with different versions of a crew on one PostgreSQL store: none parks the cases of the others."""

import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import anyio
import pytest
from postgres_server import PostgresServer
from store_support import NOW, TENANT, arrived, evidence, key_of, opening, parked, take

from casework.protocols.records import Arrived, Halted
from casework.runtime.flow.carrying import missing
from casework.runtime.runtime import Runtime
from casework.runtime.seams import MICROS, World
from casework.runtime.store.base import CaseKey, CaseRow, CaseStatus, Delivered, Store, StoreReader
from casework.runtime.store.postgres_ear import POLL_SECONDS
from casework.runtime.store.rules import pin
from casework.runtime.store.urls import door_server, open_reader, open_store
from casework.runtime.telemetry import Telemetry
from tests.support import versioned_service
from tests.support.flow_scene import entries, value
from tests.support.manual_clock import ManualClock
from tests.support.versioned_service import Order, versioned

NUMBERS = count()
ROOT = Path(__file__).parents[3]
PATIENCE_SECONDS = 60.0
LOOK_SECONDS = 0.05
OLD, NEW = pin("quarter", "1", "abc"), pin("quarter", "2", "abc")
#: Ten thousand older cases of the other version: open, with a message, with a moment that is over.
MANY = """
    INSERT INTO "case" (tenant, case_id, epoch, next_seq, status, result, flow, version, source_hash, crew, parent,
                        head, opened_at, changed_at, node)
    SELECT '{tenant}', 'many-' || n, 1, 1, CASE n % 3 WHEN 0 THEN 'open' ELSE 'parked' END, '', 'quarter', '2', 'abc',
           '', '', '', n, n, '' FROM generate_series(1, 10000) n;
    INSERT INTO inbox (case_no, id, target, kind, frame)
    SELECT no, 'm', '', 'arrived', '' FROM "case" WHERE opened_at % 3 = 1 AND opened_at <= 10000;
    INSERT INTO wait SELECT no, 0, 'nap', 'timer', '', 1 FROM "case" WHERE opened_at % 3 = 2 AND opened_at <= 10000;
    ANALYZE "case", inbox, wait;
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    return postgres.url(f"versions_{next(NUMBERS)}")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(World().clock.wall_micros() / MICROS)


@pytest.fixture
async def old(url: str, clock: ManualClock) -> AsyncIterator[Store]:
    store = await open_store(url, World(clock=clock))
    await store.renew("old", until=clock.wall_micros() + 60 * MICROS, carries=(OLD,))
    yield store
    await store.aclose()


@pytest.fixture
async def new(url: str, old: Store) -> AsyncIterator[Store]:
    store = await open_store(url, World())
    await store.renew("new", until=World().clock.wall_micros() + 60 * MICROS, carries=(NEW,))
    yield store
    await store.aclose()


@asynccontextmanager
async def listening(store: Store, clock: ManualClock) -> AsyncIterator[None]:
    """Have a store's door heard, from when it listens."""
    service = door_server(store)
    assert service is not None
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            await group.start(service.serve)
            while not clock.sleeping:
                await anyio.lowlevel.checkpoint()
            yield
            group.cancel_scope.cancel()


async def test_ten_thousand_cases_of_another_version_keep_nobody_from_its_own(
    postgres: PostgresServer, url: str, old: Store, new: Store
) -> None:
    await old.open_case(opening(key_of("last")))
    postgres.psql(f"SET search_path = {url.partition('schema=')[2]}; {MANY.format(tenant=TENANT)}")
    now = World().clock.wall_micros()
    claims = await old.claim("old", limit=5, now=now)
    assert ([each.row.key.case_id for each in claims.cases], claims.more) == (["last"], False)
    given = await new.claim("new", limit=5, now=now)
    assert ([each.row.version for each in given.cases], given.more) == (["2"] * 5, True)


async def test_what_is_left_to_others_is_no_news_until_none_of_them_lives(
    postgres: PostgresServer, url: str, old: Store, new: Store, clock: ManualClock
) -> None:
    heard: list[Sequence[CaseKey]] = []
    postgres.psql(f"SET search_path = {url.partition('schema=')[2]}; {MANY.format(tenant=TENANT)}")
    old.on_arrival(heard.append)
    async with listening(old, clock):
        # It looks again when another node's lease is over, or by itself, and not soon for what it cannot take.
        assert (heard, clock.due_seconds >= POLL_SECONDS) == ([], True)
        await old.open_case(opening(key_of("own")))
        assert heard == [(key_of("own"),)]
        await new.renew("new", until=0)
        while not any(len(keys) > 1 for keys in heard):
            await anyio.lowlevel.checkpoint()


async def test_who_holds_a_case_hears_of_its_messages_though_only_others_carry_its_version(
    old: Store, new: Store, clock: ManualClock
) -> None:
    heard: list[Sequence[CaseKey]] = []
    await parked(new, "c", evidence("receipt"))
    await old.deliver(TENANT, "receipt", "m0", arrived())
    (row,) = await take(old, "old", limit=1, now=NOW)
    # Its node has another version now; that of the case has another one.
    await old.renew("old", until=clock.wall_micros() + 60 * MICROS, carries=(pin("quarter", "3", "abc"),))
    await new.renew("new", until=World().clock.wall_micros() + 60 * MICROS, carries=(OLD, NEW))
    old.on_arrival(heard.append)
    async with listening(old, clock):
        assert await new.deliver(TENANT, "c", "m1", arrived()) == Delivered((row.key,))
        while not any(row.key in keys for keys in heard):
            await anyio.lowlevel.checkpoint()


def machine(url: str, *versions: str) -> Runtime:
    return Runtime(versioned(*versions), url, telemetry=Telemetry.off())


def key(case_id: str) -> CaseKey:
    return CaseKey("default", case_id)


async def until_waits_for(reader: StoreReader, case_id: str, name: str) -> CaseRow:
    """Look on until a case waits for something and nobody holds it; the caller bounds it."""
    while True:
        row = await reader.case(key(case_id))
        if row is not None and not row.node and any(wait.key == name for wait in row.waits):
            return row


async def until_closed(reader: StoreReader, case_id: str) -> None:
    """Look on until a case is closed; the caller bounds it."""
    while True:
        row = await reader.case(key(case_id))
        if row is not None and row.status is CaseStatus.CLOSED:
            return


@pytest.mark.promise("FLOW-6")
async def test_two_versions_of_a_crew_work_side_by_side_and_neither_parks_the_cases_of_the_other(url: str) -> None:
    with anyio.fail_after(20):
        async with machine(url, "1") as one, machine(url, "2") as two:
            names = {"1": [f"one-{n}" for n in range(20)], "2": [f"two-{n}" for n in range(20)]}
            for here, there, version in ((one, two, "1"), (two, one, "2")):
                for name in names[version]:
                    await here.open("orders", name, Order())
                    assert (await here.wait(name)).waits[0].key == f"go:{name}"
                for name in names[version]:
                    # What comes by the other node has that one take it which has its version.
                    assert isinstance(await there.deliver(f"go:{name}", by="ann"), Delivered)
            for name in (*names["1"], *names["2"]):
                await until_closed(one.store, name)
                assert await value(one.store, key=key(name)) == ("first" if name in names["1"] else "second")
                assert await entries(one.store, Halted, key(name)) == []


@pytest.mark.promise("FLOW-6")
async def test_a_case_whose_version_nobody_has_any_more_parks_and_goes_on_by_itself_once_a_node_has_it(
    url: str,
) -> None:
    with anyio.fail_after(20):
        async with machine(url, "1") as one:
            async with machine(url, "2") as two:
                await two.open("orders", "c", Order())
                row = await two.wait("c")
            await one.deliver("go:c", by="ann")
            stopped = await until_waits_for(one.store, "c", missing(row))
            operator, version = stopped.waits
            assert operator.reason.startswith("FlowUnknown: flow orders version 2: the case was opened with 2/")
            assert (operator.key, version.key) == ("operator:c", missing(row))
            # An operator who tries again where no node has it is told so again.
            await one.deliver("c", key="operator:c", by="ben")
            while len(await entries(one.store, Halted, key("c"))) < 2:
                await anyio.lowlevel.checkpoint()
            await until_waits_for(one.store, "c", missing(row))
            async with machine(url, "2"):
                await until_closed(one.store, "c")
            assert await value(one.store, key=key("c")) == "second"
            told = [each for each in await entries(one.store, Arrived, key("c")) if each.by == missing(row)]
            assert len(told) == 1


async def test_a_new_node_that_has_both_versions_takes_over_from_the_old_one(url: str) -> None:
    with anyio.fail_after(20):
        async with machine(url, "1", "2") as both:
            async with machine(url, "1") as one:
                await one.open("orders", "c", Order())
                await one.wait("c")
            await both.deliver("go:c", by="ann")
            await until_closed(both.store, "c")
            assert await value(both.store, key=key("c")) == "first"
            assert await entries(both.store, Halted, key("c")) == []


def node(url: str, version: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", versioned_service.__name__, url, version]
    return subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def asked(process: "subprocess.Popen[str]", line: str) -> str:
    """Have a node do something, and give what it says."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()
    said = process.stdout.readline()
    assert said, "the node ended"
    return said.strip()


def stands(process: "subprocess.Popen[str]", case_id: str, wanted: str) -> None:
    """Ask a node where a case stands until it stands as it is wanted; between two looks the node may end."""
    for _ in range(int(PATIENCE_SECONDS / LOOK_SECONDS)):
        if asked(process, case_id).startswith(wanted):
            return
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(LOOK_SECONDS)
    raise AssertionError(f"case {case_id} never was {wanted}")


@pytest.mark.promise("FLOW-6")
def test_processes_of_a_rolling_deployment_share_a_store_though_one_is_killed(url: str) -> None:
    one, two = node(url, "1"), node(url, "2")
    begun = [one, two]
    try:
        assert (asked(one, "a"), asked(two, "b"), asked(two, "c")) == ("waits", "waits", "waits")
        assert (asked(one, "+b"), asked(two, "+a")) == ("delivered", "delivered")
        stands(one, "a", "completed")
        stands(two, "b", "completed")
        two.send_signal(signal.SIGKILL)
        two.communicate(timeout=PATIENCE_SECONDS)
        asked(one, "+c")
        # Only when the lease of the one that had its version is over.
        stands(one, "c", "FlowUnknown: flow orders version 2")
        again = node(url, "2")
        begun.append(again)
        stands(again, "c", "completed")
    finally:
        for process in begun:
            if process.returncode is None:
                process.communicate(timeout=PATIENCE_SECONDS)
    assert anyio.run(halts, url) == {"a": 0, "b": 0, "c": 1}


async def halts(url: str) -> dict[str, int]:
    reader = await open_reader(url, World())
    try:
        return {name: len(await entries(reader, Halted, key(name))) for name in ("a", "b", "c")}
    finally:
        await reader.aclose()
