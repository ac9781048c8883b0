"""Checks of what flows declare, made when a crew is built, each with a message that says what to do.

What is wrong with a pattern by itself it says itself (its `flaws`: types between its parts, bounds that are missing,
ways that are never taken); here it is held against the crew that is to run it, and against what a case may use. That a
tool which writes can be verified or undone is checked where the tool is made; here, that a write names its tools.
It always ends: the walk over a declaration is bounded, and nothing else is asked of one that did not pass it.
It does not know what any pattern does when it runs.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import fields

from casework.actors.agent import Agent
from casework.actors.declared import is_struct
from casework.actors.errors import CrewInvalid
from casework.actors.patterns.base import Assignment, Pattern, Use
from casework.actors.patterns.description import figures, type_name
from casework.actors.patterns.flows import Allowance, Declaration, named_tools, names
from casework.actors.patterns.shape import fits
from casework.actors.patterns.walk import STEP, Flaw, Place, walk
from casework.actors.policy import Limits, Policy
from casework.actors.tools import Tool, ToolRegistry
from casework.protocols.wire import RiskTier
from casework.runtime.flow.case import Flow

#: Kinds all of whose parts are run, whatever the ways to them are called.
_ALL_RUN: Final = frozenset({"merge", "vote"})
#: What a part may ask for by itself, and how a case's part of it is called.
_BUDGETS: Final = ("calls", "micros", "seconds")


@dataclass(slots=True, frozen=True, kw_only=True, eq=False)
class Inventory:
    """What a crew has, against which its flows are held."""

    crew: str
    agents: Mapping[str, Agent]
    skills: Mapping[str, str]
    """Agent by skill."""
    tools: ToolRegistry
    criteria: Collection[str]
    policy: Policy


def check_declarations(flows: Collection[Flow], inventory: Inventory) -> None:
    """Hold everything that flows declare against their crew.

    Raises:
        CrewInvalid: something does not fit; names the first place as a path, such as `refund > fetch > label`.
    """
    for flow in flows:
        for flaw in flaws(flow, inventory):
            raise CrewInvalid(inventory.crew, str(flaw))


def flaws(flow: Flow, inventory: Inventory) -> Iterator[Flaw]:
    """Find all that is wrong with what a flow declares; nothing, of a flow that declares nothing."""
    declared = flow.declaration
    if not isinstance(declared, Declaration):
        return
    for root in declared.patterns:
        above = "" if root.name == flow.name else f"{flow.name}{STEP}"
        for found in _of_declaration(root, flow, declared.allowance, inventory):
            yield Flaw(f"{above}{found.path}", found.why)


def _of_declaration(root: Pattern, flow: Flow, allowance: Allowance | None, inventory: Inventory) -> Iterator[Flaw]:
    walked = walk(root)
    yield from walked.flaws
    if walked.flaws:
        return  # What a pattern says of itself may go through its parts for ever, where those never end.
    if allowance is not None and not fits(flow.inputs, root.takes):
        why = f"takes {type_name(root.takes)}, but its cases are opened with {type_name(flow.inputs)}"
        yield Flaw(root.name, f"{why}; open them with what it takes, or begin with a Code step that makes it")
    for place in walked.places:
        checked = _Checked(place, flow, inventory)
        for why in (*place.pattern.flaws(), *checked.found(), *checked.beyond(allowance)):
            yield Flaw(place.path, why)


class _Checked:
    """One pattern, held against the crew."""

    def __init__(self, place: Place, flow: Flow, inventory: Inventory) -> None:
        self._place = place
        self._inventory = inventory
        self._figures = figures(place.pattern)
        self._named = named_tools(place.pattern)
        self._tier = _tier(self._figures.get("tier"))
        task = isinstance(place.pattern, Assignment)
        self._agent = inventory.agents.get(inventory.skills.get(place.pattern.name, "")) if task else None
        policy = inventory.policy
        if self._agent is not None:
            self._who, self._limits = f"agent {self._agent.name!r}", policy.agents.get(self._agent.name, Limits())
        else:
            self._who, self._limits = f"flow {flow.name!r}", policy.flows.get(flow.name, Limits())

    def found(self) -> Iterator[str]:
        """Say what the crew does not have, or does not allow."""
        pattern = self._place.pattern
        if isinstance(pattern, Assignment):
            yield from self._skill(pattern)
            if self._agent is None:
                return
        yield from self._ways()
        yield from self._criteria()
        for name in self._named:
            yield from self._tool(name)
        yield from self._writes()

    def beyond(self, allowance: Allowance | None) -> Iterator[str]:
        """Say what is asked for beyond what a case may use."""
        if allowance is None:
            return
        for name in self._named:
            if name not in allowance.tools:
                yield f"names tool {name!r}, which its flow is not granted; add it to `tools` of the flow"
        if self._tier.rank > allowance.tier.rank:
            yield f"may do what is {self._tier}, but its flow only what is {allowance.tier}; raise `tier` of the flow"
        for name, asked in _budgets(self._place.pattern, self._figures):
            granted = getattr(allowance, name)
            if asked > granted:
                yield f"asks for {name} {asked:,}, where a case is granted {granted:,}; ask for less or grant more"

    def _skill(self, task: Assignment) -> Iterator[str]:
        skills = self._inventory.skills
        if self._agent is None:
            known = ", ".join(skills) or "none"
            yield f"no agent has skill {task.name!r}; there is {known}: add it to what an agent handles"
            return
        skill = self._agent.handles[task.name]
        if not _travels(task.takes, skill.inputs):
            yield (
                f"takes {type_name(task.takes)}, but skill {task.name!r} of agent {self._agent.name!r} takes "
                f"{type_name(skill.inputs)}; have it take the same"
            )
        if skill.returns is not object and not _travels(skill.returns, task.gives):
            yield (
                f"gives {type_name(task.gives)}, but skill {task.name!r} of agent {self._agent.name!r} returns "
                f"{type_name(skill.returns)}; have it give the same"
            )

    def _ways(self) -> Iterator[str]:
        if self._place.pattern.kind in _ALL_RUN:
            return
        labels = [joint.label for joint in self._place.joints if joint.label]
        for label in dict.fromkeys(labels):
            if labels.count(label) > 1:
                yield f"has two ways that are called {label!r}, of which the second is never taken; rename one"

    def _criteria(self) -> Iterator[str]:
        for name in names(self._figures.get("criteria")):
            if name not in self._inventory.criteria:
                known = ", ".join(self._inventory.criteria)
                yield f"names criterion {name!r}, which is not registered; there is {known}: add it to `criteria`"

    def _tool(self, name: str) -> Iterator[str]:
        tool, policy = self._inventory.tools.find(name), self._inventory.policy
        if tool is None:
            known = ", ".join(self._inventory.tools.names) or "none"
            yield f"names tool {name!r}, which is not registered; there is {known}: register it or take it out"
            return
        if self._agent is not None and name not in self._agent.tools:
            yield f"names tool {name!r}, which {self._who} has not declared; add it to the agent's `tools`"
        elif name in policy.denied:
            yield f"names tool {name!r}, which the policy denies ({policy.denied[name]}); take it out"
        elif name not in self._limits.tools:
            yield f"names tool {name!r}, which the policy does not allow {self._who}; add it to its table there"
        if tool.tier.rank > self._tier.rank:
            yield f"names tool {name!r}, which is {tool.tier}, but may only do what is {self._tier}; raise its tier"
        if isinstance(self._place.pattern, Use):
            yield from _misfits(self._place.pattern, tool)

    def _writes(self) -> Iterator[str]:
        if self._tier is RiskTier.READ_ONLY:
            return
        found = (self._inventory.tools.find(name) for name in self._named)
        if not any(_is_write(tool) for tool in found):
            yield (
                "may write, but names no tool that does, so nothing says how it is verified or undone; name the tool, "
                "or make it read_only"
            )
        most = self._limits.tier_max
        if self._agent is not None and self._agent.tier_max.rank < most.rank:
            most = self._agent.tier_max
        if self._tier.rank > most.rank:
            yield f"may do what is {self._tier}, but {self._who} only what is {most}; lower its tier or raise theirs"


def _misfits(use: Use, tool: Tool) -> Iterator[str]:
    """Hold the types of a call against those of its tool."""
    if not _travels(use.takes, tool.arguments):
        took, takes = type_name(use.takes), type_name(tool.arguments)
        yield f"takes {took}, but tool {tool.name!r} takes {takes}; have it take the same"
    if tool.returns is not object and not _travels(tool.returns, use.gives):
        gave, gives = type_name(use.gives), type_name(tool.returns)
        yield f"gives {gave}, but tool {tool.name!r} returns {gives}; have it give the same"


def _is_write(tool: Tool | None) -> bool:
    return tool is not None and tool.tier is not RiskTier.READ_ONLY


def _tier(declared: object) -> RiskTier:
    return declared if isinstance(declared, RiskTier) else RiskTier.READ_ONLY


def _budgets(pattern: Pattern, figures_: Mapping[str, object]) -> Iterator[tuple[str, float]]:
    """Give what a pattern asks for by itself; what it was not given asks for nothing, it has what is left."""
    unsaid: Mapping[str, float] = _UNSAID if isinstance(pattern, Assignment) else {}
    inside = [value for value in figures_.values() if isinstance(value, Struct)]
    for name in _BUDGETS:
        for asked in (figures_.get(name), *(getattr(each, name, None) for each in inside)):
            if isinstance(asked, int | float) and asked != unsaid.get(name):
                yield name, asked


#: What a task asks for that says nothing.
_UNSAID: Final[Mapping[str, float]] = {
    name: figures(Assignment("task", object, object, ""))[name]  # type: ignore[misc]  # its figures are numbers
    for name in _BUDGETS
}


def _travels(given: Any, taken: Any) -> bool:
    """Tell whether a value may be sent as one type and read as another: the same, or Structs with the same fields."""
    if given is object or fits(given, taken):
        return True
    if not (is_struct(given) and is_struct(taken)):
        return False
    sent = {each.encode_name for each in fields(given)}
    read = {each.encode_name: each.required for each in fields(taken)}
    return sent <= read.keys() and all(name in sent for name, required in read.items() if required)
