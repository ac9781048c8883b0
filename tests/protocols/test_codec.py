"""Frames: equal messages have equal bytes, what was sent is read back, and what is no frame is refused by name."""

import datetime as dt
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from casework.protocols import codec, records, wire
from casework.protocols.errors import FrameInvalid, FrameUnknown
from tests.protocols.wire_samples import SAMPLES
from tests.support.structs import PLAIN, any_of

ENTRIES = records.Entry.__args__
MONEY = st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**14), max_value=10**14)
READERS = {
    wire.CallAsked: codec.decode_call_asked,
    wire.CallAnswered: codec.decode_call_answered,
}


def frame_of(**fields: object) -> bytes:
    return msgspec.msgpack.encode(fields)


@pytest.mark.parametrize("type_", [*ENTRIES, wire.CallAsked, wire.CallAnswered], ids=lambda type_: type_.__name__)
@given(data=st.data())
def test_every_message_is_read_back_as_it_was_sent(type_: type[msgspec.Struct], data: st.DataObject) -> None:
    message = data.draw(any_of(type_))
    frame = codec.encode(message)
    read = READERS.get(type_, codec.decode_entry)(frame)
    assert read == message
    assert codec.encode(read) == frame


@pytest.mark.promise("FRAME-2")
@given(PLAIN, st.randoms(use_true_random=False))
def test_equal_values_have_equal_bytes_in_whatever_order_they_were_made(value: object, chance: Any) -> None:
    def shuffled(part: Any) -> object:
        if isinstance(part, list):
            return [shuffled(each) for each in part]
        if not isinstance(part, dict):
            return part
        keys = list(part)
        chance.shuffle(keys)
        return {key: shuffled(part[key]) for key in keys}

    assert bytes(codec.pack(value)) == bytes(codec.pack(shuffled(value)))


def test_the_order_in_which_the_fields_of_a_message_are_given_does_not_show() -> None:
    one = wire.Evidence(ref="input:a", sha256="b", label="c")
    other = wire.Evidence(label="c", sha256="b", ref="input:a")
    assert codec.encode(one) == codec.encode(other)


def test_a_field_at_its_default_takes_no_room_in_the_frame() -> None:
    assert codec.plain_entry(codec.encode(records.Noted(text="x"))) == {"type": "noted", "text": "x"}


@pytest.mark.promise("FRAME-9")
@pytest.mark.parametrize("tag", ["call_asked", "from_the_future", ""])
def test_a_tag_that_nobody_knows_is_told_apart_from_bytes_that_are_broken(tag: str) -> None:
    with pytest.raises(FrameUnknown):
        codec.decode_entry(frame_of(type=tag))


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xc1",
        b"\x81",
        b"text",
        codec.encode(records.Won(branch=1)) + b"\x00",
        codec.encode(records.Won(branch=1))[:-1],
        frame_of(branch=1),
        frame_of(type="won", branch="first"),
        frame_of(type="won"),
        frame_of(type=7),
        b"\x82\xa4type\xa5noted\xa4text\xa2\xff\xfe",
    ],
)
def test_bytes_that_are_no_frame_are_refused_and_not_taken_for_a_newer_version(frame: bytes) -> None:
    with pytest.raises(FrameInvalid) as refused:
        codec.decode_entry(frame)
    assert not isinstance(refused.value, FrameUnknown)
    assert "\n" not in str(refused.value)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_entry_or_a_typed_refusal(data: bytes) -> None:
    with pytest.raises(FrameInvalid):
        codec.decode_entry(data)


@pytest.mark.promise("FRAME-9")
def test_a_field_that_a_newer_version_added_is_passed_over() -> None:
    plain = codec.plain_entry(codec.encode(records.Won(branch=1)))
    assert codec.decode_entry(msgspec.msgpack.encode({**plain, "added_later": {"x": [1]}})) == records.Won(branch=1)


@pytest.mark.promise("FRAME-7")
@given(MONEY)
def test_decimals_travel_as_text_and_keep_every_digit(amount: Decimal) -> None:
    raw = codec.pack(amount)
    assert codec.plain(raw) == str(amount)
    back = codec.unpack(raw, Decimal)
    assert (back, back.as_tuple()) == (amount, amount.as_tuple())


def test_a_day_is_read_back_as_that_day() -> None:
    assert codec.unpack(codec.pack(dt.date(2026, 6, 30)), dt.date) == dt.date(2026, 6, 30)


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, "\ud800", object(), {1: "x"}, {"a": 1, 2: "b"}])
def test_a_value_without_faithful_bytes_is_refused_before_anything_is_sent(value: object) -> None:
    with pytest.raises(FrameInvalid):
        codec.pack(value)


def test_a_value_of_another_type_is_refused_with_its_place() -> None:
    with pytest.raises(FrameInvalid, match=r"\$\.ref"):
        codec.unpack(codec.pack({"ref": 7}), wire.Evidence)


@pytest.mark.promise("FRAME-2")
def test_the_hash_of_an_operation_covers_its_name_and_its_arguments_in_any_order() -> None:
    one = codec.arguments_hash("call", {"a": 1, "b": Decimal("6.70")})
    assert one == codec.arguments_hash("call", {"b": Decimal("6.70"), "a": 1})
    assert one != codec.arguments_hash("call", {"a": 1, "b": Decimal("6.69")})
    assert one != codec.arguments_hash("delegate", {"a": 1, "b": Decimal("6.70")})
    assert len(one) == 32


@pytest.mark.parametrize("sample", SAMPLES, ids=codec.kind_of)
def test_every_kind_is_shown_with_its_tag_without_knowing_its_type(sample: msgspec.Struct) -> None:
    assert codec.plain_entry(codec.encode(sample))["type"] == codec.kind_of(sample)
