"""A PostgreSQL server that goes away under load and comes back: it crashes, or stands still with all its connections.

Two services work on one schema; clients go on asking for cases all the while, and each asks again until it is told
that its case is open. What was asked for before the server is back is the backlog.
It does not know whether what it finds is good enough.
"""

import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import anyio
import anyio.to_thread
from postgres_server import PostgresServer

from casework.runtime.seams import World
from casework.runtime.store.base import StoreReader
from casework.runtime.store.urls import open_reader
from tests.support.chaos_bank import bank, report
from tests.support.chaos_findings import Findings, findings, rests
from tests.support.chaos_look import PATIENCE_SECONDS, patiently, until
from tests.support.chaos_parent import Service, service
from tests.support.chaos_service import case_id
from tests.support.chaos_truth import answer_all

#: Seconds of load before the server goes away, and after it is back.
LOAD_SECONDS = 2.0
#: Cases that are asked for at a time, and seconds between two times.
CASES_AT_ONCE = 2
PAUSE_SECONDS = 0.2


class OutagePlan(NamedTuple):
    """How much of it."""

    seconds: float  #: how long the server is away
    how: Literal["crashed", "frozen"]


class OutageFigures(NamedTuple):
    """What a run has shown."""

    away_seconds: float
    backlog: int  #: cases asked for and not at rest when the server was back
    drained_seconds: float  #: from then until all of them were at rest
    survivors: int  #: services that were still the same processes at the end
    found: Findings


class Clients:
    """Those who ask for cases, by turns at each service."""

    def __init__(self, services: Sequence[Service]) -> None:
        self._services = services
        self._over = False
        self.asked = 0

    async def ask(self) -> None:
        """Go on asking until it is over."""
        turn = 0
        while not self._over:
            await self._services[turn % len(self._services)].open(self.asked, self.asked + CASES_AT_ONCE)
            self.asked += CASES_AT_ONCE
            turn += 1
            await anyio.sleep(PAUSE_SECONDS)

    def stop(self) -> None:
        """Ask for nothing more."""
        self._over = True


async def run(
    plan: OutagePlan, server: PostgresServer, name: str, folder: Path, tell: Callable[[str], None]
) -> OutageFigures:
    """Take the server away for so long, wait until all is done, and compare the logs with the bank's books."""
    url, acknowledged = server.url(name), set[int]()
    async with bank(folder) as socket, service(url, socket, acknowledged) as one:
        await one.wait_ready()
        reader = await patiently(lambda: open_reader(url, World()))
        async with aclosing(reader) as store, service(url, socket, acknowledged) as other:
            await other.wait_ready()
            clients = Clients((one, other))
            async with anyio.create_task_group() as group:
                group.start_soon(clients.ask)
                await anyio.sleep(LOAD_SECONDS)
                tell(f"{clients.asked} cases asked for; the server is {plan.how} for {plan.seconds:g} s")
                begun = anyio.current_time()
                async with _away(server, plan.how):
                    await anyio.sleep(plan.seconds)
                back, asked = anyio.current_time(), clients.asked
                backlog = await _unsettled(store, asked)
                tell(f"it is back; {backlog} of {asked} cases are not at rest")
                await _drained(store, asked)
                drained = anyio.current_time() - back
                tell(f"the backlog is drained after {drained:.1f} s")
                await anyio.sleep(LOAD_SECONDS)
                clients.stop()
            await _drained(store, clients.asked)
            survivors = one.alive + other.alive
            await answer_all(store, url, socket)
            await one.end()
            await other.end()
            books = await report(socket)
            found = await patiently(lambda: findings(store, books, set(range(clients.asked))))
    return OutageFigures(back - begun, backlog, drained, survivors, found)


@asynccontextmanager
async def _away(server: PostgresServer, how: str) -> AsyncIterator[None]:
    """Have no server for as long as the block lasts."""
    if how == "frozen":
        server.freeze()
        try:
            yield
        finally:
            server.thaw()
    else:
        await anyio.to_thread.run_sync(server.stop, signal.SIGQUIT)
        try:
            yield
        finally:
            await anyio.to_thread.run_sync(server.start)


async def _unsettled(store: StoreReader, asked: int) -> int:
    rows = {row.key.case_id: row for row in await patiently(store.cases)}
    names = [case_id(number) for number in range(asked)]
    return sum(name not in rows or not rests(rows[name]) for name in names)


async def _drained(store: StoreReader, asked: int) -> None:
    async def drained() -> bool:
        return not await _unsettled(store, asked)

    await until(drained, patience=PATIENCE_SECONDS * 2)
