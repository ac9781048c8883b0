"""What others hold of an actor: its address, and the ways to send it something.

A ref outlives its actor: it then refuses with `ActorStopped`, and reaches a new actor of the same address as soon
as there is one. `tell_nowait` is for actors; `tell` may wait for room and is for the edges of the system.
It does not know what an actor does, nor what a frame means.
"""

from typing import Protocol, final

import anyio

from casework.runtime.deadlines import Answer, DeadlineSweep
from casework.runtime.errors import ActorStopped
from casework.runtime.lifecycle import Exit, Phase
from casework.runtime.mailbox import Envelope


class Port(Protocol):
    """A running actor, as a ref sees it."""

    @property
    def phase(self) -> Phase:
        """Where it stands in its life."""
        ...

    def post_nowait(self, envelope: Envelope) -> None:
        """Accept a message, or refuse it by `MailboxFull` or `ActorStopped`."""
        ...

    async def post(self, envelope: Envelope) -> None:
        """Accept a message when there is room, if the mailbox's policy is to wait."""
        ...

    def abandon(self, envelope: Envelope) -> None:
        """Stop work on a message whose sender no longer waits for the answer."""
        ...

    def stop(self, exit_: Exit = Exit.SHUTDOWN) -> None:
        """Let it end after its running handler."""
        ...

    def kill(self, exit_: Exit = Exit.KILLED) -> None:
        """End it now."""
        ...

    async def wait_stopped(self) -> None:
        """Wait until it has ended."""
        ...


class Switchboard(Protocol):
    """What refs need of their system: to find actors, and to end the waiting for answers."""

    @property
    def sweep(self) -> DeadlineSweep:
        """The asks that wait."""
        ...

    def find(self, address: str) -> Port | None:
        """Find the running actor of that address."""
        ...

    def refused(self) -> None:
        """Count a message that found no actor."""
        ...

    def new_event(self) -> anyio.Event:
        """Make an event for the backend that runs."""
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

        Raises:
            MailboxFull: there is no room; the envelope is on the error.
            ActorStopped: there is no such actor; the envelope is on the error.
        """
        envelope = Envelope(self.address, frame, sender, attempt, deadline, trace)
        self._reach(envelope).post_nowait(envelope)

    async def tell(
        self, frame: bytes, *, sender: str = "", attempt: int = 1, deadline: float = 0.0, trace: str = ""
    ) -> None:
        """Send a frame, waiting for room where the mailbox's policy is to wait; for the edges of the system only.

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
            MailboxFull, ActorStopped: as `tell_nowait`.
            Expired: the deadline passed before the receiver began; it never will.
            AskFailed: the receiver raised, ended or did not answer in time.

        If cancelled, a message not yet begun is dropped, and a handler that is at work on it is cancelled.
        """
        switchboard = self._switchboard
        sweep = switchboard.sweep
        due = sweep.clock.monotonic() + timeout_seconds
        answer = Answer(switchboard.new_event())
        envelope = Envelope(self.address, frame, sender, 1, min(due, deadline) if deadline else due, trace, answer)
        port = self._reach(envelope)
        bucket = sweep.add(envelope, answer)
        try:
            await port.post(envelope)
            return await answer.wait()
        finally:
            sweep.discard(bucket, envelope)
            if not answer.done:
                answer.abandon()
                port.abandon(envelope)

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
            await port.wait_stopped()

    def _find(self) -> Port | None:
        port = self._port
        if port is None or port.phase is Phase.STOPPED:
            port = self._port = self._switchboard.find(self.address)
        return port

    def _reach(self, envelope: Envelope) -> Port:
        port = self._find()
        if port is None:
            self._switchboard.refused()
            raise ActorStopped(envelope)
        return port
