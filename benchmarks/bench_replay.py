"""What does a recorded step cost when its case is read back?

Unit: microseconds for one record, and for one step of the flow with all the records that belong to it, of a case of so
many steps (the number of operations) in memory, from its records to a flow that stands where they end: decoded,
compared, and fed to the flow one at a time. A call is a step with one record; a delegated task is a step with four
(the task, its route, the call that its agent makes, its outcome); mixed are calls, tasks, notes and moments in turn.
Beside it stand what it takes to check the chain of hashes, which a node does first, and to decode the same frames and
do nothing with them.
Then what the steps take in the log, and in a SQLite file when six of them have closed their case: all that the file
grew by for each of a hundred such cases, with its indexes and the rows beside the log.
"""

import statistics
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter

import anyio
import harness
from msgspec import Struct

from casework.actors.agent import Agent, Work, skill
from casework.actors.crew import Crew
from casework.actors.policy import Limits, Policy
from casework.actors.tools import ToolContext, tool
from casework.protocols.codec import decode_entry
from casework.protocols.wire import RiskTier
from casework.runtime.flow.case import Case, Flow
from casework.runtime.flow.reading import Reader
from casework.runtime.runtime import Runtime
from casework.runtime.seams import World
from casework.runtime.store.base import CaseRow, CaseStatus, Record
from casework.runtime.store.chain import broken_at

#: A chapter parks at ten thousand records, so a case has fewer.
STEPS_MAX = 2_000
#: Times that each case is read back; the median counts.
READ_BACK = 15
#: Steps of a case whose size in a file is read, and how many such cases there are.
SHORT_STEPS, CASES = 6, 100
STEP, RECORD, CHAIN, DECODED = "replay of a step", "replay of a record", "chain, a record", "decode alone, a step"
RECORDS, FRAMES, FILE = "records a step", "log, a step", f"file, a case of {SHORT_STEPS} steps"
UNITS = {STEP: "us", RECORD: "us", CHAIN: "us", DECODED: "us", RECORDS: "", FRAMES: "bytes", FILE: "bytes"}


class Number(Struct, frozen=True):
    """What a step is given."""

    number: int


class Steps(Struct, frozen=True):
    """How many steps a case has, and whether it then waits."""

    count: int
    parks: bool = True


@tool(tier=RiskTier.READ_ONLY)
async def double(arguments: Number, context: ToolContext) -> int:
    """Give a small value, as a look-up does."""
    return arguments.number * 2


@skill
async def double_by_call(inputs: Number, work: Work) -> int:
    """Give the same value, as an agent that calls the tool."""
    value: int = await work.call("double", inputs, returns=int)
    return value


async def call(case: Case, number: int) -> object:
    """Be a step that calls."""
    return await case.call("double", Number(number), returns=int)


async def delegate(case: Case, number: int) -> object:
    """Be a step that delegates."""
    return await case.delegate(
        "double-it", Number(number), returns=int, goal="Double the number.", tools=("double",), calls=1
    )


async def note(case: Case, number: int) -> None:
    """Be a step that only writes."""
    await case.note("a line for the reader of the log")


async def moment(case: Case, number: int) -> object:
    """Be a step that asks for the time."""
    return await case.now()


async def steps(case: Case, inputs: Steps, kinds: Sequence[Callable[[Case, int], object]]) -> None:
    """Do the steps in turn."""
    for number in range(inputs.count):
        await kinds[number % len(kinds)](case, number)  # type: ignore[misc]  # each gives something to await
    if inputs.parks:
        await case.park("end", reason="there is more to read than to do")


async def calls(case: Case, inputs: Steps) -> None:
    """Call all the time."""
    await steps(case, inputs, (call,))


async def delegated(case: Case, inputs: Steps) -> None:
    """Delegate all the time."""
    await steps(case, inputs, (delegate,))


