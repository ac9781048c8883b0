"""The one place that turns messages into frames and frames into messages.

A frame is MessagePack with deterministic key order, so equal messages have equal bytes and a hash can stand for
them. Decimals travel as strings, never as floats.

Two limits hold on both ways, for frames and for what their `Raw` fields carry, whoever made them: `FRAME_BYTES_MAX`
and `FRAME_DEPTH_MAX`. Both are judged on the bytes. So what comes from outside is refused before anything is made of
it, by an error that names the limit, and the answer is the same for every caller and every version of Python. What
`pack` lets through may still be too large, or too deep, with the frame around it; then `encode` refuses.

It does not know what the messages mean.
"""

import hashlib
from collections.abc import Mapping
from typing import Final, TypeAlias, TypeVar

import msgspec
from msgspec import Raw, Struct

from casework.protocols.depth import deeper_than
from casework.protocols.errors import FrameInvalid, FrameTooDeep, FrameTooLarge, FrameUnknown
from casework.protocols.records import Entry
from casework.protocols.wire import CallAnswered, CallAsked, Outcome, Task

T = TypeVar("T")

#: A value as plain data, as it stands in JSON.
Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"

#: Bytes of one frame at most; larger things travel by reference.
FRAME_BYTES_MAX: Final = 1 << 20
#: Arrays and maps inside one another in one frame at most, its own map included. Our messages with what they carry take
#: four, and documents that people write seldom ten; every stack on which a program can work has room for 64 calls.
FRAME_DEPTH_MAX: Final = 64
#: Bytes of a frame's hash.
HASH_BYTES: Final = 32

_ENCODER: Final = msgspec.msgpack.Encoder(order="deterministic", decimal_format="string")
_ENTRY: Final = msgspec.msgpack.Decoder[Entry](Entry)
_TASK: Final = msgspec.msgpack.Decoder(Task)
_OUTCOME: Final = msgspec.msgpack.Decoder[Outcome](Outcome)
_CALL_ASKED: Final = msgspec.msgpack.Decoder(CallAsked)
_CALL_ANSWERED: Final = msgspec.msgpack.Decoder(CallAnswered)
_ANY: Final = msgspec.msgpack.Decoder()
#: Nests exactly as deep as the limit allows.
_DEEPEST: Final[object] = _ANY.decode(b"\x91" * (FRAME_DEPTH_MAX - 1) + b"\x90")


def encode(message: Struct) -> bytes:
    """Encode a message as a frame.

    Raises:
        FrameTooLarge: more than `FRAME_BYTES_MAX` bytes.
        FrameTooDeep: more than `FRAME_DEPTH_MAX` levels.
        FrameInvalid: a value that has no faithful bytes.
    """
    return _encode(message)


def pack(value: object) -> Raw:
    """Encode any supported value (Struct, dict, list, str, number, Decimal, date, None) for a `Raw` field.

    Raises: as `encode`.
    """
    return Raw(_encode(value))


def unpack(raw: Raw | bytes, type_: type[T]) -> T:
    """Decode the bytes of a `Raw` field as `type_`.

    Raises:
        FrameTooLarge: more than `FRAME_BYTES_MAX` bytes.
        FrameTooDeep: more than `FRAME_DEPTH_MAX` levels.
        FrameInvalid: the bytes are not of that type; the text names the place.
    """
    _refuse_beyond_limits(raw)
    try:
        return msgspec.msgpack.decode(raw, type=type_)
    except RecursionError:
        raise FrameTooDeep from None
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, TypeError) as error:
        if isinstance(error, TypeError):
            msgspec.msgpack.Decoder(type_)  # raises again where the type is at fault, and not a map inside a set
        raise FrameInvalid(getattr(type_, "__name__", str(type_)), str(error)) from error


def plain(raw: Raw | bytes) -> Plain:
    """Decode the bytes of a `Raw` field as plain data, for showing.

    Raises: as `unpack`.
    """
    return _plain(raw, "value")


