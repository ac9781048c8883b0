"""A service that is killed again and again while it works on a SQLite file, and started again each time.

Moments are drawn by a seed: after so many records more, and a few milliseconds; now and then before it is even ready.
Each life opens its share of the cases, so that every kill hits some at work.
It does not know whether what it finds is good enough.
"""

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import anyio

from casework.runtime.seams import World
from casework.runtime.store.urls import open_reader
from tests.support.chaos_bank import bank, report
from tests.support.chaos_findings import Findings, findings
from tests.support.chaos_parent import Service, service
from tests.support.chaos_truth import answer_all

#: Records that a case of the crew has when nothing happens to it.
RECORDS_A_CASE = 20
#: One life in so many ends before the service is ready.
UNREADY = 10
#: Seconds within which a life that is cut off early ends.
UNREADY_SECONDS_MAX = 0.5
#: Seconds between two looks at the file, and until a service at rest is killed all the same.
LOOK_SECONDS = 0.002
REST_SECONDS = 1.0


class KillPlan(NamedTuple):
    """How much of it."""

    cases: int
    kills: int
    seed: int = 1


class KillFigures(NamedTuple):
    """What a run has shown."""

    kills: int
    at_rest: int  #: kills that hit a service with nothing to do
    unready: int  #: kills of a service that was still starting
    found: Findings


async def run(plan: KillPlan, folder: Path, tell: Callable[[str], None]) -> KillFigures:
    """Kill a service so many times, let it finish, and compare its logs with the bank's books."""
    chance, acknowledged = random.Random(plan.seed), set[int]()
    path, at_rest, unready = folder / "cases.db", 0, 0
    url = f"sqlite:///{path}"
    async with bank(folder) as socket:
        for number in range(plan.kills):
            share = plan.cases * (number + 1) // plan.kills
            async with service(url, socket, acknowledged) as life:
                if chance.randrange(UNREADY) == 0:
                    await anyio.sleep(chance.uniform(0, UNREADY_SECONDS_MAX))
                    unready += 1
                else:
                    await life.wait_ready()
                    await life.open(_first_open(acknowledged), share)
                    wanted = _records(path) + chance.randrange(RECORDS_A_CASE * plan.cases // plan.kills)
                    at_rest += not await _grown(path, wanted)
                    await anyio.sleep(chance.uniform(0, 0.005))
                await life.kill()
            tell(f"kill {number + 1} of {plan.kills}: {len(acknowledged)} cases acknowledged")
        async with service(url, socket, acknowledged) as life:
            found = await _finished(life, plan.cases, url, socket)
    return KillFigures(plan.kills, at_rest, unready, found)


async def _finished(life: Service, cases: int, url: str, socket: str) -> Findings:
    """Let a service finish, have the bank asked about what nobody knows, and look."""
    await life.wait_ready()
    await life.open(_first_open(life.acknowledged), cases)
    await life.wait_acknowledged(cases)
    store = await open_reader(url, World())
    try:
        await answer_all(store, url, socket)
        await life.end()
        return await findings(store, await report(socket), life.acknowledged)
    finally:
        await store.aclose()


def _first_open(acknowledged: set[int]) -> int:
    """Give the first case that nobody said is open; asking again for later ones does no harm."""
    number = 0
    while number in acknowledged:
        number += 1
    return number


async def _grown(path: Path, wanted: int) -> bool:
    """Wait until there are so many records; False if no more came for a while."""
    with anyio.move_on_after(REST_SECONDS) as scope:
        while (there := _records(path)) < wanted:
            await anyio.sleep(LOOK_SECONDS)
            if _records(path) > there:
                scope.deadline = anyio.current_time() + REST_SECONDS
    return not scope.cancelled_caught


def _records(path: Path) -> int:
    """Count the durable records, by a look into the file that takes nothing from its owner."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            return connection.execute("SELECT max(rowid) FROM record").fetchone()[0] or 0
    except sqlite3.OperationalError:
        return 0
