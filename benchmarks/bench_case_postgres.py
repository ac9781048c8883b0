"""How many durable five-step cases a second on PostgreSQL, one after another and 100 at once?

Unit: microseconds for one case (a million of them by cases a second), from opening it until it is seen closed; the
cases, and how they are driven, are those of `bench_case.py`. The server is one of our own on loopback, with fsync and
synchronous_commit on; it takes its part of the same cores. Each run has a database that is new. A tenth of the cases go
before over the same connections and are not timed, for casework, the floor and the peers alike: a server compiles a
statement for each connection anew.
The floor is a bare group-commit writer: one connection on which whoever comes first inserts what all have queued, by
one statement over arrays in a transaction of its own; as many records as a case has, of the same size, in two commits
(one opens, one closes). The peers keep their own five steps on the same server, as `bench_case.py` has it for SQLite.
"""

import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count

import anyio
import anyio.lowlevel
import asyncpg
import bench_case
import harness
from postgres_server import PostgresMissing, PostgresServer, postgres_server

from casework.runtime.runtime import Runtime

#: What is asked of a hundred callers together, in cases a second: of called steps, and of delegated ones.
PER_SECOND_MIN = {"casework": 1_200, "casework, delegated": 500}
#: What is asked against each peer: at a hundred callers, and one after another.
PEER_RATIO_AT_ONCE, PEER_RATIO_ALONE = 15, 3
#: Part of the operations that are done one after another.
SEQUENTIAL_SHARE = 1 / 6

_TABLE = "CREATE TABLE log (case_id text, seq bigint, frame bytea)"
_INSERT = "INSERT INTO log SELECT * FROM unnest($1::text[], $2::bigint[], $3::bytea[])"
_NUMBERS = count()

Row = tuple[str, int, bytes]


@contextmanager
def database(server: PostgresServer) -> Iterator[str]:
    """Have a new database, which is gone afterwards; give its URL."""
    name = f"bench_{os.getpid()}_{next(_NUMBERS)}"
    server.psql(f"CREATE DATABASE {name}")
    try:
        yield server.url().removesuffix("postgres") + name
    finally:
        server.psql(f"DROP DATABASE {name} WITH (FORCE)")


async def cases(server: PostgresServer, flow: str, callers: int, operations: int) -> harness.Run:
    """Open cases and wait until each is closed."""
    with database(server) as url:
        async with Runtime(bench_case.crew(), url) as runtime:
            await warm(partial(bench_case.one_case, runtime, flow), callers, operations)
            seconds = await bench_case.by_callers(partial(bench_case.one_case, runtime, flow), operations, callers)
    return harness.Run(seconds=seconds, operations=operations)


async def warm(one: Callable[[int], Awaitable[None]], callers: int, operations: int) -> None:
    """Do some cases whose numbers are those of no other."""
    few = max(operations // harness.WARM_UP_SHARE, 1)
    await bench_case.by_callers(lambda number: one(operations + number), few, callers)


class Writer:
    """Group commit with nothing around it: the first to come writes what all have queued by then."""

    def __init__(self, link: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._link = link
        self._queued: list[tuple[list[Row], anyio.Event]] = []
        self._leading = False

    async def append(self, rows: list[Row]) -> None:
        """Write rows; durable when it returns."""
        durable = anyio.Event()
        self._queued.append((rows, durable))
        if not self._leading:
            await self._lead()
        await durable.wait()

    async def _lead(self) -> None:
        self._leading = True
        await anyio.lowlevel.checkpoint()
        while self._queued:
            taken, self._queued = self._queued, []
            columns = zip(*(row for rows, _ in taken for row in rows), strict=True)
            await self._link.execute(_INSERT, *map(list, columns))
            for _, durable in taken:
                durable.set()
        self._leading = False


async def bare(server: PostgresServer, callers: int, operations: int) -> harness.Run:
    """Append the records of so many cases, each in two waits, and nothing else."""
    with database(server) as url:
        link = await asyncpg.connect(url)
        await link.execute(_TABLE)
        writer = Writer(link)

        async def one(number: int) -> None:
            case_id = f"case-{number}"
            await writer.append([(case_id, 0, bench_case.FRAME)])
            await writer.append([(case_id, seq, bench_case.FRAME) for seq in range(1, bench_case.RECORDS)])

        await warm(one, callers, operations)
        seconds = await bench_case.by_callers(one, operations, callers)
        await link.close()
    return harness.Run(seconds=seconds, operations=operations)


def peer(server: PostgresServer, *told: str, callers: int) -> harness.External | None:
    """Make a contender of a peer on a database of its own, or None when it is not installed."""
    if bench_case.peer(*told, callers=callers) is None:
        return None

    def run(operations: int) -> harness.Run:
        with database(server) as url:
            contender = bench_case.peer(*told, "--postgres", url, callers=callers)
            assert contender is not None, "it was there a moment ago"
            return contender.run(operations)

    return harness.External(run)


def contenders(server: PostgresServer, callers: int) -> dict[str, harness.Contender | harness.External | None]:
    """Name who takes part."""
    return {
        "bare writer": bench_case.on(bare, server, callers),
        "casework": bench_case.on(cases, server, "called", callers),
        "casework, tools that wait": bench_case.on(cases, server, "awaited", callers),
        "casework, delegated": bench_case.on(cases, server, "delegated", callers),
        **{name: peer(server, *told, callers=callers) for name, told in bench_case.PEERS.items()},
    }


def one_after_another(server: PostgresServer, operations: int, repetitions: int) -> harness.Report:
    """Measure cases of which each begins when the one before is closed."""
    return harness.measure(
        "a durable case of five steps on PostgreSQL, one after another",
        contenders(server, 1),
        floor="bare writer",
        operations=operations,
        repetitions=repetitions,
        reach=[
            harness.Reach(contender="casework", against=name, at_least=PEER_RATIO_ALONE) for name in bench_case.PEERS
        ],
    )


def at_once(server: PostgresServer, operations: int, repetitions: int) -> harness.Report:
    """Measure the cases of a hundred callers."""
    wanted = [harness.Reach(contender=name, at_most=1e6 / least) for name, least in PER_SECOND_MIN.items()]
    against = [
        harness.Reach(contender="casework", against=name, at_least=PEER_RATIO_AT_ONCE) for name in bench_case.PEERS
    ]
    told = [f"{1e6 / least:,.0f} us a case are {least:,} cases a second" for least in PER_SECOND_MIN.values()]
    return harness.measure(
        f"a durable case of five steps on PostgreSQL, {bench_case.said_at_once(operations)}",
        contenders(server, bench_case.AT_ONCE),
        floor="bare writer",
        operations=operations,
        repetitions=repetitions,
        reach=[*against, *wanted],
        note=f"{' and '.join(told)}.",
    )


def answer(operations: int, repetitions: int) -> list[harness.Report]:
    """Measure both ways on one server."""
    few = max(int(operations * SEQUENTIAL_SHARE), 1)
    try:
        with postgres_server(synced=True) as server:
            return [one_after_another(server, few, repetitions), at_once(server, operations, repetitions)]
    except PostgresMissing as error:
        sys.exit(str(error))


if __name__ == "__main__":
    harness.main(answer, operations=600)
