"""A crew for tests of the command: its tool works once the input folder has a file `mended`, and until then its case
parks for somebody to say go on."""

from collections.abc import Mapping
from pathlib import Path

import anyio
from msgspec import Struct

from casework.actors import Crew, Intake, KnownFailure, OpenCase, ToolContext, tool
from casework.actors.patterns import Alternative, Use, pattern_flow
from casework.actors.policy import parse_policy
from casework.protocols.wire import RiskTier


class Order(Struct, frozen=True):
    number: str


@tool(tier=RiskTier.READ_ONLY)
async def find(arguments: Order, context: ToolContext) -> str:
    """Find what belongs to an order."""
    if not await anyio.Path(context.settings["input"], "mended").exists():
        raise KnownFailure("the portal is closed today")
    return arguments.number


def intake(folder: Path, settings: Mapping[str, str]) -> Intake:
    """Open one case."""
    return Intake((OpenCase("way", "o-7", Order("o-7")),))


crew = Crew(
    "parking",
    flows=(pattern_flow(Alternative("way", Use("find", Order, str)), inputs=Order, tools=("find",)),),
    tools=(find,),
    policy=parse_policy('name = "parking"\n[flows.way]\ntools = ["find"]\n'),
    intake=intake,
)
