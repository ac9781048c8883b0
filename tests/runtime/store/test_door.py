"""Other processes deliver and decide through the owner's socket; whoever misuses it hurts only himself."""

import logging
import os
import socket
import stat
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import msgspec
import pytest
from store_support import NOW, TENANT, arrived, decided, evidence, key_of, parked, review

from casework.protocols.codec import FRAME_BYTES_MAX, FRAME_DEPTH_MAX, digest
from casework.protocols.errors import FrameInvalid, FrameTooDeep, FrameTooLarge
from casework.runtime.errors import StoreUnavailable
from casework.runtime.seams import World
from casework.runtime.store import door
from casework.runtime.store.accounts import Account
from casework.runtime.store.base import (
    DecisionRefused,
    DecisionTaken,
    Delivered,
    Duplicate,
    Nobody,
    Store,
    Unavailable,
    Unknown,
)
from casework.runtime.store.door import DoorServer
from casework.runtime.store.door_client import DoorClient
from casework.runtime.store.door_wire import (
    ARTIFACT_BYTES_MAX,
    MESSAGE_BYTES_MAX,
    Answer,
    TurnAsked,
    result_of,
    socket_path,
)
from casework.runtime.store.urls import door_server, open_door, open_store

#: Deeper by one level than a frame may be, and deeper than any stack.
TOO_DEEP = b"\x91" * FRAME_DEPTH_MAX + b"\x90"
HOSTILE = b"\x91" * 100_000 + b"\xc0"


def delivery(**fields: object) -> bytes:
    """A request to deliver, with its length before it; `fields` are added or take the place of its own."""
    asked = {"type": "deliver", "tenant": TENANT, "target": "c", "item_id": "m", "frame": arrived(), **fields}
    data = msgspec.msgpack.encode(asked)
    return len(data).to_bytes(4) + data


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/cases.db"


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    store = await open_store(url, World())
    yield store
    await store.aclose()


@pytest.fixture
async def server(store: Store) -> AsyncIterator[DoorServer]:
    server = door_server(store)
    assert isinstance(server, DoorServer)
    async with anyio.create_task_group() as group:
        await group.start(server.serve)
        yield server
        group.cancel_scope.cancel()


@pytest.fixture
async def client(server: DoorServer, url: str) -> DoorClient:
    client = await open_door(url, World())
    assert isinstance(client, DoorClient)
    return client


def present(path: str) -> bool:
    return os.path.lexists(path)


async def answer_to(server: DoorServer, data: bytes) -> bytes:
    """Give what the server says before it hangs up."""
    with anyio.fail_after(5):
        async with await anyio.connect_unix(server.path) as stream:
            await stream.send(data)
            try:
                return await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return b""


@pytest.mark.promise("STORE-17")
async def test_deliveries_go_through_the_door_with_the_stores_own_answers(store: Store, client: DoorClient) -> None:
    with anyio.fail_after(5):
        await parked(store, "c", evidence("receipt"))
        assert await client.deliver(TENANT, "receipt", "m1", arrived()) == Delivered((key_of("c"),))
        assert await client.deliver(TENANT, "receipt", "m1", arrived()) == Duplicate((key_of("c"),))
        assert await client.deliver(TENANT, "nowhere", "m2", arrived()) == Nobody("nowhere")
        assert [item.frame for item in await store.inbox(key_of("c"))] == [arrived()]


@pytest.mark.promise("STORE-17")
async def test_decisions_go_through_the_door_with_the_stores_own_answers(store: Store, client: DoorClient) -> None:
    with anyio.fail_after(5):
        await parked(store, "c", reviews=(review(key_of("c")),))
        assert await client.decide("none", "h1", decided("none"), NOW) == DecisionRefused("absent")
        taken = await client.decide("r1", "h1", decided(), NOW)
        assert isinstance(taken, DecisionTaken)
        assert taken.review == await store.review("r1")
        assert await client.decide("r1", "h1", decided(by="bob"), NOW) == DecisionRefused("decided", taken.review)


async def test_artifacts_of_many_megabytes_go_through_the_door(store: Store, client: DoorClient) -> None:
    with anyio.fail_after(5):
        data = bytes(8 << 20)
        await client.put_artifact(digest(data).hex(), data)
        assert await store.artifact(digest(data).hex()) == data
        with pytest.raises(FrameInvalid, match="content hash"):
            await client.put_artifact(digest(data).hex(), b"other")
        with pytest.raises(FrameTooLarge):
            await client.put_artifact("00", bytes(ARTIFACT_BYTES_MAX + 1))


async def test_limits_are_set_through_the_door_and_say_who_set_them(store: Store, client: DoorClient) -> None:
    with anyio.fail_after(5):
        account = await client.set_limit("tenant/acme", 100, by="ann", at=NOW)
        assert account == await store.account("tenant/acme")
        assert isinstance(account, Account)
        assert (account.limit_micros, (await store.ledger("tenant/acme"))[0].by) == (100, "ann")
        assert await client.set_limit("tenant/acme", 7, by="policy", at=NOW, only_new=True) == account


