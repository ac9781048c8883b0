"""What a flow declares is held against its crew when that is built; what does not fit is told by its place."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from casework.actors import Agent, Crew, ToolContext, Work, skill, tool
from casework.actors.checks import Inventory, flaws
from casework.actors.errors import CrewInvalid
from casework.actors.patterns.base import Assignment, Code, Edge, Pattern, Use
from casework.actors.patterns.flows import declaring, pattern_flow
from casework.actors.patterns.pipeline import Pipeline
from casework.actors.patterns.terms import Terms
from casework.actors.patterns.walk import DEPTH_MAX, PARTS_MAX, walk
from casework.actors.policy import parse_policy
from casework.actors.tools import ToolRegistry
from casework.protocols.wire import RiskTier
from casework.runtime import Case, Flow
from casework.runtime.flow.case import Result
from tests.support.declared_patterns import Made, chain, code, passes, task, trees


class Order(Struct, frozen=True):
    number: int


class Parcel(Struct, frozen=True):
    number: int


class Label(Struct, frozen=True):
    paper: str


@skill
async def find(inputs: Order, work: Work) -> Parcel:
    return Parcel(inputs.number)


@skill
async def stick(inputs: Parcel, work: Work) -> Label:
    return Label("")


async def stuck(arguments: Order, value: object, context: ToolContext) -> bool:
    return True


@tool(tier=RiskTier.READ_ONLY)
async def look(arguments: Order, context: ToolContext) -> Parcel:
    return Parcel(1)


@tool(tier=RiskTier.REVERSIBLE, verify=stuck, undo="tear")
async def glue(arguments: Order, context: ToolContext) -> None: ...


@tool(tier=RiskTier.IRREVERSIBLE, verify=stuck)
async def tear(arguments: Order, context: ToolContext) -> None: ...


POLICY = """
name = "p"
[agents.finder]
tools = ["look", "glue"]
[agents.sticker]
tools = ["look", "glue", "tear"]
tier_max = "irreversible"
[flows.ship]
tools = ["look"]
[denied]
burn = "we do not"
"""
AGENTS = (
    Agent("finder", {"find": find}, tools=("look", "glue"), tier_max=RiskTier.REVERSIBLE),
    Agent("sticker", {"stick": stick}, tools=("look", "glue", "burn"), tier_max=RiskTier.REVERSIBLE),
)
FIND = task("find", takes=Order, gives=Parcel)
STICK = task("stick", takes=Parcel, gives=Label, tools=("glue",), tier=RiskTier.REVERSIBLE)
ALLOWED: dict[str, Any] = {"tools": ("look", "glue", "tear", "burn"), "tier": RiskTier.IRREVERSIBLE, "micros": 5}


@tool(tier=RiskTier.READ_ONLY)
async def burn(arguments: Order, context: ToolContext) -> None: ...


def crew(*flows: Flow, policy: str = POLICY) -> Crew:
    tools = (look, glue, tear, burn)
    criteria = {"sticks": lambda value: True}
    return Crew("shop", flows=flows, agents=AGENTS, tools=tools, criteria=criteria, policy=parse_policy(policy))


def ship(*parts: Pattern, **allowed: Any) -> Flow:
    return pattern_flow(chain("ship", *parts), inputs=Order, **{**ALLOWED, **allowed})


def test_a_crew_whose_flows_fit_is_built() -> None:
    whole = Pipeline("ship", (FIND, STICK))
    looks = Use("look", Order, Parcel)
    assert crew(pattern_flow(whole, inputs=Order, tools=("glue",), tier=RiskTier.REVERSIBLE)).flows
    assert crew(ship(FIND, looks, replace(STICK, criteria=("returned", "sticks"), calls=7, micros=5))).flows


AMISS: dict[str, tuple[Flow, str]] = {
    "nobody has the skill": (
        ship(chain("fetch", task("fly"))),
        "ship > fetch > fly: no agent has skill 'fly'; there is find, stick: add it to what an agent handles",
    ),
    "the skill takes something else": (
        ship(replace(FIND, takes=Label)),
        "ship > find: takes Label, but skill 'find' of agent 'finder' takes Order; have it take the same",
    ),
    "the skill returns something else": (
        ship(replace(FIND, gives=Label)),
        "ship > find: gives Label, but skill 'find' of agent 'finder' returns Parcel; have it give the same",
    ),
    "a case is opened with something else": (
        pattern_flow(code("ship", takes=Label), inputs=Order),
        "ship: takes Label, but its cases are opened with Order; open them with what it takes, or begin with a Code",
    ),
    "two steps do not fit": (
        pattern_flow(Pipeline("ship", (FIND, code("prints", takes=Label))), inputs=Order),
        "'find' gives Parcel, but 'prints' takes Label",
    ),
    "a pattern finds itself wanting": (ship(Made("loop", wrong=("has no bound",))), "ship > loop: has no bound"),
    "a tool that is not registered": (
        ship(replace(STICK, tools=("glue", "staple"))),
        "ship > stick: names tool 'staple', which is not registered; there is burn, glue, look, tear: register it",
    ),
    "a tool that the agent has not declared": (
        ship(replace(STICK, tools=("tear",))),
        "names tool 'tear', which agent 'sticker' has not declared; add it to the agent's `tools`",
    ),
    "a tool that the policy denies": (
        ship(replace(STICK, tools=("glue", "burn"))),
        "names tool 'burn', which the policy denies \\(we do not\\); take it out",
    ),
    "a tool that the policy does not allow the flow": (
        ship(Use("glue", Order, None, tier=RiskTier.REVERSIBLE)),
        "ship > glue: names tool 'glue', which the policy does not allow flow 'ship'; add it to its table there",
    ),
    "a call that gives its tool something else": (
        ship(Use("look", Label, Parcel)),
        "ship > look: takes Label, but tool 'look' takes Order; have it take the same",
    ),
    "a call that wants of its tool something else": (
        ship(Use("look", Order, Label)),
        "ship > look: gives Label, but tool 'look' returns Parcel; have it give the same",
    ),
    "a tool that writes in a step that only reads": (
        ship(replace(STICK, tier=RiskTier.READ_ONLY)),
        "names tool 'glue', which is reversible, but may only do what is read_only; raise its tier",
    ),
    "a write that names no tool": (
        ship(replace(STICK, tools=("look",))),
        "ship > stick: may write, but names no tool that does, so nothing says how it is verified or undone",
    ),
    "code that writes by no tool": (
        ship(Code("prints", object, object, passes, tier=RiskTier.REVERSIBLE)),
        "ship > prints: may write, but names no tool that does",
    ),
    "a tier above the agent's": (
        ship(replace(STICK, tier=RiskTier.IRREVERSIBLE)),
        "may do what is irreversible, but agent 'sticker' only what is reversible; lower its tier or raise theirs",
    ),
    "a tier above the policy's": (
        ship(replace(FIND, tools=("glue",), tier=RiskTier.REVERSIBLE)),
        "may do what is reversible, but agent 'finder' only what is read_only",
    ),
    "a tier above the flow's": (
        ship(STICK, tier=RiskTier.READ_ONLY),
        "may do what is reversible, but its flow only what is read_only; raise `tier` of the flow",
    ),
    "a tool that the flow is not granted": (
        ship(STICK, tools=("look",)),
        "names tool 'glue', which its flow is not granted; add it to `tools` of the flow",
    ),
    "more money than a case has": (
        ship(replace(FIND, micros=6)),
        "ship > find: asks for micros 6, where a case is granted 5; ask for less or grant more",
    ),
    "more calls than a case has": (ship(replace(FIND, calls=11), calls=10), "calls 11, where a case is granted 10"),
    "more time than a case has": (ship(replace(FIND, seconds=61.0), seconds=60), "seconds 61.0, where .* granted 60"),
    "a criterion that is not registered": (
        ship(replace(FIND, criteria=("shines",))),
        "names criterion 'shines', which is not registered; there is returned, sticks: add it to `criteria`",
    ),
    "a task without a goal": (
        ship(replace(FIND, goal=" ")),
        "ship > find: has no goal; say in a sentence what is to be achieved",
    ),
    "a task without a criterion": (
        ship(replace(FIND, criteria=())),
        "ship > find: is never done; name at least one predicate of the crew, such as 'returned'",
    ),
    "a way that is never taken": (
        ship(Made("desk", [Edge(code("first"), "billing"), Edge(code("second"), "billing")], kind="router")),
        "ship > desk: has two ways that are called 'billing', of which the second is never taken; rename one",
    ),
    "no pattern at all": (
        ship(passes),  # type: ignore[arg-type]  # for crews that are not type-checked
        "ship: one of its parts is of type function, not a pattern; wrap a function in Code",
    ),
}


@pytest.mark.promise("CREW-1")
@pytest.mark.parametrize("what", AMISS)
def test_a_declaration_that_does_not_fit_its_crew_is_refused_by_its_place(what: str) -> None:
    flow, why = AMISS[what]
    with pytest.raises(CrewInvalid, match=why) as caught:
        crew(flow)
    assert str(caught.value).startswith("crew 'shop': ship")
    assert "\n" not in str(caught.value)


def test_what_a_task_asks_for_by_default_is_no_wish_for_more_than_there_is() -> None:
    assert crew(ship(FIND, calls=3, seconds=5, micros=0)).flows


def test_a_task_may_send_another_struct_that_has_the_fields_which_the_agent_reads() -> None:
    assert crew(ship(replace(FIND, takes=Parcel, gives=Order))).flows


def test_voters_may_be_called_alike() -> None:
    assert crew(ship(Made("ask", [Edge(FIND, "a"), Edge(code("second"), "a")], kind="vote"))).flows


async def own(case: Case, inputs: Order) -> None: ...


def test_what_a_flow_of_ones_own_declares_is_checked_as_well() -> None:
    flow, policy = Flow.of(own, inputs=Order), POLICY.replace("flows.ship", "flows.own")
    with pytest.raises(CrewInvalid, match="'shop': own > fetch > fly: no agent has skill 'fly'"):
        crew(declaring(flow, chain("fetch", task("fly"))), policy=policy)
    assert (
        crew(declaring(flow, Pipeline("fetch", (FIND, STICK))), policy=policy).flows["own"].source_hash
        != flow.source_hash
    )


# A declaration may be anything; whoever looks at it comes to an end.


def test_a_circle_is_told_by_the_way_it_goes() -> None:
    parts: list[Pattern] = []
    billing = Pipeline("billing", parts)  # type: ignore[arg-type]  # a list, so that it can be made to go round
    parts += [code("reads"), chain("shipping", billing)]
    with pytest.raises(CrewInvalid, match=r"ship > billing: goes round in a circle \(billing > shipping > billing\)"):
        crew(ship(billing))


@dataclass(slots=True, eq=False)
class Endless:
    """A pattern that is made anew each time one looks, with so many parts."""

    wide: int
    looks: Iterator[int] = field(default_factory=itertools.count)
    kind: str = "endless"
    name: str = "endless"
    gives: Any = object

    @property
    def takes(self) -> Any:
        return next(iter(self.parts)).pattern.takes

    @property
    def parts(self) -> Sequence[Edge]:
        next(self.looks)
        return [Edge(Endless(self.wide, self.looks)) for _ in range(self.wide)]

    def flaws(self) -> Sequence[str]:
        return [flaw for edge in self.parts for flaw in edge.pattern.flaws()]

    async def __call__(self, case: Case, given: Any, terms: Terms, /) -> Result[Any]:
        raise AssertionError("it is only looked at")


@pytest.mark.parametrize("wide", [1, 2, 7])
def test_a_declaration_without_an_end_is_looked_at_within_bounds(wide: int) -> None:
    endless = Endless(wide)
    with pytest.raises(CrewInvalid, match=f"deeper than {DEPTH_MAX} patterns; make it a flow of its own"):
        crew(ship(endless))
    assert next(endless.looks) <= 4 * PARTS_MAX


def test_a_declaration_that_is_too_large_is_refused_and_one_that_is_not_is_checked() -> None:
    wide = Made("many", [Edge(code(f"step_{number}"), str(number)) for number in range(PARTS_MAX + 1)])
    with pytest.raises(CrewInvalid, match=f"ship > many: has more than {PARTS_MAX} patterns in all"):
        crew(ship(wide))
    assert crew(ship(replace(wide, parts=wide.parts[: PARTS_MAX - 2]))).flows


def test_what_several_share_is_looked_at_once() -> None:
    looked: list[str] = []

    @dataclass(slots=True, frozen=True, eq=False)
    class Watched(Made):
        def flaws(self) -> Sequence[str]:
            looked.append(self.name)
            return ()

    shared: Pattern = code("ends")
    for number in range(DEPTH_MAX - 2):
        shared = Watched(f"level_{number}", [Edge(shared, "left"), Edge(shared, "right")])
    assert crew(ship(shared)).flows
    assert len(looked) == DEPTH_MAX - 2


def _graphs() -> st.SearchStrategy[list[Pattern]]:
    """Give patterns whose parts are any of them, in circles as it happens."""
    sizes = st.integers(1, 12)
    return sizes.flatmap(lambda size: st.lists(st.lists(st.integers(0, size - 1), max_size=4), min_size=size)).map(
        _tied
    )


def _tied(links: list[list[int]]) -> list[Pattern]:
    parts: list[list[Edge]] = [[] for _ in links]
    made: list[Pattern] = [Made(f"p{number}", edges) for number, edges in enumerate(parts)]
    for edges, to in zip(parts, links, strict=True):
        edges += [Edge(made[number], str(at)) for at, number in enumerate(to)]
    return made


def _reaches_itself(made: Sequence[Pattern]) -> bool:
    def below(pattern: Pattern, seen: dict[int, Pattern]) -> Iterator[Pattern]:
        for edge in pattern.parts:
            if id(edge.pattern) not in seen:
                seen[id(edge.pattern)] = edge.pattern
                yield edge.pattern
                yield from below(edge.pattern, seen)

    found = [made[0], *below(made[0], {})]
    return any(each in list(below(each, {})) for each in found)


INVENTORY = Inventory(
    crew="c", agents={}, skills={}, tools=ToolRegistry(), criteria=("returned",), policy=parse_policy("name='p'")
)


@settings(max_examples=100, deadline=None)
@given(_graphs())
def test_whatever_is_tied_together_is_checked_to_an_end_and_every_circle_is_found(made: list[Pattern]) -> None:
    found = list(flaws(pattern_flow(made[0], inputs=Order), INVENTORY))
    assert any("circle" in flaw.why for flaw in found) == _reaches_itself(made)
    places = walk(made[0]).places
    assert len(places) <= len(made)
    assert all(joint.to > number or joint.to < number for number, each in enumerate(places) for joint in each.joints)


@settings(max_examples=40, deadline=None)
@given(trees())
def test_whatever_a_tree_is_made_of_each_flaw_names_a_place_of_it(tree: Pattern) -> None:
    paths = {place.path for place in walk(tree).places}
    tasks = [place for place in walk(tree).places if isinstance(place.pattern, Assignment)]
    found = list(flaws(pattern_flow(tree, inputs=Order), INVENTORY))
    assert {flaw.path for flaw in found} <= paths
    assert sum("no agent has skill" in flaw.why for flaw in found) == len(tasks)
