"""What is told of a failure says where and of which kind, and nothing that stood in the value."""

from typing import Any, Literal

import pytest
from msgspec import Struct, field

from casework.actors import Agent, Crew, Policy, ToolContext, Work, skill, source, tool
from casework.actors.failures import describe
from casework.actors.policy import Limits
from casework.actors.sources import SourceContext
from casework.actors.testing import CaseBench
from casework.protocols import OnStop, RiskTier
from casework.protocols.codec import pack, unpack
from casework.protocols.errors import FrameInvalid
from casework.runtime import CallFailed, Case, Flow, TaskFailed
from tests.support.pointing_crew import ANNA, PERSONAL, TO_ANNA, Known, Payee


class Closed(Struct, forbid_unknown_fields=True):
    """Takes nothing."""


class Tagged(Struct, tag="firm"):
    """Is of one kind."""


class Country(Struct):
    iban: str

    def __post_init__(self) -> None:
        if len(self.iban) > 2:
            raise ValueError(f"{self.iban} is no country - at `{self.iban}`")


class Found(Struct):
    """Holds a value of each type that says back what it was given."""

    code: Literal["NL", "BE"] = "NL"
    closed: Closed = field(default_factory=Closed)
    kind: Tagged = field(default_factory=Tagged)
    where: list[Country] = field(default_factory=list[Country])
    number: int = 0


#: What is given for a Found, and what is told of it.
UNFIT = [
    ({"code": ANNA.iban}, "Invalid enum value - at `$.code`"),
    ({"code": f"{ANNA.iban}\n - at `$.code`"}, "Invalid enum value - at `$.code`"),
    ({"closed": {ANNA.name: 1}}, "Object contains unknown field - at `$.closed`"),
    ({"kind": {"type": ANNA.name}}, "Invalid value - at `$.kind.type`"),
    ({"where": [{"iban": ANNA.iban}]}, "it raises ValueError - at `$.where[0]`"),
    ({"number": ANNA.iban}, "Expected `int`, got `str` - at `$.number`"),
    ({"where": [{}]}, "Object missing required field `iban` - at `$.where[0]`"),
]


@pytest.mark.parametrize(("given", "why"), UNFIT)
def test_a_value_of_another_type_is_told_by_its_place_and_not_said_back(given: object, why: str) -> None:
    with pytest.raises(FrameInvalid) as refused:
        unpack(pack(given), Found)
    assert describe(refused.value) == f"bytes are not a valid Found: {why}"


@pytest.mark.parametrize(
    ("type_", "given", "why"),
    [
        (Tagged, {"type": ANNA.name}, "Invalid value - at `$.type`"),
        (Country, {"iban": ANNA.iban}, "it raises ValueError"),
    ],
)
def test_neither_is_one_that_is_all_of_the_value(type_: type, given: object, why: str) -> None:
    with pytest.raises(FrameInvalid) as refused:
        unpack(pack(given), type_)
    assert describe(refused.value) == f"bytes are not a valid {type_.__name__}: {why}"


@source
async def people(number: str, context: SourceContext) -> Payee | None:
    return ANNA


@pytest.mark.promise("POINTER-1")
async def test_what_was_fetched_and_returned_by_mistake_is_in_no_log() -> None:
    said = list[str]()

    @tool(tier=RiskTier.READ_ONLY)
    async def country(arguments: Known, context: ToolContext) -> Literal["NL", "BE"]:
        given: Any = (await context.fetch(arguments.payee, returns=Payee)).iban
        return given  # type: ignore[no-any-return]  # a checker would have said so

    @skill
    async def screen(inputs: Known, work: Work) -> Country:
        given: Any = {"iban": (await work.fetch(inputs.payee, returns=Payee)).iban}
        return given  # type: ignore[no-any-return]  # a checker would have said so

    async def ask(case: Case, inputs: Known) -> None:
        try:
            await case.call("country", inputs, returns=str)
        except CallFailed as failed:
            said.append(failed.message)
        try:
            await case.delegate("screen", inputs, returns=Country, goal="See", on_stop=OnStop.FAIL)
        except TaskFailed as failed:
            said.append(failed.message)

    flow = Flow.of(ask, inputs=Known, tools=["country"])
    policy = Policy(name="c", flows={"ask": Limits(tools=("country",))})
    agents = [Agent("clerk", {"screen": screen})]
    async with CaseBench(
        Crew("c", flows=[flow], agents=agents, tools=[country], sources=[people], policy=policy)
    ) as bench:
        await bench.open("ask", "c1", Known(TO_ANNA))
        assert not [word for word in PERSONAL for record in bench.log("c1").records if word in record.frame]
    assert said[0] == "bytes are not a valid Literal: Invalid enum value"
    assert said[-1].endswith("bytes are not a valid Country: it raises ValueError")
