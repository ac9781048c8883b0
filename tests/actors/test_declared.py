"""Reading what was handed over: no field that the receiver did not declare gets through, however it is put."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw, Struct

from casework.actors.declared import decode_declared
from casework.actors.errors import UndeclaredFields
from casework.protocols.errors import FrameInvalid


class Exact(Struct, frozen=True):
    a: int
    b: int


class Loose(Struct, frozen=True):
    a: int
    b: int = 0


class Tagged(Struct, frozen=True, tag="tagged"):
    a: int


NAMES = st.dictionaries(st.sampled_from(["a", "b", "c", "type"]), st.integers(0, 9))


@given(given=NAMES, type_=st.sampled_from([Exact, Loose, Tagged]))
def test_a_field_is_refused_exactly_when_the_type_does_not_declare_it(
    given: dict[str, Any], type_: type[Struct]
) -> None:
    if "type" in given:
        given["type"] = "tagged"
    known = {*type_.__struct_fields__, *(["type"] if type_ is Tagged else [])}
    required = {"a", "b"} if type_ is Exact else {"a"}
    raw = Raw(msgspec.msgpack.encode(given))
    if set(given) - known:
        with pytest.raises(UndeclaredFields):
            decode_declared(raw, type_, "tool t")
    elif required - set(given):
        with pytest.raises(FrameInvalid):
            decode_declared(raw, type_, "tool t")
    else:
        decoded = decode_declared(raw, type_, "tool t")
        assert [getattr(decoded, name) for name in given if name != "type"] == [
            given[name] for name in given if name != "type"
        ]


def test_a_name_that_stands_twice_hides_no_other() -> None:
    one = msgspec.msgpack.encode
    pairs = one("a") + one(1) + one("a") + one(2)
    with pytest.raises(FrameInvalid):
        decode_declared(Raw(b"\x82" + pairs), Exact, "tool t")
    with pytest.raises(UndeclaredFields):
        decode_declared(Raw(b"\x83" + pairs + one("c") + one(3)), Loose, "tool t")


@pytest.mark.parametrize("data", [b"", b"\xc0", b"\x92\x01\x02"])
def test_what_is_no_map_is_refused(data: bytes) -> None:
    with pytest.raises(FrameInvalid):
        decode_declared(Raw(data), Exact, "tool t")
