"""The life of an actor: how its incarnations begin, end, and follow one another.

An *incarnation* is one behavior with what it owns. When it ends, supervision decides: a new one goes on with the same
mailbox, or waits (held) for siblings, or none follows, and what waits becomes dead letters. A kill may interrupt an
end at any await; the end then goes on as that of a killed one. It does not know how messages come in, nor how a turn
is taken: the cell, which is built upon it, does.
"""

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import anyio
from msgspec import Struct, field

from casework.runtime.behavior import Behavior, Context, System
from casework.runtime.belongings import Belongings
from casework.runtime.blame import blame
from casework.runtime.children import CellOptions, ChildGroup, Parent
from casework.runtime.errors import ActorStopped, AskFailed, Escalated, NameTaken, Stopping
from casework.runtime.jobs import Job
from casework.runtime.kernel import Kernel
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
    advance,
)
from casework.runtime.mailbox import Envelope, Mailbox, Overflow
from casework.runtime.ref import Ref
from casework.runtime.supervision import Verdict

#: Signals that speak of one incarnation only: the next one does not hear of them.
OF_ONE_INCARNATION: Final = (JobFailed, ChildEnded, Started, Down, Leave, Hold, Passivate)


class Home(Protocol):
    """Where an actor of a logical address rests."""

    def idle(self, life: "Life") -> None:
        """Hear that it has nothing to do."""

    def forget(self, life: "Life") -> None:
        """Hear that it has ended."""


class _Unmade:
    """Stands for a behavior that could not be made, or is needed no more."""

    async def receive(self, context: Context, envelope: Envelope) -> None:
        """Never called: the failure to make one is heeded before any message, and what has ended handles none."""
        raise AssertionError(f"{envelope.receiver} has no behavior")


_UNMADE: Final = _Unmade()


