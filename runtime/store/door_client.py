"""The other side of a store's door: deliver and decide in a store that another process owns.

Each request has a connection of its own, so nothing stays open between two of them and an owner that was started
anew is found again. Where a connection breaks after the request left, the answer is `Unknown`, never a guess.
It does not know what the owner does with a request.
"""

import os
from typing import Final, final

import anyio
from anyio.abc import SocketStream

from casework.protocols.errors import FrameInvalid, FrameTooLarge
from casework.runtime.errors import StoreUnavailable
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
from casework.runtime.store.door_wire import (
    ARTIFACT_BYTES_MAX,
    Answer,
    ArtifactAsked,
    Channel,
    CircuitsAsked,
    DecideAsked,
    DeliverAsked,
    Failing,
    Invalid,
    Kept,
    LimitAsked,
    Reply,
    Request,
    Result,
    SettleAsked,
    Settled,
    Told,
    TurnAsked,
    result_of,
    socket_path,
)

#: How long the owner may take to take a connection.
CONNECT_SECONDS_MAX: Final = 5.0
#: How long a request may take until its answer is there; a little more than the owner gives itself.
ANSWER_SECONDS_MAX: Final = 35.0
#: What to do where nobody knows whether an artifact was kept, or something paused or resumed.
AGAIN: Final = "run it again, which does no harm"


@final
class DoorClient:
    """A `StoreDoor` through the owner's socket."""

    def __init__(self, url: str, database: str) -> None:
        """Use `open`."""
        self._url = url
        self._database = database
        self._path, self._directory = socket_path(database)

    @classmethod
    async def open(cls, url: str, database: str) -> "DoorClient":
        """Find the owner of a store.

        Raises:
            StoreUnavailable: there is none.

        If cancelled, nothing stays open.
        """
        client = cls(url, database)
        async with await client._connected():
            return client

    async def deliver(self, tenant: str, target: str, item_id: str, frame: bytes) -> DeliverResult:
        """Put a frame into the inbox of case `target`, or of every case that waits for key `target`.

        Raises:
            StoreUnavailable: there is no owner; nothing happened.
            FrameInvalid: the frame is no `arrived` and no `cancel`.

        If cancelled, it may or may not have been delivered; the same `item_id` again does no harm.
        """
        asked = DeliverAsked(tenant=tenant, target=target, item_id=item_id, frame=frame)
        result = await self._write(asked)
        if not isinstance(result, Delivered | Duplicate | Nobody | Unavailable | Unknown):
            raise FrameInvalid("answer to a delivery", type(result).__name__)
        return result

    async def decide(self, review_id: str, proposal_hash: str, frame: bytes, now: int) -> DecideResult:
        """Decide an open review by compare-and-set.

        Raises:
            StoreUnavailable: there is no owner; nothing happened.
            FrameInvalid: the frame is no `decided` frame for this review.

        If cancelled, it may or may not have been decided; the same decision again does no harm.
        """
        asked = DecideAsked(review_id=review_id, proposal_hash=proposal_hash, frame=frame, now=now)
        result = await self._write(asked)
        if not isinstance(result, DecisionTaken | DecisionRefused | Unavailable | Unknown):
            raise FrameInvalid("answer to a decision", type(result).__name__)
        return result

    async def put_artifact(self, sha256: str, data: bytes) -> None:
        """Keep bytes under their content hash; again is harmless, also after an error or a cancellation.

        Raises:
            StoreUnavailable: there is no owner, or it did not say that they are kept.
            FrameTooLarge: more bytes than fit through the door.
            FrameInvalid: the hash is another.
        """
        if len(data) > ARTIFACT_BYTES_MAX:
            raise FrameTooLarge(len(data), ARTIFACT_BYTES_MAX)
        reply = await self._ask(ArtifactAsked(sha256=sha256, data=data), ANSWER_SECONDS_MAX)
        if not isinstance(reply, Kept):
            raise StoreUnavailable(self._url, f"{_why(reply)}; {AGAIN}")

    async def set_limit(self, name: str, limit_micros: int, *, by: str, at: int, only_new: bool = False) -> LimitResult:
        """Set an account's limit.

        Raises:
            StoreUnavailable: there is no owner; nothing happened.
            FrameInvalid: it is no limit.

        If cancelled, it may or may not have been set; to set it again does no harm.
        """
        asked = LimitAsked(name=name, limit_micros=limit_micros, by=by, at=at, only_new=only_new)
        result = await self._write(asked)
        if not isinstance(result, Account | Unavailable | Unknown):
            raise FrameInvalid("answer to a limit", type(result).__name__)
        return result

    async def settle(self, timeout_seconds: float) -> bool:
        """Wait until the owner's runtime has nothing to do; False if it still had when the time was over.

        Raises:
            StoreUnavailable: there is no owner, or it ended meanwhile.
        """
        reply = await self._ask(SettleAsked(timeout_seconds=timeout_seconds), timeout_seconds + ANSWER_SECONDS_MAX)
        if not isinstance(reply, Settled):
            raise StoreUnavailable(self._url, _why(reply))
        return reply.idle

    async def tell(self, request: CircuitsAsked | TurnAsked) -> bytes:
        """Ask the owner's runtime, and give what it says, as JSON.

        Raises:
            StoreUnavailable: there is no owner, or it did not say that it was done.

        If cancelled, something may have been paused or resumed all the same; again is harmless.
        """
        reply = await self._ask(request, ANSWER_SECONDS_MAX)
        if not isinstance(reply, Told):
            raise StoreUnavailable(self._url, f"{_why(reply)}; {AGAIN}")
        return reply.value

    async def _write(self, request: Request) -> Result:
        match await self._ask(request, ANSWER_SECONDS_MAX):
            case Answer() as answered:
                return result_of(answered)
            case Failing(why=why, certain=True):
                return Unavailable(why)
            case Failing(why=why):
                return Unknown(why)
            case other:
                return Unknown(_why(other))

    async def _ask(self, request: Request, seconds: float) -> Reply | None:
        """Give the owner's reply, or None where the connection broke or stayed silent."""
        async with await self._connected() as stream:
            channel = Channel(stream)
            try:
                with anyio.fail_after(seconds):
                    await channel.send(request)
                    reply = await channel.reply()
            except (TimeoutError, anyio.BrokenResourceError, anyio.ClosedResourceError):
                return None
        if isinstance(reply, Invalid):
            raise FrameInvalid(reply.expected, reply.why)
        return reply

    async def _connected(self) -> SocketStream:
        try:
            if self._directory and os.lstat(self._directory).st_uid != os.stat(self._database).st_uid:
                raise StoreUnavailable(self._url, f"{self._directory} does not belong to the owner of the store")
            with anyio.fail_after(CONNECT_SECONDS_MAX):
                return await anyio.connect_unix(self._path)
        except (OSError, anyio.ConnectionFailed) as error:
            raise StoreUnavailable(self._url, "no process owns it; start one, such as `casework serve CREW`") from error


def _why(reply: Reply | None) -> str:
    if isinstance(reply, Failing):
        return reply.why
    return "its owner gave no answer" if reply is None else f"its owner answered {type(reply).__name__}"
