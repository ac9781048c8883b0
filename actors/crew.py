"""Crews: agents, tools, flows and a policy that belong together; checked when made, staffed when run.

A crew that does not fit together is refused where it is written, with what to do about it; nothing is found out only
when the first case needs it. It does not know on which store its cases run.
"""

import importlib
import sys
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Final, Protocol, TypeAlias, TypeVar, final

from msgspec import Struct

from casework.actors.admission import Admission
from casework.actors.agent import Agent, AgentBehavior, Equipment, Skill
from casework.actors.breaker import Circuits
from casework.actors.calling import Calling, Ground
from casework.actors.checks import Inventory, check_declarations
from casework.actors.criteria import Criterion
from casework.actors.declared import is_struct
from casework.actors.desk import Desk
from casework.actors.errors import CrewInvalid
from casework.actors.failures import describe
from casework.actors.fallbacks import check_fallbacks
from casework.actors.gate import Gate
from casework.actors.intake import Intake
from casework.actors.permissions import Permission, Permissions
from casework.actors.policy import Limits, Policy, load_policy, of_kind
from casework.actors.repeats import Bounces
from casework.actors.sources import Source, Sources
from casework.actors.staff import CrewStaff
from casework.actors.supervisor import Freed, Roster, SupervisorBehavior
from casework.actors.tools import Tool, ToolRegistry, stand_in_fault
from casework.protocols.errors import CaseworkError
from casework.runtime.behavior import System
from casework.runtime.errors import NotSent
from casework.runtime.flow.case import NAME, Flow
from casework.runtime.ref import Ref
from casework.runtime.seams import World
from casework.runtime.staff import Staff
from casework.runtime.store.base import StoreReader
from casework.runtime.telemetry import Telemetry
from casework.runtime.timers import Timers


class Named(Protocol):
    """A thing with a name."""

    @property
    def name(self) -> str:
        """Its name."""
        ...


N = TypeVar("N", bound=Named)

#: Reads an input folder with the settings of the run.
ReadIntake: TypeAlias = Callable[[Path, Mapping[str, str]], Intake]

#: Messages to the supervisor beyond the waiting list: frames on their way in, and news of free workers.
SUPERVISOR_SLACK: Final = 1_000
#: What makes a thing what a crew takes.
_MADE_BY: Final[Mapping[type, str]] = {
    Flow: "make it by Flow.of",
    Agent: "make it by Agent",
    Skill: "put @skill above it",
    Tool: "put @tool(tier=...) above it",
    Source: "put @source above it",
}
#: A worker has one task; a second message can only be one that was recalled and is dropped unread.
WORKER_DEPTH_MAX: Final = 16


