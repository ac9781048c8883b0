"""Goes through all that a crew declares, and names each field that looks like raw personal data.

What a case is given and what it takes is in its log for years: the inputs of its flow, what its agents and tools are
handed and return. A pointer holds none of it, and is passed over with all that it points to; a copy of a thing that
the crew has a source of is one by its type, however its fields are called.
It does not know what any value is: it sees types, and the names of their fields.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, cast, get_args, get_origin

from msgspec import Struct, inspect

from casework.actors.crew import Crew
from casework.actors.declared import annotated
from casework.actors.patterns.description import type_name
from casework.actors.patterns.flows import Declaration
from casework.actors.patterns.walk import walk
from casework.actors.personal import DAY, KEPT, NUMBER, PERSONAL, TEXT, looks_like
from casework.protocols.pointer import Pointer

#: What a value of a type without parts is; where nothing is said of it, it may be a text.
_HELD: Final[Mapping[type[inspect.Type], str]] = {
    inspect.StrType: TEXT,
    inspect.BytesType: TEXT,
    inspect.ByteArrayType: TEXT,
    inspect.AnyType: TEXT,
    inspect.CustomType: TEXT,
    inspect.RawType: TEXT,
    inspect.IntType: NUMBER,
    inspect.DateType: DAY,
    inspect.DateTimeType: DAY,
}


class Finding(Struct, frozen=True, kw_only=True):
    """A field that looks like raw personal data."""

    field: str
    """Its type and its name, `Order.email`; where it is no field, its first place."""
    what: str
    why: str
    places: tuple[str, ...]
    """Where it is declared to be taken or given, `tool pay arguments.orders[].email`; each declaration once."""
    kept: str = ""
    """Why it may stay, if the field says so; then there is nothing to do."""


class _At(NamedTuple):
    """A place on the way through a type."""

    path: str
    field: str = ""
    names: tuple[str, ...] = ()
    """The field's own, and the one that it has in a frame."""
    owner: str = ""
    kept: str = ""


def lint_crew(crew: Crew) -> tuple[Finding, ...]:
    """Find the fields that look like raw personal data in what flows, agents and tools take and give, each once."""
    found: dict[tuple[str, str, str, str], list[str]] = {}
    for place, type_ in declared(crew):
        walked = _Walk(crew.sources)
        walked.over(place, type_)
        for at, what, why in walked.found:
            places = found.setdefault((at.field or at.path, what, why, at.kept), [])
            if at.path not in places:
                places.append(at.path)
    return tuple(
        Finding(field=name, what=what, why=why, kept=reason, places=tuple(places))
        for (name, what, why, reason), places in found.items()
    )


def declared(crew: Crew) -> Iterator[tuple[str, object]]:
    """Give every type that a crew declares to be taken or given, and by whom."""
    for name, flow in crew.flows.items():
        yield f"flow {name} inputs", flow.inputs
        yield f"flow {name} returns", annotated(flow.function)
        patterns = flow.declaration.patterns if isinstance(flow.declaration, Declaration) else ()
        for place in (each for root in patterns for each in walk(root).places):
            yield f"flow {name} ({place.path}) takes", place.pattern.takes
            yield f"flow {name} ({place.path}) gives", place.pattern.gives
    for agent in crew.agents.values():
        for name, skill in agent.handles.items():
            yield f"agent {agent.name} ({name}) inputs", skill.inputs
            yield f"agent {agent.name} ({name}) returns", skill.annotated
    for tool in crew.tools:
        yield f"tool {tool.name} arguments", tool.arguments
        yield f"tool {tool.name} returns", tool.annotated


@dataclass(slots=True, eq=False)
class _Walk:
    """Goes through one declared type; a type inside it that is met again is passed over."""

    sources: Collection[type]
    found: list[tuple[_At, str, str]] = field(default_factory=list[tuple[_At, str, str]])
    """Where, what it looks like, and why."""
    _met: set[tuple[type, str]] = field(default_factory=set[tuple[type, str]])

    def over(self, place: str, type_: object) -> None:
        """Begin; of what no frame could be read as, such as types without tags, each part by itself."""
        try:
            node = inspect.type_info(type_)
        except (AttributeError, NameError, TypeError, ValueError):
            for part in get_args(type_):
                self.over(place, part)
        else:
            self._look(node, _At(place))

    def _look(self, node: inspect.Type, at: _At) -> None:
        match node:
            case inspect.Metadata():
                self._said(node, at)
            case inspect.UnionType():
                self._all(node.types, at)
            case inspect.TupleType():
                self._all(node.item_types, at._replace(path=f"{at.path}[]"))
            case inspect.CollectionType():
                self._look(node.item_type, at._replace(path=f"{at.path}[]"))
            case inspect.DictType():
                self._all((node.key_type, node.value_type), at._replace(path=f"{at.path}{{}}"))
            case inspect.StructType() | inspect.DataclassType() | inspect.TypedDictType() | inspect.NamedTupleType():
                self._fields(node.cls, node.fields, at)
            case _:
                self._named(_HELD.get(type(node), ""), at)

    def _all(self, nodes: Collection[inspect.Type], at: _At) -> None:
        for node in nodes:
            self._look(node, at)

    def _said(self, node: inspect.Metadata, at: _At) -> None:
        """Heed what is said of a field or of a type; why it may stay holds for all that is inside."""
        said = cast("Mapping[str, str]", cast("Any", node).extra or {})
        at = at._replace(kept=said.get(KEPT, at.kept))
        if PERSONAL in said:
            self.found.append((at, said[PERSONAL], "it is declared to be personal"))
        else:
            self._look(node.type, at)

    def _fields(self, type_: type, fields: Collection[inspect.Field], at: _At) -> None:
        owner = type_name(type_)
        if get_origin(type_) is Pointer or type_ is Pointer:
            return
        if type_ in self.sources:
            self.found.append((at, f"a copy of {owner}", "the crew has a source of it"))
        elif (type_, at.kept) not in self._met:
            self._met.add((type_, at.kept))
            for each in fields:
                names = (each.name, each.encode_name)
                self._look(each.type, _At(f"{at.path}.{each.name}", f"{owner}.{each.name}", names, owner, at.kept))

    def _named(self, held: str, at: _At) -> None:
        for name in at.names:
            what = looks_like(name, at.owner, held)
            if what:
                self.found.append((at, what, f"it is called {name!r}"))
                return
