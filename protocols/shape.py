"""Says how deep the values of a type can nest, so that bytes of those which cannot be deep need no look.

A type is *closed* if it bounds that: numbers, texts, days, Structs and their like, and containers of closed types. It
is *open* if it does not: `object` and `Any`, bare `dict` and `list`, types that hold themselves, and every type that
msgspec knows no shape of. A `Raw` counts as the caller says, for only he knows who has looked at its bytes.

Values are taken to be what their types say. Of a value that was read this is certain. Of one that is written it is
what the type checker found: a Struct does not look at what its fields are given.

It does not know any limit, nor any bytes.
"""

import enum
from collections.abc import Iterable

from msgspec import inspect

_LEAVES = (
    inspect.NoneType,
    inspect.BoolType,
    inspect.IntType,
    inspect.FloatType,
    inspect.StrType,
    inspect.BytesType,
    inspect.ByteArrayType,
    inspect.MemoryViewType,
    inspect.DateTimeType,
    inspect.TimeType,
    inspect.DateType,
    inspect.TimeDeltaType,
    inspect.UUIDType,
    inspect.DecimalType,
    inspect.ExtType,
    inspect.LiteralType,
)
_WITH_FIELDS = (inspect.StructType, inspect.DataclassType, inspect.TypedDictType, inspect.NamedTupleType)


def levels_of(type_: object, raw_levels: int) -> int | None:
    """Give how many arrays and maps a value of `type_` has inside one another at most; None if the type is open.

    Args:
        type_: any annotation; one that cannot be resolved, or not be read, is open.
        raw_levels: what a `Raw` has at most.
    """
    try:
        info = inspect.type_info(type_)
    except (AttributeError, NameError, SyntaxError, TypeError, ValueError):
        return None
    return _levels(info, raw_levels, {})


def _levels(node: inspect.Type, raw_levels: int, met: dict[int, int | None]) -> int | None:
    if isinstance(node, _LEAVES):
        return 0
    if isinstance(node, inspect.RawType):
        return raw_levels
    if isinstance(node, inspect.EnumType):
        return _levels_of_members(node.cls)
    if isinstance(node, inspect.Metadata):
        return _levels(node.type, raw_levels, met)
    if isinstance(node, inspect.UnionType):
        return _deepest(node.types, raw_levels, met)
    parts = _parts(node)
    if parts is None:
        return None
    if id(node) not in met:
        met[id(node)] = None  # whoever meets it below itself finds it open
        inner = _deepest(parts, raw_levels, met)
        met[id(node)] = None if inner is None else 1 + inner
    return met[id(node)]


def _deepest(nodes: Iterable[inspect.Type], raw_levels: int, met: dict[int, int | None]) -> int | None:
    deepest = 0
    for node in nodes:
        levels = _levels(node, raw_levels, met)
        if levels is None:
            return None
        deepest = max(deepest, levels)
    return deepest


def _parts(node: inspect.Type) -> Iterable[inspect.Type] | None:
    if isinstance(node, _WITH_FIELDS):
        return [field.type for field in node.fields]
    if isinstance(node, inspect.TupleType):
        return node.item_types
    if isinstance(node, inspect.CollectionType):
        return (node.item_type,)
    if isinstance(node, inspect.DictType):
        return (node.key_type, node.value_type)
    return None


def _levels_of_members(type_: type[enum.Enum]) -> int | None:
    # Members travel as their values, which can be anything.
    return 0 if all(isinstance(member.value, str | int) for member in type_) else None
