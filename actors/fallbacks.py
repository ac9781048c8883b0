"""Who stands in for an agent or a tool whose circuit is open: what a policy may name, checked when the crew is made.

A fallback may not raise the tier, and is held to the rights of whom it stands in for.
It does not know when one is needed.
"""

from collections.abc import Mapping

from casework.actors.agent import Agent
from casework.actors.errors import CrewInvalid
from casework.actors.policy import Limits, Policy, of_kind
from casework.actors.tools import Tool, ToolRegistry
from casework.protocols.wire import RiskTier


def check_fallbacks(crew: str, policy: Policy, agents: Mapping[str, Agent], tools: ToolRegistry) -> None:
    """See that whoever stands in can do the work, and may do no more than whom it stands in for.

    Raises:
        CrewInvalid: one cannot, or may; the text says which.
    """
    for kind, known in (("agent", agents.keys()), ("tool", tools.names)):
        fallbacks = of_kind(kind, policy.fallbacks)
        for name, other in fallbacks.items():
            where = f"the policy's fallback of {kind} {name!r}"
            if name not in known or other not in known:
                why = f"names {(other if name in known else name)!r}, which the crew does not have"
            elif _leads_back(name, fallbacks):
                why = "leads back to itself; end it with one that has no fallback"
            elif kind == "agent":
                why = _unlike_agent(policy, agents[name], agents[other])
            else:
                why = _unlike_tool(policy, tools.get(name), tools.get(other))
            if why:
                raise CrewInvalid(crew, f"{where} {why}")


def _leads_back(name: str, fallbacks: Mapping[str, str]) -> bool:
    last = name
    for _ in fallbacks:
        last = fallbacks.get(last, last)
    return last in fallbacks


def _unlike_agent(policy: Policy, agent: Agent, other: Agent) -> str:
    mine, its = policy.agents.get(agent.name, Limits()), policy.agents.get(other.name, Limits())
    for name, known in agent.handles.items():
        skill = other.handles.get(name)
        if skill is None or (skill.inputs, skill.returns) != (known.inputs, known.returns):
            return f"is {other.name!r}, which does not handle {name!r} with the same types"
    if min(other.tier_max.rank, its.tier_max.rank) > min(agent.tier_max.rank, mine.tier_max.rank):
        return f"is {other.name!r}, which has a higher tier; a fallback may not raise it"
    more = (set(other.tools) & set(its.tools)) - (set(agent.tools) & set(mine.tools))
    return f"is {other.name!r}, which may use {min(more)!r} and the other one not" if more else ""


def _unlike_tool(policy: Policy, tool: Tool, other: Tool) -> str:
    if tool.tier is not RiskTier.READ_ONLY or other.tier is not RiskTier.READ_ONLY:
        return f"is {other.name!r}; only a READ_ONLY tool may stand in for a READ_ONLY one"
    if (tool.arguments, tool.returns) != (other.arguments, other.returns):
        return f"is {other.name!r}, which takes or gives something else"
    if other.micros_max > tool.micros_max:
        return f"is {other.name!r}, which may cost more"
    return f"is {other.name!r}, which the policy denies" if other.name in policy.denied else ""
