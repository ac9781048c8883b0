"""Scenarios: what a crew's author declares for simulation, as a class; an instance is the world outside of one run.

    class Shop(Scenario):
        def cases(self):
            yield OpenCase("refund", "r-1", Refund("c-7", self.randomness.stream("euros").randrange(200)))

        @stub_in_simulation("bank.pay")
        async def pay(self, arguments: Refund, context: ToolContext) -> str: ...

        @invariant("nobody is paid more than was asked for")
        def fair(self, finished): yield from ...

A crew names its scenario, `Crew(..., scenario="shop.simulation:Shop")`, so that nothing of this is imported before a
simulation begins. Whatever a scenario draws comes from the streams of its seed. It does not know what goes wrong.
"""

import importlib
import inspect
import typing
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar, final

from msgspec import Struct

from casework.actors.crew import Crew
from casework.actors.errors import CrewInvalid
from casework.actors.intake import OpenCase
from casework.actors.tools import Tool
from casework.protocols.codec import Plain
from casework.protocols.records import ReviewAction
from casework.runtime.seams import Randomness

if TYPE_CHECKING:
    from casework.actors.simulation.finished import Finished

F = TypeVar("F", bound=Callable[..., object])

#: Marks that the decorators leave on methods.
STUBS: Final = "_stands_for_tool"
CHECKS: Final = "_must_hold"


@dataclass(slots=True, frozen=True)
class Question:
    """What a person is asked."""

    case_id: str
    rule: str
    """The rule that asks."""
    title: str
    summary: str
    proposal: Plain
    """As plain data; a Struct is a dict."""


@dataclass(slots=True, frozen=True)
class Said:
    """What a person decides."""

    action: str | ReviewAction = ReviewAction.APPROVE
    edited: object = None
    """The proposal as changed, for `edit`."""
    reason: str = ""


@dataclass(slots=True, frozen=True)
class Arrival:
    """A thing that somebody brings, again and again until it is taken."""

    target: str
    """A case id, or the key that a case waits for."""
    value: object = None
    key: str = ""
    """With a case as target: the key that is meant."""
    data: bytes | None = None
    """Its bytes, if it is a document."""
    label: str = ""
    after_seconds: float = 0.0
    """When it is brought first, from the beginning of the run."""
    by: str = "post"


class Scenario:
    """The world around a crew in one run; a subclass says what happens in it. One instance is made for each seed."""

    settings: ClassVar[Mapping[str, str]] = {}
    """Settings of the run, for tools and agents."""

    def __init__(self, randomness: Randomness) -> None:
        """Begin a run; a subclass that keeps a world's state makes it here, and calls this first."""
        self.randomness = randomness
        """Streams of the seed; one more draw from one of them shifts no other."""
        self.answered: Callable[[str], str] = str
        """Passes on what a scripted model answers, or in its place what nobody can use, as the plan says."""

    def cases(self) -> Iterable[OpenCase]:
        """Give the cases that are opened, in order."""
        raise NotImplementedError

    def arrivals(self) -> Iterable[Arrival]:
        """Give what is brought to cases; nothing, unless a subclass says otherwise."""
        return ()

    def decide(self, question: Question) -> Said | None:
        """Decide as a person would; None leaves it open. Approves, unless a subclass says otherwise.

        What became of a write that nobody saw end is not asked here: people under simulation know that.
        """
        return Said()


@dataclass(slots=True, frozen=True, eq=False)
class Invariant:
    """Something that must hold of every finished run."""

    name: str
    sentence: str
    broken: "Callable[[Finished], Iterable[tuple[str, str]]]"
    """Gives (case id or empty, what is wrong) for each place where it does not hold."""


