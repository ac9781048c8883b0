"""Several processes on one PostgreSQL store: each claims, delivers and hears for itself."""

from collections.abc import AsyncIterator, Sequence
from itertools import count

import anyio
import pytest
from postgres_server import PostgresServer
from store_support import NODE, NOW, TENANT, arrived, claimed, evidence, ids, key_of, note, opening, parked, take, there

from casework.runtime.errors import StoreUnavailable
from casework.runtime.seams import MICROS, World
from casework.runtime.store.base import (
    Append,
    Appended,
    CaseKey,
    CaseStatus,
    Delivered,
    Fenced,
    Store,
)
from casework.runtime.store.postgres_ear import AGAIN_SECONDS, POLL_SECONDS
from casework.runtime.store.postgres_link import connect
from casework.runtime.store.postgres_url import postgres_address
from casework.runtime.store.urls import door_server, open_door, open_store
from casework.runtime.store.verify import verify
from tests.support.manual_clock import ManualClock

NUMBERS = count()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    return postgres.url(f"nodes_{next(NUMBERS)}")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(World().clock.wall_micros() / MICROS)


@pytest.fixture
async def one(url: str, clock: ManualClock) -> AsyncIterator[Store]:
    store = await open_store(url, World(clock=clock))
    yield store
    await store.aclose()


@pytest.fixture
async def other(url: str, one: Store) -> AsyncIterator[Store]:
    store = await open_store(url, World())
    yield store
    await store.aclose()


@pytest.mark.promise("STORE-10")
async def test_two_nodes_that_claim_at_once_never_get_the_same_case(one: Store, other: Store) -> None:
    async with anyio.create_task_group() as group:
        for number in range(120):
            group.start_soon(one.open_case, opening(key_of(f"{number:03}")))
    taken: dict[str, list[CaseKey]] = {"one": [], "other": []}

    for store, node in ((one, "one"), (other, "other")):
        # Both have their statements ready: otherwise the quicker one may take all.
        await store.renew(node, until=NOW + 60 * MICROS)
        taken[node] += [row.key for row in await take(store, node, limit=1, now=NOW)]

    async def claim(store: Store, node: str) -> None:
        while len(taken["one"]) + len(taken["other"]) < 120:
            rows = await take(store, node, limit=7, now=NOW)
            assert {row.epoch for row in rows} <= {1}
            taken[node] += [row.key for row in rows]

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(claim, one, "one")
            group.start_soon(claim, other, "other")
    assert sorted(taken["one"] + taken["other"]) == [key_of(f"{number:03}") for number in range(120)]
    assert taken["one"]
    assert taken["other"]


@pytest.mark.promise("STORE-4")
async def test_a_node_that_was_replaced_appends_nothing(one: Store, other: Store) -> None:
    row = await claimed(one, "c")
    [taken] = await take(other, "node-2", limit=1, now=NOW + MICROS)
    assert (taken.epoch, taken.claims) == (2, 2)
    answers: dict[str, object] = {}

    async def append(store: Store, node: str, epoch: int) -> None:
        answers[node] = await store.append(Append(row.key, epoch, 1, (note(1, epoch),)))

    async with anyio.create_task_group() as group:
        group.start_soon(append, one, "zombie", 1)
        group.start_soon(append, other, "owner", 2)
    assert answers == {"zombie": Fenced(2), "owner": Appended()}
    assert [record.epoch for record in await one.records(row.key)] == [0, 2]
    assert await verify(one) == []


@pytest.mark.promise("STORE-2")
async def test_a_lease_is_kept_in_the_time_of_the_database(url: str, other: Store) -> None:
    years_behind = ManualClock()
    one = await open_store(url, World(clock=years_behind))
    await one.renew(NODE, until=years_behind.wall_micros() + 60 * MICROS)
    await one.open_case(opening(key_of("c")))
    await take(one, NODE, limit=1, now=years_behind.wall_micros())
    await one.aclose()
    now = World().clock.wall_micros()
    assert list(await take(other, "node-2", limit=1, now=now)) == []
    assert len(await take(other, "node-2", limit=1, now=now + 61 * MICROS)) == 1


