"""The reply to one ask: where the answer goes, and whether anybody still waits for it.

It is made by the asker, travels in the envelope, and is answered once, by whoever holds it; every answer after the
first is ignored. It does not know what was asked, nor when time is up.
"""

from collections.abc import Callable
from typing import final

from msgspec import Struct

from casework.runtime.errors import AskFailed
from casework.runtime.parking import Parked


@final
class Reply(Struct, eq=False):
    """The reply to one ask of this process; calling it answers."""

    parked: Parked
    """Where the asker waits."""
    error: Exception | None = None
    """What the ask was answered with, instead of a frame."""
    taken: bool = False
    """Whether the receiver began to handle the message."""
    answered: bool = False
    """Whether there was an answer, of either kind."""
    listener: Callable[[], None] | None = None

    def __call__(self, frame: bytes, /) -> None:
        """Answer with a frame; ignored when it was answered before."""
        parked = self.parked
        if not parked.done():
            self.answered = True
            parked.set_result(frame)
            if self.listener is not None:
                self._heard()

    def fail(self, error: Exception) -> None:
        """Answer with an error; ignored when it was answered before."""
        if not self.parked.done():
            self.error = error
            self(b"")

    @property
    def done(self) -> bool:
        """Whether it was answered, or nobody waits for it any more."""
        return self.parked.done()

    def abandon(self) -> None:
        """Nobody waits any more, whatever the reason."""
        if not self.parked.done():
            self.parked.set_result(b"")
        if self.listener is not None:
            self._heard()

    def when_done(self, call: Callable[[], None]) -> None:
        """Have `call` called once, when it is answered or nobody waits any more."""
        assert self.listener is None, "one listener is enough"
        self.listener = call

    def _heard(self) -> None:
        call, self.listener = self.listener, None
        assert call is not None
        call()


@final
class Owed:
    """Replies that an actor still owes although it has handled the messages; those given are forgotten at once."""

    __slots__ = ("_replies",)

    def __init__(self) -> None:
        self._replies: dict[int, Reply] = {}

    def __len__(self) -> int:
        """Count the replies still owed."""
        return len(self._replies)

    def add(self, reply: Reply) -> None:
        """Owe one more reply."""
        replies, key = self._replies, id(reply)
        replies[key] = reply

        def given() -> None:
            replies.pop(key, None)

        reply.when_done(given)

    def fail(self, address: str) -> None:
        """Answer them all with an error: the actor that owed them has ended."""
        for reply in list(self._replies.values()):
            reply.fail(AskFailed(address, "it ended before it answered"))
