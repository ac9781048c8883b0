"""How many durable five-step cases a second, one after another and 100 at once?

Unit: microseconds for one case (a million of them by cases a second), from opening it until it is seen closed. The
store is a SQLite file in WAL mode with synchronous=FULL. A case is five calls of an unpriced tool that only reads,
each through the gate and into the log. The tool awaits nothing, as the steps of the peers; "tools that wait" let others
go first, as a look-up on another machine does, and `delegated` is five tasks for five agents. "100 at once" is a
hundred callers, each of whom opens its next case when its last one is closed.
The floor is a bare group-commit writer: one thread that drains a queue, as many records as a case has, of the same
size, in two commits (one opens, one closes). The peers run five steps of their own, each durable before the next
begins; start-up and warm-up are left out for everybody. Peers do fewer of many cases, for they are slow.
How often a case waits for the disk is counted in a run of its own: commits that changed the file (the node's lease is
renewed once a second among them), divided by the cases. The floor has two when it goes one after another.
The figures that are asked for are those on asyncio, as the peers run; uvloop is shown beside them.
"""

import asyncio
import queue
import sqlite3
import tempfile
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from time import perf_counter

import anyio
import anyio.lowlevel
import backends
import harness
import peers
from msgspec import Struct

from casework.actors.agent import Agent, Work, skill
from casework.actors.crew import Crew
from casework.actors.policy import Limits, Policy
from casework.actors.tools import ToolContext, tool
from casework.protocols.records import CaseResult
from casework.protocols.wire import RiskTier
from casework.runtime.flow.case import Case, Flow
from casework.runtime.runtime import Runtime
from casework.runtime.seams import World
from casework.runtime.store.base import CaseKey
from casework.runtime.store.sqlite_writer import POINT_COMMIT_AFTER

STEPS = 5
AT_ONCE = 100
#: What a five-step case leaves in the log: opened, five calls, closed.
RECORDS = STEPS + 2
#: One record's frame and hash, of the length that they have on average in such a case.
FRAME = bytes(147)
#: Part of the operations that are done one after another: each of these waits for the disk alone.
SEQUENTIAL_SHARE = 1 / 30
#: A peer does at most so many cases, two for each caller at once, so that nobody waits minutes for it.
PEER_CASES_MAX = 2 * AT_ONCE
#: Each contender's peer, and what its script is told.
PEERS = {"langgraph": ("langgraph",), "dbos": ("dbos",), "dbos, coroutines": ("dbos", "--coroutines")}
#: What is asked of a hundred callers together, in cases a second.
PER_SECOND_MIN = 2_000
OF_THE_FLOOR = harness.Reach(contender="casework", against="bare writer", at_least=0.25)


class Number(Struct, frozen=True):
    """What a step is given."""

    number: int


@tool(tier=RiskTier.READ_ONLY)
async def double(arguments: Number, context: ToolContext) -> int:
    """Give a small value, as a look-up does."""
    return arguments.number * 2


@tool(tier=RiskTier.READ_ONLY)
async def double_later(arguments: Number, context: ToolContext) -> int:
    """Give the same value after others had their turn, as a look-up elsewhere does."""
    await anyio.lowlevel.checkpoint()
    return arguments.number * 2


@skill
async def double_by_hand(inputs: Number, work: Work) -> int:
    """Give the same value, as an agent."""
    return inputs.number * 2


async def called(case: Case, inputs: Number) -> int:
    """Call the tool five times, with what came back before."""
    value = inputs.number
    for _ in range(STEPS):
        value = await case.call("double", Number(value), returns=int)
    return value


async def awaited(case: Case, inputs: Number) -> int:
    """Call the tool that waits five times."""
    value = inputs.number
    for _ in range(STEPS):
        value = await case.call("double_later", Number(value), returns=int)
    return value


async def delegated(case: Case, inputs: Number) -> int:
    """Give each of the five agents one task, with what came back before."""
    value = inputs.number
    for place in range(STEPS):
        done = await case.delegate(f"double-{place}", Number(value), returns=int, goal="Double the number.")
        value = done.value
    return value