@final
class Crew:
    """What a user deploys."""

    def __init__(
        self,
        name: str,
        version: str = "1",
        *,
        flows: Sequence[Flow],
        policy: Policy | Path,
        agents: Sequence[Agent] = (),
        tools: Sequence[Tool] = (),
        criteria: Mapping[str, Criterion] | None = None,
        sources: Sequence[Source] = (),
        intake: ReadIntake | None = None,
        scenario: str = "",
    ) -> None:
        """Put a crew together.

        Args:
            name: what the log calls it.
            version: its own version, for people.
            flows: what its cases run. Of several versions of one flow new cases get the last one; the others are for
                cases that were opened with them.
            policy: the policy, or the path of its file.
            agents: who does its tasks.
            tools: what its agents and flows may be allowed to call.
            criteria: predicates over a task's value, by the name that tasks use; `returned` is always there.
            sources: where its tools and agents fetch what pointers point to, one for each type.
            intake: reads an input folder.
            scenario: `module:Class` of what it is simulated with, imported only then; see `casework.actors.simulation`.

        Raises:
            CrewInvalid, ToolInvalid, PolicyInvalid: it does not fit together; the text says what to do.
        """
        for kind, things in ((Flow, flows), (Agent, agents), (Tool, tools), (Source, sources)):
            _assert_declared(name, kind, things)
        for agent in agents:
            _assert_declared(name, Skill, agent.handles.values())
        self.name = name
        self.version = version
        self.policy = policy if isinstance(policy, Policy) else load_policy(policy)
        self.tools = ToolRegistry(tools)
        self.agents: Mapping[str, Agent] = _unique(name, "agent", agents)
        self.flows: Mapping[str, Flow] = _flows(name, flows)
        self.criteria: Mapping[str, Criterion] = {"returned": _returned, **(criteria or {})}
        self.sources: Mapping[type[Struct], Source] = _sources(name, sources)
        self.intake = intake
        self.scenario = scenario
        self.skills: Mapping[str, str] = _skills(name, agents, of_kind("agent", self.policy.fallbacks))
        _check(self)

    def staff(
        self, system: System, world: World, reader: StoreReader, settings: Mapping[str, str], telemetry: Telemetry
    ) -> AbstractAsyncContextManager[Staff]:
        """Give its agents and its supervisor their actors for as long as the block lasts."""
        settings = dict(settings)
        sources = Sources(self.sources, settings, world)
        return self._staffed(system, Ground(world, reader, settings, Timers(world.clock), sources), telemetry)

    @asynccontextmanager
    async def _staffed(self, system: System, ground: Ground, telemetry: Telemetry) -> AsyncGenerator[CrewStaff, None]:
        policy, clock = self.policy, ground.world.clock
        agent_circuits = Circuits(policy.breaker, of_kind("agent", policy.breakers))
        desk = Desk(agent_circuits)
        equipment = Equipment(self.criteria, ground.settings, policy.settings, desk, ground.sources)
        workers = {agent.name: _spawn_workers(system, agent, equipment) for agent in self.agents.values()}
        gate = Gate(tools=self.tools, policy=policy, permissions=self._permissions())
        admission = Admission(policy, clock, self.skills)
        calling = Calling(tools=self.tools, policy=policy, ground=ground, admission=admission)
        roster = Roster(self.skills, workers, policy.bounds.pending_max, of_kind("agent", policy.fallbacks))
        supervisor = system.spawn(
            "supervisor",
            lambda: SupervisorBehavior(roster, desk, agent_circuits, ground.timers, gate.policy_hash),
            mailbox_depth_max=policy.bounds.pending_max + SUPERVISOR_SLACK,
        )
        desk.freed = lambda agent: _tell_freed(supervisor, agent)
        bounces = Bounces(policy.bounds.bounces_max)
        staff = CrewStaff(gate, calling, desk, supervisor, clock, agent_circuits, bounces, self.skills)
        sampled = telemetry.before_expose(lambda: _sample(staff, telemetry))
        refs = [supervisor, *(ref for group in workers.values() for ref in group.values())]
        try:
            yield staff
        finally:
            desk.recall_all()
            for ref in refs:
                ref.stop()
            sampled()
        for ref in refs:
            await ref.wait_stopped()

    def _permissions(self) -> Permissions:
        permissions: dict[str, Permission] = {}
        for agent in self.agents.values():
            limits, declared = self.policy.agents.get(agent.name, Limits()), frozenset(agent.tools)
            permission = Permission(agent.name, declared, agent.tier_max, frozenset(limits.tools), limits.tier_max)
            permissions.update({f"task:{skill}": permission for skill in agent.handles})
        for flow in self.flows.values():
            limits, declared = self.policy.flows.get(flow.name, Limits()), frozenset(flow.tools)
            if (other := permissions.get(f"flow:{flow.name}")) is not None:
                # Of another version: which of the two a case runs is known where it calls.
                declared |= other.declared
            # A flow declares no tier of its own: the policy's is the one that counts.
            permission = Permission(flow.name, declared, limits.tier_max, frozenset(limits.tools), limits.tier_max)
            permissions[f"flow:{flow.name}"] = permission
        return Permissions(permissions)


