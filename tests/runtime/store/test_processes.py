"""One file, several processes: an owner, readers, people at the door, and a kill."""

import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream
from store_support import NOW, TENANT, arrived, key_of, take, there

from casework.runtime.errors import StoreOwned
from casework.runtime.seams import World
from casework.runtime.store.base import Delivered, Duplicate
from casework.runtime.store.urls import open_door, open_reader, open_store
from casework.runtime.store.verify import verify

#: Appends to many cases at once until it is killed, and says after each commit what is durable.
WRITER = """
import sys

import anyio
from store_support import NODE, NOW, TENANT, key_of, note, opening, take
from casework.runtime.seams import World
from casework.runtime.store.base import Append, Appended
from casework.runtime.store.urls import door_server, open_store


async def grow(store, row):
    for seq in range(1, 1_000_000):
        assert await store.append(Append(row.key, row.epoch, seq, (note(seq, row.epoch),))) == Appended()
        print(row.key.case_id, seq, flush=True)


async def main(url, cases):
    store = await open_store(url, World())
    async with anyio.create_task_group() as group:
        await group.start(door_server(store).serve)
        await store.renew(NODE, until=NOW + 1_000)
        for number in range(cases):
            await store.open_case(opening(key_of(str(number))))
        rows = await take(store, NODE, limit=cases, now=NOW)
        print("ready", 0, flush=True)
        for row in rows:
            group.start_soon(grow, store, row)
        if not rows:
            await anyio.sleep_forever()


anyio.run(main, sys.argv[1], int(sys.argv[2]))
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/cases.db"


@asynccontextmanager
async def writer(url: str, cases: int) -> AsyncIterator[tuple[Process, BufferedByteReceiveStream]]:
    suites = os.path.join(os.path.dirname(__file__), "..", "..", "conformance")
    environment = {**os.environ, "PYTHONPATH": suites}
    command = [sys.executable, "-c", WRITER, url, str(cases)]
    async with await anyio.open_process(command, env=environment, stderr=None) as process:
        assert process.stdout is not None
        lines = BufferedByteReceiveStream(process.stdout)
        try:
            with anyio.fail_after(10):
                assert await lines.receive_until(b"\n", 100) == b"ready 0"
            yield process, lines
        finally:
            if process.returncode is None:
                process.kill()


async def killed(process: Process) -> None:
    process.kill()
    with anyio.fail_after(30):
        assert await process.wait() == -signal.SIGKILL


@pytest.mark.promise("STORE-13")
async def test_a_second_process_is_refused_and_told_who_owns_the_store(url: str) -> None:
    async with writer(url, 0) as (process, _):
        with pytest.raises(StoreOwned, match=f"process {process.pid} owns it"):
            await open_store(url, World())
        await killed(process)
        await (await open_store(url, World())).aclose()


@pytest.mark.promise("STORE-13")
async def test_another_process_reads_whole_logs_while_the_owner_writes(url: str) -> None:
    async with writer(url, 3) as (process, lines):
        reader = await open_reader(url, World())
        with anyio.fail_after(30):
            for _ in range(20):
                name, seq = (await lines.receive_until(b"\n", 100)).split()
                assert len(await reader.records(key_of(name.decode()))) > int(seq)
                assert await verify(reader) == []
        await reader.aclose()
        await killed(process)


@pytest.mark.promise("STORE-17")
async def test_another_process_delivers_through_the_owner(url: str) -> None:
    async with writer(url, 1) as (process, _):
        client = await open_door(url, World())
        assert await client.deliver(TENANT, "0", "m1", arrived()) == Delivered((key_of("0"),))
        await killed(process)
        store = await open_store(url, World())
        assert [item.id for item in await store.inbox(key_of("0"))] == ["m1"]
        assert await store.deliver(TENANT, "0", "m1", arrived()) == Duplicate((key_of("0"),))
        await store.aclose()


@pytest.mark.promise("STORE-11")
async def test_a_killed_writer_leaves_every_answered_append_and_whole_chains(url: str) -> None:
    answered: dict[str, int] = {}
    for kill in range(5):
        async with writer(url, 20) as (process, lines):
            with anyio.fail_after(20):
                for _ in range(100 + 37 * kill):
                    said = (await lines.receive_until(b"\n", 100)).decode().split()
                    answered[said[0]] = int(said[1])
            await killed(process)
        reader = await open_reader(url, World())
        assert await verify(reader) == []
        await reader.aclose()
        store = await open_store(url, World())
        assert await verify(store) == []
        for case, seq_durable in answered.items():
            assert (await there(store, case)).next_seq > seq_durable
        await store.aclose()
        os.unlink(url.removeprefix("sqlite:///"))
        answered.clear()


@pytest.mark.promise("STORE-13")
async def test_the_cases_of_a_killed_owner_are_claimable_at_once(url: str) -> None:
    async with writer(url, 2) as (process, _):
        await killed(process)
    store = await open_store(url, World())
    rows = await take(store, "another", limit=9, now=NOW)
    assert [(row.key.case_id, row.epoch) for row in rows] == [("0", 2), ("1", 2)]
    await store.aclose()
