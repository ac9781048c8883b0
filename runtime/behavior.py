"""What a user of the kernel writes, and what it is given: a behavior and its context.

A behavior keeps its state in itself; one message is handled at a time, so it needs no locks. After a failure a new
behavior is made and the old one is never called again. It does not know how it is run.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol, TypeVar, TypeVarTuple, cast, final

from msgspec import Struct

from casework.runtime.children import CellOptions, cell_options
from casework.runtime.lifecycle import ChildEnded, Down
from casework.runtime.mailbox import MAILBOX_DEPTH_MAX, Envelope, Overflow
from casework.runtime.ref import Ref
from casework.runtime.seams import Clock, World
from casework.runtime.supervision import Restart, Supervision

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Behavior(Protocol):
    """What an actor does with a message."""

    async def receive(self, context: "Context", envelope: Envelope) -> None:
        """Handle one message. What it raises is the actor's failure: the asker is told, supervision decides.

        If cancelled, the actor is being killed, or nobody waits for the answer any more.
        """
        ...


class Starts(Protocol):
    """A behavior that prepares itself before its first message."""

    async def started(self, context: "Context") -> None:
        """Prepare; what it raises is the actor's failure."""
        ...


class Stops(Protocol):
    """A behavior that tidies up at its end, unless it is killed."""

    def stopped(self, context: "Context") -> Awaitable[None] | None:
        """Tidy up; its jobs have ended and its children have stopped by then.

        One that need not wait for anything is a plain function: no scope has to bound it in time.
        """
        ...


class Signalled(Protocol):
    """A behavior that wants to hear of its children's and other actors' end."""

    async def signalled(self, context: "Context", signal: ChildEnded | Down) -> None:
        """Hear of an end; what it raises is the actor's failure."""
        ...


class System(Protocol):
    """The actor system, as a behavior sees it."""

    @property
    def world(self) -> World:
        """Everything that is not deterministic."""
        ...

    def lookup(self, address: str) -> Ref | None:
        """Find a running actor."""
        ...

    def ref(self, address: str) -> Ref:
        """Give a handle of an address, whether anybody is there now or not."""
        ...

    def spawn(
        self,
        name: str,
        factory: Callable[[], Behavior],
        *,
        restart: Restart = Restart.PERMANENT,
        mailbox_depth_max: int = MAILBOX_DEPTH_MAX,
        overflow: Overflow = Overflow.REFUSE,
        grace_seconds: float | None = None,
        children: Supervision | None = None,
    ) -> Ref:
        """Start an actor that belongs to the system itself."""
        ...


class Owned(Protocol):
    """What an incarnation owns: its jobs, and the actors that it monitors."""

    def start_job(self, name: str, run: Callable[[], Awaitable[T]], then: Callable[[T], None] | None = None) -> None:
        """Start a job that ends with the incarnation."""
        ...

    def monitor(self, address: str) -> None:
        """Hear of the end of another actor, once."""
        ...

    def unmonitor(self, address: str) -> None:
        """Hear of it no more."""
        ...


class Shell(Protocol):
    """The cell round a behavior, as the context sees it."""

    @property
    def ref(self) -> Ref:
        """The actor's own ref."""
        ...

    @property
    def system(self) -> System:
        """The system that runs it."""
        ...

    @property
    def own(self) -> Owned:
        """What the incarnation owns."""
        ...

    def spawn_child(self, name: str, factory: Callable[[], Behavior], options: CellOptions) -> Ref:
        """Start a child."""
        ...

    def step_in(self, act: Callable[[], None]) -> bool:
        """Run something at once, if there is nothing to do before it."""
        ...

    def abandon(self, envelope: Envelope) -> None:
        """Cancel the handler if it is at work on this message."""
        ...

    def leave(self) -> None:
        """End after the running handler, of one's own will."""
        ...


