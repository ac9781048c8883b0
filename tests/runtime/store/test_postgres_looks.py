"""Reading single cases together: nobody sees less than was durable when it asked, and nobody is left waiting."""

from collections.abc import Mapping, Sequence

import anyio
import anyio.lowlevel
import pytest
from store_support import NOW, key_of, opening

from casework.runtime.errors import StoreUnavailable
from casework.runtime.store.base import CaseKey, CaseRow
from casework.runtime.store.memory import MemoryStore
from casework.runtime.store.postgres_looks import Looks


class Server:
    """Answers looks one by one, when it is let."""

    def __init__(self) -> None:
        self.rows: dict[CaseKey, CaseRow] = {}
        self.asked: list[list[CaseKey]] = []
        self.gates: list[anyio.Event] = []
        self.error: Exception | None = None

    async def look(self, keys: Sequence[CaseKey]) -> Mapping[CaseKey, CaseRow]:
        self.asked.append(list(keys))
        found = {key: self.rows[key] for key in keys if key in self.rows}
        gate = anyio.Event()
        self.gates.append(gate)
        await gate.wait()
        if self.error is not None:
            raise self.error
        return found


@pytest.fixture
async def row() -> CaseRow:
    store = MemoryStore()
    await store.open_case(opening(key_of("a"), at=NOW))
    found = await store.case(key_of("a"))
    assert found is not None
    return found


async def looking(server: Server, looks: int) -> None:
    """Wait until so many looks were sent."""
    while len(server.asked) < looks:
        await anyio.lowlevel.checkpoint()


async def test_who_asks_while_a_look_is_under_way_goes_along_with_the_next(row: CaseRow) -> None:
    server = Server()
    looks = Looks(server.look)
    found: list[tuple[str, CaseRow | None]] = []

    async def ask(name: str) -> None:
        found.append((name, await looks.look(key_of(name))))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(ask, "a")
            await looking(server, 1)
            # What became durable after the first look was sent is seen by whoever asks after that.
            server.rows[row.key] = row
            for name in ("a", "b", "a"):
                group.start_soon(ask, name)
            await anyio.wait_all_tasks_blocked()
            assert server.asked == [[key_of("a")]]
            server.gates[0].set()
            await looking(server, 2)
            server.gates[1].set()
    assert [sorted(asked) for asked in server.asked[1:]] == [[key_of("a"), key_of("b")]]
    assert found[0] == ("a", None)
    assert sorted(found[1:], key=str) == sorted([("a", row), ("a", row), ("b", None)], key=str)


async def test_the_others_of_a_look_whose_leader_is_cancelled_are_looked_for_again(row: CaseRow) -> None:
    server = Server()
    server.rows[row.key] = row
    looks = Looks(server.look)
    found: list[CaseRow | None] = []
    leader = anyio.CancelScope()

    async def lead() -> None:
        with leader:
            await looks.look(key_of("b"))

    async def follow() -> None:
        found.append(await looks.look(row.key))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(looks.look, key_of("before"))
            await looking(server, 1)
            for one in (lead, follow):
                group.start_soon(one)
                await anyio.wait_all_tasks_blocked()
            server.gates[0].set()
            await looking(server, 2)
            leader.cancel()
            await looking(server, 3)
            server.gates[2].set()
    assert server.asked == [[key_of("before")], [key_of("b"), row.key], [row.key]]
    assert found == [row]


async def test_what_a_look_failed_with_is_raised_to_each_of_it_and_to_nobody_else() -> None:
    server = Server()
    server.error = StoreUnavailable("postgresql://", "it is away")
    looks = Looks(server.look)
    told: list[str] = []

    async def ask() -> None:
        try:
            await looks.look(key_of("a"))
        except StoreUnavailable as error:
            told.append(error.why)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(ask)
            await looking(server, 1)
            server.gates[0].set()
        assert told == ["it is away"] * 3
        server.error = None
        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await looking(server, 2)
            server.gates[1].set()
    assert len(told) == 3
