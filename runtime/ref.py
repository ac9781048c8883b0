"""What others hold of an actor: its address, and the ways to send it something.

A ref outlives its actor: it then refuses with `ActorStopped`, and reaches a new actor of the same address as soon
as there is one. `tell_nowait` is for actors; `tell` may wait for room and is for the edges of the system.
It does not know what an actor does, nor what a frame means.
"""

from collections.abc import Callable, Generator
from typing import Any, Final, Protocol, final

import anyio
from msgspec import Struct

from casework.runtime.deadlines import DeadlineSweep, Waiting
from casework.runtime.errors import AskFailed, Expired
from casework.runtime.lifecycle import Exit, Phase
from casework.runtime.mailbox import Envelope
from casework.runtime.parking import Parked
from casework.runtime.reply import Reply

_STOPPED: Final = Phase.STOPPED
#: Where an ask stands that no deadline will end: nowhere.
_NOWHERE: Final[dict[Waiting, None]] = {}


class Port(Protocol):
    """A running actor, as a ref sees it."""

    @property
    def address(self) -> str:
        """Its own address, whatever name it was found by."""
        ...

    @property
    def phase(self) -> Phase:
        """Where it stands in its life."""
        ...

    def post_nowait(self, envelope: Envelope) -> None:
        """Accept a message, or refuse it by `MailboxFull` or `ActorStopped`."""
        ...

    @property
    def waits(self) -> bool:
        """Whether `post` waits for room instead of refusing."""
        ...

    async def post(self, envelope: Envelope) -> None:
        """Accept a message when there is room, if the mailbox makes senders wait."""
        ...

    def abandon(self, envelope: Envelope) -> None:
        """Stop work on a message whose sender no longer waits for the answer."""
        ...

    def stop(self) -> None:
        """Let it end after its running handler."""
        ...

    def kill(self, exit_: Exit = Exit.KILLED) -> None:
        """End it now."""
        ...

    async def wait_phase(self, *phases: Phase) -> None:
        """Wait until it is in one of these phases."""
        ...


class Switchboard(Protocol):
    """What refs need of their system: to find actors, and to end the waiting for answers."""

    @property
    def sweep(self) -> DeadlineSweep:
        """The asks that wait."""
        ...

    @property
    def draining(self) -> bool:
        """Whether messages from outside are refused."""
        ...

    @property
    def new_parked(self) -> Callable[[], Parked]:
        """Make a place to wait, for the backend that runs."""
        ...

    def find(self, address: str) -> Port | None:
        """Find the running actor of that address."""
        ...

    def reach(self, envelope: Envelope) -> Port:
        """Find the actor that is to get a message, or refuse it with a `NotSent`."""
        ...


