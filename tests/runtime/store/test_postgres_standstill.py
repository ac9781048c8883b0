"""A process that stands still in the middle of a transaction keeps nobody from its cases once its lease is over."""

import socket
from contextlib import suppress
from itertools import count

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream
from msgspec.structs import replace
from postgres_server import PostgresServer
from store_support import NOW, claimed, note, take

from casework.runtime.errors import StoreUnavailable
from casework.runtime.lease import LEASE_SECONDS
from casework.runtime.seams import MICROS, World
from casework.runtime.store.base import Append, Appended
from casework.runtime.store.postgres_link import connect
from casework.runtime.store.postgres_url import postgres_address
from casework.runtime.store.urls import open_store

NUMBERS = count()
#: Bytes of the server's answers after which a client stands still: the beginning of a claim.
READ_MAX = 1 << 18
#: When leases are over by the clock of every process.
LATER = NOW + MICROS


class Standstill:
    """A cable to a server for a client that reads so much of what it is told, and then nothing more."""

    def __init__(self, port: int) -> None:
        self._server = port
        self.reached = anyio.Event()

    async def pass_on(self, client: SocketStream) -> None:
        async with client, await anyio.connect_tcp("127.0.0.1", self._server) as server:
            # What the system takes for us is little beside what a claim brings.
            server.extra(SocketAttribute.raw_socket).setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 18)
            async with anyio.create_task_group() as group:
                group.start_soon(self._ask, client, server)
                left = READ_MAX
                while left > 0:
                    told = await server.receive()
                    left -= len(told)
                    await client.send(told)
                self.reached.set()

    async def _ask(self, client: SocketStream, server: SocketStream) -> None:
        with suppress(anyio.EndOfStream):
            while True:
                await server.send(await client.receive())


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.promise("NODE-5")
async def test_a_case_that_a_stopped_process_has_locked_is_free_within_a_lease(postgres: PostgresServer) -> None:
    url = postgres.url(f"standstill_{next(NUMBERS)}")
    store = await open_store(url, World())
    await claimed(store, "c")
    stopped, heir = await connect(postgres_address(url)), await connect(postgres_address(url))
    await stopped.execute("BEGIN")
    await stopped.execute('UPDATE "case" SET next_seq = 7')
    with anyio.fail_after(LEASE_SECONDS):
        assert await heir.fetchval('SELECT next_seq FROM "case" FOR UPDATE') == 1
    for link in (stopped, heir):
        link.terminate()
    await store.aclose()


@pytest.mark.promise("NODE-5")
async def test_cases_are_free_though_whoever_claimed_them_stands_still_before_it_has_read_them(
    postgres: PostgresServer,
) -> None:
    schema = f"standstill_{next(NUMBERS)}"
    store = await open_store(postgres.url(schema), World())
    for number in range(12):
        row = await claimed(store, f"{number:02}")
        long = replace(note(1), frame=bytes(600_000))
        assert await store.append(Append(row.key, row.epoch, 1, (long,))) == Appended()
    cable = Standstill(postgres.port)
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    heir = await connect(postgres_address(postgres.url(schema)))
    # The server gives up the lock that is waited for below after ten seconds.
    with anyio.fail_after(30):
        async with listener, anyio.create_task_group() as group:
            group.start_soon(listener.serve, cable.pass_on)
            port = listener.extra(SocketAttribute.local_port)
            stopped = await open_store(postgres.url(schema, port=port), World())

            async def stop() -> None:
                with suppress(StoreUnavailable):
                    await take(stopped, "stopped", limit=12, now=LATER)

            group.start_soon(stop)
            await cable.reached.wait()
            assert await take(store, "heir", limit=12, now=LATER) == []
            await heir.execute('SELECT FROM "case" FOR UPDATE')
            assert len(await take(store, "heir", limit=12, now=LATER)) == 12
            group.cancel_scope.cancel()
    heir.terminate()
    await stopped.aclose()
    await store.aclose()