def crew() -> Crew:
    """Make the smallest crew that can do both."""
    return Crew(
        "bench",
        flows=(
            Flow.of(called, inputs=Number, tools=("double",)),
            Flow.of(awaited, inputs=Number, tools=("double_later",)),
            Flow.of(delegated, inputs=Number),
        ),
        agents=[Agent(f"agent-{place}", {f"double-{place}": double_by_hand}) for place in range(STEPS)],
        tools=(double, double_later),
        policy=Policy(
            name="bench", flows={"called": Limits(tools=("double",)), "awaited": Limits(tools=("double_later",))}
        ),
    )


async def by_callers(one: Callable[[int], Awaitable[None]], operations: int, callers: int) -> float:
    """Do `one` for each number, by so many callers side by side; give the seconds it took."""
    numbers = iter(range(1, operations + 1))

    async def caller() -> None:
        for number in numbers:
            await one(number)

    begun = perf_counter()
    async with anyio.create_task_group() as group:
        for _ in range(min(callers, operations)):
            group.start_soon(caller)
    return perf_counter() - begun


class Waits:
    """Counts the commits that changed the file: each of them waited for the disk once."""

    def __init__(self, path: Path) -> None:
        self.count = 0
        self._path = path
        self._version = -1
        self._reader: sqlite3.Connection | None = None

    def point(self, name: str) -> None:
        """Be at a fault point, on the writer's thread."""
        if name != POINT_COMMIT_AFTER:
            return
        if self._reader is None:
            self._reader = sqlite3.connect(self._path, check_same_thread=False)
        # A claim that finds nothing is a transaction too, but writes no page and waits for nothing.
        (version,) = self._reader.execute("PRAGMA data_version").fetchone()
        self.count += version != self._version
        self._version = version

    def close(self) -> None:
        """Let go of the file."""
        if self._reader is not None:
            self._reader.close()


async def cases(flow: str, callers: int, operations: int) -> harness.Run:
    """Open cases and wait until each is closed."""
    with tempfile.TemporaryDirectory() as folder:
        async with Runtime(crew(), f"sqlite:///{folder}/cases.db") as runtime:
            seconds = await by_callers(partial(one_case, runtime, flow), operations, callers)
    return harness.Run(seconds=seconds, operations=operations)


