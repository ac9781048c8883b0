"""A process in which a hundred agents at once buy from one budget of 1.00, and which may kill itself while they do.

    python -m tests.support.budget_service STORE OUT [KILL_AT before|after]

With KILL_AT it ends by SIGKILL right before or after a purchase of its own, once so many were made by whomever; else
once nothing can go on by itself.
"""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import anyio

from casework.actors import Crew, ToolContext
from casework.runtime import Flow
from casework.runtime.runtime import Runtime
from casework.runtime.store.base import CaseStatus
from casework.runtime.telemetry import Telemetry
from tests.support.budget_crew import CLERK, CROWD, Asked, Job, buy, guess, job, policy, purchases, think

#: Seconds between two looks at whether other processes still have cases.
LOOK_SECONDS = 0.1
LIMIT = "[budgets]\nagent = 1.00\n"


def crew(kill_at: int, when: str) -> Crew:
    """Make the crew whose process dies when so many things were bought, or more."""

    async def body(arguments: Asked, context: ToolContext) -> str:
        before = len(purchases(Path(context.settings["out"])))
        if when == "before" and before >= kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        value = str(await buy.body(arguments, context))
        if when == "after" and before + 1 >= kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return value

    tools = (think, guess, replace(buy, body=body))
    return Crew("budgets", flows=(Flow.of(job, inputs=Job),), agents=(CLERK,), tools=tools, policy=policy(LIMIT))


async def work(store: str, out: str, kill_at: int, when: str) -> None:
    """Open the cases, or go on with those that are there, until nothing can go on by itself."""
    async with Runtime(crew(kill_at, when), store, settings={"out": out}, telemetry=Telemetry.off()) as runtime:
        for number in range(CROWD):
            await runtime.open("job", f"c{number}", Job(tool="buy"))
        await runtime.wait_idle()
        # What a killed process held is free once its lease is over.
        while await runtime.store.cases(status=CaseStatus.OPEN):
            await anyio.sleep(LOOK_SECONDS)
            await runtime.wait_idle()


if __name__ == "__main__":
    _, url, folder, *rest = sys.argv
    anyio.run(work, url, folder, int(rest[0]) if rest else -1, rest[1] if rest else "")
