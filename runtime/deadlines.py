"""Answers that somebody waits for, and the one job that ends their waiting when time is up.

A cancel scope for each ask costs more than the ask itself, so waiting answers stand in buckets by their due moment
(`TICK_SECONDS` wide) and one sweep sleeps until the earliest of them: an ask ends at its deadline or up to one tick
later, never before. An answered ask leaves its bucket at once, so buckets hold only what still waits.
It does not know what was asked.
"""

import heapq
from collections.abc import Callable
from typing import Final, final

import anyio

from casework.runtime.errors import AskFailed, Expired
from casework.runtime.mailbox import Envelope, Reply
from casework.runtime.seams import Clock

#: How much later than its deadline an ask may end.
TICK_SECONDS: Final = 0.02


@final
class Answer:
    """The answer to one ask of this process."""

    __slots__ = ("_call", "_event", "error", "frame", "taken")

    def __init__(self, event: anyio.Event) -> None:
        self._event: anyio.Event | None = event
        self._call: Callable[[], None] | None = None
        self.frame = b""
        self.error: Exception | None = None
        #: Whether the receiver began to handle the message.
        self.taken = False

    def __call__(self, frame: bytes, /) -> None:
        """Answer with a frame; ignored when it was answered before."""
        event = self._event
        if event is not None:
            self.frame = frame
            self._settle(event)

    def fail(self, error: Exception) -> None:
        """Answer with an error; ignored when it was answered before."""
        event = self._event
        if event is not None:
            self.error = error
            self._settle(event)

    def abandon(self) -> None:
        """Nobody waits any more."""
        event = self._event
        if event is not None:
            self._settle(event)

    @property
    def done(self) -> bool:
        """Whether it was answered, or nobody waits for it any more."""
        return self._event is None

    def begin(self) -> None:
        """The receiver begins to handle the message."""
        self.taken = True

    def when_done(self, call: Callable[[], None]) -> None:
        """Have `call` called once, when it is answered or nobody waits any more."""
        assert self._call is None, "one listener is enough"
        self._call = call

    async def wait(self) -> bytes:
        """Wait for the answer; raises the error that it was answered with.

        If cancelled, the answer is still open.
        """
        if self._event is not None:
            await self._event.wait()
        if self.error is not None:
            raise self.error
        return self.frame

    def _settle(self, event: anyio.Event) -> None:
        self._event = None
        event.set()
        if self._call is not None:
            call, self._call = self._call, None
            call()


@final
class Owed:
    """Answers that an actor still owes although it has handled the messages; those given are forgotten at once."""

    __slots__ = ("_replies",)

    def __init__(self) -> None:
        self._replies: dict[int, Reply] = {}

    def __len__(self) -> int:
        """Count the answers still owed."""
        return len(self._replies)

    def add(self, reply: Reply) -> None:
        """Owe one more answer."""
        replies, key = self._replies, id(reply)
        replies[key] = reply

        def given() -> None:
            replies.pop(key, None)

        reply.when_done(given)

    def fail(self, address: str) -> None:
        """Answer them all with an error: the actor that owed them has ended."""
        for reply in list(self._replies.values()):
            reply.fail(AskFailed(address, "it ended before it answered"))


@final
class DeadlineSweep:
    """Waiting asks by due moment."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._buckets: dict[int, dict[Envelope, Answer]] = {}
        self._due: list[int] = []
        self._asleep: anyio.CancelScope | None = None
        self._wake: anyio.Event | None = None
        self._sleeps_until = 0

    def __len__(self) -> int:
        """Count the asks that wait now."""
        return sum(map(len, self._buckets.values()))

    def add(self, envelope: Envelope, answer: Answer) -> int:
        """Have `answer` failed when the envelope's deadline passes; give the bucket to `discard` it from."""
        tick = int(envelope.deadline / TICK_SECONDS) + 1
        bucket = self._buckets.get(tick)
        if bucket is None:
            bucket = self._buckets[tick] = {}
            heapq.heappush(self._due, tick)
            self._hurry(tick)
        bucket[envelope] = answer
        return tick

    def discard(self, tick: int, envelope: Envelope) -> None:
        """Forget an ask that no longer waits."""
        bucket = self._buckets.get(tick)
        if bucket is not None:
            bucket.pop(envelope, None)

    async def run(self) -> None:
        """Sweep until cancelled; asks that then wait are left as they are."""
        while True:
            now = self.clock.monotonic()
            while self._due and self._due[0] * TICK_SECONDS <= now:
                self._expire(self._buckets.pop(heapq.heappop(self._due)))
            if not self._due:
                self._wake = anyio.Event()
                await self._wake.wait()
                continue
            self._sleeps_until = self._due[0]
            with anyio.CancelScope() as self._asleep:
                await self.clock.sleep(max(self._due[0] * TICK_SECONDS - now, 0.0))
            self._asleep = None

    def _hurry(self, tick: int) -> None:
        if self._wake is not None:
            self._wake.set()
            self._wake = None
        elif self._asleep is not None and tick < self._sleeps_until:
            self._asleep.cancel()

    def _expire(self, bucket: dict[Envelope, Answer]) -> None:
        for envelope, answer in bucket.items():
            if answer.taken:
                answer.fail(AskFailed(envelope.receiver, "no answer before the deadline"))
            else:
                answer.fail(Expired(envelope))
