"""The two limits of a frame are exact, hold on both ways, and are refused by type whatever the bytes claim."""

import functools
import sys
import tracemalloc
from collections.abc import Callable
from typing import TypeVar

import msgspec
import pytest
from msgspec import Struct

from casework.protocols import codec, records, wire
from casework.protocols.codec import FRAME_DEPTH_MAX, VALUE_DEPTH_MAX
from casework.protocols.errors import CaseworkError, FrameInvalid, FrameTooDeep, FrameTooLarge
from casework.protocols.shape import levels_of
from tests.protocols.wire_samples import SAMPLES

T = TypeVar("T")
Reader = Callable[[bytes], object]


class Carrier(Struct, frozen=True, tag="carrier"):
    """A message that carries any value."""

    value: object = None


class Holder(Struct, frozen=True):
    """A value that carries another one."""

    inner: msgspec.Raw = wire.NIL


def unpack(frame: bytes) -> object:
    return codec.unpack(frame, object)


DECODERS: dict[str, Reader] = {
    "won": codec.decode_entry,
    "task": codec.decode_task,
    "completed": codec.decode_outcome,
    "call_asked": codec.decode_call_asked,
    "call_answered": codec.decode_call_answered,
    "noted": codec.decode_entry,
}
READERS: list[Reader] = [*dict.fromkeys(DECODERS.values()), codec.plain, codec.plain_entry, unpack]
#: Deeper than any stack has room for.
HOSTILE_VALUE = b"\x91" * 100_000 + b"\xc0"
NAMES = [reader.__name__ for reader in READERS]


def nested(depth: int) -> object:
    value: object = None
    for _ in range(depth):
        value = [value]
    return value


def nested_map(depth: int) -> object:
    value: object = 7
    for _ in range(depth):
        value = {"inner": value, "beside": "ÄÖÜ"}
    return value


def frame_with(tag: str, depth: int) -> bytes:
    """A valid frame of that kind with one more field, which a newer version added; its map is the first level."""
    sample = next(sample for sample in SAMPLES if codec.kind_of(sample) == tag)
    fields = msgspec.msgpack.decode(codec.encode(sample))
    return msgspec.msgpack.encode({"added_later": nested(depth - 1), **fields})


def stack_depth() -> int:
    frame, depth = sys._getframe(), 0
    while frame.f_back is not None:
        frame, depth = frame.f_back, depth + 1
    return depth


def from_below(levels: int, call: Callable[[], T]) -> T:
    return call() if levels <= 0 else from_below(levels - 1, call)


def refused(call: Callable[[], object]) -> FrameTooDeep:
    with pytest.raises(FrameTooDeep) as caught:
        call()
    return caught.value


def peak_bytes(call: Callable[[], object]) -> int:
    """Memory that a call takes at most until it is refused by type."""
    tracemalloc.start()
    try:
        with pytest.raises(CaseworkError):
            call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.promise("FRAME-5")
def test_a_frame_may_have_exactly_as_many_bytes_as_the_limit_says_and_not_one_more() -> None:
    room = codec.FRAME_BYTES_MAX - len(codec.encode(records.Noted(text="x" * 100_000))) + 100_000
    largest = codec.encode(records.Noted(text="x" * room))
    assert len(largest) == codec.FRAME_BYTES_MAX
    assert codec.decode_entry(largest) == records.Noted(text="x" * room)
    with pytest.raises(FrameTooLarge) as refused:
        codec.encode(records.Noted(text="x" * (room + 1)))
    assert (refused.value.size, refused.value.limit) == (codec.FRAME_BYTES_MAX + 1, codec.FRAME_BYTES_MAX)


def test_no_value_of_more_than_a_frame_is_packed() -> None:
    with pytest.raises(FrameTooLarge):
        codec.pack("x" * codec.FRAME_BYTES_MAX)


@pytest.mark.promise("FRAME-5")
@pytest.mark.parametrize("reader", READERS, ids=NAMES)
def test_no_frame_over_the_limit_is_even_read(reader: Reader) -> None:
    frame = b"\x00" * (codec.FRAME_BYTES_MAX + 1)
    with pytest.raises(FrameTooLarge) as caught:
        reader(frame)
    assert (caught.value.size, caught.value.limit) == (codec.FRAME_BYTES_MAX + 1, codec.FRAME_BYTES_MAX)


