"""How deep bytes nest is read from them exactly, in whatever way they are written, and without following them."""

import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from casework.protocols.depth import deeper_than
from tests.support.structs import PLAIN

#: A value's bytes, and how deep it nests.
Written = tuple[bytes, int]

#: Bytes behind the first byte: of constants, numbers, and extensions of fixed size; then of a length.
FIXED = {0xC0: 0, 0xC2: 0, 0xC3: 0, 0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}
FIXED |= {0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8, 0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17}
SIZED = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xC7: 1, 0xC8: 2, 0xC9: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
TYPED = (0xC7, 0xC8, 0xC9)
#: Payloads that look like containers, and such as do not.
PAYLOADS = st.binary(max_size=40) | st.sampled_from([b"\x91" * 70, b"\xdf" * 70, "ÄÖÜ".encode() * 12])


@st.composite
def leaves(draw: st.DrawFn) -> Written:
    head = draw(st.sampled_from([0x00, 0x7F, 0xA0, 0xBF, 0xE0, 0xFF, *FIXED, *SIZED]))
    if head in FIXED:
        payload = draw(PAYLOADS) + bytes(FIXED[head])
        return bytes([head]) + payload[: FIXED[head]], 0
    if head in SIZED:
        payload = draw(PAYLOADS)
        return bytes([head]) + len(payload).to_bytes(SIZED[head]) + b"\x91" * (head in TYPED) + payload, 0
    return bytes([head]) + b"\x91" * (head & 0x1F if 0xA0 <= head <= 0xBF else 0), 0


@st.composite
def containers(draw: st.DrawFn, inner: st.SearchStrategy[Written]) -> Written:
    each = draw(st.sampled_from([1, 2]))  # values for each entry: of an array one, of a map two
    small, wide = (0x90, (0xDC, 0xDD)) if each == 1 else (0x80, (0xDE, 0xDF))
    values = draw(st.lists(inner, max_size=6) | leaves().map(lambda value: [value] * 20))
    values = values[: len(values) // each * each]
    count = len(values) // each
    heads = [wide[0].to_bytes() + count.to_bytes(2), wide[1].to_bytes() + count.to_bytes(4)]
    head = draw(st.sampled_from([*heads, bytes([small + count])] if count < 16 else heads))
    return head + b"".join(data for data, _ in values), 1 + max((depth for _, depth in values), default=0)


def wrapped(written: Written, times: int) -> Written:
    """Put a value into so many arrays, each with something before and after it."""
    data, depth = written
    return b"\x93\xa2\x91\x91" * times + data + b"\x07" * times, depth + times


TREES = st.recursive(leaves(), containers, max_leaves=12)


def depth_of(value: Any) -> int:
    """The same by recursion over what was decoded."""
    inner = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list | tuple) else None
    return 0 if inner is None else 1 + max((depth_of(each) for each in inner), default=0)


def nests(frame: bytes, depth: int) -> bool:
    """Whether the frame is deeper than everything below `depth`, and not deeper than that."""
    return not deeper_than(frame, depth) and (depth == 0 or deeper_than(frame, depth - 1))


@pytest.mark.promise("FRAME-5")
@given(TREES, st.integers(min_value=0, max_value=80))
def test_the_depth_is_exact_however_a_value_is_written(tree: Written, times: int) -> None:
    data, depth = wrapped(tree, times)
    assert nests(data, depth)


@given(PLAIN, st.lists(st.sampled_from(["array", "map"]), max_size=70))
def test_the_depth_is_the_one_that_recursion_finds_in_the_value(value: object, around: list[str]) -> None:
    for each in around:
        value = [0, value, "ÄÖÜ"] if each == "array" else {"left": [], "value": value}
    assert nests(msgspec.msgpack.encode(value), depth_of(value))


@given(st.binary(max_size=300), st.integers(min_value=0, max_value=10))
@example(b"\x91\xdc", 0)
@example(b"\x92\xc1\x91", 1)
@example(b"\x91\xd9", 0)
def test_any_bytes_are_judged_and_where_they_are_valid_the_decoder_agrees(data: bytes, depth_max: int) -> None:
    answer = deeper_than(data, depth_max)
    try:
        value = msgspec.msgpack.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError, ValueError):
        return
    assert answer == (depth_of(value) > depth_max)


@given(TREES, st.integers(min_value=0, max_value=12), st.data())
def test_what_is_cut_short_is_never_deeper_than_the_whole(tree: Written, times: int, data: st.DataObject) -> None:
    frame, depth = wrapped(tree, times)
    cut = frame[: data.draw(st.integers(min_value=0, max_value=len(frame)))]
    assert not deeper_than(cut, depth)


def test_what_stands_behind_the_first_value_does_not_count() -> None:
    assert not deeper_than(b"\x90" + b"\x91" * 100, 1)


@pytest.mark.parametrize("key", [b"\x90", b"\x80", b"\x91\x91\x01", b"\xdc\x00\x00"], ids=bytes.hex)
def test_containers_that_are_keys_count_as_values_do(key: bytes) -> None:
    depth = 3 if len(key) == 3 and key[0] == 0x91 else 2
    assert nests(b"\x81" + key + b"\x01", depth)


