"""A small real crew for tests of the command: each text file of the input folder says what its case does.

`ok` is read by an agent and closes, `break` breaks that agent until the folder has a file `mended`, `wait` parks for
`paper:<name>`, `ask` asks a person, `bad` tells of bad input; `slow` waits longer than any test, and the agent of
`hold` until somebody writes to the pipe beside the folder. Run it as `tiny_crew:crew` from this folder.
"""

from collections.abc import Mapping
from pathlib import Path

import anyio
import anyio.to_thread
from msgspec import Struct

from casework.actors import Agent, Crew, Intake, OpenCase, Policy, Work, skill
from casework.actors.intake import Problem
from casework.runtime import Case, Flow

#: Name of the pipe that holds an agent up.
PIPE = "hold"
#: Name of the file in the input folder that mends the agent.
MENDED = "mended"


class Line(Struct, frozen=True, kw_only=True):
    """One file."""

    name: str
    text: str


class Amount(Struct, frozen=True, kw_only=True):
    """What a person is asked about."""

    amount: str
    pieces: int = 1


@skill
async def read(inputs: Line, work: Work) -> str:
    """Read a line aloud."""
    if inputs.text == "hold":
        pipe = Path(work.settings["input"]).parent / PIPE
        return await anyio.to_thread.run_sync(pipe.read_text, abandon_on_cancel=True)
    if inputs.text == "break" and not await anyio.Path(work.settings["input"], MENDED).exists():
        raise ValueError(inputs.text)
    return inputs.text.upper()


async def line(case: Case, inputs: Line) -> str:
    """Do what a file says."""
    if inputs.text == "wait":
        arrived = await case.park(f"paper:{inputs.name}", reason="the paper is missing")
        return arrived.evidence.label if arrived.evidence else ""
    if inputs.text == "ask":
        reviewed = await case.review("How much?", Amount(amount="1.00"), rule="unclear")
        return f"{reviewed.action} {reviewed.value.amount} {reviewed.value.pieces}"
    if inputs.text == "slow":
        await case.sleep(3600)
    if inputs.text == "bad":
        await case.note("this is no line", level="error", place=f"{inputs.name}.txt:1")
        return ""
    result = await case.delegate("read", inputs, returns=str, goal=f"Read {inputs.name} \x1b[31maloud\x07")
    await case.decide("voice", ["low", "high"], "low", rule="quiet", confidence=0.9)
    return result.value


def intake(folder: Path, settings: Mapping[str, str]) -> Intake:
    """Open a case for each text file; other files are told."""
    files = sorted(folder.iterdir())
    texts = [Line(name=file.stem, text=file.read_text().strip()) for file in files if file.suffix == ".txt"]
    problems = [Problem(file=file.name, text="is no text", line=3) for file in files if file.suffix != ".txt"]
    return Intake(tuple(OpenCase("line", each.name, each) for each in texts), problems=tuple(problems))


crew = Crew(
    "tiny",
    flows=(Flow.of(line, inputs=Line),),
    agents=(Agent("reader", {"read": read}),),
    policy=Policy(name="tiny"),
    intake=intake,
)
