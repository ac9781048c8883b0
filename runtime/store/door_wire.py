"""What goes through the door of a store: length-prefixed messages over a Unix socket, and where the socket is.

    client                                     owner
    4 bytes length, request (MessagePack)  ->
                                           <-  4 bytes length, answer (MessagePack)

A connection carries one request, so an owner that stops finds nobody waiting on an idle one. Answers are the store's
own results under their name. These messages hold whole frames and artifacts, so they have a limit and an encoder of
their own.

They come from another process, so how deep they nest is judged exactly and before anything is made of them, and so is
every frame that one brings. An answer's result is decoded in a second step as what its name says; of bytes that cannot
be that, nothing is made either.
It does not know who serves and who asks.
"""

import hashlib
import os.path
import tempfile
from contextlib import suppress
from typing import Final, TypeVar, final

import anyio
import msgspec
from anyio.abc import ByteStream
from msgspec import Raw, Struct

from casework.protocols.codec import FRAME_DEPTH_MAX, check_frame
from casework.protocols.depth import deeper_than
from casework.protocols.errors import FrameInvalid, FrameTooDeep, FrameTooLarge
from casework.runtime.store.accounts import Account
from casework.runtime.store.base import (
    DecideResult,
    DecisionRefused,
    DecisionTaken,
    Delivered,
    DeliverResult,
    Duplicate,
    LimitResult,
    Nobody,
    Unavailable,
    Unknown,
)

T = TypeVar("T")

#: Bytes of an artifact that fits through the door; a photographed receipt has 5 to 15 million.
ARTIFACT_BYTES_MAX: Final = 32 << 20
#: Bytes of one message: an artifact, or three frames of a decided review, with their names.
MESSAGE_BYTES_MAX: Final = ARTIFACT_BYTES_MAX + (1 << 16)
#: Bytes of a message's length.
LENGTH_BYTES: Final = 4
#: Bytes of a message that are received at once.
PART_BYTES_MAX: Final = 1 << 18
#: Bytes that a socket's path may have everywhere: macOS gives it 104 with the closing zero.
PATH_BYTES_MAX: Final = 100
#: What is added to a socket's path while it is being made.
MAKING: Final = (".new", "door")


class DeliverAsked(Struct, frozen=True, kw_only=True, tag="deliver"):
    """Deliver a frame."""

    tenant: str
    target: str
    item_id: str
    frame: bytes


class DecideAsked(Struct, frozen=True, kw_only=True, tag="decide"):
    """Decide a review."""

    review_id: str
    proposal_hash: str
    frame: bytes
    now: int


class ArtifactAsked(Struct, frozen=True, kw_only=True, tag="put_artifact"):
    """Keep bytes under their content hash."""

    sha256: str
    data: bytes


class LimitAsked(Struct, frozen=True, kw_only=True, tag="set_limit"):
    """Set an account's limit."""

    name: str
    limit_micros: int
    by: str
    at: int
    only_new: bool = False


class SettleAsked(Struct, frozen=True, kw_only=True, tag="settle"):
    """Say when the owner's runtime has nothing to do any more."""

    timeout_seconds: float


class CircuitsAsked(Struct, frozen=True, kw_only=True, tag="circuits"):
    """Say how the circuit breakers of the owner's runtime stand."""


class TurnAsked(Struct, frozen=True, kw_only=True, tag="turn"):
    """Pause or resume something."""

    target: str
    paused: bool
    by: str
    reason: str


class Answer(Struct, frozen=True, kw_only=True, tag="answer"):
    """A result under the name of its type."""

    name: str
    value: Raw


class Kept(Struct, frozen=True, kw_only=True, tag="kept"):
    """The artifact is durable."""


class Settled(Struct, frozen=True, kw_only=True, tag="settled"):
    """Whether the runtime came to rest in time."""

    idle: bool


class Told(Struct, frozen=True, kw_only=True, tag="told"):
    """What the owner's runtime says, as JSON."""

    value: bytes


class Invalid(Struct, frozen=True, kw_only=True, tag="invalid"):
    """The frame inside the request is none; nothing happened."""

    expected: str
    why: str


class Failing(Struct, frozen=True, kw_only=True, tag="failing"):
    """The store could not do it just now; `certain` says that nothing happened."""

    why: str
    certain: bool


Request = DeliverAsked | DecideAsked | ArtifactAsked | LimitAsked | SettleAsked | CircuitsAsked | TurnAsked
Reply = Answer | Kept | Settled | Told | Invalid | Failing
Result = DeliverResult | DecideResult | LimitResult