@pytest.mark.promise("FRAME-5")
@pytest.mark.parametrize("make", [nested, nested_map])
def test_a_value_may_nest_exactly_as_deep_as_the_limit_says_and_not_one_level_more(
    make: Callable[[int], object],
) -> None:
    assert codec.plain(codec.pack(make(VALUE_DEPTH_MAX))) == make(VALUE_DEPTH_MAX)
    for beyond in map(make, (VALUE_DEPTH_MAX + 1, VALUE_DEPTH_MAX + 2, 200, 100_000)):
        assert refused(functools.partial(codec.pack, beyond)).depth_max == VALUE_DEPTH_MAX


@pytest.mark.promise("FRAME-5")
def test_a_message_of_open_shape_may_nest_exactly_as_deep_as_the_limit_says_its_own_map_included() -> None:
    frame = codec.encode(Carrier(value=nested(FRAME_DEPTH_MAX - 1)))
    assert codec.plain_entry(frame)["value"] == nested(FRAME_DEPTH_MAX - 1)
    assert refused(lambda: codec.encode(Carrier(value=nested(FRAME_DEPTH_MAX)))).depth_max == FRAME_DEPTH_MAX


@pytest.mark.promise("FRAME-5")
@pytest.mark.parametrize("sample", SAMPLES, ids=codec.kind_of)
def test_whatever_is_packed_fits_into_every_message_and_the_frame_is_within_the_limit(sample: Struct) -> None:
    deepest = codec.pack(nested(VALUE_DEPTH_MAX))
    raws = [field.name for field in msgspec.structs.fields(sample) if field.type is msgspec.Raw]
    frame = codec.encode(msgspec.structs.replace(sample, **dict.fromkeys(raws, deepest)))
    codec.check_frame(frame)
    assert codec.plain_entry(frame)["type"] == codec.kind_of(sample)
    for name in raws:
        assert codec.plain_entry(frame)[name] == nested(VALUE_DEPTH_MAX)


@pytest.mark.promise("FRAME-5")
@pytest.mark.parametrize(
    "type_", [*records.Entry.__args__, wire.CallAsked, wire.CallAnswered], ids=lambda type_: type_.__name__
)
def test_a_frame_of_ours_is_as_deep_as_the_limit_at_most_by_its_shape_alone(type_: type[Struct]) -> None:
    levels = levels_of(type_, raw_levels=VALUE_DEPTH_MAX)
    assert levels is not None
    assert levels <= FRAME_DEPTH_MAX


@pytest.mark.promise("FRAME-5")
def test_what_a_value_carries_in_a_raw_field_counts_at_its_place() -> None:
    codec.pack(Holder(inner=codec.pack(nested(VALUE_DEPTH_MAX - 1))))
    as_deep_as_a_value = codec.pack(nested(VALUE_DEPTH_MAX))
    assert refused(lambda: codec.pack(Holder(inner=as_deep_as_a_value))).depth_max == VALUE_DEPTH_MAX
    assert refused(lambda: codec.pack([as_deep_as_a_value])).depth_max == VALUE_DEPTH_MAX


@pytest.mark.promise("FRAME-5")
@pytest.mark.parametrize("tag", DECODERS)
def test_a_frame_from_another_process_is_taken_to_exactly_the_limit_in_fields_that_nobody_knows_too(tag: str) -> None:
    codec.check_frame(frame_with(tag, FRAME_DEPTH_MAX))
    DECODERS[tag](frame_with(tag, FRAME_DEPTH_MAX))
    assert refused(lambda: codec.check_frame(frame_with(tag, FRAME_DEPTH_MAX + 1))).depth_max == FRAME_DEPTH_MAX


@pytest.mark.promise("FRAME-5")
@pytest.mark.parametrize("frame", [b"\x00" * (codec.FRAME_BYTES_MAX + 1), b"\x91" * (codec.FRAME_BYTES_MAX + 1)])
def test_a_frame_from_another_process_is_refused_for_its_size_first(frame: bytes) -> None:
    with pytest.raises(FrameTooLarge):
        codec.check_frame(frame)


@pytest.mark.promise("FRAME-5")
@pytest.mark.parametrize("reader", [codec.plain, unpack], ids=["plain", "unpack"])
def test_a_value_is_read_to_exactly_the_limit(reader: Reader) -> None:
    assert reader(b"\x91" * VALUE_DEPTH_MAX + b"\x07") is not None
    assert refused(lambda: reader(b"\x91" * (VALUE_DEPTH_MAX + 1) + b"\x07")).depth_max == VALUE_DEPTH_MAX
    assert reader(msgspec.Raw(b"\x91" * VALUE_DEPTH_MAX + b"\x07")) is not None
    assert refused(lambda: reader(msgspec.Raw(b"\x91" * VALUE_DEPTH_MAX + b"\x90"))).depth_max == VALUE_DEPTH_MAX


