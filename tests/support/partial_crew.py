"""A crew whose cases fail after two writes, one of which nothing undoes: for tests of the command.

Its tools write files into the folder `out`. Run it as `partial_crew:crew` from this folder.
"""

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from casework.actors import Crew, Intake, KnownFailure, OpenCase, Policy, ToolContext, tool
from casework.actors.policy import Limits
from casework.protocols import RiskTier
from casework.runtime import Case, Flow


class Parcel(Struct, frozen=True, kw_only=True):
    """One file of the input folder."""

    name: str


def _file(parcel: Parcel, context: ToolContext, kind: str) -> Path:
    return Path(context.settings["out"]) / f"{parcel.name}.{kind}"


async def bought(parcel: Parcel, result: str, context: ToolContext) -> bool:
    """Say whether the label is there."""
    return _file(parcel, context, "label").exists()


async def cancelled(parcel: Parcel, result: str, context: ToolContext) -> bool:
    """Say whether the label is gone."""
    return not _file(parcel, context, "label").exists()


async def sent(parcel: Parcel, result: str, context: ToolContext) -> bool:
    """Say whether the letter is there."""
    return _file(parcel, context, "letter").exists()


@tool(tier=RiskTier.REVERSIBLE, verify=bought, undo="cancel", keyed=True)
async def buy(parcel: Parcel, context: ToolContext) -> str:
    """Buy a label."""
    _file(parcel, context, "label").write_text("label")
    return parcel.name


@tool(tier=RiskTier.REVERSIBLE, verify=cancelled, undo="buy", keyed=True)
async def cancel(parcel: Parcel, context: ToolContext) -> str:
    """Cancel it."""
    _file(parcel, context, "label").unlink()
    return parcel.name


@tool(tier=RiskTier.IRREVERSIBLE, verify=sent, keyed=True)
async def send(parcel: Parcel, context: ToolContext) -> str:
    """Send a letter; nothing takes it back."""
    _file(parcel, context, "letter").write_text("letter")
    return parcel.name


@tool(tier=RiskTier.IRREVERSIBLE, verify=sent, keyed=True)
async def pay(parcel: Parcel, context: ToolContext) -> str:
    """Fail."""
    raise KnownFailure("the account is closed")


async def ship(case: Case, inputs: Parcel) -> None:
    """Do all of it, or none."""
    async with case.saga():
        await case.call("buy", inputs, returns=str)
        await case.call("send", inputs, returns=str)
        await case.call("pay", inputs, returns=str)


def intake(folder: Path, settings: Mapping[str, str]) -> Intake:
    """Open a case for each text file."""
    Path(settings["out"]).mkdir(exist_ok=True)
    return Intake(tuple(OpenCase("ship", each.stem, Parcel(name=each.stem)) for each in sorted(folder.glob("*.txt"))))


MINE = ("buy", "send", "pay")
crew = Crew(
    "partial",
    flows=(Flow.of(ship, inputs=Parcel, tools=MINE),),
    tools=(buy, cancel, send, pay),
    policy=Policy(name="partial", flows={"ship": Limits(tools=MINE, tier_max=RiskTier.IRREVERSIBLE)}),
    intake=intake,
)
