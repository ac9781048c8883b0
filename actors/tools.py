"""Tools: what a crew may do to the world, each registered with its risk and with what makes it safe.

A write says how it is verified; one that can be undone names the tool that undoes it, which takes the write's own
arguments by name and what it returned as `result`; one that honours an idempotency key says for how long. What is
missing is refused here, before anything runs.
Only the gate calls a tool's body, its `verify` and its `lookup`; a test of the house says so.
It does not know who may use a tool.
"""

import dis
import inspect
import math
import typing
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar, TypeVarTuple, overload

from msgspec import Struct, field
from msgspec.structs import fields

from casework.actors.declared import annotated, is_struct, takes_none, unreadable
from casework.actors.errors import CostInvalid, ToolInvalid, ToolUnknown
from casework.actors.policy import SettingValue
from casework.actors.sources import Sources
from casework.protocols.pointer import Pointer
from casework.protocols.wire import RiskTier
from casework.runtime.flow.case import NAME
from casework.runtime.seams import MICROS, World
from casework.runtime.store.base import StoreReader
from casework.runtime.store.ledger_rules import MICROS_MAX

A = TypeVar("A", bound=Struct)
R = TypeVar("R")
S = TypeVar("S", bound=Struct)
T = TypeVar("T")
Ts = TypeVarTuple("Ts")

#: A call may take so long unless its tool says otherwise, in seconds.
TIMEOUT_SECONDS: Final = 30.0
#: The argument by which the undo of a write is given what the write returned.
RESULT: Final = "result"
#: Instructions of a coroutine without which it cannot wait for anything, whatever it awaits.
WAITING: Final = frozenset({"GET_AWAITABLE", "SEND", "YIELD_FROM", "YIELD_VALUE"})
#: Calls of one tool at the same moment, unless it says otherwise: a slow tool must not take the whole machine.
WORKERS: Final = 8