#: 100,000 arrays where the decoder only skips them: in a `Raw` field, and in one that a newer version may have added.
SKIPPED = {
    f"{field} of {tag}": (
        DECODERS[tag],
        b"\x82\xa4type" + msgspec.msgpack.encode(tag) + msgspec.msgpack.encode(field) + HOSTILE_VALUE,
    )
    for tag, field in [
        ("noted", "data"),
        ("task", "inputs"),
        ("completed", "value"),
        ("call_asked", "arguments"),
        ("call_answered", "value"),
        ("won", "other"),
        ("call_asked", "other"),
    ]
}


@pytest.mark.promise("FRAME-5")
@pytest.mark.parametrize(("reader", "frame"), SKIPPED.values(), ids=SKIPPED)
def test_hostile_bytes_that_are_only_skipped_are_refused_by_type_under_every_stack(
    reader: Reader, frame: bytes
) -> None:
    deep = sys.getrecursionlimit() - stack_depth() - 2 * FRAME_DEPTH_MAX
    for levels in (0, deep // 2, deep):
        assert from_below(levels, lambda: refused(lambda: reader(frame))).depth_max == FRAME_DEPTH_MAX


@pytest.mark.promise("FRAME-5")
def test_hostile_bytes_in_a_raw_field_of_a_value_are_refused_by_type_under_every_stack() -> None:
    deep = sys.getrecursionlimit() - stack_depth() - 2 * FRAME_DEPTH_MAX
    for data in (b"\x81\xa5inner", b"\x81\xa5other"):
        for levels in (0, deep):
            reader = functools.partial(codec.unpack, data + HOSTILE_VALUE, Holder)
            assert from_below(levels, lambda: refused(reader)).depth_max == VALUE_DEPTH_MAX  # noqa: B023  # called here


@pytest.mark.promise("FRAME-5")
@pytest.mark.parametrize("depth", [VALUE_DEPTH_MAX + 1, 200])
def test_a_raw_that_nobody_packed_is_refused_where_somebody_looks_at_it(depth: int) -> None:
    unchecked = records.Noted(text="x" * 100, data=msgspec.Raw(b"\x91" * depth + b"\xc0"))
    frame = codec.encode(unchecked)
    read = codec.decode_entry(frame)
    assert isinstance(read, records.Noted)
    assert refused(lambda: codec.check_frame(frame)).depth_max == FRAME_DEPTH_MAX
    assert refused(lambda: codec.plain_entry(frame)).depth_max == FRAME_DEPTH_MAX
    assert refused(lambda: codec.plain(read.data)).depth_max == VALUE_DEPTH_MAX
    assert refused(lambda: codec.unpack(read.data, list)).depth_max == VALUE_DEPTH_MAX


@pytest.mark.promise("FRAME-5")
def test_the_answer_is_the_same_under_a_deep_stack_and_a_shallow_one() -> None:
    legal, beyond = nested(VALUE_DEPTH_MAX), nested(VALUE_DEPTH_MAX + 1)
    frame = b"\x91" * VALUE_DEPTH_MAX
    deep = sys.getrecursionlimit() - stack_depth() - 2 * FRAME_DEPTH_MAX
    for levels in (0, deep // 2, deep):
        assert from_below(levels, lambda: codec.plain(codec.pack(legal))) == legal
        assert from_below(levels, lambda: refused(lambda: codec.pack(beyond))).depth_max == VALUE_DEPTH_MAX
        assert from_below(levels, lambda: refused(lambda: codec.pack(nested(100_000)))).depth_max == VALUE_DEPTH_MAX
        assert from_below(levels, lambda: refused(lambda: codec.plain(frame + b"\x90"))).depth_max == VALUE_DEPTH_MAX


def test_a_stack_without_room_for_a_legal_value_is_told_apart_from_a_value_beyond_the_limit() -> None:
    def tried() -> list[BaseException | None]:
        told: list[BaseException | None] = []
        for call in (lambda: codec.pack(nested(60)), lambda: codec.plain(b"\x91" * 60 + b"\x90")):
            try:
                call()
                told.append(None)
            except FrameTooDeep as error:
                told.append(error)
        return told

    # Python 3.12 counts the stack of C apart, so that there the values pass.
    for error in from_below(sys.getrecursionlimit() - stack_depth() - 40, tried):
        assert error is None or (isinstance(error, FrameTooDeep) and error.depth_max is None)


def test_a_value_that_holds_itself_is_beyond_the_limit() -> None:
    endless: list[object] = []
    endless.append(endless)
    assert refused(lambda: codec.pack(endless)).depth_max == VALUE_DEPTH_MAX


HOSTILE = {
    "100,000 arrays": b"\x91" * 100_000 + b"\xc0",
    "a million arrays": b"\x91" * 1_000_000,
    "100,000 maps": b"\x81\xa1k" * 100_000 + b"\xc0",
    "maps as keys": b"\x81" * 100_000,
    "an array as key": b"\x81\x91\x01\x01\x07",
    "four billion values": b"\xdd\xff\xff\xff\xff",
    "four billion pairs": b"\xdf\xff\xff\xff\xff",
    "many such claims": b"\xdd\xff\xff\xff\xff" * 200_000,
    "few such claims": b"\xdd\xff\xff\xff\xff" * 60,
    "a text of four gigabytes": b"\xdb\xff\xff\xff\xff",
    "a binary of four gigabytes": b"\xc6\xff\xff\xff\xff" + b"\x91" * 1_000,
    "an extension of four gigabytes": b"\xc9\xff\xff\xff\xff\x01" + b"\x91" * 1_000,
    "cut short at the limit": b"\x91" * FRAME_DEPTH_MAX,
    "cut short beyond it": b"\x91" * (FRAME_DEPTH_MAX + 1),
    "cut short in a count": b"\x91" * FRAME_DEPTH_MAX + b"\xdc\x00",
    "in a field nobody knows": b"\x82\xa4type\xa3won\xa5other" + b"\x91" * 100_000 + b"\xc0",
    "beyond the size": b"\x91" * (codec.FRAME_BYTES_MAX + 1),
}


@pytest.mark.promise("FRAME-5")
@pytest.mark.parametrize("reader", READERS, ids=NAMES)
@pytest.mark.parametrize("frame", HOSTILE.values(), ids=HOSTILE)
def test_hostile_frames_are_refused_by_type_before_they_take_memory(frame: bytes, reader: Reader) -> None:
    # What can open a container is counted by making a copy without it.
    assert peak_bytes(lambda: reader(frame)) < len(frame) + 65_536


def test_the_error_of_depth_names_the_limit_in_one_line() -> None:
    assert "64" in str(FrameTooDeep(64))
    assert "\n" not in str(FrameTooDeep(64)) + str(FrameTooDeep())
    assert FrameTooDeep().depth_max is None


@pytest.mark.parametrize("sample", SAMPLES, ids=codec.kind_of)
def test_our_own_messages_stay_far_from_the_limit_of_depth(sample: Struct) -> None:
    # Wrapped so deep that four levels are left, each still passes.
    frame = codec.encode(sample)
    assert codec.plain(b"\x91" * (VALUE_DEPTH_MAX - 4) + frame)


def test_a_typed_value_beyond_the_limit_is_refused_for_its_depth_where_its_type_could_hold_it() -> None:
    deep = b"\x91" * 100 + b"\xc0"
    for open_type in (list, dict, object, Carrier):
        assert refused(functools.partial(codec.unpack, deep, open_type)).depth_max == VALUE_DEPTH_MAX
    with pytest.raises(FrameInvalid, match="Expected `object`, got `array`"):
        codec.unpack(deep, wire.Evidence)
    with pytest.raises(FrameInvalid, match="Expected `int`, got `array`"):
        codec.unpack(deep, list[int])


@pytest.mark.promise("FRAME-5")
@pytest.mark.parametrize(
    "key",
    [b"\x90", b"\x80", b"\x91\x01", b"\x91\x80", b"\x01", b"\xc4\x01a", b"\xd4\x01\x01", b"\xc0"],
    ids=["array", "map", "array of a number", "array of a map", "number", "binary", "extension", "nil"],
)
@pytest.mark.parametrize("around", [b"", b"\x91", b"\x81\xa1k"], ids=["alone", "in an array", "in a map"])
def test_plain_data_has_texts_as_keys_or_is_refused(key: bytes, around: bytes) -> None:
    for reader in (codec.plain, codec.plain_entry):
        with pytest.raises(FrameInvalid):
            reader(around + b"\x81" + key + b"\x07")


def test_a_set_of_what_no_set_can_hold_is_refused_by_type() -> None:
    with pytest.raises(FrameInvalid):
        codec.unpack(b"\x91\x81\xa1k\x07", set)


def test_a_type_that_cannot_be_read_is_the_fault_of_the_caller_and_not_of_the_bytes() -> None:
    with pytest.raises(TypeError):
        codec.unpack(b"\x07", list[int] | set[int])  # type: ignore[arg-type]  # what is refused
