"""However many clients stand in a store's door, silent or waiting, whoever asks something short is answered soon."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import anyio
import anyio.lowlevel
import pytest
from store_support import TENANT, arrived, key_of, parked

from casework.protocols.codec import digest
from casework.runtime.errors import Stopping, StoreUnavailable
from casework.runtime.seams import World
from casework.runtime.store import door, door_places
from casework.runtime.store.base import Delivered, Nobody, Store
from casework.runtime.store.door import DoorServer
from casework.runtime.store.door_client import DoorClient
from casework.runtime.store.door_wire import CircuitsAsked, TurnAsked
from casework.runtime.store.urls import door_server, open_door, open_store

#: What begins like a message of 4096 bytes.
HALF = b"\x00\x00\x10\x00abc"
PAUSE = TurnAsked(target="agent:a", paused=True, by="ann", reason="r")


class Served(NamedTuple):
    store: Store
    server: DoorServer
    client: DoorClient


async def told(asked: CircuitsAsked | TurnAsked) -> bytes:
    return b"0"


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    url = f"sqlite:///{tmp_path}/cases.db"
    store = await open_store(url, World())
    server = door_server(store)
    assert isinstance(server, DoorServer)
    server.told = told
    async with anyio.create_task_group() as group:
        await group.start(server.serve)
        client = await open_door(url, World())
        assert isinstance(client, DoorClient)
        yield Served(store, server, client)
        group.cancel_scope.cancel()
    await store.aclose()


@pytest.mark.promise("STORE-17")
async def test_a_client_that_sends_nothing_is_cut_off(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_places, "TRANSFER_SECONDS_MAX", 0.05)
    with anyio.fail_after(5):
        async with await anyio.connect_unix(served.server.path) as stream:
            await stream.send(b"\x00")
            with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                await stream.receive()
        assert await served.client.deliver(TENANT, "c", "m1", arrived()) == Nobody("c")


async def test_more_clients_than_are_served_at_once_are_served_in_turn(served: Served) -> None:
    await parked(served.store, "c")
    results: list[object] = []

    async def deliver(number: int) -> None:
        results.append(await served.client.deliver(TENANT, "c", f"m{number}", arrived()))

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            for number in range(2 * door.CONNECTIONS_MAX):
                group.start_soon(deliver, number)
    assert results == [Delivered((key_of("c"),))] * (2 * door.CONNECTIONS_MAX)


@pytest.mark.promise("STORE-17")
@pytest.mark.parametrize("sent", [b"", HALF], ids=["nothing", "half a message"])
async def test_clients_that_are_silent_give_way_to_who_asks_something(
    served: Served, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door_places, "SILENT_SECONDS_MAX", 0.01)
    silent = [await anyio.connect_unix(served.server.path) for _ in range(3 * door.CONNECTIONS_MAX)]
    try:
        with anyio.fail_after(5):
            for stream in silent:
                await stream.send(sent)
            data = bytes(8 << 20)
            await served.client.put_artifact(digest(data).hex(), data)
            assert await served.client.deliver(TENANT, "c", "m", arrived()) == Nobody("c")
            assert await served.client.tell(PAUSE) == b"0"
    finally:
        for stream in silent:
            await stream.aclose()


async def test_whom_the_store_works_for_keeps_its_place_and_who_is_silent_does_not(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door_places, "SILENT_SECONDS_MAX", 0.01)
    working, done = anyio.Event(), anyio.Event()
    answers: list[bytes] = []

    async def works(asked: CircuitsAsked | TurnAsked) -> bytes:
        answers.append(b"")
        if len(answers) == door.CONNECTIONS_MAX - 1:
            working.set()
        await done.wait()
        return b"0"

    async def tell() -> None:
        answers.append(await served.client.tell(PAUSE))

    served.server.told = works
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            for _ in range(door.CONNECTIONS_MAX - 1):
                group.start_soon(tell)
            await working.wait()
            async with await anyio.connect_unix(served.server.path) as silent:
                assert await served.client.deliver(TENANT, "c", "m", arrived()) == Nobody("c")
                with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                    await silent.receive()
            done.set()
    assert answers.count(b"0") == door.CONNECTIONS_MAX - 1


@pytest.mark.promise("STORE-17")
async def test_however_many_wait_for_the_runtime_to_rest_others_are_answered(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "SETTLING_MAX", door.CONNECTIONS_MAX + 1)
    resting, all_wait = anyio.Event(), anyio.Event()
    waiting: list[None] = []
    answers: list[bool] = []

    async def settled() -> None:
        waiting.append(None)
        if len(waiting) == door.SETTLING_MAX:
            all_wait.set()
        await resting.wait()

    async def settle() -> None:
        answers.append(await served.client.settle(60))

    served.server.settled = settled
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            for _ in range(door.SETTLING_MAX):
                group.start_soon(settle)
            await all_wait.wait()
            assert await served.client.tell(PAUSE) == b"0"
            assert await served.client.deliver(TENANT, "c", "m", arrived()) == Nobody("c")
            with pytest.raises(StoreUnavailable, match="others wait already"):
                await served.client.settle(60)
            resting.set()
        assert answers == [True] * door.SETTLING_MAX
        assert await served.client.settle(60), "who waited has left"


async def test_settling_waits_for_the_runtime_to_rest(served: Served) -> None:
    with anyio.fail_after(5):
        assert await served.client.settle(1) is False
        resting = anyio.Event()
        asked = anyio.Event()

        async def settled() -> None:
            asked.set()
            await resting.wait()

        served.server.settled = settled
        assert await served.client.settle(0.01) is False
        answers: list[bool] = []

        async def settle() -> None:
            answers.append(await served.client.settle(5))

        asked = anyio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(settle)
            await asked.wait()
            resting.set()
        assert answers == [True]


async def test_who_waits_for_a_runtime_that_is_left_hears_that_it_did_not_rest(served: Served) -> None:
    async def settled() -> None:
        raise Stopping

    with anyio.fail_after(5):
        served.server.settled = settled
        assert await served.client.settle(5) is False
        assert await served.client.settle(5) is False


@pytest.mark.promise("STORE-17")
async def test_who_dies_while_it_waits_for_the_runtime_to_rest_gives_its_place_back(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "SETTLING_MAX", 1)
    asked, left = anyio.Event(), anyio.Event()

    async def settled() -> None:
        asked.set()
        try:
            await anyio.sleep_forever()
        finally:
            left.set()

    served.server.settled = settled
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(served.client.settle, 60)
            await asked.wait()
            group.cancel_scope.cancel()
        await left.wait()
        served.server.settled = anyio.lowlevel.checkpoint
        assert await served.client.settle(5)
