"""Pictures of crews: every flow from what it declares, and a flow that declares nothing as one box.

It does not know files, nor what a picture is looked at with.
"""

from collections.abc import Callable, Iterator, Sequence
from types import CodeType, FunctionType
from typing import Final, cast

from casework.actors.crew import Crew
from casework.actors.drawing.diagrams import Diagram
from casework.actors.drawing.facts import Facts, facts_of, time_of
from casework.actors.drawing.kinds import look_of
from casework.actors.drawing.sketch import Sketch, Words, below, boxed, dot, stacked, written
from casework.actors.drawing.words import DETAIL, HEADING, LEAD, NAME, listed
from casework.actors.patterns.description import type_name
from casework.actors.patterns.flows import Allowance, Declaration
from casework.actors.patterns.walk import Place, walk
from casework.protocols.wire import RiskTier
from casework.runtime.flow.case import Flow
from casework.runtime.seams import MICROS

#: Room between two flows, and between a flow's heading and what it does.
BETWEEN: Final = 48.0
HEADED: Final = 16.0
#: Functions that are looked at to find whom a flow asks.
FUNCTIONS_MAX: Final = 500


def sketch_crew(crew: Crew, flows: Sequence[Flow]) -> Sketch:
    """Draw some flows of a crew, one below the other."""
    return below([_sketch(crew, flow) for flow in flows], BETWEEN)


def crew_json(crew: Crew, flows: Sequence[Flow]) -> dict[str, object]:
    """Give what `--json` says of some flows of a crew."""
    return {"crew": crew.name, "version": crew.version, "flows": [_flow_json(crew, flow) for flow in flows]}


def _sketch(crew: Crew, flow: Flow) -> Sketch:
    declared = _declared(flow)
    sketches = [] if declared is not None and declared.allowance is not None else [_by_hand(crew, flow)]
    patterns = () if declared is None else declared.patterns
    sketches += [Diagram(walk(pattern).places, _teller(crew), set()).draw(0) for pattern in patterns]
    last = declared.patterns[-1].gives if declared is not None and declared.allowance is not None else object
    gives = "" if last is object else type_name(last)
    ways = [("", type_name(flow.inputs)), *([("may run", "")] * (len(sketches) - 1)), ("", gives)]
    heading = [Words.of(flow.name, HEADING), Words.of(_about(flow, declared), LEAD)]
    return below([written(heading), stacked([dot("start"), *sketches, dot("end")], ways)], HEADED)


def _about(flow: Flow, declared: Declaration | None) -> str:
    version = f"flow, version {flow.version}"
    if declared is None or declared.allowance is None:
        return version
    return f"{version} \u00b7 a case has at most {_allowed(declared.allowance)}"


def _allowed(allowance: Allowance) -> str:
    money = f", {allowance.micros / MICROS:,.2f} of money" if allowance.micros else ""
    return f"{allowance.calls:,} calls{money}, {time_of(allowance.seconds)}"


def _by_hand(crew: Crew, flow: Flow) -> Sketch:
    look, agents = look_of("flow"), asked_by(flow, crew)
    lines = ["written by hand", *listed("asks", agents, DETAIL), *listed("calls", flow.tools, DETAIL)]
    words = [Words.of(flow.name, NAME), *(Words.of(line, DETAIL) for line in lines)]
    tip = " ".join((flow.function.__doc__ or "").split())
    return boxed(look.shape, words, hue=look.hue, slope=look.slope, tip=tip)


def asked_by(flow: Flow, crew: Crew) -> tuple[str, ...]:
    """Name the agents whose skills the code of a flow names, as far as its package's functions can be followed."""
    named = set(_texts(flow.function))
    return tuple(dict.fromkeys(agent for skill, agent in crew.skills.items() if skill in named))


def _texts(function: Callable[..., object]) -> Iterator[str]:
    """Give every text that stands in a function and in those of its package that it names."""
    package = (getattr(function, "__module__", "") or "").partition(".")[0]
    waiting: list[object] = [function]
    seen: set[int] = set()
    while waiting and len(seen) < FUNCTIONS_MAX:
        each = waiting.pop()
        if not isinstance(each, FunctionType) or id(each) in seen or not _within(each, package):
            continue
        seen.add(id(each))
        for code in _codes(each.__code__):
            yield from (text for constant in code.co_consts for text in _strings(constant))
            waiting += [each.__globals__.get(name) for name in code.co_names]


def _strings(constant: object) -> Iterator[str]:
    if isinstance(constant, str):
        yield constant
    elif isinstance(constant, tuple):
        yield from (each for each in cast("tuple[object, ...]", constant) if isinstance(each, str))


def _within(function: FunctionType, package: str) -> bool:
    return function.__module__ == package or function.__module__.startswith(f"{package}.")


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _flow_json(crew: Crew, flow: Flow) -> dict[str, object]:
    declared = _declared(flow)
    patterns = () if declared is None else declared.patterns
    return {
        "flow": flow.name,
        "version": flow.version,
        "source_hash": flow.source_hash,
        "inputs": type_name(flow.inputs),
        "tools": flow.tools,
        "agents": asked_by(flow, crew) if declared is None or declared.allowance is None else (),
        "allowance": None if declared is None else declared.allowance,
        "patterns": [[_part_json(crew, each) for each in walk(pattern).places] for pattern in patterns],
    }


def _part_json(crew: Crew, place: Place) -> dict[str, object]:
    facts = facts_of(place.pattern, crew)
    return {
        "path": place.path,
        "kind": facts.kind,
        "name": facts.name,
        "takes": facts.takes,
        "gives": facts.gives,
        "agent": facts.agent,
        "tools": facts.tools,
        "tier": facts.tier,
        "writes": facts.tier is not RiskTier.READ_ONLY,
        "person": facts.human,
        "figures": dict(facts.figures),
        "parts": [{"label": joint.label, "part": joint.to} for joint in place.joints],
    }


def _teller(crew: Crew) -> Callable[[Place], Facts]:
    return lambda place: facts_of(place.pattern, crew)


def _declared(flow: Flow) -> Declaration | None:
    return flow.declaration if isinstance(flow.declaration, Declaration) else None