def stub_in_simulation(tool: str) -> Callable[[F], F]:
    """Make a method of a scenario the stand-in of the tool of that name; it has the tool's own signature.

    It stands for the world outside: it returns at once, for how long that takes and whether anybody hears of it is
    the plan's; it may keep state on `self`. A KnownFailure from it is the tool's; anything else ends the run. Reading
    back and looking up go by what has happened, and a key is honoured as the tool declares.
    """

    def mark(method: F) -> F:
        setattr(method, STUBS, tool)
        return method

    return mark


def invariant(sentence: str) -> Callable[[F], F]:
    """Make a method `def name(self, finished: Finished)` of a scenario something that must hold of every run.

    Args:
        sentence: what holds. The method gives (case id or empty, what is wrong) for each place where it does not.
    """

    def mark(method: F) -> F:
        setattr(method, CHECKS, sentence)
        return method

    return mark


@final
class Stub:
    """A stand-in, bound to the scenario of one run."""

    __slots__ = ("_method", "tool")

    def __init__(self, tool: str, method: Callable[..., Awaitable[object]]) -> None:
        self.tool = tool
        self._method = method

    def act(self, arguments: Struct, context: object) -> object:
        """Have it happen, at once.

        Raises:
            RuntimeError: the stand-in waits for something.
            Exception: whatever it raises.
        """
        steps: Any = self._method(arguments, context).__await__()
        try:
            next(steps)
        except StopIteration as done:
            value: object = done.value
            return value
        steps.close()
        raise RuntimeError(
            f"the stub of {self.tool} waits for something; how long it takes is the plan's: return at once"
        )


def load_scenario(crew: Crew) -> type[Scenario]:
    """Give the scenario that a crew names, with its stand-ins checked against the crew's tools.

    Raises:
        CrewInvalid: it names none, what it names is not there, or a stand-in does not fit its tool.
    """
    if not crew.scenario:
        raise CrewInvalid(crew.name, "has no scenario to simulate; name one: Crew(..., scenario='module:Class')")
    module_name, _, attribute = crew.scenario.partition(":")
    try:
        found: object = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise CrewInvalid(crew.name, f"its scenario {crew.scenario!r} cannot be imported: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Scenario)):
        raise CrewInvalid(crew.name, f"its scenario {crew.scenario!r} is no subclass of Scenario")
    for tool_name, method in _marked(found, STUBS):
        tool = crew.tools.find(tool_name)
        if tool is None:
            raise CrewInvalid(crew.name, f"a stub stands for tool {tool_name!r}, which the crew does not have")
        _fit(crew.name, tool, method)
    return found


def stubs_of(scenario: Scenario) -> dict[str, Stub]:
    """Give the stand-ins of a run, by the tool that each stands for."""
    return {tool: Stub(tool, getattr(scenario, method.__name__)) for tool, method in _marked(type(scenario), STUBS)}


def invariants_of(scenario: Scenario) -> tuple[Invariant, ...]:
    """Give the invariants that a scenario declares, in the order of their names."""
    marked = _marked(type(scenario), CHECKS)
    return tuple(Invariant(each.__name__, sentence, getattr(scenario, each.__name__)) for sentence, each in marked)


def _marked(kind: type[Scenario], mark: str) -> list[tuple[str, Any]]:
    """Give what a decorator was given, and the method, for each that bears its mark."""
    methods = inspect.getmembers(kind, inspect.isfunction)
    return [(str(getattr(method, mark)), method) for _, method in methods if hasattr(method, mark)]


def _fit(crew: str, tool: Tool, method: Callable[..., object]) -> None:
    hints = typing.get_type_hints(method)
    parameters = list(inspect.signature(method).parameters)
    fits = len(parameters) == 3 and inspect.iscoroutinefunction(method)
    if not fits or (hints.get(parameters[1]), hints.get("return")) != (tool.arguments, tool.returns):
        wanted = f"async def stub(self, arguments: {tool.arguments.__name__}, context: ToolContext) -> {tool.returns}"
        raise CrewInvalid(crew, f"the stub of {tool.name!r} needs the tool's own signature: {wanted}")
