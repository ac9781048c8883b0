"""Descriptions: a declaration as plain text that is the same in every process, and differs when the declaration does.

All figures of all patterns count, and so do the functions in them: their source, their defaults and what they have
taken along from around them. A thing that has no plain form counts by its type alone: an address in memory must never
get into a hash that a case pins. It does not know what the hash is for.
"""

import dataclasses
import enum
import functools
import hashlib
import inspect
import json
import types
import typing
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Final, TypeAlias, cast

import msgspec

from casework.actors.patterns.base import Edge, Pattern
from casework.actors.patterns.walk import Place, walk

#: What a description is made of.
Described: TypeAlias = "str | list[Described]"

#: Values within values; what lies deeper counts by its type.
DEPTH_MAX: Final = 12
#: Digits of the hash, as many as a flow's source hash has.
HASH_DIGITS: Final = 16
#: Types whose `repr` is what they are.
_PLAIN: Final = (bool, int, float, complex, str, bytes, type(None))


def declared_hash(patterns: Sequence[Pattern], *more: object) -> str:
    """Hash the description of some declarations, and of whatever else belongs to them."""
    said = [*(describe(pattern) for pattern in patterns), *(_plain(each, {}, 0) for each in more)]
    return hashlib.sha256(json.dumps(said, ensure_ascii=True).encode()).hexdigest()[:HASH_DIGITS]


def describe(root: Pattern) -> Described:
    """Describe a declaration: each pattern once, with its figures and the numbers of its parts."""
    walked = walk(root)
    numbers = {id(place.pattern): str(number) for number, place in enumerate(walked.places)}
    # Where parts have no end, their types may have none; no crew is built of those.
    return [_described(place, numbers, typed=not walked.flaws) for place in walked.places]


def type_name(type_: typing.Any) -> str:
    """Write a type as its author would: `Order`, `list[Order]`, `Order | None`; anything for `object`."""
    if type_ is object or type_ is typing.Any:
        return "anything"
    if type_ in (None, type(None)):
        return "nothing"
    origin, inner = typing.get_origin(type_), typing.get_args(type_)
    if origin in (typing.Union, types.UnionType):
        return " | ".join(type_name(each) for each in inner)
    if origin is not None:
        name = getattr(origin, "__name__", str(origin))
        shown = [repr(each) if isinstance(each, str) else type_name(each) for each in inner]
        return f"{name}[{', '.join(shown)}]" if inner else name
    if type_ is Ellipsis:
        return "..."
    return getattr(type_, "__name__", None) or str(type_)


def figures(pattern: Pattern) -> dict[str, object]:
    """Give the fields of a pattern as it was declared, by name; whatever kind of class it is."""
    inside = _fields(pattern)
    return dict(getattr(pattern, "__dict__", {})) if inside is None else inside


def _described(place: Place, numbers: Mapping[int, str], *, typed: bool) -> Described:
    pattern = place.pattern
    fields = [[name, _plain(value, numbers, 0)] for name, value in figures(pattern).items()]
    joints: Described = [[joint.label, str(joint.to)] for joint in place.joints]
    types_ = [type_name(pattern.takes), type_name(pattern.gives)] if typed else []
    return [pattern.kind, pattern.name, *types_, cast("Described", fields), joints]


def _plain(value: object, numbers: Mapping[int, str], depth: int) -> Described:
    if id(value) in numbers:
        return ["pattern", numbers[id(value)]]
    if isinstance(value, enum.Enum):
        return f"{type(value).__qualname__}.{value.name}"
    if isinstance(value, _PLAIN):
        return repr(value)
    if depth > DEPTH_MAX:
        return type(value).__qualname__
    below = functools.partial(_plain, numbers=numbers, depth=depth + 1)
    match value:
        case type() | types.UnionType() | types.GenericAlias():
            return type_name(value)
        case Edge():
            return [value.label, below(value.pattern)]
        case Mapping():
            return ["map", *([below(key), below(each)] for key, each in cast("Mapping[object, object]", value).items())]
        case list() | tuple():
            return ["list", *map(below, cast("Sequence[object]", value))]
        case Set():
            return ["set", *sorted(map(below, cast("Set[object]", value)), key=str)]
        case functools.partial() | types.MethodType() | types.FunctionType():
            return _function(cast("functools.partial[object] | types.MethodType | types.FunctionType", value), below)
        case _:
            return _other(value, below)


def _function(
    value: "functools.partial[object] | types.MethodType | types.FunctionType", below: Callable[[object], Described]
) -> Described:
    match value:
        case types.MethodType():
            return ["method", value.__func__.__qualname__, _source(value.__func__), below(value.__self__)]
        case types.FunctionType():
            return ["function", value.__qualname__, _source(value), *map(below, _taken_along(value))]
        case _:
            return ["partial", below(value.func), below(value.args), below(value.keywords)]


def _other(value: object, below: Callable[[object], Described]) -> Described:
    if isinstance(value, types.BuiltinFunctionType):
        return value.__qualname__
    if typing.get_origin(value) is not None:
        return type_name(value)
    named, inside, shown = type(value).__qualname__, _fields(value), repr(value)
    if inside is None:
        return [named] if " at 0x" in shown else [named, shown]
    source = [_source(type(value))] if callable(value) else []
    return [named, *source, *([name, below(each)] for name, each in inside.items())]


def _fields(thing: object) -> dict[str, object] | None:
    """Give the fields of a dataclass or a Struct; None for anything else."""
    if isinstance(thing, msgspec.Struct):
        return {name: getattr(thing, name) for name in thing.__struct_fields__}
    if dataclasses.is_dataclass(thing):
        return {each.name: getattr(thing, each.name) for each in dataclasses.fields(thing)}
    return None


def _taken_along(function: types.FunctionType) -> tuple[object, ...]:
    """Give what a function's meaning hangs on beside its source: its defaults, and what it closes over."""
    cells: list[object] = []
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        try:
            cells.append((name, cell.cell_contents))
        except ValueError:  # not filled yet
            cells.append(name)
    return function.__defaults__, function.__kwdefaults__, tuple(cells)


def _source(thing: Callable[..., object]) -> str:
    try:
        return inspect.getsource(thing)
    except (OSError, TypeError):  # typed in by hand, or made at run time: there is no source
        return ""