async def counted(flow: str, callers: int, operations: int) -> harness.Run:
    """Do the same with the waits for the disk counted."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "cases.db")
        waits = Waits(path)
        async with Runtime(crew(), f"sqlite:///{path}", world=World(faults=waits)) as runtime:
            before = waits.count
            seconds = await by_callers(partial(one_case, runtime, flow), operations, callers)
            told = {"waits for the disk": (waits.count - before) / operations}
            log = await runtime.store.records(CaseKey("default", "case-1"))
            told["records"] = float(len(log))
            told["bytes of frame and hash"] = sum(len(each.frame) + len(each.hash) for each in log) / len(log)
        waits.close()
    return harness.Run(seconds=seconds, operations=operations, figures=told)


async def one_case(runtime: Runtime, flow: str, number: int) -> None:
    """Open a case and wait until it is closed."""
    case_id = f"case-{number}"
    await runtime.open(flow, case_id, Number(number))
    row = await runtime.wait(case_id)
    assert row.result == CaseResult.COMPLETED, f"{case_id} ended {row.result or row.waits}"


#: The rows of one commit, and who waits for it.
Entry = tuple[list[tuple[str, int, bytes]], asyncio.Future[None]]


async def bare(callers: int, operations: int) -> harness.Run:
    """Append the records of so many cases, each in two waits, and nothing else."""
    loop = asyncio.get_running_loop()
    entries: queue.SimpleQueue[Entry | None] = queue.SimpleQueue()

    async def append(rows: list[tuple[str, int, bytes]]) -> None:
        durable = loop.create_future()
        entries.put((rows, durable))
        await durable

    async def one(number: int) -> None:
        case_id = f"case-{number}"
        await append([(case_id, 0, FRAME)])
        await append([(case_id, seq, FRAME) for seq in range(1, RECORDS)])

    with tempfile.TemporaryDirectory() as folder:
        connection = _bare_file(Path(folder, "bare.db"))
        thread = threading.Thread(target=_write, args=(connection, entries, loop))
        thread.start()
        seconds = await by_callers(one, operations, callers)
        entries.put(None)
        thread.join()
        connection.close()
    return harness.Run(seconds=seconds, operations=operations)


def _bare_file(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE log (case_id TEXT, seq INTEGER, frame BLOB)")
    return connection


def _write(
    connection: sqlite3.Connection, entries: "queue.SimpleQueue[Entry | None]", loop: asyncio.AbstractEventLoop
) -> None:
    entry = entries.get()
    while entry is not None:
        rows, waiting = list[tuple[str, int, bytes]](), list[asyncio.Future[None]]()
        while entry is not None:
            rows += entry[0]
            waiting.append(entry[1])
            if entries.empty():
                break
            entry = entries.get()
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO log VALUES (?, ?, ?)", rows)
        connection.execute("COMMIT")
        loop.call_soon_threadsafe(_wake, waiting)
        entry = entries.get() if entry is not None else None


def _wake(waiting: list[asyncio.Future[None]]) -> None:
    for durable in waiting:
        durable.set_result(None)


def on(function: Callable[..., Awaitable[harness.Run]], *given: object) -> harness.Contender:
    """Make a contender of a coroutine function, on asyncio."""
    return lambda operations: anyio.run(partial(function, *given, operations))


def peer(name: str, *options: str, callers: int) -> harness.External | None:
    """Make a contender of a peer, or None when it is not installed."""
    if not peers.installed(name):
        return None
    command = [str(peers.interpreter(name)), str(peers.SCRIPTS / f"{name}_case.py"), "--at-once", str(callers)]
    return harness.External(lambda operations: peers.run([*command, *options], min(operations, PEER_CASES_MAX)))


def said_at_once(operations: int) -> str:
    """Say how many cases run side by side: a small run has fewer callers."""
    return f"{min(AT_ONCE, operations)} at once"


def one_after_another(operations: int, repetitions: int) -> harness.Report:
    """Measure cases of which each begins when the one before is closed."""
    reach = [harness.Reach(contender="casework", against=name, at_least=3) for name in PEERS]
    return harness.measure(
        "a durable case of five steps, one after another",
        _contenders(1),
        floor="bare writer",
        operations=operations,
        repetitions=repetitions,
        reach=[*reach, OF_THE_FLOOR],
    )


def at_once(operations: int, repetitions: int) -> harness.Report:
    """Measure the cases of a hundred callers."""
    reach = [harness.Reach(contender="casework", against=name, at_least=30) for name in PEERS]
    return harness.measure(
        f"a durable case of five steps, {said_at_once(operations)}",
        _contenders(AT_ONCE),
        floor="bare writer",
        operations=operations,
        repetitions=repetitions,
        reach=[*reach, OF_THE_FLOOR, harness.Reach(contender="casework", at_most=1e6 / PER_SECOND_MIN)],
        note=f"{1e6 / PER_SECOND_MIN:g} us a case are {PER_SECOND_MIN:,} cases a second.",
    )


def waits(operations: int) -> harness.Report:
    """Count what a case asks of the disk."""
    ways = (("one after another", 1), (said_at_once(operations), AT_ONCE))
    return harness.observe(
        "what a durable case of five steps asks of the disk",
        {f"{flow}, {said}": on(counted, flow, callers) for flow in ("called", "delegated") for said, callers in ways},
        units={"waits for the disk": "a case", "records": "a case", "bytes of frame and hash": "a record"},
        operations=operations,
        repetitions=1,
    )


def _contenders(callers: int) -> dict[str, harness.Contender | harness.External | None]:
    return {
        "bare writer": on(bare, callers),
        "casework": on(cases, "called", callers),
        "casework, tools that wait": on(cases, "awaited", callers),
        "casework, delegated": on(cases, "delegated", callers),
        "casework, uvloop": _on_uvloop("called", callers),
        "casework, delegated, uvloop": _on_uvloop("delegated", callers),
        **{name: peer(*told, callers=callers) for name, told in PEERS.items()},
    }


def _on_uvloop(flow: str, callers: int) -> harness.Contender | None:
    return backends.on("uvloop", partial(cases, flow, callers)) if "uvloop" in backends.BACKENDS else None


def answer(operations: int, repetitions: int) -> list[harness.Report]:
    """Measure both ways, and count the waits for the disk."""
    few = max(int(operations * SEQUENTIAL_SHARE), 1)
    return [
        one_after_another(few, repetitions),
        at_once(operations, repetitions),
        waits(max(operations // 10, 1)),
    ]


if __name__ == "__main__":
    harness.main(answer, operations=1_000)