def plain_entry(frame: bytes) -> dict[str, Plain]:
    """Decode any frame as plain data with its tag under `type`, for showing and export; unknown tags are fine.

    Raises: as `unpack`.
    """
    decoded = _plain(frame, "frame")
    if not isinstance(decoded, dict):
        raise FrameInvalid("frame", "not a map")
    return decoded


def decode_entry(frame: bytes) -> Entry:
    """Decode a log record's frame.

    Raises:
        FrameUnknown: a tag that this version does not know.
        FrameTooLarge, FrameTooDeep, FrameInvalid: as `unpack`.
    """
    entry: Entry = _decode(_ENTRY, frame, "log entry")
    return entry


def decode_task(frame: bytes) -> Task:
    """Decode a task's frame; raises as `unpack`."""
    return _decode(_TASK, frame, "task")


def decode_outcome(frame: bytes) -> Outcome:
    """Decode the frame of an outcome; raises as `unpack`."""
    outcome: Outcome = _decode(_OUTCOME, frame, "outcome")
    return outcome


def decode_call_asked(frame: bytes) -> CallAsked:
    """Decode an agent's request for a call; raises as `unpack`."""
    return _decode(_CALL_ASKED, frame, "call request")


def decode_call_answered(frame: bytes) -> CallAnswered:
    """Decode the answer to an agent's request; raises as `unpack`."""
    return _decode(_CALL_ANSWERED, frame, "call answer")


def kind_of(message: Struct) -> str:
    """Give a message's tag: the kind under which it stands in the log."""
    tag = type(message).__struct_config__.tag
    assert isinstance(tag, str), "every message type is tagged"
    return tag


def digest(data: bytes | Raw) -> bytes:
    """Hash bytes: 32 bytes of SHA-256, which every verifier has at hand."""
    return hashlib.sha256(data).digest()


def arguments_hash(operation: str, arguments: Mapping[str, object]) -> str:
    """Hash an operation with its declared arguments; never trace, deadline, ids or attempt.

    Returns 32 hex digits. Replay compares it with the recorded one.
    """
    return hashlib.sha256(operation.encode() + b"\x00" + bytes(pack(dict(arguments)))).hexdigest()[:32]


def _encode(value: object) -> bytes:
    try:
        frame = _ENCODER.encode(value)
    except RecursionError:
        raise _too_deep_to_follow() from None
    except (TypeError, ValueError, OverflowError) as error:
        raise FrameInvalid(type(value).__name__, str(error)) from error
    if len(frame) > FRAME_DEPTH_MAX:
        _refuse_beyond_limits(frame)
    return frame


def _decode(decoder: msgspec.msgpack.Decoder[T], frame: bytes | Raw, expected: str) -> T:
    _refuse_beyond_limits(frame)
    try:
        return decoder.decode(frame)
    except RecursionError:
        raise FrameTooDeep from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        wrong_tag = "Invalid value '" in str(error) and "$.type" in str(error)
        raise (FrameUnknown if wrong_tag else FrameInvalid)(expected, str(error)) from error


def _plain(frame: bytes | Raw, expected: str) -> Plain:
    decoded: Plain = _decode(_ANY, frame, expected)
    waiting = [decoded]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            # MessagePack allows keys of any type; plain data has texts, and whoever shows it relies on that.
            if any(type(key) is not str for key in part):
                raise FrameInvalid(expected, "a key of a map is no text")
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)
    return decoded


def _refuse_beyond_limits(frame: bytes | Raw) -> None:
    size = len(frame)
    if size <= FRAME_DEPTH_MAX:  # each level takes a byte
        return
    if size > FRAME_BYTES_MAX:
        raise FrameTooLarge(size, FRAME_BYTES_MAX)
    if deeper_than(frame if type(frame) is bytes else bytes(frame), FRAME_DEPTH_MAX):
        raise FrameTooDeep(FRAME_DEPTH_MAX)


def _too_deep_to_follow() -> FrameTooDeep:
    """Tell why the encoder ran out of stack: the value is beyond the limit, or there was no room for a legal one."""
    try:
        _ENCODER.encode(_DEEPEST)
    except RecursionError:
        return FrameTooDeep()
    return FrameTooDeep(FRAME_DEPTH_MAX)
