"""A process that runs cases on a file until they rest, for tests that see it die.

The tool of `deadly` ends the process; `slow` first waits for a while, so it is under way when that happens; `steady`
makes one record after another.
"""

import os
import sys

import anyio

from casework.runtime.flow.case import Case
from casework.runtime.runtime import Runtime
from casework.runtime.telemetry import Telemetry
from tests.support.flow_scene import Ask, crew
from tests.support.small_staff import SmallTool


async def dying(arguments: object) -> int:
    await anyio.sleep(0.05)
    os._exit(9)


async def waiting(arguments: object) -> int:
    await anyio.sleep(0.1)
    return 1


async def deadly(case: Case, inputs: Ask) -> None:
    await case.call("die", {}, returns=int)


async def slow(case: Case, inputs: Ask) -> None:
    await case.call("wait", {}, returns=int)


async def steady(case: Case, inputs: Ask) -> None:
    for number in range(inputs.n):
        await case.call("wait", {"number": number}, returns=int)


async def main(url: str, flows: list[str]) -> None:
    staff = crew(deadly, slow, steady, tools={"die": SmallTool(dying), "wait": SmallTool(waiting)})
    async with Runtime(staff, url, telemetry=Telemetry.off()) as machine:
        for number, flow in enumerate(flows):
            await machine.open(flow, f"c{number}", Ask(20))
        print("ready", flush=True)
        for number in range(len(flows)):
            await machine.wait(f"c{number}")


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2:])
