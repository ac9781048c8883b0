"""A process that works on a case whose task wants a paused tool, by a clock that is so many seconds ahead.

Asked to `hold`, it pauses the tool, opens the case, says when it is parked, and waits to be killed; asked to `let`, it
resumes the tool and says how the case ended.
"""

import sys
from dataclasses import replace

import anyio
from msgspec import Struct

from casework.actors import Agent, Crew, ToolContext, Work, skill, tool
from casework.actors.policy import Limits, Policy
from casework.protocols.wire import OnStop, RiskTier
from casework.runtime import Case, Flow, Runtime
from casework.runtime.seams import MICROS, SystemClock, World
from casework.runtime.store.base import CaseRow
from casework.runtime.switchboard import pause, resume

#: Seconds that the task has of its own.
OWN_SECONDS = 60.0


class Asked(Struct, frozen=True):
    number: int = 0


class AheadClock(SystemClock):
    """The machine's clock, whose wall is ahead."""

    def __init__(self, seconds: float) -> None:
        self._ahead = int(seconds * MICROS)

    def wall_micros(self) -> int:
        return super().wall_micros() + self._ahead


@tool(tier=RiskTier.READ_ONLY)
async def rate(arguments: Asked, context: ToolContext) -> int:
    """Say a rate."""
    return 7


@skill
async def look(inputs: Asked, work: Work) -> int:
    """Look the rate up."""
    return await work.call("rate", inputs, returns=int)


async def looks(case: Case, inputs: Asked) -> int:
    """Have the rate looked up."""
    asked = case.delegate(
        "look", inputs, returns=int, goal="it", tools=["rate"], deadline_seconds=OWN_SECONDS, on_stop=OnStop.FAIL
    )
    return (await asked).value


CREW = Crew(
    "held",
    flows=[Flow.of(looks, inputs=Asked)],
    agents=[Agent("clerk", {"look": look}, tools=("rate",))],
    tools=[rate],
    policy=Policy(name="held", agents={"clerk": Limits(tools=("rate",))}),
)


async def main(url: str, ahead: float, what: str) -> None:
    world = replace(World(), clock=AheadClock(ahead))
    async with Runtime(CREW, url, world=world) as runtime:
        if what == "hold":
            await pause(runtime, "tool:rate", by="ann", reason="odd", world=world)
            await runtime.open("looks", "c1", Asked())
            _say(await runtime.wait("c1"))
            await anyio.sleep_forever()
        await resume(runtime, "tool:rate", by="ann", reason="fine", world=world)
        _say(await runtime.wait("c1"))


def _say(row: CaseRow) -> None:
    print(row.status.value, row.result or row.waits[0].key, flush=True)


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], float(sys.argv[2]), sys.argv[3])
