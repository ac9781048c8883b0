"""Sources: where a crew has what its pointers point to; asked on use, by a tool or an agent, and nothing is kept.

What a source gives is held to the hash of the pointer: whoever was handed that, or approved it, meant just this thing.
That it was asked is in no log, and neither is anything that it gave or said; a replay asks none.
It does not know what is done with a thing.
"""

import inspect
import typing
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import NoneType, UnionType
from typing import Final, TypeAlias, TypeVar, TypeVarTuple

from msgspec import Struct

from casework.actors.declared import is_struct
from casework.actors.errors import CrewInvalid, NotFetched, PointerChanged, PointerGone, SourceFailed
from casework.actors.failures import classify, placed
from casework.protocols.errors import ProtocolError
from casework.protocols.pointer import Pointer, sha256_of
from casework.runtime.blame import blame
from casework.runtime.seams import World

S = TypeVar("S", bound=Struct)
T = TypeVar("T")
Ts = TypeVarTuple("Ts")

#: What to do about a source that is none.
_FORM: Final = "write `async def f(id: str, context: SourceContext) -> SomeStruct | None`"


@dataclass(slots=True, frozen=True, eq=False)
class SourceContext:
    """What a source is given beside the id."""

    tenant: str
    """Whose thing is asked for: ids of two tenants may be the same."""
    settings: Mapping[str, str]
    """Settings of this run."""
    world: World

    async def offload(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Run a blocking function in a worker thread; a cancelled wait lets it finish unheard."""
        return await self.world.offload.run(function, *args)


Find: TypeAlias = Callable[[str, SourceContext], Awaitable[S | None]]


@dataclass(slots=True, frozen=True, eq=False)
class Source:
    """Where things of one type are; make one with the decorator `source`."""

    gives: type[Struct]
    find: Callable[[str, SourceContext], Awaitable[object]]
    """Gives the thing of that id, or None if it is not there any more."""


def source(function: Find[S]) -> Source:
    """Make a Source of `async def f(id: str, context: SourceContext) -> SomeStruct | None`; the type is f's own.

    Raises:
        CrewInvalid: it is no coroutine function, or its annotations do not say which Struct it gives.
    """
    name = getattr(function, "__name__", "source")
    if not inspect.iscoroutinefunction(function):
        raise CrewInvalid(name, f"a source must be an `async def`; {_FORM}")
    try:
        returns: typing.Any = typing.get_type_hints(function).get("return")
    except NameError as error:
        raise CrewInvalid(name, f"its annotations cannot be read at run time: {error}") from error
    either = typing.get_args(returns) if typing.get_origin(returns) in (typing.Union, UnionType) else (returns,)
    gives: list[type[Struct]] = [each for each in either if each is not NoneType]
    if len(gives) != 1 or gives[0] is Struct or not is_struct(gives[0]):
        raise CrewInvalid(name, f"a source gives one type, a msgspec.Struct, or None; {_FORM}")
    return Source(gives[0], function)


@dataclass(slots=True, frozen=True, eq=False)
class Sources:
    """The sources of a crew, in the world of one run."""

    by_type: Mapping[type[Struct], Source] = field(default_factory=dict[type[Struct], Source])
    settings: Mapping[str, str] = field(default_factory=dict[str, str])
    world: World = field(default_factory=World)

    async def fetch(self, pointer: Pointer[S], returns: type[S], tenant: str) -> S:
        """Give what a pointer points to, as it was when it was made.

        Raises:
            PointerChanged, PointerGone: it is something else now, or not there any more.
            SourceFailed: its source did not say, or the crew has none.

        If cancelled, the source was asked, or not.
        """
        named = getattr(returns, "__name__", "thing")
        known = self.by_type.get(returns)
        if known is None:
            raise SourceFailed(named, pointer.id, "has no source; give the crew one of its type, in `sources`")
        found = await self._ask(known, named, pointer.id, tenant)
        if isinstance(found, NotFetched):
            raise found
        if found is None:
            raise PointerGone(named, pointer.id)
        if not isinstance(found, returns):
            raise SourceFailed(named, pointer.id, f"was not had: its source gave a {type(found).__name__}")
        if _hashed(found) != pointer.sha256:
            raise PointerChanged(named, pointer.id, pointer.sha256)
        return found

    async def _ask(self, known: Source, named: str, id_: str, tenant: str) -> object:
        """Ask a source; what it raises is given as an error that holds nothing of it, not even as its cause."""
        try:
            return await known.find(id_, SourceContext(tenant, self.settings, self.world))
        except BaseException as raised:
            error, passing = blame(raised)
            if error is None or passing is not None:
                raise
        _, again = classify(error)
        return SourceFailed(named, id_, f"was not had: its source raised {placed(error)}", retryable=again)


def _hashed(found: Struct) -> str:
    """Hash what a source gave; what has no bytes is nothing that was ever pointed to."""
    try:
        return sha256_of(found)
    except ProtocolError:
        return ""