class Life(Struct, eq=False, gc=False):
    """One actor, from its first incarnation to its last; `Cell` is the one class built upon it.

    A Struct, though it is no message, for it is made twice as fast; and nothing that the garbage collector looks at,
    whose passes over a million idle actors cost as much as making them: an actor's end breaks the circles that it is
    part of. Making one starts the actor, and raises NameTaken, or what the factory raises.
    """

    kernel: Kernel
    address: str
    factory: Callable[[], Behavior]
    options: CellOptions
    system: System
    group: ChildGroup
    parent: Parent
    home: Home | None = None
    mailbox: Mailbox = field(default_factory=Mailbox)
    phase: Phase = Phase.STARTING
    current: Envelope | None = None
    """The message being handled."""
    waits: bool = False
    """Whether `post` waits for room instead of refusing."""
    _behavior: Behavior = _UNMADE
    _job: Job | None = None
    _scheduled: bool = False
    _urgent: bool = False
    """A kill, or a cancelled scope, is to be looked at before the mailbox."""
    _kill: Exit | None = None
    _exit: ChildEnded | None = None
    _then: Verdict = Verdict.RESTART
    _own: Belongings | None = None
    _ending: bool = False
    """Its incarnation is ending, and starts nothing any more."""
    _moved: anyio.Event | None = None

    def __post_init__(self) -> None:
        """Make the first behavior; without a `started` hook there is nothing to run before the first message."""
        kernel, address, options = self.kernel, self.address, self.options
        if not address or not address.isprintable():
            raise ValueError(f"{address!r} is no address: use characters that can be printed")
        behavior = self.factory()
        # Asked afterwards: a factory may itself have sent something that woke or spawned such an actor.
        if address in kernel.cells or address in kernel.names:
            raise NameTaken(address)
        self._behavior, self.waits = behavior, options.overflow is Overflow.WAIT
        self.mailbox.depth_max, self.mailbox.overflow = options.mailbox_depth_max, options.overflow
        kernel.cells[address] = self
        self.group.add(self)
        if hasattr(self._behavior, "started"):
            self.signal(Started())
        else:
            self.phase = Phase.RUNNING

    @property
    def ref(self) -> Ref:
        """A handle of this actor."""
        return Ref(self.address, self.kernel, self)

    @property
    def own(self) -> Belongings:
        """What this incarnation has beside its behavior; raises Stopping while it ends."""
        if self._ending:
            raise Stopping
        if self._own is None:
            self._own = Belongings(self.kernel, self.options.children, self.signal, self._job_failed)
        return self._own

    @property
    def busy(self) -> bool:
        """Whether it has anything to do: messages, a handler, jobs, children, replies that it owes."""
        return bool(self._scheduled or self._own or self.mailbox)

    @property
    def waiting(self) -> int:
        """Messages in its mailbox."""
        return len(self.mailbox)

    @property
    def running(self) -> int:
        """1 while it handles a message, else 0."""
        return int(self.current is not None)

    def post_nowait(self, envelope: Envelope) -> None:
        raise NotImplementedError

    async def post(self, envelope: Envelope) -> None:
        raise NotImplementedError

    def step_in(self, act: Callable[[], None]) -> bool:
        raise NotImplementedError

    def abandon(self, envelope: Envelope) -> None:
        raise NotImplementedError

    async def run(self, job: Job) -> bool:
        raise NotImplementedError

    def spawn_child(self, name: str, factory: Callable[[], Behavior], options: CellOptions) -> Ref:
        """Start a child."""
        place = (self.kernel, f"{self.address}/{name}", factory, options, self.system, self.own.children, self)
        return type(self)(*place).ref

    def signal(self, signal: Signal) -> None:
        """Take a signal; it is heeded before any message."""
        if self.phase is not Phase.STOPPED:
            self.mailbox.signal(signal)
            self._schedule()

    def stop(self) -> None:
        """Let it end after its running handler."""
        if self.phase is Phase.HELD:
            return self._leave(Exit.SHUTDOWN)
        return self.signal(Stop())

    def stop_idle(self) -> bool:
        """End it at once if it has nothing to do and nothing to tidy up; say whether it has ended."""
        if self._scheduled or self.phase is not Phase.RUNNING or self._own or hasattr(self._behavior, "stopped"):
            return False
        self._leave(Exit.SHUTDOWN)
        return True

    def kill(self, exit_: Exit = Exit.KILLED) -> None:
        """End it now: the running handler is cancelled."""
        if self.phase is Phase.HELD and exit_ is Exit.SHUTDOWN:
            self._leave(exit_)
        elif self.phase not in (Phase.HELD, Phase.STOPPED):
            self._kill = self._kill if self._kill is Exit.SHUTDOWN else exit_
            self._interrupt()

    def hold(self) -> None:
        """Let the incarnation end after the running handler; the cell then waits, held."""
        self.signal(Hold())

    def resume(self) -> None:
        """Begin a new incarnation of a held cell."""
        assert self.phase is Phase.HELD, "only a held cell is resumed"
        self._renew()
        self.kernel.pool.run(self)

    def passivate(self) -> None:
        """Let it end if it has nothing to do; the next message wakes a new one."""
        self.signal(Passivate())

    async def wait_phase(self, *phases: Phase) -> None:
        """Wait until it is in one of these phases; if cancelled, nothing is left behind."""
        while self.phase not in phases:
            self._moved = self._moved or self.kernel.new_event()
            await self._moved.wait()

    def abort(self) -> None:
        """The system is gone: account for what is left, without running anything."""
        if self.phase is not Phase.STOPPED:
            self._leave(Exit.KILLED)

    def leave(self) -> None:
        """End after the running handler, of one's own will."""
        self.signal(Leave())

    def child_ended(self, ended: ChildEnded) -> None:
        """A child is gone for good."""
        self.signal(ended)

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self.kernel.pool.run(self)

    def _interrupt(self) -> None:
        self._urgent = True
        if self._job is not None:
            self._job.interrupt()
        else:
            self._schedule()

    async def _call(self, hook: str, *signal: Signal) -> bool:
        """Call an optional method of the behavior; False when it failed. If cancelled, the cell was killed."""
        call: Callable[..., Awaitable[None]] | None = getattr(self._behavior, hook, None)
        if call is None:
            return True
        context = Context(self)
        try:
            await call(context, *signal)
            if context.last is not None and self._job is not None:
                self.kernel.pool.ending(self._job, context.letting_go())
        except BaseException as error:  # noqa: BLE001 - the boundary: to supervision
            context.last = None
            self.kernel.pool.hand_over(self._job)
            failure, cancelled = blame(error)
            if failure is not None:
                self.kernel.failed(self.address, failure)
            if cancelled is not None:
                raise cancelled from None
            await self._end(Exit.FAILED, failure)
            return False
        return True

    def _move(self, phase: Phase) -> None:
        self.phase = advance(self.phase, phase)
        if self._moved is not None:
            self._moved.set()
            self._moved = None

    def _gone(self) -> bool:
        # Code that shields itself may outlive its actor, and then changes nothing.
        return self.phase is Phase.STOPPED

    async def _end(self, exit_: Exit, error: BaseException | None) -> None:
        """End the incarnation and perform the verdict; if cancelled, the cell was killed, and this goes on as that."""
        if self._gone():
            return
        if self._exit is None:
            self._exit = ChildEnded(self.address, exit_, error)
            self._then = self.group.judge(self, exit_, self.kernel)
            if self._then is Verdict.ESCALATE:
                limit = self.group.supervision.limit
                self._exit = ChildEnded(self.address, Exit.ESCALATED, Escalated(self.address, limit, error))
        self._close_if_final()
        await self._clear(killed=self._kill is not None)
        if self._gone():
            return
        self._close_if_final()
        if self.phase is Phase.DRAINING:
            self._leave(self._exit.exit)
        elif self._then is Verdict.HOLD:
            self._kill, self._exit, self._urgent = None, None, True
            self._move(Phase.HELD)
        else:
            self._renew()

    async def _passivate(self) -> None:
        """End for now, unless there is something to do; if cancelled, the cell was killed."""
        if not self.mailbox.idle or self._own:
            return
        await self._clear(killed=False)
        if self._gone():
            return
        # Whatever came while it tidied up is not lost: a new behavior handles it.
        if self._urgent or not self.mailbox.idle:
            self._renew(after_failure=False)
        else:
            self._leave(Exit.PASSIVATED)

    def _renew(self, *, after_failure: bool = True) -> None:
        """Begin the next incarnation; if none can be made, that is one more failure, which the limit bounds."""
        self.mailbox.forget_signals(*OF_ONE_INCARNATION)
        self._kill = self._exit = None
        self._move(Phase.STARTING)
        try:
            self._behavior = self.factory()
        except Exception as error:  # noqa: BLE001 - the boundary: to supervision
            self._behavior = _UNMADE
            self._job_failed("factory", error)
        else:
            if after_failure:
                self.kernel.restarted(self.address)
            if hasattr(self._behavior, "started"):
                self.signal(Started())
            else:
                self._move(Phase.RUNNING)

    async def _clear(self, *, killed: bool) -> None:
        """End what the incarnation owns, then let it tidy up unless it was killed, within its grace."""
        self._ending = True
        if self._own is not None:
            await self._own.clear(killed=killed)
        stopped: Callable[[Context], Awaitable[None] | None] | None = getattr(self._behavior, "stopped", None)
        if stopped is not None and not killed:
            await self._tidy_up(stopped)
        self._let_go()
        self._ending = False

    def _let_go(self) -> None:
        if self._own is not None:
            self._own.let_go(self.address)
            self._own = None

    async def _tidy_up(self, stopped: Callable[[Context], Awaitable[None] | None]) -> None:
        own, most = self.options.grace_seconds, self.group.supervision.grace_seconds
        try:
            tidied = stopped(Context(self))
            if tidied is None:
                return
            with anyio.move_on_after(most if own is None else min(own, most)) as within:
                await tidied
            if within.cancelled_caught:
                self.kernel.cut_short += 1
                self.kernel.failed(self.address, TimeoutError("`stopped` took longer than its grace"))
        except BaseException as error:  # noqa: BLE001 - the boundary: it has ended already; only reported
            failure, cancelled = blame(error)
            if failure is not None:
                self.kernel.failed(self.address, failure)
            if cancelled is not None:
                raise cancelled from None

    def _close_if_final(self) -> None:
        """Take nothing new once it is settled that no incarnation follows."""
        if self.phase in (Phase.DRAINING, Phase.STOPPED):
            return
        if self._kill is Exit.SHUTDOWN and self._then in (Verdict.RESTART, Verdict.HOLD):
            # It was about to be started again when its parent or its system ended it.
            self._exit, self._then = ChildEnded(self.address, Exit.SHUTDOWN), Verdict.FORGET
        if self._then in (Verdict.FORGET, Verdict.ESCALATE):
            self._close()

    def _close(self) -> None:
        """Take nothing new; what waits becomes dead letters."""
        self._move(Phase.DRAINING)
        for envelope in self.mailbox.close():
            self._bury(envelope, "its actor ended")

    def _bury(self, envelope: Envelope, why: str) -> None:
        self.kernel.dead_letter(envelope, why)
        if envelope.reply is not None:
            closed = self.phase is Phase.DRAINING
            envelope.reply.fail(ActorStopped(envelope) if closed else AskFailed(self.address, why))

    def _leave(self, exit_: Exit) -> None:
        """Be gone for good, or until the next message, and say so."""
        ended = self._exit or ChildEnded(self.address, exit_)
        if self.phase is not Phase.DRAINING:
            self._close()
        self._move(Phase.STOPPED)
        self._let_go()
        self.group.forget(self)
        if self.home is not None:
            self.home.forget(self)
        self.kernel.gone(self.address, ended.exit)
        self.parent.child_ended(ended)
        # Whatever may lead back here is let go of: nobody else looks for circles.
        self.factory, self._behavior, self._exit = _Unmade, _UNMADE, None

    def _job_failed(self, name: str, error: Exception) -> None:
        self.kernel.failed(self.address, error)
        if self._exit is None:
            # Each failure is heard, those of two jobs of one name as well.
            self.signal(JobFailed(f"{name} {id(error)}", error))
