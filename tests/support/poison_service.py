"""A process that runs cases on a file until they rest, for tests that see it die.

The tool of `deadly` ends the process, and so does an agent of `beside`, which goes on without it; `slow` first waits
for a while, so it is under way when that happens; `steady` makes one record after another; `hears` takes papers of
which some end the process, unless it was mended.
"""

import os
import sys

import anyio

from casework.protocols.codec import unpack
from casework.protocols.wire import OnStop
from casework.runtime.errors import TaskFailed
from casework.runtime.flow.case import Case
from casework.runtime.runtime import Runtime
from casework.runtime.telemetry import Telemetry
from tests.support.flow_scene import Ask, crew
from tests.support.small_staff import SmallTool

#: Papers that `hears` takes in all.
PAPERS = 3


async def dying(arguments: object) -> int:
    await anyio.sleep(0.05)
    os._exit(9)


async def waiting(arguments: object) -> int:
    await anyio.sleep(0.1)
    return 1


async def deadly(case: Case, inputs: Ask) -> None:
    await case.call("die", {}, returns=int)


async def beside(case: Case, inputs: Ask) -> list[str]:
    return await case.gather(_tried(case, "die"), _tried(case, "live"))


async def _tried(case: Case, task: str) -> str:
    try:
        return (await case.delegate(task, {}, returns=str, goal="live", on_stop=OnStop.FAIL)).value
    except TaskFailed as failed:
        return f"{failed.kind}: {failed}"


async def fatal(inputs: object, call: object) -> str:
    await dying(inputs)
    return "never"


async def living(inputs: object, call: object) -> str:
    return "lives"


async def slow(case: Case, inputs: Ask) -> None:
    await case.call("wait", {}, returns=int)


async def steady(case: Case, inputs: Ask) -> None:
    for number in range(inputs.n):
        await case.call("wait", {"number": number}, returns=int)


async def hears(case: Case, inputs: Ask) -> list[str]:
    papers: list[str] = []
    while len(papers) < PAPERS:
        paper = unpack((await case.park("paper", reason="r")).value, str)
        if paper.startswith("deadly") and "MENDED" not in os.environ:
            os._exit(9)
        papers.append(paper)
    return papers


async def main(url: str, flows: list[str]) -> None:
    tools = {"die": SmallTool(dying), "wait": SmallTool(waiting)}
    staff = crew(deadly, beside, slow, steady, hears, tools=tools, doers={"die": fatal, "live": living})
    async with Runtime(staff, url, telemetry=Telemetry.off()) as machine:
        for number, flow in enumerate(flows):
            await machine.open(flow, f"c{number}", Ask(20))
        print("ready", flush=True)
        for number in range(len(flows)):
            await machine.wait(f"c{number}")


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2:])