@pytest.mark.parametrize(
    ("name", "micros", "by"),
    [
        ("", 1, "ann"),
        ("tenant/acme", -1, "ann"),
        ("tenant/acme", 10**16, "ann"),
        ("tenant/acme", 1, ""),
        ("tenant/acme", 1, " "),
        ("x", 1, "ann"),
        ("flow/acme/x", 1, "ann"),
        ("agent/acme", 1, "ann"),
        ("tenant/acme/x", 1, "ann"),
        ("tenant/a\0b", 1, "ann"),
        ("tenant/a b", 1, "ann"),
        ("tenant/" + "y" * 100_000, 1, "ann"),
    ],
    ids=lambda value: str(value)[:20],
)
async def test_what_is_no_limit_is_refused_through_the_door(
    store: Store, client: DoorClient, name: str, micros: int, by: str
) -> None:
    with anyio.fail_after(5):
        with pytest.raises(FrameInvalid, match="limit") as refused:
            await client.set_limit(name, micros, by=by, at=NOW)
        assert len(str(refused.value)) < 300
        assert not await store.accounts()


async def test_a_frame_that_is_no_delivery_is_refused_through_the_door(store: Store, client: DoorClient) -> None:
    with anyio.fail_after(5):
        await parked(store, "c")
        with pytest.raises(FrameInvalid, match="arrived or cancel"):
            await client.deliver(TENANT, "c", "m1", decided())
        with pytest.raises(FrameInvalid):
            await client.decide("r1", "h1", b"\xff", NOW)
        assert await client.deliver(TENANT, "c", "m1", arrived()) == Delivered((key_of("c"),))


@pytest.mark.promise("STORE-17")
async def test_the_socket_is_for_its_user_alone_and_goes_with_its_owner(store: Store, url: str) -> None:
    server = door_server(store)
    assert isinstance(server, DoorServer)
    async with anyio.create_task_group() as group:
        await group.start(server.serve)
        made = os.lstat(server.path)
        assert stat.S_ISSOCK(made.st_mode)
        assert stat.S_IMODE(made.st_mode) == 0o600
        assert not present(f"{server.path}.new")
        group.cancel_scope.cancel()
    assert not present(server.path)
    with pytest.raises(StoreUnavailable, match="no process owns it"):
        await open_door(url, World())


async def test_a_door_that_is_cancelled_as_it_is_made_leaves_nothing_behind(store: Store, tmp_path: Path) -> None:
    server = door_server(store)
    assert isinstance(server, DoorServer)
    before = sorted(os.listdir(tmp_path))
    with anyio.CancelScope() as scope:
        scope.cancel()
        await server.serve()
    assert sorted(os.listdir(tmp_path)) == before


async def test_a_socket_that_a_killed_owner_left_is_replaced(store: Store, url: str) -> None:
    server = door_server(store)
    assert isinstance(server, DoorServer)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(server.path)
    os.mkdir(f"{server.path}.new")
    with pytest.raises(StoreUnavailable, match="no process owns it"):
        await open_door(url, World())
    async with anyio.create_task_group() as group:
        await group.start(server.serve)
        assert await (await open_door(url, World())).deliver(TENANT, "c", "m", arrived()) == Nobody("c")
        group.cancel_scope.cancel()


@pytest.mark.promise("STORE-17")
async def test_a_database_with_a_long_path_has_its_socket_in_a_private_directory(tmp_path: Path) -> None:
    directory = tmp_path / ("deep" * 20) / ("down" * 20)
    os.makedirs(directory)
    url = f"sqlite:///{directory}/cases.db"
    store = await open_store(url, World())
    server = door_server(store)
    assert isinstance(server, DoorServer)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            await group.start(server.serve)
            private = os.path.dirname(server.path)
            assert stat.S_IMODE(os.stat(private).st_mode) == 0o700
            assert len(server.path) <= 100
            assert await (await open_door(url, World())).deliver(TENANT, "c", "m", arrived()) == Nobody("c")
            group.cancel_scope.cancel()
    assert not present(private)
    await store.aclose()


async def test_a_private_directory_that_others_can_enter_is_not_used(tmp_path: Path) -> None:
    directory = tmp_path / ("deep" * 20) / ("down" * 20)
    os.makedirs(directory)
    store = await open_store(f"sqlite:///{directory}/cases.db", World())
    server = door_server(store)
    assert isinstance(server, DoorServer)
    private = socket_path(f"{directory}/cases.db")[1]
    os.mkdir(private, 0o755)
    with pytest.raises(StoreUnavailable, match="not private"):
        await server.serve()
    os.rmdir(private)
    await store.aclose()


