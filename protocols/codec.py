"""The one place that turns messages into frames and frames into messages.

A frame is MessagePack with deterministic key order, so equal messages have equal bytes and a hash can stand for
them. Decimals travel as strings, never as floats.

Two limits hold, `FRAME_BYTES_MAX` and `FRAME_DEPTH_MAX`. Bytes are counted for everything that is made or read. Depth
is judged exactly, on the bytes and before anything is made of them, wherever a frame could be too deep:

- where a value of open shape (see `shape`) goes in or comes out: `pack`, `unpack`, `plain`, `plain_entry`, and `encode`
  of a message that is not of ours;
- where a frame comes from another process: whoever receives it calls `check_frame` before anybody decodes it.

The rest is not looked at, for it cannot be too deep. A value of closed shape has no more levels than its type. Our
messages hold what they carry in `Raw` fields of their own map: of it `pack` made sure that it has a level less than a
frame may have (`VALUE_DEPTH_MAX`), or `check_frame` of the frame that it came in; so every frame made of the two stays
within the limit. Where that was got round, by a `Raw` that nobody packed or a field that holds what its type does not
say, nothing is made of what is too deep: the decoder skips it or finds the wrong type, and whoever asks for it by
`unpack` or `plain` is refused. Skipping follows it by recursion; where the stack ends first the answer is the same
refusal by type.

It does not know what the messages mean.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias, TypeVar, cast

import msgspec
from msgspec import Raw, Struct

from casework.protocols.depth import deeper_than
from casework.protocols.errors import FrameInvalid, FrameTooDeep, FrameTooLarge, FrameUnknown
from casework.protocols.records import Entry
from casework.protocols.shape import levels_of
from casework.protocols.upcast import UPCASTS, Fields, name_of
from casework.protocols.wire import CallAnswered, CallAsked, Outcome, Task

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")

#: A value as plain data, as it stands in JSON.
Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"

#: Bytes of one frame at most; larger things travel by reference.
FRAME_BYTES_MAX: Final = 1 << 20
#: Bytes of all values together that one record carries at most: what is told beside them fits in as well.
CARRIED_BYTES_MAX: Final = FRAME_BYTES_MAX - 65_536
#: Arrays and maps inside one another in one frame at most, its own map included. Our messages with what they carry take
#: four, and documents that people write seldom ten; every stack on which a program can work has room for 64 calls.
FRAME_DEPTH_MAX: Final = 64
#: The same for a value that a message carries: the message's own map goes around it.
VALUE_DEPTH_MAX: Final = FRAME_DEPTH_MAX - 1
#: Bytes of a frame's hash.
HASH_BYTES: Final = 32
#: Types whose shape is remembered; a program has some dozens, so only one that makes types without end gets there.
TYPES_MAX: Final = 1_024

_ENCODER: Final = msgspec.msgpack.Encoder(order="deterministic", decimal_format="string")
#: Keeps the order in which a map was read, so that what an upcast leaves alone keeps its bytes.
_AS_READ: Final = msgspec.msgpack.Encoder()
_FIELDS: Final = msgspec.msgpack.Decoder(Fields)
_ENTRY: Final = msgspec.msgpack.Decoder[Entry](Entry)
_TASK: Final = msgspec.msgpack.Decoder(Task)
_OUTCOME: Final = msgspec.msgpack.Decoder[Outcome](Outcome)
_CALL_ASKED: Final = msgspec.msgpack.Decoder(CallAsked)
_CALL_ANSWERED: Final = msgspec.msgpack.Decoder(CallAnswered)
_ANY: Final = msgspec.msgpack.Decoder()
#: Bytes that a message, or a value, of each type may have before they are looked at: few for open types, all for closed
#: ones. A dict each and no cache of functools, which would cost a tenth of encoding.
_MESSAGES: Final[dict[type, int]] = {}
_VALUES: Final[dict[type, int]] = {}
#: The decoder of each type, with the same; of a `Raw` it makes no more than a copy, however deep that is.
_READERS: Final[dict[object, tuple[msgspec.msgpack.Decoder[Any], int]]] = {}
#: The kind of each type of message.
_KINDS: Final[dict[type, str]] = {}
#: The only type of a key in plain data, and the types in it that hold others.
_TEXT: Final = {str}
_CONTAINERS: Final = (dict, list)
#: What the encoder raises for a value that has no faithful bytes, or is too deep to follow.
_UNENCODABLE: Final = (RecursionError, TypeError, ValueError, OverflowError)
#: Nests exactly as deep as the limit allows.
_DEEPEST: Final[object] = _ANY.decode(b"\x91" * (FRAME_DEPTH_MAX - 1) + b"\x90")


def encode(message: Struct) -> bytes:
    """Encode a message as a frame.

    Raises:
        FrameTooLarge: more than `FRAME_BYTES_MAX` bytes.
        FrameTooDeep: more than `FRAME_DEPTH_MAX` levels.
        FrameInvalid: a value that has no faithful bytes.
    """
    try:
        frame = _ENCODER.encode(message)
    except _UNENCODABLE as error:
        raise _refusal(message, error, FRAME_DEPTH_MAX) from error
    try:
        unseen = _MESSAGES[type(message)]
    except KeyError:
        unseen = _learn_written(_MESSAGES, type(message), FRAME_DEPTH_MAX)
    if len(frame) > unseen:
        _refuse_beyond_limits(frame, FRAME_DEPTH_MAX)
    return frame


def pack(value: object) -> Raw:
    """Encode any supported value (Struct, dict, list, str, number, Decimal, date, None) for a `Raw` field.

    Raises:
        FrameTooDeep: more than `VALUE_DEPTH_MAX` levels.
        FrameTooLarge, FrameInvalid: as `encode`.
    """
    try:
        data = _ENCODER.encode(value)
    except _UNENCODABLE as error:
        raise _refusal(value, error, VALUE_DEPTH_MAX) from error
    try:
        unseen = _VALUES[type(value)]
    except KeyError:
        unseen = _learn_written(_VALUES, type(value), VALUE_DEPTH_MAX)
    if len(data) > unseen:
        _refuse_beyond_limits(data, VALUE_DEPTH_MAX)
    return Raw(data)


def unpack(raw: Raw | bytes, type_: type[T]) -> T:
    """Decode the bytes of a `Raw` field as `type_`.

    Raises:
        FrameTooLarge: more than `FRAME_BYTES_MAX` bytes.
        FrameTooDeep: more than `VALUE_DEPTH_MAX` levels, of a type that could hold them.
        FrameInvalid: the bytes are not of that type; the text names the place.
    """
    try:
        decoder, unseen = _READERS[type_]
    except KeyError:
        decoder, unseen = _remember(_READERS, type_, _reader(type_))
    except TypeError:  # an annotation without a hash
        decoder, unseen = _reader(type_)
    if len(raw) > unseen:
        _refuse_beyond_limits(raw, VALUE_DEPTH_MAX)
    try:
        value: T = decoder.decode(raw)
    except RecursionError:
        raise _too_deep_to_read(raw, VALUE_DEPTH_MAX) from None
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, TypeError) as error:
        raise FrameInvalid(getattr(type_, "__name__", str(type_)), str(error)) from error
    except Exception as error:
        # What a type of somebody else's raises when it is made; what it says may be contents.
        raise FrameInvalid(getattr(type_, "__name__", str(type_)), f"it raises {type(error).__name__}") from error
    return value


def plain(raw: Raw | bytes) -> Plain:
    """Decode the bytes of a `Raw` field as plain data, for showing.

    Raises: as `unpack`.
    """
    _refuse_beyond_limits(raw, VALUE_DEPTH_MAX)
    return _plain(raw, "value")


def plain_entry(frame: bytes) -> dict[str, Plain]:
    """Decode any frame as plain data with its tag under `type`, for showing and export; unknown tags are fine.

    Raises:
        FrameTooDeep: more than `FRAME_DEPTH_MAX` levels.
        FrameTooLarge, FrameInvalid: as `unpack`.
    """
    check_frame(frame)
    decoded = _plain(frame, "frame")
    if not isinstance(decoded, dict):
        raise FrameInvalid("frame", "not a map")
    return decoded


def check_frame(frame: bytes) -> None:
    """Refuse a frame from another process that is beyond the limits, before anybody decodes it.

    Raises:
        FrameTooLarge: more than `FRAME_BYTES_MAX` bytes.
        FrameTooDeep: more than `FRAME_DEPTH_MAX` levels.
    """
    _refuse_beyond_limits(frame, FRAME_DEPTH_MAX)


def decode_entry(frame: bytes) -> Entry:
    """Decode a log record's frame, of whatever release.

    Raises:
        FrameUnknown: a tag that this version does not know, or a version of it.
        FrameTooLarge, FrameInvalid: as `unpack`.
        FrameTooDeep: deeper than the stack has room for, in bytes that are only skipped.
    """
    entry: Entry = _decode(_ENTRY, frame, "log entry")
    return entry


def decode_entries(frames: Sequence[bytes]) -> list[Entry]:
    """Decode the frames of a log; raises as `decode_entry` for the first that cannot be read."""
    if max(map(len, frames), default=0) <= FRAME_BYTES_MAX:
        try:
            return list(map(_ENTRY.decode, frames))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass  # Frame by frame those of earlier versions are read as well, and the one at fault is named.
    return [decode_entry(frame) for frame in frames]


def decode_task(frame: bytes) -> Task:
    """Decode a task's frame; raises as `decode_entry`."""
    return _decode(_TASK, frame, "task")


