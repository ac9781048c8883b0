"""The engine that drives a flow's coroutines itself, one result at a time.

It is pure: records go in, records come out, and nothing here waits, reads a clock or touches a store. An *input* is
a record that ends a waiting step (`feed`); an *output* is a record that the flow causes (`outputs`). Because results
are fed one at a time, in log order, two branches that touch one variable do so in the same order on every replay;
with tasks of an event loop they would not. That is also why awaiting anything but an operation is an error.

A step is known by scope, name and ordinal: `categorise`, `park#1`, `gather/0/categorise`. A colon starts the inner
scope of a task or call (`categorise:read_receipt`), which belongs to whoever carries the step out.
Awaiting style after the effect handlers of the literature: the coroutine yields what it wants, the driver answers.
It does not know what a task or a tool is, nor whether it is replaying.
"""

from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Final

from msgspec import Raw, Struct

from casework.protocols.errors import ContractIncomplete, ContractWidened, ProtocolError, worded
from casework.protocols.records import Entry, Fired, Parked, Review, Unparked, Withdrawn, Won
from casework.runtime.errors import CaseCancelled, ChapterFull, ForeignAwait, ScheduleInvalid
from casework.runtime.flow.entries import Setting, answer, drawn, name_of, start_entry, told_entry
from casework.runtime.flow.operations import (
    Branches,
    Draw,
    Enter,
    Instant,
    Leave,
    NextChapter,
    Scoping,
    Waiting,
    is_prompt,
    is_waiting,
)
from casework.runtime.untasked import tried, untasked

#: How often a coroutine that awaits while it is being closed is closed again.
CLOSINGS_MAX: Final = 16
#: Records that a flow may cause without waiting for anything, as many as a chapter may have: it may never end.
OUTPUTS_MAX: Final = 10_000
#: Operations that are not recorded, for they only say how the steps after them are called.
_SCOPING: Final = (Enter, Leave)


class Output(Struct, frozen=True, gc=False):
    """A record that the flow causes."""

    step_id: str
    entry: Entry


class Pending(Struct, eq=False):
    """A step that waits for its end."""

    step_id: str
    operation: Waiting
    branch: "Branch"
    entry: Entry | None
    """The record that started it, where there is one."""
    frame: bytes = b""
    """That record's frame, as it stands in the log."""


@dataclass(slots=True, eq=False)
class Join:
    """Where parallel branches come together."""

    step_id: str
    owner: "Branch"
    first: bool
    branches: "list[Branch]"
    results: list[object]
    open: int
    lost: list[str]
    """Scopes in which branches were closed that have to be undone."""
    closed: bool = False


@dataclass(slots=True, eq=False)
class Branch:
    """One coroutine that the engine drives."""

    coroutine: Coroutine[object, object, object]
    scope: str
    join: Join | None = None
    """Where it reports; None for the flow itself."""
    index: int = 0
    ordinals: dict[str, int] = field(default_factory=dict[str, int])
    below: Join | None = None
    """The join it waits for, if it does."""
    entered: list[tuple[str, dict[str, int], tuple[str, ...]]] = field(
        default_factory=list[tuple[str, dict[str, int], tuple[str, ...]]]
    )
    """Of each scope it has entered: scope and ordinals outside of it, and what must be undone if it is closed there."""