@pytest.mark.promise("STORE-17")
@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff\xff\xff\xff",
        (MESSAGE_BYTES_MAX + 1).to_bytes(4),
        b"\x00\x00\x00\x01\xc1",
        b"\x00\x00\x00\x00",
        b"\x00\x00\x00\x06" + b"\x81\xa4type\xc0"[:6],
        (20_000).to_bytes(4) + b"\x91" * 20_000,
        delivery(other=msgspec.Raw(TOO_DEEP[1:])),
        delivery(other=msgspec.Raw(HOSTILE)),
        delivery(frame=TOO_DEEP),
        delivery(frame=HOSTILE),
        delivery(frame=b"\x00" * (FRAME_BYTES_MAX + 1)),
        b"\x00\x00\x00\x0d\x81\xa4type\xa6\x0a\x1b[31m",
    ],
)
async def test_bytes_that_are_no_request_close_their_connection_with_one_line(
    store: Store, server: DoorServer, client: DoorClient, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert await answer_to(server, data) == b""
    with anyio.fail_after(5):
        assert await client.deliver(TENANT, "c", "m1", arrived()) == Nobody("c")
    [line] = [record.getMessage() for record in caplog.records if record.name == door.__name__]
    assert "was cut off" in line
    assert line.isprintable()


@pytest.mark.promise("FRAME-5")
async def test_a_request_may_nest_exactly_as_deep_as_a_frame(store: Store, server: DoorServer) -> None:
    deepest = delivery(other=msgspec.Raw(TOO_DEEP[2:]))
    assert await answer_to(server, deepest) == await answer_to(server, delivery()) != b""


@pytest.mark.promise("FRAME-5")
@pytest.mark.parametrize("frame", [TOO_DEEP, HOSTILE, b"\x00" * (FRAME_BYTES_MAX + 1)], ids=["by one", "far", "size"])
async def test_a_frame_beyond_the_limits_is_refused_before_it_goes_to_the_door(
    store: Store, client: DoorClient, frame: bytes
) -> None:
    with anyio.fail_after(5):
        await parked(store, "c", reviews=(review(key_of("c")),))
        for call in (client.deliver(TENANT, "c", "m1", frame), client.decide("r1", "h1", frame, NOW)):
            with pytest.raises((FrameTooDeep, FrameTooLarge)):
                await call
        assert not await store.inbox(key_of("c"))


@pytest.mark.promise("FRAME-5")
@pytest.mark.parametrize("name", ["Delivered", "DecisionTaken", "Unavailable"])
@pytest.mark.parametrize("levels", [0, 400])
def test_an_answer_that_nests_without_end_is_refused_by_type_under_every_stack(name: str, levels: int) -> None:
    def read(levels: int) -> object:
        return (
            result_of(Answer(name=name, value=msgspec.Raw(b"\x81\xa5other" + HOSTILE)))
            if not levels
            else read(levels - 1)
        )

    with pytest.raises(FrameTooDeep):
        read(levels)


async def test_a_store_that_cannot_write_says_so_through_the_door(store: Store, client: DoorClient) -> None:
    await store.aclose()
    with anyio.fail_after(5):
        assert isinstance(await client.deliver(TENANT, "c", "m1", arrived()), Unavailable)
        with pytest.raises(StoreUnavailable, match="closed"):
            await client.put_artifact(digest(b"").hex(), b"")


@asynccontextmanager
async def hanging_up(database: str, times: int) -> AsyncGenerator[None, None]:
    """Have an owner that ends so many talks before it answers."""
    listener = await anyio.create_unix_listener(socket_path(database)[0])

    async def hang_up() -> None:
        for _ in range(times):
            async with await listener.accept():
                pass

    async with listener, anyio.create_task_group() as group:
        group.start_soon(hang_up)
        yield


async def test_an_owner_that_ends_before_it_answers_leaves_the_outcome_unknown(url: str, tmp_path: Path) -> None:
    with anyio.fail_after(5):
        async with hanging_up(f"{tmp_path}/cases.db", 2):
            client = await open_door(url, World())
            assert isinstance(await client.deliver(TENANT, "c", "m1", arrived()), Unknown)


async def test_who_gets_no_answer_is_told_that_it_does_no_harm_to_ask_again(url: str, tmp_path: Path) -> None:
    with anyio.fail_after(5):
        async with hanging_up(f"{tmp_path}/cases.db", 3):
            client = await open_door(url, World())
            assert isinstance(client, DoorClient)
            with pytest.raises(StoreUnavailable, match="gave no answer; run it again, which does no harm"):
                await client.put_artifact(digest(b"").hex(), b"")
            with pytest.raises(StoreUnavailable, match="gave no answer; run it again, which does no harm"):
                await client.tell(TurnAsked(target="agent:a", paused=True, by="ann", reason="r"))


async def test_a_store_in_memory_has_no_door() -> None:
    assert door_server(await open_store("memory:", World())) is None
