"""The cell: the running shell round a behavior.

A cell takes turns in the jobs of its system: a turn begins when something arrives and lasts until its mailbox is
empty, so an idle cell has no job. Within a turn it handles one item at a time, signals first. A failure ends the
*incarnation*: its jobs and children end, what it still owed its askers is answered with an error, and supervision
decides whether a new behavior goes on with the same mailbox. The message that failed is not tried again.
It does not know what a message means, nor who may send one.
"""

from collections.abc import Awaitable, Callable
from typing import Final, final

import anyio
import anyio.lowlevel

from casework.runtime.behavior import Behavior, Context, System
from casework.runtime.children import CellOptions, ChildGroup, Parent
from casework.runtime.deadlines import Owed
from casework.runtime.errors import ActorStopped, AskFailed, Escalated, Expired, NameTaken, NotSent
from casework.runtime.jobs import CellJobs
from casework.runtime.kernel import Kernel
from casework.runtime.lifecycle import ChildEnded, Down, Exit, JobFailed, Phase, Signal, Started, Stop, advance
from casework.runtime.mailbox import Envelope, Mailbox, Policy, Reply
from casework.runtime.ref import Ref
from casework.runtime.supervision import Restart, Verdict

#: Items handled in one go before other jobs get their chance: a handler that never waits must not stop the loop.
BURST_MAX: Final = 64
#: How long the jobs of an ended incarnation are waited for; they were cancelled, and code may shield itself.
JOBS_END_SECONDS: Final = 5.0