@pytest.mark.promise("STORE-3")
async def test_a_case_that_parks_while_others_deliver_wakes_for_whatever_it_did_not_see(
    one: Store, other: Store
) -> None:
    third = await open_store(one.url.replace("***", "open-sesame"), World())
    row = await claimed(one, "c")
    for turn in range(20):
        seq, epoch = row.next_seq, row.epoch
        seen: list[str] = []

        async def park(seq: int = seq, epoch: int = epoch, seen: list[str] = seen) -> None:
            items = await one.inbox(key_of("c"))
            seen += ids(items)
            position = max((item.position for item in items), default=0)
            append = Append(
                key_of("c"),
                epoch,
                seq,
                (note(seq, epoch),),
                status=CaseStatus.PARKED,
                release=True,
                inbox_seen=position,
            )
            assert await one.append(append) == Appended()

        async with anyio.create_task_group() as group:
            for number, store in enumerate((other, third, other, third)):
                group.start_soon(store.deliver, TENANT, "c", f"m{turn}-{number}", arrived())
            group.start_soon(park)
        unseen = set(ids(await one.inbox(key_of("c")))) - set(seen)
        rows = await take(one, NODE, limit=1, now=NOW)
        assert len(rows) == bool(unseen)
        if not rows:
            await other.deliver(TENANT, "c", f"m{turn}-late", arrived())
            rows = await take(one, NODE, limit=1, now=NOW)
        [row] = rows
    await third.aclose()


async def served(store: Store, group: anyio.abc.TaskGroup) -> None:
    service = door_server(store)
    assert service is not None
    await group.start(service.serve)


async def asleep(clock: ManualClock) -> None:
    while not clock.sleeping:
        await anyio.lowlevel.checkpoint()


async def wait_taken(store: Store) -> None:
    """Take a case as soon as the server has seen that whoever had it locked is gone."""
    with anyio.fail_after(5):
        while not await take(store, NODE, limit=1, now=NOW):
            await anyio.lowlevel.checkpoint()


async def told(heard: list[Sequence[CaseKey]], key: CaseKey) -> None:
    while not any(key in keys for keys in heard):
        await anyio.lowlevel.checkpoint()


async def test_what_another_process_wrote_is_heard(one: Store, other: Store, clock: ManualClock) -> None:
    heard: list[Sequence[CaseKey]] = []
    await parked(one, "c", evidence("receipt"))
    one.on_arrival(heard.append)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            await served(one, group)
            await asleep(clock)
            assert await other.deliver(TENANT, "receipt", "m1", arrived()) == Delivered((key_of("c"),))
            await told(heard, key_of("c"))
            await other.open_case(opening(key_of("d")))
            await told(heard, key_of("d"))
            group.cancel_scope.cancel()