def test_containers_beside_one_another_do_not_add_up() -> None:
    rows = [{"payee": "Ölmühle", "lines": [1, 2], "more": {}} for _ in range(1_000)]
    assert nests(msgspec.msgpack.encode(rows), 3)
    assert nests(msgspec.msgpack.encode([*rows, [[[]]]]), 4)


@pytest.mark.parametrize(
    ("values", "closed"),
    [(1, b"\x90"), (1, b"\x91\x07"), (2, b"\x90\x91\x07"), (1, b"\x91\x90"), (2, b"\x81\x07\x80\x91\x07")],
)
@pytest.mark.parametrize("times", [1, 2, 100])
def test_containers_that_closed_hide_nothing_that_comes_after_them(values: int, closed: bytes, times: int) -> None:
    count = (values * times + 1).to_bytes(2)
    assert nests(b"\xdc" + count + closed * times + b"\x91" * 70 + b"\xc0", 71)


@pytest.mark.promise("FRAME-5")
@pytest.mark.parametrize(
    "frame",
    [
        b"\x91" * 1_000_000,
        b"\x81\xa1k" * 300_000,
        b"\x81" * 1_000_000,
        b"\xdd\xff\xff\xff\xff" * 200_000,
        b"\xdf\xff\xff\xff\xff" * 200_000,
        b"\xdb\xff\xff\xff\xff" + b"\x91" * 1_000_000,
        b"\xc6\x00\x0f\x42\x40" + b"\x91" * 1_000_000,
    ],
    ids=["arrays", "maps", "keys", "claims of arrays", "claims of maps", "claim of a text", "binary"],
)
def test_hostile_bytes_take_no_more_memory_than_they_have(frame: bytes) -> None:
    tracemalloc.start()
    try:
        deeper_than(frame, 64)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < len(frame) + 65_536


TEXT = msgspec.msgpack.encode("Ö" * 40)
"""Bytes that could open forty containers, and open none."""


def table(row: bytes) -> bytes:
    return b"\xdc\x00\x64" + row * 100


def record(fields: dict[str, bytes]) -> bytes:
    return bytes([0x80 + len(fields)]) + b"".join(msgspec.msgpack.encode(name) + data for name, data in fields.items())


@pytest.mark.parametrize("depth", [1, 2, 3, 60, 64])
@pytest.mark.parametrize("place", [0, 31, 99])
def test_one_deep_row_in_a_long_table_is_found(depth: int, place: int) -> None:
    rows = [record({"payee": TEXT, "lines": b"\x92\x01\x02"})] * 100
    rows[place] = record({"payee": TEXT, "lines": b"\x91" * (depth - 1) + b"\x90", "note": TEXT})
    for around, more in ((b"", 0), (b"\x91", 1), (b"\x81\xa1k", 1), (b"\x81\x07", 1), (b"\x91\x91\x91\x91", 4)):
        assert nests(around + b"\xdc\x00\x64" + b"".join(rows), 2 + max(depth, 1) + more)


@given(st.lists(TREES, min_size=1, max_size=12), st.integers(min_value=0, max_value=5), st.booleans())
def test_the_depth_is_exact_where_values_are_long_enough_to_be_split(
    trees: list[Written], around: int, named: bool
) -> None:
    rows = [record({"text": TEXT, "value": data}) if named else b"\x92" + TEXT + data for data, _ in trees]
    data = b"\x91" * around + b"\xdc" + len(rows).to_bytes(2) + b"".join(rows)
    assert nests(data, around + 2 + max(depth for _, depth in trees))


def test_a_key_that_comes_twice_hides_no_value() -> None:
    twice = b"\x82\xa1k" + b"\x92" + TEXT * 2 + b"\xa1k" + TEXT
    hidden = b"\x82\xa1k" + b"\x92" + TEXT + b"\x91\x91\x91\x90" + b"\xa1k" + TEXT * 2
    assert nests(twice, 2)
    assert nests(hidden, 6)
    assert nests(table(hidden), 7)


def test_a_split_value_that_breaks_off_is_judged_up_to_that_place() -> None:
    deep = b"\x91" * 70 + b"\xc0"
    assert deeper_than(b"\x93" + TEXT * 2 + deep, 64)
    assert deeper_than(b"\x94" + TEXT * 2 + deep, 64)
    assert deeper_than(b"\x94" + TEXT * 2 + deep + b"\xc1", 64)
    assert not deeper_than(b"\x92" + TEXT * 2 + deep, 64)


def test_what_carries_an_artifact_is_judged_as_exactly() -> None:
    data = b"\x82\xa4data\xc6" + (1 << 20).to_bytes(4) + b"\x91" * (1 << 20) + b"\xa4more" + b"\x91" * 70 + b"\xc0"
    assert nests(data, 71)


@pytest.mark.promise("FRAME-5")
@pytest.mark.parametrize("around", [b"", b"\x91", b"\x81\xa1k", b"\x91" * 20])
@pytest.mark.parametrize("row", [b"\x90", b"\x9f" + b"\x07" * 15, b"\x91" + TEXT, record({"note": TEXT})])
def test_long_tables_take_five_times_their_bytes_at_most(row: bytes, around: bytes) -> None:
    rows = 200_000 // len(row)
    frame = around + b"\xdd" + rows.to_bytes(4) + row * rows
    tracemalloc.start()
    try:
        assert not deeper_than(frame, 64)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5 * len(frame)