async def mixed(case: Case, inputs: Steps) -> None:
    """Do a little of everything."""
    await steps(case, inputs, (call, note, moment, delegate, moment))


DOUBLE = Limits(tools=("double",))
FLOWS = {flow.__name__: flow for flow in (calls, delegated, mixed)}


def crew() -> Crew:
    """Make the smallest crew that can do it."""
    return Crew(
        "bench",
        flows=[Flow.of(flow, inputs=Steps, tools=("double",)) for flow in FLOWS.values()],
        agents=(Agent("agent", {"double-it": double_by_call}, tools=("double",)),),
        tools=(double,),
        policy=Policy(name="bench", agents={"agent": DOUBLE}, flows=dict.fromkeys(FLOWS, DOUBLE)),
    )


async def recorded(flow: str, count: int) -> tuple[CaseRow, Sequence[Record]]:
    """Run a case until it waits, and give its row and its log."""
    async with Runtime(crew(), "memory:") as runtime:
        key = await runtime.open(flow, "case", Steps(count))
        row = await runtime.wait("case")
        assert [wait.key for wait in row.waits] == ["end"], f"it waits for {row.waits}"
        return row, await runtime.store.records(key)


async def close_cases(url: str, flow: str, prefix: str) -> None:
    """Close many short cases in a SQLite file."""
    async with Runtime(crew(), url) as runtime:
        for number in range(CASES):
            await runtime.open(flow, f"case-{prefix}-{number}", Steps(SHORT_STEPS, parks=False))
        await runtime.wait_idle()
        assert all(row.status is CaseStatus.CLOSED for row in await runtime.store.cases())


def file_growth(flow: str) -> float:
    """Give how many bytes a SQLite file grows by for each case that is closed in it."""
    with tempfile.TemporaryDirectory() as folder:
        path, sizes = Path(folder, "cases.db"), list[int]()
        for prefix in ("a", "b"):
            anyio.run(close_cases, f"sqlite:///{path}", flow, prefix)
            sizes.append(path.stat().st_size)
    return (sizes[1] - sizes[0]) / CASES


def read_back(flow: str, operations: int) -> harness.Run:
    """Read a case back again and again, and give the figures."""
    count = min(operations, STEPS_MAX)
    row, records = anyio.run(recorded, flow, count)
    reader = Reader(crew().flows, World(), "")

    def read() -> None:
        reading = reader.read(row, records)
        assert reading.engine is not None, reading.reason
        reading.engine.close()

    seconds = taken(read)
    bytes_logged = sum(len(each.frame) + len(each.hash) + len(each.step_id) for each in records)
    told = {
        STEP: seconds / count * 1e6,
        RECORD: seconds / len(records) * 1e6,
        CHAIN: taken(lambda: broken_at(row, records)) / len(records) * 1e6,
        DECODED: taken(lambda: [decode_entry(each.frame) for each in records]) / count * 1e6,
        RECORDS: len(records) / count,
        FRAMES: bytes_logged / count,
        FILE: file_growth(flow),
    }
    return harness.Run(seconds=seconds, operations=count, figures=told)


def taken(function: Callable[[], object]) -> float:
    """Give the median seconds of several calls."""
    times: list[float] = []
    for _ in range(READ_BACK):
        begun = perf_counter()
        function()
        times.append(perf_counter() - begun)
    return statistics.median(times)


def answer(operations: int, repetitions: int) -> list[harness.Report]:
    """Read the three kinds back."""
    return [
        harness.observe(
            "a recorded step, read back",
            {flow: partial(read_back, flow) for flow in FLOWS},
            units=UNITS,
            operations=operations,
            repetitions=repetitions,
            reach=[harness.Reach(contender=flow, what=RECORD, at_most=10.0) for flow in FLOWS],
            note="The log counts frames, hashes and step ids; opening and wait are shared out among the steps.",
        )
    ]


if __name__ == "__main__":
    harness.main(answer, operations=STEPS_MAX)
