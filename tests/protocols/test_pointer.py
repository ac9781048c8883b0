"""Pointers: an id and a hash, the same after every way through a frame, and nothing else is one."""

import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from casework.protocols.codec import pack, unpack
from casework.protocols.errors import FrameInvalid
from casework.protocols.pointer import ID_BYTES_MAX, Pointer, sha256_of

HASH = "0123456789abcdef" * 4


class Customer(Struct, frozen=True):
    name: str
    iban: str


class Order(Struct, frozen=True):
    customer: Pointer[Customer]
    others: dict[str, list[Pointer[Customer] | None]]


ANNA = Customer("Anna de Vries", "NL91ABNA0417164300")

ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=ID_BYTES_MAX // 4)
pointers: st.SearchStrategy[Pointer[Customer]] = st.builds(
    Pointer[Customer], ids, st.text("0123456789abcdef", min_size=64, max_size=64)
)
orders = st.builds(Order, pointers, st.dictionaries(ids, st.lists(pointers | st.none(), max_size=3), max_size=3))


@given(order=orders)
def test_a_pointer_is_the_same_after_every_way_through_a_frame(order: Order) -> None:
    raw = pack(order)
    again = unpack(raw, Order)
    assert again == order
    assert bytes(pack(again)) == bytes(raw)
    assert msgspec.json.decode(msgspec.json.encode(order), type=Order) == order


def test_it_holds_the_hash_of_the_thing_as_it_stands_in_a_frame_and_nothing_else_of_it() -> None:
    pointer = Pointer.to("c-17", ANNA)
    seen = msgspec.msgpack.encode(ANNA, order="deterministic")
    assert pointer == Pointer("c-17", hashlib.sha256(seen).hexdigest())
    assert pointer.sha256 == sha256_of(ANNA)
    assert unpack(pack(pointer), dict[str, str]) == {"id": "c-17", "sha256": pointer.sha256}
    assert "Anna" not in repr(pointer)


@pytest.mark.parametrize("id_", ["", "x" * (ID_BYTES_MAX + 1), "é" * (ID_BYTES_MAX // 2 + 1), "\ud800"])
def test_an_id_of_no_bytes_or_too_many_is_refused_and_not_said_back(id_: str) -> None:
    with pytest.raises(ValueError, match=r"of a pointer has|surrogates") as refused:
        Pointer[Customer](id_, HASH)
    assert not id_ or id_ not in str(refused.value)


@pytest.mark.parametrize("sha256", ["", HASH[:-1], HASH + "0", HASH.upper(), HASH[:-1] + "g", HASH + "\n"])
def test_what_is_no_hash_is_refused(sha256: str) -> None:
    with pytest.raises(ValueError, match="64 lower-case hex digits"):
        Pointer[Customer]("c-17", sha256)


@pytest.mark.parametrize(
    ("given_", "why"),
    [
        ({"id": "c-17"}, "missing required field `sha256`"),
        ({"sha256": HASH}, "missing required field `id`"),
        ({"id": 17, "sha256": HASH}, "Expected `str`"),
        ({"id": "", "sha256": HASH}, "the id of a pointer"),
        ({"id": "c-17", "sha256": "anna@example.org"}, "the hash of a pointer"),
        ({"id": "c-17", "sha256": HASH, "name": "Anna"}, "unknown field `name`"),
        ("c-17", "Expected `object`"),
    ],
)
def test_what_is_read_as_a_pointer_is_one(given_: object, why: str) -> None:
    with pytest.raises(FrameInvalid, match=why) as refused:
        unpack(pack({"customer": given_, "others": {}}), Order)
    assert "anna@" not in str(refused.value)
    assert "$.customer" in str(refused.value)
