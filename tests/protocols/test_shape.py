"""What a type says of the depth of its values: a bound that none of them passes, or none at all."""

import datetime as dt
import enum
import uuid
from collections import namedtuple
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypedDict, TypeVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw, Struct

from casework.protocols import codec, records, wire
from casework.protocols.errors import FrameTooDeep
from casework.protocols.shape import levels_of
from tests.protocols.test_depth import depth_of
from tests.support.structs import any_of

T = TypeVar("T")


class Line(Struct, frozen=True):
    text: str
    cents: Decimal | None = None


class Receipt(Struct, frozen=True):
    payee: str
    lines: tuple[Line, ...] = ()
    also: "Line | list[Line] | None" = None


class Pair(Struct, frozen=True, array_like=True):
    left: list[Receipt]
    right: dict[str, Receipt]


class Node(Struct, frozen=True):
    below: "list[Node]" = []


class Left(Struct, frozen=True):
    right: "Right | None" = None


class Right(Struct, frozen=True):
    left: Left | None = None


class Loose(Struct, frozen=True):
    line: Line
    more: dict[str, Any] = {}


class Box(Struct, Generic[T], frozen=True):
    inner: T


class Unresolved(Struct, frozen=True):
    inner: "NoSuchName" = None  # type: ignore[name-defined]  # noqa: F821  # what is tried


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Odd(enum.Enum):
    PAIR = ((1, 2), (3, 4))


class Point(NamedTuple):
    x: int
    y: list[int]


class Named(TypedDict):
    lines: list[Line]


@dataclass
class Kept:
    line: Line


class Text(str):
    __slots__ = ()


Untyped = namedtuple("Untyped", "a b")

CLOSED: list[tuple[Any, int]] = [
    *((type_, 0) for type_ in (None, bool, int, float, str, bytes, bytearray, memoryview, Decimal, uuid.UUID)),
    *((type_, 0) for type_ in (dt.datetime, dt.date, dt.time, dt.timedelta, msgspec.msgpack.Ext)),
    (Literal["a", 1], 0),
    (Colour, 0),
    (wire.RiskTier, 0),
    (Annotated[int, msgspec.Meta(ge=0)], 0),
    (Annotated[list[int], msgspec.Meta(extra_json_schema={"title": "numbers"})], 1),
    (int | str | None, 0),
    (list[int], 1),
    (Sequence[int], 1),
    (tuple[int, ...], 1),
    (tuple[int, list[int]], 2),
    (tuple[()], 1),
    (set[int], 1),
    (frozenset[tuple[int, int]], 2),
    (dict[str, int], 1),
    (Mapping[str, list[int]], 2),
    (dict[tuple[int, tuple[int, int]], int], 3),
    (list[int] | str, 1),
    (list[list[list[int]]] | None, 3),
    (Line, 1),
    (Receipt, 3),
    (Pair, 5),
    (Named, 3),
    (Point, 2),
    (Kept, 2),
    (Box[Line], 2),
    (wire.Budget, 1),
    (wire.Evidence, 1),
]
OPEN: list[Any] = [
    *(Any, object, list, dict, tuple, set, frozenset, Sequence, list[Any], dict[str, object], tuple[int, Any]),
    *(Node, Left, Right, Loose, list[Loose], Box, Box[Any], Box[Node], Unresolved, Odd, Text, Untyped),
    *(type, list[int] | set[int], int | Any, T),
]


def name(type_: object) -> str:
    return getattr(type_, "__name__", str(type_))


@pytest.mark.promise("FRAME-5")
@pytest.mark.parametrize(("type_", "levels"), CLOSED, ids=lambda value: name(value))
def test_a_closed_type_has_as_many_levels_as_it_writes_down(type_: object, levels: int) -> None:
    assert levels_of(type_, raw_levels=0) == levels_of(type_, raw_levels=9) == levels


@pytest.mark.promise("FRAME-5")
@pytest.mark.parametrize("type_", OPEN, ids=name)
def test_an_open_type_has_no_bound(type_: object) -> None:
    assert levels_of(type_, raw_levels=0) is None


@pytest.mark.parametrize(
    ("type_", "around"), [(Raw, 0), (dict[str, Raw], 1), (wire.Task, 1), (wire.CallAsked, 1), (list[wire.Task], 2)]
)
def test_a_raw_has_as_many_levels_as_the_caller_says(type_: object, around: int) -> None:
    assert levels_of(type_, raw_levels=50) == around + 50


@pytest.mark.parametrize("type_", [*records.Entry.__args__, wire.CallAsked, wire.CallAnswered], ids=name)
@given(data=st.data())
def test_no_message_is_deeper_than_its_type_says(type_: type[Struct], data: st.DataObject) -> None:
    levels = levels_of(type_, raw_levels=codec.VALUE_DEPTH_MAX)
    assert levels is not None
    assert depth_of(msgspec.msgpack.decode(codec.encode(data.draw(any_of(type_))))) <= levels


def test_a_value_can_be_as_deep_as_its_type_says() -> None:
    deepest = Pair([], {"a": Receipt("x", (Line("y"),), [Line("z")])})
    assert depth_of(msgspec.msgpack.decode(codec.encode(deepest))) == levels_of(Pair, raw_levels=0)


def test_a_type_that_many_fields_share_is_looked_at_once() -> None:
    type_: Any = int
    for number in range(60):
        type_ = msgspec.defstruct(f"Level{number}", [("left", type_), ("right", type_)])
    assert levels_of(type_, raw_levels=0) == 60
    assert levels_of(list[list[list[list[type_]]]], raw_levels=0) == 64


def test_a_closed_type_with_more_levels_than_the_limit_is_judged_by_its_values() -> None:
    type_: Any = int
    value: Any = 7
    for _ in range(codec.VALUE_DEPTH_MAX + 1):
        type_, value = list[type_], [value]
    data = msgspec.msgpack.encode(value)
    with pytest.raises(FrameTooDeep):
        codec.unpack(data, type_)
    assert codec.unpack(msgspec.msgpack.encode(value[0]), type_.__args__[0]) == value[0]


def test_only_so_many_types_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "TYPES_MAX", 8)
    for number in range(40):
        type_ = msgspec.defstruct(f"Made{number}", [("text", str)])
        packed = codec.pack(type_("x" * 100))
        assert codec.unpack(packed, type_) == type_("x" * 100)
        assert max(len(codec._VALUES), len(codec._READERS)) <= 8


def test_an_annotation_without_a_hash_is_read_too() -> None:
    assert codec.unpack(codec.pack(7), Annotated[int, []]) == 7  # type: ignore[arg-type]  # a form of a type
