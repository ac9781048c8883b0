"""What a case waits for whose task stopped is as its log has it, before its process died and afterwards."""

import anyio
import pytest
from msgspec import Struct
from msgspec.structs import replace

from casework.actors import Agent, Crew, Policy, Work, WorkFailed, skill
from casework.actors.testing import CaseBench
from casework.protocols.wire import FailureKind, OnStop
from casework.runtime import Case, Flow
from casework.runtime.store.verify import verify
from casework.runtime.store.waitcheck import odd_wait


class Asked(Struct, frozen=True):
    number: int


@skill
async def fails(inputs: Asked, work: Work) -> int:
    raise WorkFailed("the portal is closed", kind=FailureKind.UNAVAILABLE)


async def parks(case: Case, inputs: Asked) -> int:
    return (await case.delegate("fails", inputs, returns=int, goal="it", attempts=1)).value


async def asks(case: Case, inputs: Asked) -> int:
    return (await case.delegate("fails", inputs, returns=int, goal="it", attempts=1, on_stop=OnStop.REVIEW)).value


FLOWS = [Flow.of(each, inputs=Asked) for each in (parks, asks)]
CREW = Crew("stops", agents=[Agent("clerk", {"fails": fails})], flows=FLOWS, policy=Policy(name="stops"))


@pytest.mark.parametrize("flow", ["parks", "asks"])
async def test_a_case_whose_task_stopped_is_as_written_and_one_that_says_another_reason_is_not(flow: str) -> None:
    with anyio.fail_after(10):
        async with CaseBench(CREW) as bench:
            await bench.open(flow, "c1", Asked(1))
            assert await verify(bench.store) == []
            await bench.crash()
            assert await verify(bench.store) == []
            for wait in list(bench.row("c1").waits):
                if wait.kind == "operator":
                    await bench.deliver(wait.key)
            assert await verify(bench.store) == []
            row, records = bench.row("c1"), await bench.store.records(bench.row("c1").key)
            (wait,) = row.waits
            other = replace(row, waits=(replace(wait, reason="nothing is wrong"),))
            assert "its log does not" in odd_wait(other, records)