def load_crew(name: str, *, folder: Path | None = None) -> Crew:
    """Load a crew by `module:attribute`, with `folder` searched first.

    Raises:
        CrewInvalid: the name, the module or the attribute is not right; one line that says which.
    """
    module_name, colon, attribute = name.partition(":")
    if not colon or not module_name or not attribute:
        raise CrewInvalid(name, "write it as module:attribute, such as examples.bookkeeping.crew:crew")
    if folder is not None and str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        found: object = importlib.import_module(module_name)
    except CaseworkError as error:
        raise CrewInvalid(name, f"module {module_name!r} cannot be imported: {error}") from error
    except Exception as error:  # a crew's module is somebody else's code
        why = " ".join(f"{type(error).__name__}: {error}".split())
        absent = isinstance(error, ModuleNotFoundError) and f"{module_name}.".startswith(f"{error.name}.")
        todo = "it is not here: start in the folder that holds it" if absent else describe(error)
        raise CrewInvalid(name, f"module {module_name!r} cannot be imported: {why} ({todo})") from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise CrewInvalid(name, f"module {module_name!r} has no {attribute!r}; is it spelt right?")
        found = getattr(found, part)
    if not isinstance(found, Crew):
        raise CrewInvalid(name, f"{attribute!r} is of type {type(found).__name__}, not a Crew")
    return found


def _spawn_workers(system: System, agent: Agent, equipment: Equipment) -> dict[str, Ref]:
    def make(worker: str) -> Callable[[], AgentBehavior]:
        return lambda: AgentBehavior(agent, worker, equipment)

    names = [f"agent-{agent.name}-{number}" for number in range(agent.workers)]
    return {name: system.spawn(name, make(name), mailbox_depth_max=WORKER_DEPTH_MAX) for name in names}


def _sample(staff: CrewStaff, telemetry: Telemetry) -> None:
    """Set the gauges, just before somebody looks."""
    telemetry.mailbox_depth("supervisor", staff.desk.statistics().waiting)
    for circuit in staff.circuits():
        telemetry.circuit(circuit.kind, circuit.name, circuit.state)


def _tell_freed(supervisor: Ref, agent: str) -> None:
    # A full mailbox does no harm: each task in it makes the supervisor look for free workers as well.
    with suppress(NotSent):
        supervisor.tell_local(Freed(agent))


def _returned(value: object) -> bool:
    return value is not None


def _unique(crew: str, what: str, things: Sequence[N]) -> dict[str, N]:
    named: dict[str, N] = {}
    for thing in things:
        if thing.name in named:
            raise CrewInvalid(crew, f"two {what}s are called {thing.name!r}; give one of them another name")
        if not NAME.fullmatch(thing.name):
            raise CrewInvalid(crew, f"{what} {thing.name!r} needs a name of 1 to 64 letters, digits, '_', '.' or '-'")
        named[thing.name] = thing
    return named


def _assert_declared(crew: str, kind: type, things: Iterable[object]) -> None:
    """Refuse what was not made what it is given as, such as a bare function."""
    for each in things:
        if not isinstance(each, kind):
            told = getattr(each, "__name__", type(each).__name__)
            raise CrewInvalid(crew, f"{told!r} is no {kind.__name__.lower()}; {_MADE_BY[kind]}")


def _sources(crew: str, sources: Sequence[Source]) -> dict[type[Struct], Source]:
    found: dict[type[Struct], Source] = {}
    for each in sources:
        if each.gives in found:
            raise CrewInvalid(crew, f"two sources give {each.gives.__name__}; keep one of them")
        found[each.gives] = each
    return found


def _flows(crew: str, flows: Sequence[Flow]) -> dict[str, Flow]:
    """Give the last version of each flow by its name, and those before it as `name@version`, in the order given."""
    last, versions = {flow.name: flow for flow in flows}, set[tuple[str, str]]()
    _unique(crew, "flow", list(last.values()))
    for flow in flows:
        if (flow.name, flow.version) in versions:
            what = f"two flows are called {flow.name!r} in version {flow.version!r}"
            raise CrewInvalid(crew, f"{what}; give one of them another name or version")
        versions.add((flow.name, flow.version))
    return {flow.name if last[flow.name] is flow else f"{flow.name}@{flow.version}": flow for flow in flows}


def _skills(crew: str, agents: Sequence[Agent], fallbacks: Mapping[str, str]) -> dict[str, str]:
    """Give the routing table: agent by skill; one that stands in for another has its skills as well."""
    skills: dict[str, str] = {}
    stands_in = frozenset(fallbacks.values())
    for agent in sorted(agents, key=lambda each: each.name in stands_in):
        for name, known in agent.handles.items():
            if name in skills and agent.name in stands_in:
                continue
            if name in skills:
                why = f"skill {name!r} is handled by {skills[name]!r} and by {agent.name!r}; keep one of them"
                raise CrewInvalid(crew, why)
            if not NAME.fullmatch(name):
                why = f"skill {name!r} needs a name of 1 to 64 letters, digits, '_', '.' or '-'"
                raise CrewInvalid(crew, why)
            if not is_struct(known.inputs):
                raise CrewInvalid(crew, f"skill {name!r} must declare its inputs as a msgspec.Struct")
            skills[name] = agent.name
    return skills