def decode_outcome(frame: bytes) -> Outcome:
    """Decode the frame of an outcome; raises as `decode_entry`."""
    outcome: Outcome = _decode(_OUTCOME, frame, "outcome")
    return outcome


def decode_call_asked(frame: bytes) -> CallAsked:
    """Decode an agent's request for a call; raises as `decode_entry`."""
    return _decode(_CALL_ASKED, frame, "call request")


def decode_call_answered(frame: bytes) -> CallAnswered:
    """Decode the answer to an agent's request; raises as `decode_entry`."""
    return _decode(_CALL_ANSWERED, frame, "call answer")


def kind_of(message: Struct) -> str:
    """Give the kind under which a message stands in the log: its tag, without the version of its type."""
    kind = _KINDS.get(type(message))
    if kind is None:
        tag = type(message).__struct_config__.tag
        assert isinstance(tag, str), "every message type is tagged"
        kind = _remember(_KINDS, type(message), name_of(tag))
    return kind


def digest(data: bytes | Raw) -> bytes:
    """Hash bytes: 32 bytes of SHA-256, which every verifier has at hand."""
    return hashlib.sha256(data).digest()


def arguments_hash(operation: str, arguments: Mapping[str, object]) -> str:
    """Hash an operation with its declared arguments; never trace, deadline, ids or attempt.

    Returns 32 hex digits. Replay compares it with the recorded one.
    """
    return hashlib.sha256(operation.encode() + b"\x00" + bytes(pack(dict(arguments)))).hexdigest()[:32]


