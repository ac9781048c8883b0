"""The cell: the running shell round a behavior.

A cell takes turns in the jobs of its system: a turn begins when something arrives and lasts until its mailbox is
empty, so an idle cell has no job. Within a turn it handles one item at a time, signals first. A failure ends the
*incarnation*: its jobs and children end, what it still owed its askers is answered with an error, and supervision
decides whether a new behavior goes on with the same mailbox. The message that failed is not tried again.
It does not know what a message means, nor who may send one.
"""

from collections.abc import Callable
from typing import Final, final

import anyio.lowlevel

from casework.protocols.errors import worded
from casework.runtime.behavior import Context
from casework.runtime.blame import blame
from casework.runtime.errors import AskFailed, Expired, NotSent
from casework.runtime.jobs import Job
from casework.runtime.kernel import Messages, Span, kind_of
from casework.runtime.life import Life
from casework.runtime.lifecycle import (
    ChildEnded,
    Down,
    Exit,
    Hold,
    JobFailed,
    Leave,
    Passivate,
    Phase,
    Signal,
    Started,
    Stop,
)
from casework.runtime.mailbox import Envelope
from casework.runtime.reply import Reply

#: Items handled in one go before other jobs get their chance: a handler that never waits must not stop the loop.
BURST_MAX: Final = 64


