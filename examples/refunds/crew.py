"""The refund crew: nine agents, their tools, one flow, one policy; run it as `examples.refunds.crew:crew`.

It does not know where its input lies; `casework run` says so.
"""

from collections.abc import Mapping
from pathlib import Path

from casework.actors import Crew, Intake, OpenCase
from examples.inputs import read_each
from examples.refunds.agents import AGENTS
from examples.refunds.flows import FLOW
from examples.refunds.messages import Request
from examples.refunds.tools import TOOLS


def intake(folder: Path, settings: Mapping[str, str]) -> Intake:
    """Open a case for each request of the folder; one that cannot be read is told with its file."""
    found, problems = read_each(folder / "requests", Request)
    openings = tuple(OpenCase("resolve_refund", each.id, each) for each in found)
    return Intake(openings=openings, problems=tuple(problems))


crew = Crew(
    name="refunds",
    version="1",
    agents=AGENTS,
    tools=TOOLS,
    flows=(FLOW,),
    policy=Path(__file__).with_name("policy.toml"),
    intake=intake,
    scenario="examples.refunds.simulation:Counter",
)