def inputs_hash(frame: bytes | Raw) -> str:
    """Hash what a choice was made by, as it stands in the log: 32 hex digits, as `arguments_hash` gives."""
    return digest(frame).hex()[:32]


def _decode(decoder: msgspec.msgpack.Decoder[T], frame: bytes | Raw, expected: str) -> T:
    size = len(frame)
    if size > FRAME_BYTES_MAX:
        raise FrameTooLarge(size, FRAME_BYTES_MAX)
    try:
        return decoder.decode(frame)
    except RecursionError:
        raise _too_deep_to_read(frame, FRAME_DEPTH_MAX) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        wrong_tag = "Invalid value '" in str(error) and "$.type" in str(error)
        older = _lifted(frame, expected) if wrong_tag else None
        if older is not None:
            return _decode(decoder, older, expected)
        raise (FrameUnknown if wrong_tag else FrameInvalid)(expected, str(error)) from error


def _lifted(frame: bytes | Raw, expected: str) -> bytes | None:
    """Give a frame of an older version of its type in today's; None if it is no such frame."""
    fields = _decode(_FIELDS, frame, expected)
    try:
        lifted = UPCASTS.lifted(fields)
    except Exception as error:
        # It was written for frames as we made them; this one is not, and what it holds may be contents.
        raise FrameInvalid(expected, f"its upcast raises {type(error).__name__}") from error
    if lifted is None:
        return None
    try:
        return _AS_READ.encode(lifted)
    except _UNENCODABLE as error:
        raise FrameInvalid(expected, f"its upcast has no faithful bytes: {error}") from error


def _plain(frame: bytes | Raw, expected: str) -> Plain:
    decoded: Plain = _decode(_ANY, frame, expected)
    waiting = [decoded]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            # MessagePack allows keys of any type; plain data has texts, and whoever shows it relies on that.
            if part and {*map(type, part)} != _TEXT:
                raise FrameInvalid(expected, "a key of a map is no text")
            waiting.extend([each for each in part.values() if type(each) in _CONTAINERS])
        elif isinstance(part, list):
            waiting.extend([each for each in part if type(each) in _CONTAINERS])
    return decoded


def _refuse_beyond_limits(data: bytes | Raw, depth_max: int) -> None:
    size = len(data)
    if size <= depth_max:  # each level takes a byte
        return
    if size > FRAME_BYTES_MAX:
        raise FrameTooLarge(size, FRAME_BYTES_MAX)
    if deeper_than(data if type(data) is bytes else bytes(data), depth_max):
        raise FrameTooDeep(depth_max)


def _refusal(value: object, error: Exception, depth_max: int) -> FrameInvalid | FrameTooDeep:
    """Tell why the encoder gave up; where it ran out of stack, whether a legal value would have had room."""
    if not isinstance(error, RecursionError):
        return FrameInvalid(type(value).__name__, str(error))
    try:
        _ENCODER.encode(_DEEPEST)
    except RecursionError:
        return FrameTooDeep()
    return FrameTooDeep(depth_max)


def _too_deep_to_read(data: bytes | Raw, depth_max: int) -> FrameTooDeep:
    try:
        return FrameTooDeep(depth_max if deeper_than(bytes(data), depth_max) else None)
    except RecursionError:  # not even room to look
        return FrameTooDeep()


def _reader(type_: object) -> tuple[msgspec.msgpack.Decoder[Any], int]:
    decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(cast("type[object]", type_))
    return decoder, _unseen(levels_of(type_, raw_levels=0), VALUE_DEPTH_MAX)


def _unseen(levels: int | None, depth_max: int) -> int:
    closed = levels is not None and levels <= depth_max
    return FRAME_BYTES_MAX if closed else depth_max  # each level takes a byte


def _learn_written(known: dict[type, int], type_: type, depth_max: int) -> int:
    return _remember(known, type_, _unseen(levels_of(type_, raw_levels=VALUE_DEPTH_MAX), depth_max))


def _remember(shapes: dict[K, V], type_: K, shape: V) -> V:
    if len(shapes) >= TYPES_MAX:
        shapes.clear()
    shapes[type_] = shape
    return shape
