"""The mailbox: the bounded intake of one actor, in two lanes, and the envelopes that stand in it.

An own deque and no stream, for a stream's `send` costs four to six times as much. The signal lane holds what the
runtime says; it overtakes messages and keeps one signal for each (kind, subject), so it needs no bound. The message
lane is bounded. Whoever waits for room is given a reserved place before it is woken, so nobody who came later takes
it, and the bound holds at every moment. All methods but `offer` are synchronous, hence atomic on the event loop.
It does not know who takes from it, nor what becomes of what it refuses.
"""

import enum
from collections import deque
from typing import Final, NamedTuple, final

import anyio
from msgspec import Struct

from casework.protocols.codec import FRAME_BYTES_MAX
from casework.runtime.errors import ActorStopped, FrameOversized, MailboxFull, NotSent
from casework.runtime.lifecycle import Signal
from casework.runtime.reply import Reply

#: Messages that may wait for one actor unless it is spawned with another bound: some seconds of work of a fast one.
MAILBOX_DEPTH_MAX: Final = 1_000


@final
class Envelope(Struct, eq=False):
    """One message on its way to one actor; identity is what counts."""

    receiver: str
    frame: bytes
    """The message as it was encoded, once; empty when `local` is set."""
    sender: str = ""
    attempt: int = 1
    deadline: float = 0.0
    """Monotonic seconds of the system's clock; 0 means none."""
    trace: str = ""
    reply: Reply | None = None
    """Set when an answer is awaited."""
    local: object | None = None
    """An event of this process: it never leaves it and is never logged."""


class Overflow(enum.Enum):
    """What a full message lane does with one more message."""

    WAIT = "wait"
    """`offer` waits for room, `offer_nowait` refuses."""
    REFUSE = "refuse"
    SHED_OLDEST = "shed_oldest"
    """The oldest waiting message makes room and becomes a dead letter."""


class MailboxStatistics(NamedTuple):
    """What a mailbox holds and has seen."""

    depth: int
    """Messages waiting now."""
    depth_max: int
    signals: int
    """Signals waiting now."""
    senders_waiting: int
    """Calls of `offer` that wait for room now."""
    accepted: int
    refused: int
    shed: int


@final
class Mailbox(Struct, eq=False, gc=False):
    """Two lanes: signals first, then messages in the order of their acceptance.

    A Struct, though it is no message, for it is made four times as fast; and its deques are there only while they hold
    something, for an empty one takes 624 bytes: an idle actor is to cost next to nothing. The garbage collector does
    not look at it: closing it breaks the circles that messages in it may be part of.
    """

    depth_max: int = MAILBOX_DEPTH_MAX
    """Messages that may wait, at least 1; 0 once it is closed."""
    overflow: Overflow = Overflow.REFUSE
    _messages: deque[Envelope] | None = None
    _signals: dict[tuple[type, str], Signal] | None = None
    _waiting: deque[anyio.Event] | None = None
    _reserved: int = 0
    _closed: bool = False
    _accepted: int = 0
    _refused: int = 0
    _shed: int = 0

    def __len__(self) -> int:
        """Count the waiting messages."""
        return len(self._messages or ())

    def __bool__(self) -> bool:
        """Say whether there is anything to take, in either lane."""
        return bool(self._messages or self._signals)

    @property
    def idle(self) -> bool:
        """Whether nothing waits in it, nor for room in it."""
        return not (self._messages or self._signals or self._reserved or self._waiting)

    @property
    def full(self) -> bool:
        """Whether there is no room now, places reserved for those who wait included."""
        return len(self) + self._reserved >= self.depth_max

    def signal(self, signal: Signal) -> None:
        """Put a signal before every message; one of the same kind and subject is replaced and keeps its place.

        A closed mailbox takes none.
        """
        if self._closed:
            return
        if self._signals is None:
            self._signals = {}
        self._signals[type(signal), signal.subject] = signal

    def offer_nowait(self, envelope: Envelope) -> Envelope | None:
        """Put a message at the end of its lane; give the message that was shed for it, if any.

        Raises:
            ActorStopped: the mailbox is closed.
            MailboxFull: no room, and none is made by shedding.
            FrameOversized: the frame is larger than any may be.
        """
        messages = self._messages
        if messages is None:
            messages = self._messages = deque()
        shed: Envelope | None = None
        if len(envelope.frame) > FRAME_BYTES_MAX:
            raise self._refusal(envelope)
        if len(messages) + self._reserved >= self.depth_max:
            if self._closed or self.overflow is not Overflow.SHED_OLDEST:
                raise self._refusal(envelope)
            shed = messages.popleft()
            self._shed += 1
        messages.append(envelope)
        self._accepted += 1
        return shed

    async def offer(self, envelope: Envelope) -> Envelope | None:
        """Put a message at the end of its lane, waiting for room under `Overflow.WAIT`; for the edges only.

        Raises: as `offer_nowait`; under `Overflow.WAIT` never `MailboxFull`.
        If cancelled, the message was not accepted.
        """
        fits = len(envelope.frame) <= FRAME_BYTES_MAX
        if not fits or self.overflow is not Overflow.WAIT or self._closed or not self.full:
            return self.offer_nowait(envelope)
        if self._waiting is None:
            self._waiting = deque()
        room = anyio.Event()
        self._waiting.append(room)
        try:
            await room.wait()
        except BaseException:
            self._give_up(room)
            raise
        if self._closed:
            raise self._refusal(envelope)
        self._reserved -= 1
        return self.offer_nowait(envelope)

    def take(self) -> Envelope | Signal | None:
        """Take the next signal, else the next message, else None."""
        if self._signals:
            return self._signals.pop(next(iter(self._signals)))
        if not self._messages:
            self._messages = None
            return None
        envelope = self._messages.popleft()
        if self._waiting:
            self._reserve()
        return envelope

    def forget_signals(self, *kinds: type) -> None:
        """Drop the waiting signals of these kinds: they spoke of an incarnation that is gone."""
        for key in [key for key in self._signals or () if key[0] in kinds]:
            assert self._signals is not None
            del self._signals[key]

    def close(self) -> list[Envelope]:
        """Refuse everything from now on and give the messages that were waiting; signals are forgotten."""
        self._closed = True
        self.depth_max = 0
        left = list(self._messages or ())
        self._messages = self._signals = None
        self._reserved = 0
        while self._waiting:
            self._waiting.popleft().set()
        return left

    def statistics(self) -> MailboxStatistics:
        """Give what the mailbox holds and has seen."""
        return MailboxStatistics(
            depth=len(self),
            depth_max=self.depth_max,
            signals=len(self._signals or ()),
            senders_waiting=len(self._waiting or ()),
            accepted=self._accepted,
            refused=self._refused,
            shed=self._shed,
        )

    def _refusal(self, envelope: Envelope) -> NotSent:
        self._refused += 1
        if self._closed:
            return ActorStopped(envelope)
        if len(envelope.frame) > FRAME_BYTES_MAX:
            return FrameOversized(envelope, FRAME_BYTES_MAX)
        return MailboxFull(envelope, self.depth_max)

    def _reserve(self) -> None:
        assert self._waiting, "a place is reserved for somebody"
        self._reserved += 1
        self._waiting.popleft().set()

    def _give_up(self, room: anyio.Event) -> None:
        """A waiting `offer` was cancelled: if a place was reserved for it already, the next one gets it."""
        if not room.is_set():
            assert self._waiting is not None
            self._waiting.remove(room)
        elif not self._closed:
            self._reserved -= 1
            if self._waiting:
                self._reserve()