class ToolContext(Struct, eq=False):
    """What a tool is given beside its arguments; everything that is not deterministic comes through `world`."""

    idempotency_key: str
    """The same for every try of one step, after a restart too."""
    world: World
    reader: StoreReader
    settings: Mapping[str, str]
    """Settings of this run, such as the folders `input` and `out`."""
    policy: Mapping[str, SettingValue]
    """The free `[settings]` of the policy file."""
    tenant: str
    case_id: str
    reserve: Callable[[], Awaitable[bool]] | None = None
    """Draws what the call may cost; it is the gate's."""
    micros_spent: int | None = None
    """What the tool said that the call has cost so far; None if it has not said."""
    sources: Sources = field(default_factory=Sources)
    """Where the crew has what pointers point to; ask them by `fetch`."""

    def spend(self, micros: int) -> None:
        """Say what the call really cost, in millionths; unsaid, its maximum counts as spent.

        Raises:
            CostInvalid: it is no whole number, is below 0, or more than an amount can be.
        """
        # No log could hold it, and who writes a tool need not have a checker of types.
        if not (type(micros) is int and 0 <= micros <= MICROS_MAX - (self.micros_spent or 0)):
            raise CostInvalid(micros, MICROS_MAX)
        self.micros_spent = (self.micros_spent or 0) + micros

    async def fetch(self, pointer: Pointer[S], *, returns: type[S]) -> S:
        """Give what a pointer points to, if it is still what it was; a write fetches before it does anything.

        Raises:
            PointerChanged, PointerGone, SourceFailed: let out, they say that the call surely did not happen.
        """
        return await self.sources.fetch(pointer, returns, self.tenant)

    async def offload(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Run a blocking function in a worker thread; a cancelled wait lets it finish unheard."""
        return await self.world.offload.run(function, *args)


Body: TypeAlias = Callable[[A, ToolContext], Awaitable[R]]
Verify: TypeAlias = Callable[[A, R, ToolContext], Awaitable[bool]]
Lookup: TypeAlias = Callable[[A, ToolContext], Awaitable[R | None]]


@dataclass(slots=True, frozen=True, eq=False)
class Tool:
    """A registered tool; make one with the decorator `tool`."""

    name: str
    tier: RiskTier
    arguments: type[Struct]
    returns: type
    body: Callable[..., Awaitable[object]]
    """`async def f(arguments, context)`; only the gate calls it."""
    undo: str = ""
    """Name of the tool that undoes it; compulsory for REVERSIBLE."""
    verify: Callable[..., Awaitable[bool]] | None = None
    """Reads back what a write left and checks it; compulsory for a write."""
    lookup: Callable[..., Awaitable[object]] | None = None
    """Finds out whether a key happened: the value, or None when it did not; raises when it cannot say."""
    keyed: bool = False
    """The same key and bytes again do the thing once."""
    key_window_seconds: float = math.inf
    """How long a key is honoured; afterwards the tool counts as unkeyed."""
    settling_seconds: float = 0.0
    """How long after its timeout a write may still appear."""
    timeout_seconds: float = TIMEOUT_SECONDS
    micros_max: int = 0
    """What one call may cost at most, in millionths of the account's currency."""
    workers: int = WORKERS
    """Calls at the same moment, at most."""
    model: str = ""
    """Name of the model that it asks, if it does: all tools that ask the same one share its circuit."""

    def __post_init__(self) -> None:
        _check(self)

    @property
    def looked_up(self) -> bool:
        """Tell whether it can be found out what became of a call."""
        return self.lookup is not None

    def key_until(self, intended: int) -> int | None:
        """Give the moment before which the same key again surely does the thing once; 0 is always, None never.

        In microseconds since the epoch, as is the moment in which the write was intended; 0 if that is not at hand.
        """
        if not self.keyed or self.key_window_seconds == math.inf:
            return 0 if self.keyed else None
        return intended + int(self.key_window_seconds * MICROS) if intended else None

    @property
    def annotated(self) -> object:
        """Give what it returns, with all that its function's annotation says of it."""
        said = annotated(self.body)
        return self.returns if said is object else said


@overload
def tool(
    *,
    tier: RiskTier,
    name: str = "",
    timeout_seconds: float = TIMEOUT_SECONDS,
    micros_max: int = 0,
    workers: int = WORKERS,
    model: str = "",
) -> Callable[[Body[A, R]], Tool]: ...


@overload
def tool(
    *,
    tier: RiskTier,
    verify: Verify[A, R],
    name: str = "",
    undo: str = "",
    lookup: Lookup[A, R] | None = None,
    keyed: bool = False,
    key_window_seconds: float = math.inf,
    settling_seconds: float = 0.0,
    timeout_seconds: float = TIMEOUT_SECONDS,
    micros_max: int = 0,
    workers: int = WORKERS,
) -> Callable[[Body[A, R]], Tool]: ...


def tool(
    *,
    tier: RiskTier,
    verify: Callable[..., Awaitable[bool]] | None = None,
    name: str = "",
    undo: str = "",
    lookup: Callable[..., Awaitable[object]] | None = None,
    keyed: bool = False,
    key_window_seconds: float = math.inf,
    settling_seconds: float = 0.0,
    timeout_seconds: float = TIMEOUT_SECONDS,
    micros_max: int = 0,
    workers: int = WORKERS,
    model: str = "",
) -> Callable[[Body[A, R]], Tool]:
    """Make a Tool of `async def f(arguments: SomeStruct, context: ToolContext) -> Value`; name and types are f's own.

    Raises:
        ToolInvalid: something is missing that its tier demands; the text says what.
    """

    def register(function: Body[A, R]) -> Tool:
        called = name or getattr(function, "__name__", "")
        arguments, returns = _types(called, function)
        return Tool(
            name=called,
            tier=tier,
            arguments=arguments,
            returns=returns,
            body=function,
            undo=undo,
            verify=verify,
            lookup=lookup,
            keyed=keyed,
            key_window_seconds=key_window_seconds,
            settling_seconds=settling_seconds,
            timeout_seconds=timeout_seconds,
            micros_max=micros_max,
            workers=workers,
            model=model,
        )

    return register


class ToolRegistry:
    """The tools of one crew, by name; fixed once it is made."""

    def __init__(self, tools: Iterable[Tool] = ()) -> None:
        self._tools: dict[str, Tool] = {}
        for each in tools:
            if each.name in self._tools:
                raise ToolInvalid(each.name, "is registered twice; give one of them another name")
            self._tools[each.name] = each
        for each in self:
            if each.undo == each.name:
                raise ToolInvalid(each.name, "is undone by itself, which would make it again; name another tool")
            if each.undo:
                _check_undo(each, self._tools.get(each.undo))

    def find(self, name: str) -> Tool | None:
        """Give the tool of that name, or None."""
        return self._tools.get(name)

    def get(self, name: str) -> Tool:
        """Give the tool of that name.

        Raises:
            ToolUnknown: nobody registered it.
        """
        found = self._tools.get(name)
        if found is None:
            raise ToolUnknown(name, self.names)
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """Name the tools, sorted."""
        return tuple(sorted(self._tools))

    def __iter__(self) -> Iterator[Tool]:
        return iter(self._tools.values())


def awaits_nothing(function: Callable[..., object]) -> bool:
    """Tell whether calls of a coroutine function surely never wait: nothing that it is made of could."""
    code = getattr(function, "__code__", None)
    if code is None or not code.co_flags & inspect.CO_COROUTINE:
        return False
    return all(each.opname not in WAITING for each in dis.get_instructions(code))


def stand_in_fault(dear: Tool, cheap: Tool) -> str:
    """Say why one tool cannot be called in the stead of another that costs too much, or nothing."""
    checks = (
        (cheap.micros_max < dear.micros_max, "it does not cost less; give it a smaller `micros_max`"),
        (cheap.arguments is dear.arguments, "it takes other arguments; give both the same"),
        (cheap.returns == dear.returns, "it returns something else; have both return the same"),
        (cheap.tier.rank <= dear.tier.rank, "it is of a higher tier; name one that does no more"),
    )
    return next((why for fine, why in checks if not fine), "")


def _types(name: str, function: Callable[..., object]) -> tuple[type[Struct], type]:
    if not inspect.iscoroutinefunction(function):
        raise ToolInvalid(name, "must be an `async def`; offload blocking work with `context.offload`")
    try:
        hints = typing.get_type_hints(function)
    except NameError as error:
        raise ToolInvalid(name, f"its annotations cannot be read at run time: {error}") from error
    parameters = list(inspect.signature(function).parameters)
    if len(parameters) != 2:
        raise ToolInvalid(name, "must take exactly `arguments` and `context`")
    if parameters[0] not in hints or "return" not in hints:
        raise ToolInvalid(name, "must annotate its arguments and what it returns")
    for declared in (hints[parameters[0]], hints["return"]):
        why = unreadable(declared)
        if why:
            raise ToolInvalid(name, f"must take and return what a frame can hold: {why}")
    return hints[parameters[0]], hints["return"]


def _check_undo(each: Tool, undo: Tool | None) -> None:
    if undo is None:
        raise ToolInvalid(each.name, f"is undone by {each.undo!r}, which is not registered; add that tool")
    if undo.tier is RiskTier.READ_ONLY:
        raise ToolInvalid(each.name, f"is undone by {each.undo!r}, which only reads; register it as a write")
    own = {given.encode_name for given in fields(each.arguments)} | {RESULT}
    for taken in fields(undo.arguments):
        if taken.required and taken.encode_name not in own:
            why = f"is undone by {each.undo!r}, which needs {taken.encode_name!r}: neither an argument of its own nor"
            raise ToolInvalid(each.name, f"{why} {RESULT!r}, what it returns; give that argument a default")


def _check(each: Tool) -> None:
    write = each.tier is not RiskTier.READ_ONLY
    of_struct = is_struct(each.arguments)
    checks = (
        (bool(NAME.fullmatch(each.name)), "needs a name of 1 to 64 letters, digits, '_', '.' or '-'"),
        (of_struct, "its arguments must be a msgspec.Struct, so that unknown fields can be refused"),
        (not write or each.verify is not None, "writes, so give `verify`: read back what it did and check it"),
        (each.tier is not RiskTier.REVERSIBLE or bool(each.undo), "is REVERSIBLE, so name in `undo` what undoes it"),
        (not (each.lookup and takes_none(each.returns)), "has a `lookup`, so it must return something, never None"),
        (write or not (each.undo or each.keyed), "is READ_ONLY, so it needs neither `undo` nor `keyed`"),
        (each.timeout_seconds > 0, "needs a timeout above 0 seconds"),
        (each.key_window_seconds > 0, "needs a key window above 0 seconds"),
        (each.settling_seconds >= 0, "cannot settle in less than 0 seconds"),
        (type(each.micros_max) is int, "needs `micros_max` as a whole number of millionths"),
        (0 <= each.micros_max <= MICROS_MAX, f"cannot cost less than 0, nor more than {MICROS_MAX} millionths"),
        (each.workers >= 1, "needs at least 1 worker"),
    )
    for fine, why in checks:
        if not fine:
            raise ToolInvalid(each.name, why)