@final
class Cell:
    """One actor, from its first incarnation to its last."""

    __slots__ = ("_behavior", "_children", "_context", "_ended", "_exit", "_factory", "_group", "_jobs", "_kernel",
                 "_kill", "_owed", "_parent", "_phase", "_scheduled", "_scope", "_system", "address",
                 "current", "mailbox", "restart")  # fmt: skip

    def __init__(
        self,
        kernel: Kernel,
        address: str,
        factory: Callable[[], Behavior],
        options: CellOptions,
        *,
        system: System,
        group: ChildGroup,
        parent: Parent,
    ) -> None:
        if address in kernel.cells:
            raise NameTaken(address)
        self.address = address
        self.restart = options.restart
        self.mailbox = Mailbox(depth_max=options.mailbox_depth_max, policy=options.policy)
        self.current: Envelope | None = None
        self._kernel = kernel
        self._system = system
        self._factory = factory
        self._group = group
        self._parent = parent
        self._behavior = factory()
        self._context = Context(self)
        self._phase = Phase.STARTING
        self._scheduled = False
        self._scope: anyio.CancelScope | None = None
        self._kill: Exit | None = None
        self._exit: ChildEnded | None = None
        # Made on first use: an idle actor is to cost next to nothing.
        self._jobs: CellJobs | None = None
        self._children: ChildGroup | None = None
        self._owed: Owed | None = None
        self._ended: anyio.Event | None = None
        kernel.cells[address] = self
        group.add(self)
        self._begin()

    @property
    def phase(self) -> Phase:
        """Where it stands in its life."""
        return self._phase

    @property
    def ref(self) -> Ref:
        """A handle of this actor."""
        return Ref(self.address, self._kernel, self)

    @property
    def system(self) -> System:
        """The system that runs it."""
        return self._system

    @property
    def waiting(self) -> int:
        """Messages in its mailbox."""
        return len(self.mailbox)

    @property
    def running(self) -> int:
        """1 while it handles a message, else 0."""
        return 0 if self.current is None else 1

    def post_nowait(self, envelope: Envelope) -> None:
        """Accept a message, or refuse it by `MailboxFull` or `ActorStopped`."""
        tally = self._kernel.tally
        tally.sent += 1
        try:
            shed = self.mailbox.offer_nowait(envelope)
        except NotSent:
            tally.refused += 1
            raise
        tally.accepted += 1
        if not self._scheduled:
            self._schedule()
        if shed is not None:
            self._bury(shed, "shed for a younger message")

    async def post(self, envelope: Envelope) -> None:
        """Accept a message when there is room, if the policy is to wait; if cancelled, it was not accepted."""
        if not self.mailbox.waits:
            self.post_nowait(envelope)
            return
        tally = self._kernel.tally
        try:
            await self.mailbox.offer(envelope)
        except NotSent:
            tally.sent += 1
            tally.refused += 1
            raise
        tally.sent += 1
        tally.accepted += 1
        if not self._scheduled:
            self._schedule()

    def signal(self, signal: Signal) -> None:
        """Take a signal; it is heeded before any message."""
        if self._phase is not Phase.STOPPED:
            self.mailbox.signal(signal)
            if not self._scheduled:
                self._schedule()

    def stop(self, exit_: Exit = Exit.SHUTDOWN) -> None:
        """Let it end after its running handler."""
        self.signal(Stop(exit_.value, exit_))

    def kill(self, exit_: Exit = Exit.KILLED) -> None:
        """End it now: the running handler is cancelled."""
        if self._phase is Phase.STOPPED:
            return
        if self._kill is not Exit.SHUTDOWN:
            self._kill = exit_
        if self._scope is not None:
            self._scope.cancel()
        elif not self._scheduled:
            self._schedule()

    def abandon(self, envelope: Envelope) -> None:
        """Cancel the handler if it is at work on this message; the incarnation goes on with the next one."""
        if self.current is envelope and self._scope is not None:
            self._scope.cancel()

    async def wait_stopped(self) -> None:
        """Wait until it has ended for good; if cancelled, nothing is left behind."""
        if self._phase is Phase.STOPPED:
            return
        if self._ended is None:
            self._ended = self._kernel.new_event()
        await self._ended.wait()

    def abort(self) -> None:
        """The system is gone: account for what is left, without running anything."""
        if self._phase is not Phase.STOPPED:
            self._exit = self._exit or ChildEnded(self.address, Exit.KILLED)
            self._close()
            self._leave()

    # What the behavior asks for, through its context.

    def spawn_child(
        self, name: str, factory: Callable[[], Behavior], *, restart: Restart, mailbox_depth_max: int, policy: Policy
    ) -> Ref:
        """Start a child."""
        if self._children is None:
            self._children = ChildGroup()
        group, options = self._children, CellOptions(restart, mailbox_depth_max, policy)
        address = f"{self.address}/{name}"
        return Cell(self._kernel, address, factory, options, system=self._system, group=group, parent=self).ref

    def start_job(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Start a job that ends with the incarnation."""
        if self._jobs is None:
            self._jobs = CellJobs(self._kernel.start_soon, failed=self._job_failed, ended=self._kernel.rest)
        self._kernel.busy += 1
        self._jobs.start(name, run)

    def watch(self, ref: Ref) -> None:
        """Have a `Down` sent when another actor ends."""
        self._kernel.watch(ref.address, self.signal)

    def leave(self) -> None:
        """End after the running handler, of one's own will."""
        self.stop(Exit.NORMAL)

    def child_ended(self, ended: ChildEnded) -> None:
        """A child is gone for good."""
        self.signal(ended)

    # Turns.

    async def run(self, scope: anyio.CancelScope) -> bool:
        """Take a turn: handle what waits. False when the scope was cancelled and the turn goes on in a new one.

        If cancelled by `scope`, the handler at work was killed or abandoned; the turn is not over.
        """
        self._scope = scope
        mailbox = self.mailbox
        left = BURST_MAX
        while not scope.cancel_called:
            if self._kill is not None and self._phase is not Phase.STOPPED:
                await self._end(self._kill, None)
            item = mailbox.take()
            if item is None:
                self._scope = None
                self._scheduled = False
                self._kernel.rest()
                return True
            if isinstance(item, Envelope):
                await self._handle(item)
            else:
                await self._heed(item)
            left -= 1
            if not left:
                left = BURST_MAX
                await anyio.lowlevel.checkpoint()
        return False

    def _schedule(self) -> None:
        self._scheduled = True
        self._kernel.busy += 1
        self._kernel.pool.run(self)

    async def _handle(self, envelope: Envelope) -> None:
        """Handle one message. If cancelled, it counts as failed and its asker is told."""
        reply = envelope.reply
        tally = self._kernel.tally
        late = envelope.deadline and self._kernel.clock.monotonic() >= envelope.deadline
        if late or (reply is not None and reply.done):
            tally.expired += 1
            if reply is not None:
                reply.fail(Expired(envelope))
            return
        self.current = envelope
        if reply is not None:
            reply.begin()
        try:
            await self._behavior.receive(self._context, envelope)
        except Exception as error:  # noqa: BLE001 - the boundary: to the asker and to supervision
            self.current = None
            tally.failed += 1
            if reply is not None:
                reply.fail(AskFailed(self.address, f"{type(error).__name__}: {error}"))
            await self._end(Exit.FAILED, error)
        except BaseException:
            self.current = None
            tally.failed += 1
            if reply is not None:
                reply.fail(AskFailed(self.address, "its handler was cancelled"))
            raise
        else:
            self.current = None
            tally.handled += 1
            if reply is not None and not reply.done:
                self._owe(reply)

    async def _heed(self, signal: Signal) -> None:
        """Heed one signal; if cancelled, the cell was killed."""
        match signal:
            case Stop():
                await self._end(signal.exit, None)
            case JobFailed():
                await self._end(Exit.FAILED, signal.error)
            case ChildEnded(exit=Exit.ESCALATED):
                await self._end(Exit.FAILED, signal.error)
            case Started():
                if await self._call("started"):
                    self._phase = advance(self._phase, Phase.RUNNING)
            case ChildEnded() | Down():
                await self._call("signalled", signal)

    async def _call(self, hook: str, *signal: Signal) -> bool:
        """Call an optional method of the behavior; False when it failed. If cancelled, the cell was killed."""
        call: Callable[..., Awaitable[None]] | None = getattr(self._behavior, hook, None)
        if call is None:
            return True
        try:
            await call(self._context, *signal)
        except Exception as error:  # noqa: BLE001 - the boundary: to supervision
            await self._end(Exit.FAILED, error)
            return False
        return True

    def _owe(self, reply: Reply) -> None:
        if self._owed is None:
            self._owed = Owed()
        self._owed.add(reply)

    def _job_failed(self, name: str, error: Exception) -> None:
        if self._exit is None:
            self.signal(JobFailed(name, error))
        else:
            self._kernel.failed(self.address, error)

    # Ends.

    def _begin(self) -> None:
        """Begin an incarnation; without a `started` hook there is nothing to run before the first message."""
        if hasattr(self._behavior, "started"):
            self.signal(Started())
        else:
            self._phase = advance(self._phase, Phase.RUNNING)

    async def _end(self, exit_: Exit, error: BaseException | None) -> None:
        """End the incarnation and perform the verdict; if cancelled, the cell was killed, and this goes on as that."""
        if self._exit is None:
            if error is not None:
                self._kernel.failed(self.address, error)
            self._exit = ChildEnded(self.address, exit_, error)
            verdict = self._group.judge(self, exit_, self._kernel.clock.monotonic())
            if verdict is not Verdict.RESTART:
                self._close()
            if verdict is Verdict.ESCALATE:
                self._exit = ChildEnded(self.address, Exit.ESCALATED, Escalated(self.address, self._group.limit, error))
        elif self._phase is not Phase.DRAINING and self._kill is Exit.SHUTDOWN:
            # It was about to be started again when its parent or its system ended it.
            self._exit = ChildEnded(self.address, Exit.SHUTDOWN)
            self._close()
        await self._clear(killed=self._kill is not None)
        self._answer_owed()
        if self._phase is Phase.DRAINING:
            self._leave()
        else:
            self._kill = self._exit = None
            await self._renew()

    async def _renew(self) -> None:
        """Make the next incarnation; if that fails, it is one more failure, which the restart limit bounds."""
        self.mailbox.forget_signals(JobFailed, ChildEnded, Started)
        try:
            self._behavior = self._factory()
        except Exception as error:  # noqa: BLE001 - the boundary: to supervision
            await self._end(Exit.FAILED, error)
            return
        self._context = Context(self)
        self._phase = advance(self._phase, Phase.STARTING)
        self._kernel.restarted(self.address)
        self._begin()

    async def _clear(self, *, killed: bool) -> None:
        """End the jobs and children of the incarnation, then let it tidy up unless it was killed."""
        if self._jobs is not None:
            self._jobs.cancel()
            with anyio.move_on_after(JOBS_END_SECONDS):
                await self._jobs.wait_ended()
        if self._children is not None:
            await (self._children.kill_all() if killed else self._children.stop_all())
        stopped: Callable[[Context], Awaitable[None]] | None = getattr(self._behavior, "stopped", None)
        if stopped is not None and not killed:
            try:
                await stopped(self._context)
            except Exception as error:  # noqa: BLE001 - the boundary: it has ended already, so it is only reported
                self._kernel.failed(self.address, error)

    def _close(self) -> None:
        """Take nothing new; what waits becomes dead letters."""
        if self._phase is not Phase.DRAINING:
            self._phase = advance(self._phase, Phase.DRAINING)
        for envelope in self.mailbox.close():
            self._bury(envelope, "its actor ended")

    def _bury(self, envelope: Envelope, why: str) -> None:
        self._kernel.dead_letter(envelope, why)
        if envelope.reply is not None:
            envelope.reply.fail(ActorStopped(envelope) if self._exit else AskFailed(self.address, why))

    def _answer_owed(self) -> None:
        if self._owed is not None:
            self._owed.fail(self.address)

    def _leave(self) -> None:
        """Be gone for good, and say so."""
        self._phase = advance(self._phase, Phase.STOPPED)
        self._answer_owed()
        ended = self._exit
        assert ended is not None, "an actor has a reason to end"
        self._group.forget(self)
        self._kernel.gone(self.address, ended.exit)
        self._parent.child_ended(ended)
        if self._ended is not None:
            self._ended.set()