@final
class Cell(Life, eq=False, gc=False):
    """One actor: its intake and its turns."""

    def post_nowait(self, envelope: Envelope) -> None:
        """Accept a message, or refuse it by a `NotSent`."""
        tally = self.kernel.tally
        try:
            shed = self.mailbox.offer_nowait(envelope)
        except NotSent:
            self.kernel.refused()
            raise
        tally.sent += 1
        tally.accepted += 1
        if not self._scheduled:
            self._scheduled = True
            self.kernel.pool.run(self)
        if shed is not None:
            self._bury(shed, "shed for a younger message")

    async def post(self, envelope: Envelope) -> None:
        """Accept a message when there is room, if it waits for that; if cancelled, it was not accepted."""
        tally = self.kernel.tally
        try:
            shed = await self.mailbox.offer(envelope)
        except NotSent:
            self.kernel.refused()
            raise
        tally.sent += 1
        tally.accepted += 1
        self._schedule()
        if shed is not None:
            self._bury(shed, "shed for a younger message")

    def step_in(self, act: Callable[[], None]) -> bool:
        """Let somebody act in the actor's name at once, if nothing is to be done before that; False if there is.

        It is done without the context variables of whoever that is. What it raises is the failure of the actor; if
        cancelled, whoever acts was.
        """
        if self._scheduled or self._urgent or self._ending or self.phase is not Phase.RUNNING or self.mailbox:
            return False
        # What it sends to itself waits for a turn.
        self._scheduled = True
        try:
            self.kernel.context.copy().run(act)
        except BaseException as error:  # noqa: BLE001 - the boundary: to supervision; a cancellation goes on
            failure, cancelled = blame(error)
            if failure is not None:
                self._job_failed("event", failure)
            if cancelled is not None:
                raise cancelled from None
        finally:
            self._scheduled = False
            if self.mailbox or self._urgent:
                self._schedule()
            else:
                self._rest()
        return True

    def abandon(self, envelope: Envelope) -> None:
        """Cancel the handler if it is at work on this message; the incarnation goes on with the next one."""
        if self.current is envelope:
            self._interrupt()

    async def run(self, job: Job) -> bool:
        """Take a turn: handle what waits. False when the scope was cancelled and the turn goes on in a new one.

        If cancelled by the job's scope, the handler at work was killed or abandoned; the turn is not over.
        """
        self._job = job
        mailbox, kernel = self.mailbox, self.kernel
        tally, now, messages = kernel.tally, kernel.sweep.monotonic, kernel.messages
        left = BURST_MAX
        while True:
            if self._urgent and not await self._attend(job):
                return self._job is not job
            item = mailbox.take()
            if item is None:
                self._rest()
                return True
            if type(item) is not Envelope:
                await self._heed(item)
            elif (item.deadline and now() >= item.deadline) or (item.reply is not None and item.reply.parked.done()):
                self._drop(item)
            else:
                reply = item.reply
                if reply is not None:
                    reply.taken = True
                span = None if messages is None or not item.trace else self._begin_span(messages, item)
                self.current = item
                context = Context(self, item, item.trace if span is None else span.traceparent)
                try:
                    await self._behavior.receive(context, item)
                    if context.last is not None:
                        kernel.pool.ending(job, context.letting_go())
                    if span is not None or reply is not None:
                        self._told(reply, span)
                    self.current = None
                    tally.handled += 1
                except BaseException as error:  # noqa: BLE001 - the boundary: see `_failed`
                    context.last = None
                    kernel.pool.hand_over(job)
                    await self._failed(item, error, span)
            left -= 1
            if not left or job.then is not None:
                left = BURST_MAX
                if await self._give_way(job):
                    return True

    async def _give_way(self, job: Job) -> bool:
        """Let others have their turn; True when this one is over: what the last handler set going waits for the job."""
        if job.then is None:
            await anyio.lowlevel.checkpoint()
            return False
        if self._urgent:
            self.kernel.pool.hand_over(job)
            return False
        self._rest()
        if self.mailbox:
            self._schedule()
        return True

    def _told(self, reply: Reply | None, span: Span | None) -> None:
        """A message is handled; its answer may still be owed."""
        if span is not None:
            span.end("")
        if reply is not None and not reply.parked.done():
            self.own.owed.add(reply)

    def _rest(self) -> None:
        """The turn is over: there is nothing left to do."""
        self._job = None
        self._scheduled = False
        if self.home is not None and self.phase is Phase.RUNNING:
            self.home.idle(self)

    async def _attend(self, job: Job) -> bool:
        """Look at what is more urgent than the mailbox; False when the turn must not go on in this scope."""
        while self._urgent:
            if job.scope is not None and job.scope.cancel_called:
                return False
            self._urgent = False
            if self.phase is Phase.HELD:
                self._job = None
                return False
            if self._kill is not None and self.phase is not Phase.STOPPED:
                await self._end(self._kill, None)
        return True

    def _drop(self, envelope: Envelope) -> None:
        """Drop a message unread: it is too late, or nobody waits for the answer."""
        self.kernel.tally.expired += 1
        if envelope.reply is not None:
            envelope.reply.fail(Expired(envelope))

    async def _failed(self, envelope: Envelope, error: BaseException, span: Span | None) -> None:
        """The boundary: what a handler raises goes to the asker and to supervision; a cancellation goes on."""
        self.current = None
        self.kernel.tally.failed += 1
        failure, cancelled = blame(error)
        if span is not None:
            span.end("cancelled" if failure is None else type(failure).__name__)
        in_vain = self._in_vain(envelope, failure)
        if envelope.reply is not None:
            why = "its handler was cancelled" if failure is None else worded(failure)
            envelope.reply.fail(AskFailed(self.address, why))
        if failure is not None and not in_vain:
            self.kernel.failed(self.address, failure)
        if cancelled is not None:
            raise cancelled
        if failure is not None and not in_vain:
            await self._end(Exit.FAILED, failure)

    def _in_vain(self, envelope: Envelope, failure: Exception | None) -> bool:
        """Say whether it came too late together with what it asked for itself: then it did nothing wrong."""
        if not isinstance(failure, AskFailed | Expired):
            return False
        late = envelope.deadline and self.kernel.clock.monotonic() >= envelope.deadline
        return bool(late) or (envelope.reply is not None and envelope.reply.done)

    async def _heed(self, signal: Signal) -> None:
        """Heed one signal; if cancelled, the cell was killed."""
        match signal:
            case Stop():
                await self._end(Exit.SHUTDOWN, None)
            case Leave() if self.home is not None:
                await self._passivate()
            case Leave():
                await self._end(Exit.NORMAL, None)
            case JobFailed():
                await self._end(Exit.FAILED, signal.error)
            case ChildEnded(exit=Exit.ESCALATED):
                if signal.error is not None:
                    self.kernel.failed(self.address, signal.error)
                await self._end(Exit.FAILED, signal.error)
            case Hold():
                await self._end(Exit.RECYCLED, None)
            case Passivate():
                await self._passivate()
            case Started():
                if await self._call("started") and self.phase is Phase.STARTING:
                    self._move(Phase.RUNNING)
            case ChildEnded() | Down():
                await self._call("signalled", signal)

    def _begin_span(self, messages: Messages, envelope: Envelope) -> Span:
        return messages.message(kind_of(self.address), envelope.trace, asked=envelope.reply is not None)