_RESULTS: Final[dict[str, type[Result]]] = {
    type_.__name__: type_
    for type_ in (Delivered, Duplicate, Nobody, DecisionTaken, DecisionRefused, Account, Unavailable, Unknown)
}
_ENCODER: Final = msgspec.msgpack.Encoder()
_REQUEST: Final = msgspec.msgpack.Decoder[Request](Request)
_REPLY: Final = msgspec.msgpack.Decoder[Reply](Reply)


def answer(result: Result) -> Answer:
    """Give a result its name."""
    return Answer(name=type(result).__name__, value=Raw(_ENCODER.encode(result)))


def result_of(answered: Answer) -> Result:
    """Give the result that an answer holds.

    Raises:
        FrameInvalid: it holds none that this version knows.
        FrameTooDeep: its bytes nest deeper than the stack has room for.
    """
    type_ = _RESULTS.get(answered.name)
    if type_ is None:
        raise FrameInvalid("answer", f"no result is named {answered.name!r}")
    try:
        return msgspec.msgpack.decode(answered.value, type=type_)
    except RecursionError:
        raise FrameTooDeep from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FrameInvalid("answer", str(error)) from error


@final
class Channel:
    """One connection, message by message; after an error or a cancellation it can only be closed."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self.received = 0
        """Bytes that have come, of messages that are not whole yet as well."""

    async def send(self, message: Request | Reply) -> None:
        """Send one message.

        Raises:
            FrameTooLarge, FrameTooDeep: the message, or the frame in it, is beyond the limits; nothing was sent.
        """
        _check_frame_in(message)
        data = _ENCODER.encode(message)
        if len(data) > MESSAGE_BYTES_MAX:
            raise FrameTooLarge(len(data), MESSAGE_BYTES_MAX)
        await self._stream.send(len(data).to_bytes(LENGTH_BYTES) + data)

    async def request(self) -> Request | None:
        """Receive one request, or None at the end of the connection.

        Raises:
            FrameTooLarge, FrameTooDeep: the request, or the frame in it, is beyond the limits.
            FrameInvalid: the bytes are no request.
        """
        data = await self._receive()
        if data is None:
            return None
        request: Request = _decode(_REQUEST, data, "request")
        _check_frame_in(request)
        return request

    async def reply(self) -> Reply | None:
        """Receive one reply, or None at the end of the connection; raises as `request`."""
        data = await self._receive()
        return None if data is None else _decode(_REPLY, data, "reply")

    async def wait_gone(self) -> None:
        """Wait until the other side hangs up, or says something though nobody asked it to.

        If cancelled, it can still be sent to.
        """
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            await self._stream.receive(1)

    async def _receive(self) -> bytes | None:
        try:
            length = int.from_bytes(await self._exactly(LENGTH_BYTES))
            if length > MESSAGE_BYTES_MAX:
                raise FrameTooLarge(length, MESSAGE_BYTES_MAX)
            return await self._exactly(length)
        except anyio.EndOfStream:
            return None

    async def _exactly(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            part = await self._stream.receive(min(count - len(data), PART_BYTES_MAX))
            self.received += len(part)
            data += part
        return bytes(data)


def socket_path(database: str) -> tuple[str, str]:
    """Give the path of a database's socket, and the private directory that holds it (empty: beside the database).

    A socket's path is short by nature. Where the database's is not, the socket stands in a directory of its own
    below the system's temporary one, under a name that both sides work out.
    """
    beside = f"{os.path.realpath(database)}.sock"
    if len(os.fsencode(os.path.join(beside + MAKING[0], MAKING[1]))) <= PATH_BYTES_MAX:
        return beside, ""
    name = hashlib.sha256(os.fsencode(beside)).hexdigest()[:32]
    directory = os.path.join(tempfile.gettempdir(), f"casework-{name}")
    return os.path.join(directory, "door.sock"), directory


def _decode(decoder: msgspec.msgpack.Decoder[T], data: bytes, expected: str) -> T:
    if deeper_than(data, FRAME_DEPTH_MAX):
        raise FrameTooDeep(FRAME_DEPTH_MAX)
    try:
        return decoder.decode(data)
    except RecursionError:
        raise FrameTooDeep from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FrameInvalid(expected, str(error)) from error


def _check_frame_in(message: Request | Reply) -> None:
    if isinstance(message, DeliverAsked | DecideAsked):
        check_frame(message.frame)