async def test_a_hint_that_is_lost_is_made_up_for_by_a_look(
    one: Store, other: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost() -> None:
        pass

    monkeypatch.setattr(other, "_hint", lost)
    heard: list[Sequence[CaseKey]] = []
    await parked(one, "c", evidence("receipt"))
    one.on_arrival(heard.append)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            await served(one, group)
            await asleep(clock)
            await other.deliver(TENANT, "receipt", "m1", arrived())
            clock.advance(POLL_SECONDS - 1)
            await one.cases()
            assert heard == []
            clock.advance(1)
            await told(heard, key_of("c"))
            group.cancel_scope.cancel()


async def test_a_store_is_looked_at_when_the_lease_of_another_node_is_over(
    one: Store, other: Store, clock: ManualClock
) -> None:
    heard: list[Sequence[CaseKey]] = []
    now = World().clock.wall_micros()
    await other.open_case(opening(key_of("c")))
    await other.renew("node-2", until=now + MICROS // 2)
    await take(other, "node-2", limit=1, now=now)
    one.on_arrival(heard.append)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            await served(one, group)
            while not any(key_of("c") in keys for keys in heard):
                clock.advance(0.7)
                await one.cases()
            group.cancel_scope.cancel()


async def test_a_node_that_comes_later_is_watched_from_our_next_renewal_on(
    one: Store, other: Store, clock: ManualClock
) -> None:
    now = World().clock.wall_micros()
    await one.renew(NODE, until=now + 60 * MICROS)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            await served(one, group)
            await asleep(clock)
            assert clock.due_seconds == POLL_SECONDS
            # It says nothing to others, and may be gone before they look by themselves.
            await other.renew("node-2", until=now + 9 * MICROS)
            await one.renew(NODE, until=now + 60 * MICROS)
            while not clock.due_seconds < 10:
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()


async def test_a_free_case_that_was_locked_when_it_was_claimed_is_told_of_again_soon(
    url: str, one: Store, other: Store, clock: ManualClock
) -> None:
    heard: list[Sequence[CaseKey]] = []
    await other.open_case(opening(key_of("c")))
    stopped = await connect(postgres_address(url))
    await stopped.execute("SET idle_in_transaction_session_timeout = 0")
    await stopped.execute('BEGIN; SELECT FROM "case" FOR UPDATE')
    one.on_arrival(heard.append)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            await served(one, group)
            await asleep(clock)
            assert heard == [[key_of("c")]]
            assert await take(one, NODE, limit=1, now=NOW) == []
            stopped.terminate()
            clock.advance(AGAIN_SECONDS)
            while len(heard) < 2:
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
    await wait_taken(one)


async def test_a_free_case_that_nobody_takes_is_looked_for_ever_more_rarely_until_another_comes(
    one: Store, other: Store, clock: ManualClock
) -> None:
    heard: list[Sequence[CaseKey]] = []
    await other.open_case(opening(key_of("c")))
    one.on_arrival(heard.append)
    pauses: list[float] = []
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            await served(one, group)
            for looks in range(1, 10):
                while len(heard) < looks:
                    await anyio.lowlevel.checkpoint()
                await asleep(clock)
                pauses.append(round(clock.due_seconds, 3))
                if looks == 8:
                    await other.open_case(opening(key_of("d")))
                else:
                    clock.advance(clock.due_seconds)
            group.cancel_scope.cancel()
    assert pauses == [0.5, 1, 2, 4, 8, 16, 20, 20, 0.5]


async def test_a_case_that_somebody_holds_is_not_looked_for_again(one: Store, other: Store, clock: ManualClock) -> None:
    heard: list[Sequence[CaseKey]] = []
    now = World().clock.wall_micros()
    await other.renew("node-2", until=now + 60 * MICROS)
    await other.open_case(opening(key_of("c")))
    await take(other, "node-2", limit=1, now=now)
    await other.deliver(TENANT, "c", "m1", arrived())
    one.on_arrival(heard.append)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            await served(one, group)
            await asleep(clock)
            assert heard == [[key_of("c")]]
            assert clock.due_seconds == POLL_SECONDS
            group.cancel_scope.cancel()


async def test_an_ear_hears_again_after_its_connection_was_ended(
    one: Store, other: Store, clock: ManualClock, postgres: PostgresServer
) -> None:
    heard: list[Sequence[CaseKey]] = []
    await parked(one, "c", evidence("receipt"))
    one.on_arrival(heard.append)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            await served(one, group)
            await asleep(clock)
            postgres.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'casework'")
            while not isinstance(await other.deliver(TENANT, "receipt", "m1", arrived()), Delivered):
                await anyio.lowlevel.checkpoint()
            while not any(key_of("c") in keys for keys in heard):
                clock.advance(1)
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()


@pytest.mark.promise("STORE-17")
async def test_who_does_not_work_on_cases_finds_out_who_does(url: str, one: Store, other: Store) -> None:
    await parked(one, "c", evidence("receipt"))
    await one.renew(NODE, until=0)
    with pytest.raises(StoreUnavailable, match="no node works on it"):
        await open_door(url, World())
    now = World().clock.wall_micros()
    await other.renew("node-2", until=now + 60 * MICROS)
    door = await open_door(url, World())
    assert await door.settle(5)
    assert await door.deliver(TENANT, "receipt", "m1", arrived()) == Delivered((key_of("c"),))
    assert not await door.settle(0.05)
    await other.renew("node-2", until=0)
    with pytest.raises(StoreUnavailable, match="any more"):
        await door.settle(5)
    assert (await there(one, "c")).status is CaseStatus.PARKED