class Engine:
    """One incarnation of one flow."""

    def __init__(self, coroutine: Coroutine[object, object, object], setting: Setting) -> None:
        self._setting = setting
        self._main = Branch(coroutine, "")
        self._ready: deque[tuple[Branch, object, Exception | None]] = deque([(self._main, None, None)])
        self.pending: dict[str, Pending] = {}  #: steps that wait, by step id, oldest first
        self.fresh: deque[Pending] = deque()  #: steps that began to wait since last taken; some may have ended since
        self.outputs: list[Output] = []  #: records caused since somebody last took them
        self.abandoned: list[Pending] = []  #: steps that nobody waits for any more, since last taken
        self._apart = False
        self.finished = False
        self.turning: Raw | None = None  #: the state from which the flow wants to begin afresh
        self.partial = False  #: whether something stands by then that a person has accepted
        self.hasty = False  #: whether it does so without having waited for anything
        self.waited = setting.waited  #: the latest moment that the case waited for
        self._cancelled = False
        self.value: object = None  #: what the flow returned
        self.error: Exception | None = None  #: what the flow raised instead

    def begin(self) -> None:
        """Run the flow to its first wait."""
        self._run()
        self.hasty = self.turning is not None

    def feed(self, step_id: str, entry: Entry) -> None:
        """End a waiting step with its record and run on.

        The caller has checked that the step waits and that the record fits (`fits`).
        """
        pending = self.pending.pop(step_id)
        if self.fresh and self.fresh[-1] is pending:
            self.fresh.pop()
        if isinstance(entry, Fired):
            self.waited = max(self.waited, entry.due)
        value, error = answer(pending.operation, entry, step_id)
        self._ready.append((pending.branch, value, error))
        self._run()

    def cancel(self, by: str, reason: str) -> None:
        """Raise CaseCancelled where the flow waits; its branches are closed, and what they asked for taken back.

        It is raised once: a second cancel must not interrupt what the first one set going.
        """
        if self.finished or self._cancelled:
            return
        self._cancelled = True
        if self._main.below is not None:
            self._close_branches(self._main.below)
            self._main.below = None
        for pending in [p for p in self.pending.values() if p.branch is self._main]:
            self._abandon(pending)
        self._ready.append((self._main, None, CaseCancelled(by, reason)))
        self._run()

    def close(self) -> None:
        """Let go of the coroutines without letting them do anything; records nothing."""
        self._ready.clear()
        if not self.finished:
            self.finished = True
            if self._main.below is not None:
                self._close_branches(self._main.below)
            _shut(self._main)
        if self.error is not None:
            # Its frames hold the engine that holds it; what it says has been recorded.
            self.error.__traceback__ = None

    def apart(self, act: Callable[[], None]) -> None:
        """Run what drives the engine often, as a replay does, outside of any job once instead of each time."""
        self._apart = True
        try:
            untasked(act)
        finally:
            self._apart = False

    def _run(self) -> None:
        if self._apart:
            self._run_on()
        else:
            untasked(self._run_on)

    def _run_on(self) -> None:
        while self._ready:
            branch, value, error = self._ready.popleft()
            self._drive(branch, value, error)

    def _drive(self, branch: Branch, value: object, error: Exception | None) -> None:
        """Run one coroutine until it waits or ends."""
        while True:
            try:
                operation = branch.coroutine.send(value) if error is None else branch.coroutine.throw(error)
            except StopIteration as stop:
                self._ended(branch, stop.value, None)
                return
            except BaseException as raised:  # noqa: BLE001 - the flow's own error ends the branch, and so perhaps the case
                self._ended(branch, None, _own(raised))
                return
            value, error = None, None
            if is_prompt(operation) and len(self.outputs) < OUTPUTS_MAX:
                try:
                    value = self._instant(branch, operation)
                except (ScheduleInvalid, ContractIncomplete, ContractWidened) as invalid:
                    error = invalid
                continue
            if is_waiting(operation) and len(self.outputs) < OUTPUTS_MAX:
                error = self._wait(branch, operation)
            elif isinstance(operation, NextChapter):
                error = self._turn(branch, operation)
            elif isinstance(operation, Branches):
                self._fork(branch, operation)
            elif is_waiting(operation) or is_prompt(operation):
                self._shut_all(branch, ChapterFull(OUTPUTS_MAX))
            else:
                self._foreign(branch, operation)
            if error is None:
                return

    def _foreign(self, branch: Branch, awaited: object) -> None:
        """End the whole flow: a wait that is not ours cannot be replayed."""
        kind = f"{type(awaited).__module__}.{type(awaited).__name__}"
        self._shut_all(branch, ForeignAwait(self._setting.flow, kind))

    def _shut_all(self, branch: Branch, error: Exception) -> None:
        _shut(branch)
        self.close()
        self.error = error

    def _turn(self, branch: Branch, operation: NextChapter) -> ValueError | None:
        """End the chapter; in a branch beside others that would end theirs as well, so there it is an error."""
        if branch.join is not None or branch.entered:
            return ValueError("a chapter ends the whole flow: call next_chapter outside gather and first, and of sagas")
        self.turning, self.partial = operation.state, operation.partial
        self.close()
        return None

    def _fork(self, owner: Branch, operation: Branches) -> None:
        step_id = self._step_id(owner, "first" if operation.first else "gather")
        count = len(operation.coroutines)
        join = Join(step_id, owner, operation.first, [], [None] * count, count, operation.lost)
        owner.below = join
        if not operation.coroutines:
            error = ValueError("first() needs at least one branch") if operation.first else None
            self._joined(join, [], error)
            return
        for index, coroutine in enumerate(operation.coroutines):
            branch = Branch(coroutine, f"{step_id}/{index}/", join, index)
            join.branches.append(branch)
            self._ready.append((branch, None, None))

    def _scoped(self, branch: Branch, operation: Scoping) -> str:
        """Have a branch name its steps after a scope, or after what is around it again; give the scope."""
        if isinstance(operation, Leave):
            branch.scope, branch.ordinals, _ = branch.entered.pop()
            return branch.scope
        scope = f"{self._step_id(branch, operation.name)}/"
        branch.entered.append((branch.scope, branch.ordinals, operation.undoes or (scope,)))
        branch.scope, branch.ordinals = scope, {}
        return scope

    def _ended(self, branch: Branch, value: object, error: Exception | None) -> None:
        join = branch.join
        if join is None:
            self.finished, self.value, self.error = True, value, error
            if isinstance(error, RuntimeError | TypeError) and (what := tried(error)):
                self.error = ForeignAwait(self._setting.flow, f"within {what}")
            return
        if join.closed:
            return
        join.open -= 1
        join.branches[branch.index].coroutine.close()
        join.results[branch.index] = value
        if error is not None:
            self._close_branches(join)
            self._joined(join, None, error)
        elif join.first:
            self.outputs.append(Output(join.step_id, Won(branch=branch.index)))
            self._close_branches(join)
            self._joined(join, (branch.index, value), None)
        elif join.open == 0:
            self._joined(join, join.results, None)

    def _joined(self, join: Join, value: object, error: Exception | None) -> None:
        join.closed = True
        join.owner.below = None
        self._ready.append((join.owner, value, error))

    def _close_branches(self, join: Join) -> None:
        """Close every branch below a join that still runs, deepest first."""
        join.closed = True
        for branch in join.branches:
            if branch.below is not None:
                self._close_branches(branch.below)
                join.lost.extend(branch.below.lost)
                branch.below = None
            join.lost.extend(scope for _, _, scopes in branch.entered for scope in scopes)
            for pending in [p for p in self.pending.values() if p.branch is branch]:
                self._abandon(pending)
            _shut(branch)
        self._ready = deque(item for item in self._ready if item[0].join is not join)

    def _abandon(self, pending: Pending) -> None:
        del self.pending[pending.step_id]
        self.abandoned.append(pending)
        if isinstance(pending.entry, Review):
            self.outputs.append(Output(pending.step_id, Withdrawn(review_id=pending.entry.id)))
        elif isinstance(pending.entry, Parked):
            self.outputs.append(Output(pending.step_id, Unparked(key=pending.entry.key)))

    def _wait(self, branch: Branch, operation: Waiting) -> ProtocolError | TypeError | None:
        """Have a step wait for its end; a task that lacks a term, or asks too much, is not sent: the flow hears why."""
        step_id = self._step_id(branch, name_of(operation))
        try:
            entry = start_entry(self._setting, step_id, operation)
        except (ContractIncomplete, ContractWidened, TypeError) as refused:
            return refused
        pending = self.pending[step_id] = Pending(step_id, operation, branch, entry)
        self.fresh.append(pending)
        if entry is not None:
            self.outputs.append(Output(step_id, entry))
        return None

    def _instant(self, branch: Branch, operation: Instant | Scoping) -> object:
        if isinstance(operation, Draw):
            step_id = self._step_id(branch, operation.kind)
            value, entry = drawn(self._setting, step_id, operation, self.waited)
            self.outputs.append(Output(step_id, entry))
            return value
        if isinstance(operation, _SCOPING):
            return self._scoped(branch, operation)
        self.outputs.append(Output(self._step_id(branch, name_of(operation)), told_entry(self._setting, operation)))
        return None

    def _step_id(self, branch: Branch, name: str) -> str:
        ordinal = branch.ordinals.get(name, 0)
        branch.ordinals[name] = ordinal + 1
        return f"{branch.scope}{name}#{ordinal}" if ordinal else f"{branch.scope}{name}"


def _own(raised: BaseException) -> Exception:
    """Give what a flow raised as an error of the flow: nothing around it was asked to exit, or is being cancelled."""
    if isinstance(raised, Exception):
        return raised
    if isinstance(raised, KeyboardInterrupt):
        raise raised
    error = RuntimeError(f"the flow raised {worded(raised)}")
    error.__cause__ = raised
    return error


def _shut(branch: Branch) -> None:
    """Close a coroutine; whatever it awaits while it is being closed raises, and what it raises then is nobody's."""
    for _ in range(CLOSINGS_MAX):
        try:
            branch.coroutine.close()
            return
        except Exception:  # noqa: BLE001, S112 - `finally: await ...` in a closed branch, or an error in its clean-up
            continue
