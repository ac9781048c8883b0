"""DBOS's five-step case: a workflow of five steps, its system database a SQLite file, or PostgreSQL (`--postgres URL`).

Used as its documentation has it: `DBOS.workflow` and `DBOS.step`, the workflow called directly for one case after
another, workflows started in the background and their handles for many at once, OpenTelemetry off. Functions, which
it runs in threads, are faster on a quiet machine and coroutines (`--coroutines`) on a busy one, so both are measured;
enqueued workflows were slower than the better of the two whenever tried. It sets no journal mode, so its file is given
WAL beforehand, with which it was faster whenever tried; `synchronous` it leaves alone, and SQLite's default is FULL.
It does not know what it is compared with.
"""
# mypy: ignore-errors
# DBOS is installed in its own environment only: nothing of it is known to our checker.

import argparse
import asyncio
import sqlite3
import tempfile
from collections import deque
from pathlib import Path
from time import perf_counter

import common
from dbos import DBOS, DBOSConfig, WorkflowHandle

STEPS = 5


@DBOS.step()
def double(number: int) -> int:
    """Give a small value, as a look-up does."""
    return number * 2


@DBOS.workflow()
def case(number: int) -> int:
    """Take five steps."""
    for _ in range(STEPS):
        number = double(number)
    return number


@DBOS.step()
async def double_async(number: int) -> int:
    """Give the same value, in a coroutine."""
    return number * 2


@DBOS.workflow()
async def case_async(number: int) -> int:
    """Take five steps, in coroutines."""
    for _ in range(STEPS):
        number = await double_async(number)
    return number


def run(count: int, at_once: int) -> None:
    """Run so many cases, at most `at_once` side by side."""
    if at_once == 1:
        for number in range(count):
            assert case(number) == number * 2**STEPS
        return
    handles: deque[WorkflowHandle[int]] = deque()
    for number in range(count):
        if len(handles) == at_once:
            handles.popleft().get_result()
        handles.append(DBOS.start_workflow(case, number))
    for handle in handles:
        handle.get_result()


async def run_async(count: int, at_once: int) -> None:
    """Run so many cases, by `at_once` callers."""
    numbers = iter(range(count))

    async def caller() -> None:
        for number in numbers:
            if at_once == 1:
                value = await case_async(number)
            else:
                value = await (await DBOS.start_workflow_async(case_async, number)).get_result()
            assert value == number * 2**STEPS

    await asyncio.gather(*(caller() for _ in range(min(at_once, count))))


def measured(operations: int, at_once: int) -> float:
    """Run so many cases after a warm-up; give the seconds."""
    run(common.warm_up(operations), at_once)
    begun = perf_counter()
    run(operations, at_once)
    return perf_counter() - begun


async def measured_async(operations: int, at_once: int) -> float:
    """Do the same in coroutines."""
    await run_async(common.warm_up(operations), at_once)
    begun = perf_counter()
    await run_async(operations, at_once)
    return perf_counter() - begun


def sqlite_file(path: Path) -> str:
    """Make a file in WAL mode, and give its URL."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    return f"sqlite:///{path}"


def main() -> None:
    """Print what was measured as one JSON object."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--operations", type=int, default=100)
    parser.add_argument("--at-once", type=int, default=1)
    parser.add_argument("--coroutines", action="store_true")
    parser.add_argument("--postgres", metavar="URL", default="")
    options = parser.parse_args()
    wanted = (options.operations, options.at_once)
    with tempfile.TemporaryDirectory() as folder:
        url = options.postgres or sqlite_file(Path(folder, "cases.db"))
        DBOS(config=DBOSConfig(name="bench", system_database_url=url, log_level="ERROR"))
        DBOS.launch()
        try:
            seconds = asyncio.run(measured_async(*wanted)) if options.coroutines else measured(*wanted)
        finally:
            DBOS.destroy()
    common.tell(seconds, options.operations)


if __name__ == "__main__":
    main()