def _check(crew: Crew) -> None:
    policy, tools, cheaper = crew.policy, crew.tools, crew.policy.budgets.cheaper
    wanted: list[tuple[str, Iterable[str], Iterable[str], str]] = [
        *((f"agent {each.name!r}", each.tools, tools.names, "register the tool") for each in crew.agents.values()),
        *((f"flow {each.name!r}", each.tools, tools.names, "register the tool") for each in crew.flows.values()),
        ("the policy's [agents]", policy.agents, crew.agents, "add the agent or remove its table"),
        ("the policy's [flows]", policy.flows, crew.flows, "add the flow or remove its table"),
        ("the policy's [timeouts.tasks]", policy.timeouts.tasks, crew.skills, "name a skill of an agent"),
        *(
            (f"the policy's table {name!r}", each.tools, tools.names, "register the tool")
            for name, each in _tables(policy)
        ),
        *(
            (f"the policy's approval {each.rule!r}", [each.tool] if each.tool else [], tools.names, "register the tool")
            for each in policy.approvals
        ),
        *_protected(crew),
        ("the policy's [budgets.cheaper]", (*cheaper, *cheaper.values()), tools.names, "register the tool"),
        ("the policy's [budgets.agents]", policy.budgets.agents, crew.agents, "add the agent or remove its amount"),
    ]
    for who, names, known, remedy in wanted:
        missing = [name for name in names if name not in known]
        if missing:
            raise CrewInvalid(crew.name, f"{who} names {missing[0]!r}, which the crew does not have; {remedy}")
    if not NAME.fullmatch(crew.name):
        raise CrewInvalid(crew.name, "needs a name of 1 to 64 letters, digits, '_', '.' or '-'")
    if not crew.flows:
        raise CrewInvalid(crew.name, "has no flow; give it at least one, or no case can be opened")
    for flow in crew.flows.values():
        if not is_struct(flow.inputs):
            raise CrewInvalid(crew.name, f"flow {flow.name!r} must take a msgspec.Struct as its inputs")
    for agent in crew.agents.values():
        if agent.workers < 1:
            raise CrewInvalid(crew.name, f"agent {agent.name!r} needs at least 1 worker")
    _check_stand_ins(crew)
    check_fallbacks(crew.name, policy, crew.agents, crew.tools)
    for tool in tools:
        if tool.name in policy.denied and any(tool.name in each.tools for _, each in _tables(policy)):
            raise CrewInvalid(crew.name, f"the policy both allows and denies {tool.name!r}; remove one of the two")
    inventory = Inventory(
        crew=crew.name, agents=crew.agents, skills=crew.skills, tools=tools, criteria=crew.criteria, policy=policy
    )
    check_declarations(crew.flows.values(), inventory)


def _protected(crew: Crew) -> Iterator[tuple[str, Iterable[str], Iterable[str], str]]:
    """Give what breakers and rates are for: a name that nobody has would leave whoever was meant without."""
    known = {"agent": crew.agents, "tool": crew.tools.names, "model": {tool.model for tool in crew.tools}}
    for kind, names in known.items():
        yield "the policy's [breakers]", of_kind(kind, crew.policy.breakers), names, "correct the name or remove it"
        limited = of_kind(kind, crew.policy.rates.limits)
        yield "the policy's [rates.limits]", limited, (*names, "*"), "correct the name or remove it"


def _check_stand_ins(crew: Crew) -> None:
    for dear, cheap in crew.policy.budgets.cheaper.items():
        fault = stand_in_fault(crew.tools.get(dear), crew.tools.get(cheap))
        if fault:
            raise CrewInvalid(crew.name, f"the policy's [budgets.cheaper] names {cheap!r} for {dear!r}: {fault}")


def _tables(policy: Policy) -> list[tuple[str, Limits]]:
    return [*policy.agents.items(), *policy.flows.items()]