@final
class Ref:
    """The handle of one actor."""

    __slots__ = ("_port", "_switchboard", "address")

    def __init__(self, address: str, switchboard: Switchboard, port: Port | None = None) -> None:
        self.address = address
        self._switchboard = switchboard
        self._port = port

    def __repr__(self) -> str:
        return f"<Ref {self.address}>"

    def tell_nowait(
        self, frame: bytes, *, sender: str = "", attempt: int = 1, deadline: float = 0.0, trace: str = ""
    ) -> None:
        """Send a frame without waiting.

        Args:
            frame: the encoded message.
            deadline: monotonic seconds of the system's clock, 0 for none; afterwards the message is dropped unread.

        Raises, always with the envelope on the error:
            MailboxFull: there is no room.
            FrameOversized: the frame is larger than any may be.
            ActorStopped, WakeFailed: there is no such actor.
            Draining: the system takes nothing from outside any more.
        """
        envelope = Envelope(self.address, frame, sender, attempt, deadline, trace)
        port = self._port
        if port is None or port.phase is _STOPPED or self._switchboard.draining:
            port = self._reach(envelope)
        port.post_nowait(envelope)

    async def tell(
        self, frame: bytes, *, sender: str = "", attempt: int = 1, deadline: float = 0.0, trace: str = ""
    ) -> None:
        """Send a frame, waiting for room where the mailbox makes senders wait; for the edges of the system only.

        Raises: as `tell_nowait`.
        If cancelled, the message was not sent.
        """
        envelope = Envelope(self.address, frame, sender, attempt, deadline, trace)
        await self._reach(envelope).post(envelope)

    def tell_local(self, event: object, *, sender: str = "") -> None:
        """Send an event of this process without waiting; it arrives as the envelope's `local`.

        Raises: as `tell_nowait`.
        """
        envelope = Envelope(self.address, b"", sender, local=event)
        self._reach(envelope).post_nowait(envelope)

    async def ask(
        self, frame: bytes, *, timeout_seconds: float, sender: str = "", deadline: float = 0.0, trace: str = ""
    ) -> bytes:
        """Send a frame and wait for the frame of its answer.

        Args:
            timeout_seconds: how long the answer may take.
            deadline: the deadline of the work that asks, 0 for none; the ask's own is never later.

        Raises:
            MailboxFull, FrameOversized, ActorStopped, WakeFailed, Draining: as `tell_nowait`; ActorStopped also when
                the receiver ends before it begins.
            Expired: the deadline passed before the receiver began, or before there was room; it never will.
            AskFailed: the receiver raised, ended or did not answer in time.
            ValueError: the timeout is no number; nothing was sent. An infinite one never ends.

        If cancelled or too late, a message not yet begun is dropped, and a handler that is at work on it is cancelled.
        """
        asked = self._ask(frame, timeout_seconds, sender, deadline, trace)
        port = asked.port
        try:
            if port.waits:
                await asked.post()
            else:
                port.post_nowait(asked.envelope)
            # As `await asked`, without a generator in between: most asks are made here.
            answer = await asked.reply.parked
        except BaseException:
            asked.abandon()
            raise
        return asked.answered(answer)

    def ask_nowait(
        self, frame: bytes, *, timeout_seconds: float, sender: str = "", deadline: float = 0.0, trace: str = ""
    ) -> "Asked":
        """Send a frame at once and give what to await for its answer: for asking many without a job for each.

        Raises: as `tell_nowait`; awaiting the answer raises as `ask`.
        """
        asked = self._ask(frame, timeout_seconds, sender, deadline, trace)
        try:
            asked.port.post_nowait(asked.envelope)
        except BaseException:
            asked.abandon()
            raise
        return asked

    def stop(self) -> None:
        """Let the actor end after its running handler; nothing happens if it has ended."""
        port = self._find()
        if port is not None:
            port.stop()

    def kill(self) -> None:
        """End the actor now, its running handler cancelled; supervision then decides whether it is started again."""
        port = self._find()
        if port is not None:
            port.kill()

    async def wait_stopped(self) -> None:
        """Wait until the actor has ended; if cancelled, nothing is left behind."""
        port = self._find()
        if port is not None:
            await port.wait_phase(_STOPPED)

    def _ask(self, frame: bytes, timeout_seconds: float, sender: str, deadline: float, trace: str) -> "Asked":
        switchboard = self._switchboard
        sweep = switchboard.sweep
        due = sweep.monotonic() + timeout_seconds
        reply = Reply(switchboard.new_parked())
        envelope = Envelope(self.address, frame, sender, 1, min(due, deadline) if deadline else due, trace, reply)
        port = self._port
        if port is None or port.phase is _STOPPED or switchboard.draining:
            port = self._reach(envelope)
        asked = Asked(envelope, reply, port, _NOWHERE)
        asked.waiting = sweep.add(asked, envelope.deadline)
        return asked

    def _find(self) -> Port | None:
        port = self._port
        if port is None or port.phase is _STOPPED:
            port = self._keep(self._switchboard.find(self.address))
        return port

    def _reach(self, envelope: Envelope) -> Port:
        port = self._switchboard.reach(envelope)
        self._keep(port)
        return port

    def _keep(self, port: Port | None) -> Port | None:
        # A name may pass to another actor while the first one lives, so what a name stands for is looked up each time.
        self._port = port if port is not None and port.address == self.address else None
        return port


@final
class Asked(Struct, eq=False, gc=False):
    """An ask that was sent; `await` it for the frame of its answer, or do not: at its deadline it is forgotten."""

    envelope: Envelope
    reply: Reply
    port: Port
    waiting: dict[Waiting, None]
    """Where its deadline is kept."""
    awaited: bool = False
    posting: anyio.CancelScope | None = None

    async def post(self) -> None:
        """Send it when there is room, but not later than its deadline; raises as `Ref.ask`."""
        with anyio.CancelScope() as self.posting:
            await self.port.post(self.envelope)
        self.posting = None
        if self.reply.error is not None:
            raise self.reply.error

    def __await__(self) -> Generator[Any, None, bytes]:
        """Wait for the answer, in one place at a time; raises, and heeds a cancellation, as `Ref.ask` says."""
        assert not self.awaited, "an ask is awaited in one place at a time"
        if self.reply.error is not None:
            raise self.reply.error
        self.awaited = True
        try:
            answer = yield from self.reply.parked.__await__()
        except BaseException:
            self.abandon()
            raise
        finally:
            self.awaited = False
        return self.answered(answer)

    def answered(self, answer: bytes) -> bytes:
        """Take the answer, or raise the error that came instead."""
        self.waiting.pop(self, None)
        if self.reply.error is not None:
            raise self.reply.error
        return answer

    def expire(self) -> None:
        """Time is up: who awaits it is told, and a handler that is at work on it is cancelled."""
        envelope, reply = self.envelope, self.reply
        self.waiting = _NOWHERE
        reply.fail(AskFailed(envelope.receiver, "no answer before the deadline") if reply.taken else Expired(envelope))
        self.port.abandon(envelope)
        if self.posting is not None:
            self.posting.cancel()

    def abandon(self) -> None:
        """Wait no more: a message not yet begun is dropped, and a handler that is at work on it is cancelled."""
        self.waiting.pop(self, None)
        if self.reply.error is None and not self.reply.answered:
            self.reply.error = AskFailed(self.envelope.receiver, "nobody waited for the answer any more")
        self.reply.abandon()
        self.port.abandon(self.envelope)
