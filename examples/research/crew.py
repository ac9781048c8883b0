"""The research crew: four agents, their tools, one flow, one policy; run it as `examples.research.crew:crew`.

It does not know where its input lies; `casework run` says so.
"""

from collections.abc import Mapping
from pathlib import Path

from casework.actors import Crew, Intake, OpenCase
from examples.inputs import read_each
from examples.research.agents import AGENTS
from examples.research.flows import FLOW
from examples.research.messages import Question
from examples.research.tools import TOOLS


def intake(folder: Path, settings: Mapping[str, str]) -> Intake:
    """Open a case for each question of the folder; one that cannot be read is told with its file."""
    found, problems = read_each(folder / "questions", Question)
    openings = tuple(OpenCase("answer", each.id, each) for each in found)
    return Intake(openings=openings, problems=tuple(problems))


crew = Crew(
    name="research",
    version="1",
    agents=AGENTS,
    tools=TOOLS,
    flows=(FLOW,),
    policy=Path(__file__).with_name("policy.toml"),
    intake=intake,
    scenario="examples.research.simulation:Library",
)
