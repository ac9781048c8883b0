"""A process that works on a PostgreSQL store, and opens what it is told to open.

    python -m tests.support.switched_service STORE

reads the ids of cases, one a line, opens each if it is not there and says where it stands once it rests: its result,
or what it waits for. At the end of its input it drains.
"""

import sys

import anyio

from casework.actors import Crew, ToolContext, tool
from casework.actors.policy import parse_policy
from casework.protocols.wire import RiskTier
from casework.runtime import Case, Flow
from casework.runtime.runtime import Runtime
from casework.runtime.telemetry import Telemetry
from tests.support.refund_crew import Refund


@tool(tier=RiskTier.READ_ONLY)
async def limit(arguments: Refund, context: ToolContext) -> int:
    """Look up a limit."""
    return arguments.euros


async def reads(case: Case, inputs: Refund) -> int:
    """Look up a limit."""
    return await case.call("limit", inputs, returns=int)


CREW = Crew(
    "switched",
    flows=(Flow.of(reads, inputs=Refund, tools=("limit",)),),
    tools=(limit,),
    policy=parse_policy('name = "switched"\n[flows.reads]\ntools = ["limit"]\n'),
)


async def work(store: str) -> None:
    """Open, wait and tell, until nobody tells anything any more."""
    async with Runtime(CREW, store, telemetry=Telemetry.off()) as runtime:
        while line := (await anyio.to_thread.run_sync(sys.stdin.readline)).strip():
            await runtime.open("reads", line, Refund("c", 40))
            row = await runtime.wait(line)
            print(row.result or row.waits[0].key, flush=True)


if __name__ == "__main__":
    anyio.run(work, sys.argv[1])
