"""A crew of which one call holds money until it is told to end, and a process that is killed as that money is free.

    python -m tests.support.freeing_crew STORE [KILL]

opens a case that holds what another one needs, has it give most of that back, and ends once nothing can go on by
itself; with KILL it ends by SIGKILL when it is about to look who waits for money.
"""

import os
import signal
import sys
from dataclasses import replace

import anyio

from casework.actors import Crew, ToolContext
from casework.runtime import Flow
from casework.runtime.flow.waiters import Waiters
from casework.runtime.runtime import Runtime
from casework.runtime.store.base import Store
from casework.runtime.telemetry import Telemetry
from tests.support.budget_crew import CLERK, Asked, Job, buy, guess, job, policy, spend, think

#: What a call costs that holds the most that it may cost until it is told to end.
HELD = 7
#: What the agent may spend: one call at a time may hold the most that it may cost, and then little is left.
LIMIT = "[budgets]\nagent = 0.03\n"


class Desk:
    """Has calls begin and end when a test says so."""

    def __init__(self, text: str = LIMIT) -> None:
        self.began = anyio.Event()
        self.go = anyio.Event()

        async def body(arguments: Asked, context: ToolContext) -> str:
            if arguments.micros == HELD:
                self.began.set()
                await self.go.wait()
            spend(arguments, context)
            return "thought"

        tools = (replace(think, body=body), guess, buy)
        self.crew = Crew(
            "budgets", flows=(Flow.of(job, inputs=Job),), agents=(CLERK,), tools=tools, policy=policy(text)
        )

    def runtime(self, store: str | Store) -> Runtime:
        """Make a runtime of its crew."""
        return Runtime(self.crew, store, telemetry=Telemetry.off())


async def work(store: str, *, kill: bool) -> None:
    """Open the cases, or go on with those that are there, until nothing can go on by itself."""
    desk = Desk()
    if kill:
        Waiters.settled = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]
    else:
        desk.go.set()
    async with desk.runtime(store) as runtime:
        if kill:
            await runtime.open("job", "holds", Job(micros=HELD))
            await desk.began.wait()
            await runtime.open("job", "waits", Job(micros=5))
            await runtime.wait("waits")
            desk.go.set()
        await runtime.wait_idle()


if __name__ == "__main__":
    _, url, *rest = sys.argv
    anyio.run(lambda: work(url, kill=bool(rest)))
