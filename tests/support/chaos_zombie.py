"""Zombies: a service that holds cases is stopped until another has finished them, and then goes on where it stood.

Pairs of services share a schema in PostgreSQL each. The lease lasts as long as in production; a plan says for how many
of them a zombie stands still at least, and it never wakes before its cases are at rest elsewhere.
It does not know whether what it finds is good enough.
"""

import random
import signal
from collections.abc import Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import NamedTuple

import anyio
from postgres_server import PostgresServer

from casework.runtime.lease import LEASE_SECONDS
from casework.runtime.seams import World
from casework.runtime.store.base import CaseKey, CaseRow, CaseStatus, StoreReader
from casework.runtime.store.urls import open_reader
from tests.support.chaos_bank import bank, report
from tests.support.chaos_findings import Findings, findings, rests, together
from tests.support.chaos_look import patiently, until
from tests.support.chaos_parent import Service, service
from tests.support.chaos_truth import answer_all

#: Cases that are opened for each zombie.
CASES = 12
#: Seconds within which a service is stopped after it was given work.
MOMENT_SECONDS_MAX = 0.4
#: Moments that are tried for one zombie: a service may have nothing by then.
TRIES_MAX = 20


class ZombiePlan(NamedTuple):
    """How much of it."""

    pairs: int
    zombies: int  #: of each pair, one after the other
    leases: float  #: how long each stands still at least
    seed: int = 1


class ZombieFigures(NamedTuple):
    """What a run has shown."""

    zombies: int
    held: int  #: cases that they held when they were stopped
    fenced: int  #: appends that were refused to whoever had been replaced
    stale: int  #: cases taken over and at rest that changed after a zombie had woken
    taken_over_seconds: Sequence[float]  #: for each zombie, from its stop until its cases were at rest elsewhere
    found: Findings


class Pair:
    """Two services on one schema, and what became of their zombies."""

    def __init__(self, store: StoreReader, services: Sequence[Service], plan: ZombiePlan, number: int) -> None:
        self._store = store
        self._services = services
        self._plan = plan
        self._chance = random.Random(f"{plan.seed}/{number}")
        self._opened = 0
        self.held = self.stale = 0
        self.taken_over: list[float] = []

    async def run(self, tell: Callable[[], None]) -> None:
        """Make the zombies of this pair, one after the other."""
        for _ in range(self._plan.zombies):
            victim = self._chance.choice(self._services)
            for _ in range(TRIES_MAX):
                if await self._zombie(victim, await self._stopped(victim)):
                    break
            else:
                raise AssertionError("no service held a case whenever it was stopped")
            tell()
        for each in self._services:
            await each.wait_idle()
            await each.wait_acknowledged(self._opened)

    async def _stopped(self, victim: Service) -> list[CaseRow]:
        """Give a service work and stop it at some moment; gives what it holds then."""
        await victim.open(self._opened, self._opened + CASES)
        self._opened += CASES
        await anyio.sleep(self._chance.uniform(0, MOMENT_SECONDS_MAX))
        victim.send(signal.SIGSTOP)
        rows = await patiently(lambda: self._store.cases(status=CaseStatus.OPEN))
        return [row for row in rows if row.node == victim.node]

    async def _zombie(self, victim: Service, held: Sequence[CaseRow]) -> bool:
        """Wait until what it held rests, wake it, and see whether it changes anything; False if others took nothing."""
        begun = anyio.current_time()

        async def at_rest() -> bool:
            # Whoever parks a case releases it in a second append; a zombie that has parked one does so when it wakes.
            nobody = {"", victim.node}
            return all(rests(row) and row.node in nobody for row in (await self._standing(held)).values())

        await until(at_rest)
        seconds = anyio.current_time() - begun
        # What it had asked of the server before it was stopped is done all the same: a case may have come to rest so.
        now = await self._standing(held)
        taken = [row for row in held if now[row.key].epoch > row.epoch]
        if taken:
            self.held += len(taken)
            self.taken_over.append(seconds)
            await anyio.sleep_until(begun + self._plan.leases * LEASE_SECONDS)
        before = await self._standing(taken)
        victim.send(signal.SIGCONT)
        await victim.wait_idle()
        after = await self._standing(taken)
        self.stale += sum(after[key] != row for key, row in before.items())
        return bool(taken)

    async def _standing(self, held: Sequence[CaseRow]) -> dict[CaseKey, CaseRow]:
        keys = {row.key for row in held}
        return {row.key: row for row in await patiently(self._store.cases) if row.key in keys}


async def run(
    plan: ZombiePlan, server: PostgresServer, name: str, folder: Path, tell: Callable[[str], None]
) -> ZombieFigures:
    """Run all pairs side by side on one server, and compare their logs with their banks' books."""
    pairs: list[tuple[Pair, int, Findings]] = []
    woken = 0

    def heard() -> None:
        nonlocal woken
        woken += 1
        tell(f"zombie {woken} of {plan.pairs * plan.zombies} has woken")

    async def one(number: int) -> None:
        place = folder / f"pair{number}"
        place.mkdir()
        url, acknowledged = server.url(f"{name}_{number}"), set[int]()
        async with bank(place) as socket, service(url, socket, acknowledged) as a:
            # One after the other: the first one makes the schema.
            await a.wait_ready()
            async with service(url, socket, acknowledged) as b:
                await b.wait_ready()
                async with aclosing(await patiently(lambda: open_reader(url, World()))) as store:
                    pair = Pair(store, (a, b), plan, number)
                    await pair.run(heard)
                    await answer_all(store, url, socket)
                    fenced = a.fenced + b.fenced
                    await a.end()
                    await b.end()
                    books = await report(socket)
                    pairs.append((pair, fenced, await patiently(lambda: findings(store, books, acknowledged))))

    async with anyio.create_task_group() as group:
        for number in range(plan.pairs):
            group.start_soon(one, number)
    return ZombieFigures(
        zombies=plan.pairs * plan.zombies,
        held=sum(pair.held for pair, _, _ in pairs),
        fenced=sum(fenced for _, fenced, _ in pairs),
        stale=sum(pair.stale for pair, _, _ in pairs),
        taken_over_seconds=sorted(seconds for pair, _, _ in pairs for seconds in pair.taken_over),
        found=together(found for _, _, found in pairs),
    )