@final
class Context(Struct, eq=False, gc=False):
    """What a behavior may do besides its own work, on behalf of one message.

    It stays that message's when it is kept: a job that was started for one may answer it long after the handler ended.
    Where no message is handled (`started`, `stopped`, `signalled`) there is nobody to reply to, and no deadline.
    """

    _shell: Shell
    _envelope: Envelope | None = None
    _trace: str = ""
    last: Callable[[], None] | None = None
    """What is done when the handler has returned: see `at_end`."""

    @property
    def self_ref(self) -> Ref:
        """The actor's own ref."""
        return self._shell.ref

    @property
    def system(self) -> System:
        """The system that runs the actor."""
        return self._shell.system

    @property
    def clock(self) -> Clock:
        """The system's clock."""
        return self._shell.system.world.clock

    @property
    def deadline(self) -> float:
        """The deadline of the message, in monotonic seconds of the system's clock; 0 for none."""
        return 0.0 if self._envelope is None else self._envelope.deadline

    @property
    def trace(self) -> str:
        """The trace context of the message: its span, if it has one, else what it carries."""
        return self._trace

    def tell_nowait(self, ref: Ref, frame: bytes) -> None:
        """Send a frame on behalf of the message: its deadline and trace go along.

        Raises: as `Ref.tell_nowait`.
        """
        ref.tell_nowait(frame, sender=self._shell.ref.address, deadline=self.deadline, trace=self.trace)

    async def ask(self, ref: Ref, frame: bytes, *, timeout_seconds: float) -> bytes:
        """Ask on behalf of the message: its trace goes along, and its deadline, if that is earlier.

        Raises: as `Ref.ask`. If cancelled, so is the handler that is at work on it.
        """
        sender = self._shell.ref.address
        return await ref.ask(
            frame, timeout_seconds=timeout_seconds, sender=sender, deadline=self.deadline, trace=self.trace
        )

    def reply(self, frame: bytes) -> None:
        """Answer the message; nothing happens if it was told, or answered before.

        An ask that is not answered when the actor ends is answered with an error.
        """
        envelope = self._envelope
        if envelope is not None and envelope.reply is not None:
            envelope.reply(frame)

    def abandon(self) -> None:
        """Cancel the handler if it is at work on the message; the actor goes on with the next one."""
        if self._envelope is not None:
            self._shell.abandon(self._envelope)

    def start_soon(self, fn: Callable[[*Ts], Awaitable[None]], *args: *Ts, name: str = "") -> None:
        """Start `fn(*args)` as a job beside the handler; it is cancelled when the actor ends.

        What it raises is the actor's failure. Raises Stopping when the actor is ending.
        """
        run = partial(fn, *args) if args else cast("Callable[[], Awaitable[None]]", fn)
        self._shell.own.start_job(name or getattr(fn, "__qualname__", "job"), run)

    def find_out(self, name: str, find: Callable[[], Awaitable[T]], then: Callable[[T], None]) -> None:
        """Start `find()` as a job beside the handler, and call `then` with what it found, as the last thing of the job.

        What `then` starts goes on in the same job, so a chain of things to find out makes no way through the event loop
        for each. `then` must not block; it may `step_in`. If the actor ends first, it is not called.
        Raises Stopping when the actor is ending.
        """
        self._shell.own.start_job(name, find, then)

    def at_end(self, act: Callable[[], None]) -> None:
        """Run `act` when the handler of this message, or `started`, has returned; the last one that is named counts.

        What it sets going first goes on in the same job, without a way through the event loop. It must not block; what
        it raises is the actor's failure. If the handler fails or is cancelled, it is not run.
        """
        self.last = act

    def letting_go(self) -> Callable[[], None]:
        """Give what is done at the end, once: who keeps the context would else keep what that refers to as well."""
        assert self.last is not None, "something was named"
        last, self.last = self.last, None
        return last

    def step_in(self, act: Callable[[], None]) -> bool:
        """Run `act` at once between two messages, if no handler is at work and no message waits; False if not.

        Whoever has found something out, a job of the actor or another one of the system, tells it so without the way
        through the mailbox, which costs more than most of what there is to tell. What `act` raises is the actor's
        failure, not the caller's.
        """
        return self._shell.step_in(act)

    def spawn(
        self,
        name: str,
        factory: Callable[[], Behavior],
        *,
        restart: Restart = Restart.PERMANENT,
        mailbox_depth_max: int = MAILBOX_DEPTH_MAX,
        overflow: Overflow = Overflow.REFUSE,
        grace_seconds: float | None = None,
        children: Supervision | None = None,
    ) -> Ref:
        """Start a child under this actor's address; children end before their parent, the youngest first.

        Args:
            grace_seconds: how long it may take to end before it is killed, if less than its group's grace.
            children: how the child looks after its own children.

        Raises:
            NameTaken: there is such a child already.
            Stopping: the actor is ending.
        """
        options = cell_options(restart, mailbox_depth_max, overflow, grace_seconds, children)
        return self._shell.spawn_child(name, factory, options)

    def monitor(self, ref: Ref) -> None:
        """Have a `Down` signal sent to this actor when the other ends for good, at once if it has ended.

        Asked for again before that, it is sent once all the same. It is forgotten when this incarnation ends.
        """
        self._shell.own.monitor(ref.address)

    def unmonitor(self, ref: Ref) -> None:
        """Ask for no `Down` any more; one that is under way may still come."""
        self._shell.own.unmonitor(ref.address)

    def stop(self) -> None:
        """End this actor after the running handler, of its own will; a permanent one is started again."""
        self._shell.leave()
