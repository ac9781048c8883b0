"""Frames of older releases are read as today's messages, step by step; newer ones are not guessed at."""

from typing import get_args

import msgspec
import pytest
from msgspec import Raw, Struct

from casework.protocols import codec
from casework.protocols.codec import decode_entry, decode_task, encode, kind_of, pack, plain_entry, unpack
from casework.protocols.errors import FrameInvalid, FrameUnknown
from casework.protocols.records import Entry
from casework.protocols.upcast import UPCASTS, Fields, Upcasts, versioned
from casework.protocols.wire import NIL


class Payment(Struct, frozen=True, kw_only=True, tag="payment@3", omit_defaults=True):
    """A made-up type in its third version: once euros as a text, then cents, then cents with a currency."""

    cents: int
    currency: str
    carried: Raw = NIL


class Other(Struct, frozen=True, tag="other", omit_defaults=True):
    """A made-up type that never changed."""

    text: str


def euros_to_cents(old: Fields) -> Fields:
    return {**{name: value for name, value in old.items() if name != "euros"}, "cents": int(str(old["euros"])) * 100}


def with_currency(old: Fields) -> Fields:
    return {**old, "currency": "EUR"}


STEPS = {("payment", 1): euros_to_cents, ("payment", 2): with_currency}


@pytest.fixture
def _third_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "UPCASTS", Upcasts(STEPS))
    monkeypatch.setattr(codec, "_ENTRY", msgspec.msgpack.Decoder(Payment | Other))


def frame(tag: str, **fields: object) -> bytes:
    return msgspec.msgpack.encode({"type": tag, **fields})


def read(written: bytes) -> object:
    """Read a frame as one of the made-up types."""
    return decode_entry(written)


@pytest.mark.usefixtures("_third_version")
@pytest.mark.parametrize(
    "old",
    [
        frame("payment", euros="12"),
        frame("payment@2", cents=1200),
        frame("payment@3", cents=1200, currency="EUR"),
    ],
    ids=["first", "second", "third"],
)
def test_a_frame_of_any_version_is_read_as_todays_message(old: bytes) -> None:
    assert read(old) == Payment(cents=1200, currency="EUR")


@pytest.mark.usefixtures("_third_version")
def test_what_is_written_today_says_its_version_and_is_read_as_it_is() -> None:
    written = encode(Payment(cents=1, currency="EUR"))
    assert plain_entry(written)["type"] == "payment@3"
    assert encode(decode_entry(written)) == written
    assert kind_of(Payment(cents=1, currency="EUR")) == "payment"


@pytest.mark.usefixtures("_third_version")
def test_what_an_upcast_leaves_alone_keeps_its_bytes() -> None:
    class Carried(Struct):
        zebra: float
        apple: tuple[int, ...]

    carried = pack(Carried(zebra=0.1, apple=(1, 2**40)))
    old = msgspec.msgpack.encode({"type": "payment", "euros": "1", "carried": Raw(bytes(carried))})
    payment = read(old)
    assert isinstance(payment, Payment)
    assert bytes(payment.carried) == bytes(carried)
    assert unpack(payment.carried, Carried).zebra == 0.1


@pytest.mark.usefixtures("_third_version")
@pytest.mark.parametrize("tag", ["payment@4", "payment@0", "payment@1", "payment@", "payment@two", "other@2", "third"])
def test_a_version_that_is_not_known_is_an_unknown_frame(tag: str) -> None:
    with pytest.raises(FrameUnknown, match=tag):
        decode_entry(frame(tag, cents=1, currency="EUR", euros="1", text=""))


@pytest.mark.usefixtures("_third_version")
def test_a_type_without_upcasts_is_read_beside_one_that_has_them() -> None:
    assert read(encode(Other("v"))) == Other("v")


@pytest.mark.usefixtures("_third_version")
def test_an_older_frame_that_is_not_what_it_should_be_is_no_frame() -> None:
    with pytest.raises(FrameInvalid, match="cents") as raised:
        decode_entry(frame("payment@2", cents="many"))
    assert not isinstance(raised.value, FrameUnknown)


@pytest.mark.usefixtures("_third_version")
@pytest.mark.parametrize("old", [frame("payment"), frame("payment", euros="many")], ids=["lacks a field", "odd"])
def test_an_older_frame_that_its_upcast_cannot_take_is_refused_without_what_it_says(old: bytes) -> None:
    with pytest.raises(FrameInvalid) as refused:
        read(old)
    assert str(refused.value) in {
        "bytes are not a valid log entry: its upcast raises KeyError",
        "bytes are not a valid log entry: its upcast raises ValueError",
    }


def test_an_older_frame_of_another_type_than_was_expected_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "UPCASTS", Upcasts(STEPS))
    with pytest.raises(FrameUnknown, match="payment@3"):
        decode_task(frame("payment", euros="1"))


def test_no_type_of_today_has_a_second_version_without_the_upcast_to_it() -> None:
    for tag in [str(each.__struct_config__.tag) for each in get_args(Entry)]:
        name, _, version = tag.partition("@")
        for older in range(1, int(version or 1)):
            assert UPCASTS.lifted({"type": versioned(name, older)}) is not None


def test_an_upcast_does_not_change_the_map_that_it_is_given() -> None:
    old: Fields = {"type": "payment", "euros": "1"}
    assert Upcasts(STEPS).lifted(old) == {"type": "payment@3", "cents": 100, "currency": "EUR"}
    assert old == {"type": "payment", "euros": "1"}


def test_a_table_with_a_gap_is_refused() -> None:
    with pytest.raises(AssertionError, match="one before is missing"):
        Upcasts({("payment", 2): with_currency})
