"""What a flow sees: its case, with every durable operation it may await.

A flow is `async def flow(case, inputs)`, plain Python that must do the same again when it is replayed: time, chance
and ids come from `case`, and nothing else is awaited. Operations of parallel branches use the same `case`; a step's
identity is the branch it runs in, its name, and its ordinal there, never a global position.
It does not know whether an operation happens now or is read from the log.
"""

import inspect
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Final, Generic, Never, NoReturn, TypeVar, cast

import msgspec

from casework.protocols.codec import arguments_hash, pack, unpack
from casework.protocols.errors import FrameInvalid
from casework.protocols.records import Arrived, Decided, Reported, ReviewAction
from casework.protocols.wire import NIL, Evidence, FailureKind, Mandate, OnStop, RiskTier
from casework.runtime.errors import CallFailed
from casework.runtime.flow.operations import (
    AskReview,
    Branches,
    CallTool,
    CancelChild,
    Decide,
    Delegate,
    Draw,
    NextChapter,
    NextReport,
    Note,
    OpenChild,
    Park,
    Send,
    Sleep,
    perform,
)
from casework.runtime.flow.pinning import named_version, source_hash_of
from casework.runtime.flow.saga import UNDO_SECONDS, Accounts, Saga, accountable, joined
from casework.runtime.flow.schedules import Schedule, following
from casework.runtime.store.rules import keyed

T = TypeVar("T")

#: Draws that say no more than what is drawn.
_NOW: Final = Draw("now")
_RANDOM: Final = Draw("random")
_ID: Final = Draw("id")
#: What tasks, tools, agents and flows may be called.
NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
#: What a case may be called: names joined by slashes, so that a child's id can begin with its parent's.
CASE_ID: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}(/[A-Za-z0-9_.-]{1,100}){0,7}")
#: Characters of what is no id that are said back, at most.
CASE_ID_TOLD_MAX: Final = 120
#: Names of tasks and tools that are known to be such; a program has some dozens.
NAMES_MAX: Final = 1_024

#: Seconds that a flow may wait at most, a thousand years.
SECONDS_MAX: Final = 1000 * 365 * 86_400


class Result(msgspec.Struct, Generic[T], frozen=True):
    """What an agent made of a task."""

    value: T
    confidence: float
    evidence: tuple[Evidence, ...]
    agent: str
    step: str = ""
    """Step of the task whose outcome this is, by which the log has it; empty for what is made of several."""


@dataclass(slots=True, frozen=True)
class Reviewed(Generic[T]):
    """What a person decided."""

    action: ReviewAction
    by: str
    reason: str
    value: T
    """The proposal as approved: the edited one after an edit."""
    expired: bool = False
    """Nobody decided in time, which counts as a rejection."""


@dataclass(slots=True, frozen=True)
class Case:
    """One case, as its flow sees it."""

    tenant: str
    id: str
    mandate: Mandate | None = None
    """What its tasks may use together, if another case opened it within bounds."""
    _accounts: Accounts = field(default_factory=Accounts, repr=False, compare=False)

    def run(self, function: Callable[..., Coroutine[object, object, T]], *args: object) -> Coroutine[object, object, T]:
        """Make the coroutine of a flow that is given this case and `args`; it accounts for its writes when it fails."""
        return cast("Coroutine[object, object, T]", accountable(function(self, *args), self._accounts))

    async def delegate(
        self,
        task: str,
        inputs: object,
        *,
        returns: type[T],
        goal: str,
        tools: Sequence[str] = (),
        tier: RiskTier = RiskTier.READ_ONLY,
        criteria: Sequence[str] = ("returned",),
        deadline_seconds: float = 60.0,
        attempts: int = 3,
        calls: int = 100,
        micros: int = 0,
        on_stop: OnStop = OnStop.PARK,
        deadline: int = 0,
    ) -> Result[T]:
        """Give the agent that has skill `task` some work and wait for its outcome.

        It has `deadline_seconds`, but never longer than until `deadline`, in microseconds since the epoch (0: no such
        moment), which is how work below other work keeps within that one's time.

        When attempts, deadline or budget are used up, `on_stop` says what becomes of it: the case parks for an
        operator, a person is asked, or TaskFailed is raised here.

        Raises:
            TaskFailed: it ended without a value and `on_stop` is FAIL, or a person gave it up.
            ContractIncomplete: a term is missing or makes no sense; it was not sent.
            ContractWidened: it asks for more than is left of the case's mandate; it was not sent.
        """
        _named(task, "task")
        _bounded(deadline_seconds, "deadline_seconds")
        operation = Delegate(
            name=task,
            inputs=pack(inputs),
            goal=goal,
            tools=tuple(tools),
            tier=tier,
            criteria=tuple(criteria),
            deadline_seconds=deadline_seconds,
            attempts=attempts,
            calls=calls,
            micros=micros,
            on_stop=on_stop,
            deadline=deadline,
        )
        step, outcome = await self._accounts.delegate(operation)
        value = unpack(outcome.value, returns)
        return Result(value, outcome.confidence, outcome.evidence, outcome.agent, step)

    async def call(self, tool: str, arguments: Mapping[str, object] | msgspec.Struct, *, returns: type[T]) -> T:
        """Call a tool as the flow itself, through the gate.

        Raises:
            CallFailed: refused, failed, or unknown whether it happened; or a person said that it happened, and nobody
                knows what it returned (UNKNOWN as well).
            ReviewRejected: a person had to approve the call and did not.
        """
        _named(tool, "tool")
        value = await self._accounts.call(CallTool(tool, pack(arguments)))
        try:
            return unpack(value, returns)
        except FrameInvalid:
            if bytes(value) != bytes(NIL):
                raise
            raise CallFailed(tool, FailureKind.UNKNOWN, "it happened, but what it returned is not known") from None

    def fetch(self, pointer: Never, *, returns: object = None) -> NoReturn:
        """Refuse with a TypeError: a flow's log would keep it. A type checker says so before: nothing is `Never`."""
        raise TypeError("a flow cannot fetch what a pointer points to, its log would keep it: a tool or an agent can")

    def saga(self, *, undo_seconds: float = UNDO_SECONDS) -> Saga:
        """Give a block: `async with case.saga():`; when it fails, what was written in it is undone, newest first.

        Writes are those of `call`, and those that agents made in tasks delegated there; each is undone by the tool that
        it registered in `undo`. A cancel does not interrupt that. What cannot be undone, within `undo_seconds` for all
        of it, makes the case PARTIAL: it is recorded and a person is asked; after the answer the error goes on.
        """
        _bounded(undo_seconds, "undo_seconds")
        return Saga(self._accounts, undo_seconds)

    async def gather(self, *coroutines: Coroutine[object, object, T]) -> list[T]:
        """Run branches side by side and give their results in order; a fast branch never waits for a slow one.

        The first error of a branch closes the others and is raised here.
        """
        _awaited(coroutines)
        return cast("list[T]", await joined(Branches(coroutines, first=False, lost=[]), self._accounts))

    async def first(self, *coroutines: Coroutine[object, object, object]) -> tuple[int, object]:
        """Run branches side by side and give index and result of the first to end; the others are closed.

        What the others asked for is taken back: reviews are withdrawn, parks dropped, tasks recalled.
        """
        _awaited(coroutines)
        return cast("tuple[int, object]", await joined(Branches(coroutines, first=True, lost=[]), self._accounts))

    async def review(
        self,
        title: str,
        proposal: T,
        *,
        rule: str,
        summary: str = "",
        evidence: Sequence[Evidence] = (),
        consequences: Sequence[tuple[str, str]] = (),
        expires_seconds: float = 0.0,
    ) -> Reviewed[T]:
        """Have a person decide on exactly this proposal; the case waits without a process.

        One that nobody decided in `expires_seconds` (0: it does not expire) counts as rejected, and `expired`.
        """
        _bounded(expires_seconds, "expires_seconds")
        operation = AskReview(
            title=title,
            proposal=pack(proposal),
            rule=rule,
            summary=summary,
            evidence=tuple(evidence),
            consequences=tuple(consequences),
            expires_seconds=expires_seconds,
        )
        decided = cast("Decided", await perform(operation))
        value = proposal
        if decided.action is ReviewAction.EDIT:
            value = unpack(decided.edited, type(proposal))
        return Reviewed(decided.action, decided.by, decided.reason, value, decided.by_nobody)

    async def park(self, key: str, *, reason: str) -> Arrived:
        """Wait, without a process, until the thing called `key` arrives; it may have arrived before.

        A key has 1 to 1,000 bytes of UTF-8 and no NUL; raises ValueError for another.
        """
        return cast("Arrived", await perform(Park(keyed("a key", key), reason)))

    async def sleep(self, seconds: float) -> None:
        """Wait so many seconds; the wait survives a restart."""
        _bounded(seconds, "seconds")
        await perform(Sleep(seconds=seconds))

    async def sleep_until(self, moment: int) -> None:
        """Wait until `moment`, in microseconds since the epoch."""
        await perform(Sleep(until=moment))

    async def note(self, text: str, *, level: str = "info", place: str = "", data: object = None) -> None:
        """Tell the log something; `level` is info, warning or error, `place` the file and line of bad input."""
        await perform(Note(text, level, place, NIL if data is None else pack(data)))

    async def decide(
        self,
        subject: str,
        options: Sequence[str],
        chosen: str,
        *,
        rule: str,
        why: str = "",
        confidence: float = 1.0,
        inputs: object = None,
    ) -> str:
        """Record a choice with the options that were offered, and give the chosen one back."""
        digest = "" if inputs is None else arguments_hash(subject, {"inputs": inputs})
        await perform(Decide(subject, tuple(options), chosen, rule, why, confidence, digest))
        return chosen

    async def open(self, flow: str, case_id: str, inputs: object, *, within: Mandate | None = None) -> None:
        """Open a case below this one; opening it again changes nothing. It reports when it parks or closes.

        A case of that id that somebody else opened stays theirs, and `next_report` raises ChildForeign. Its tasks, and
        the cases that it opens itself, use no more than what it is opened `within`, all of them together; a case that
        has a mandate opens others only within what is left of it.

        Raises:
            ContractIncomplete: this case has a mandate, and the other one was given none.
            ContractWidened: it was given more than is left.
        """
        if _case_id(case_id) == self.id:
            raise ValueError(f"case {case_id!r} cannot be below itself")
        await perform(OpenChild(flow, case_id, pack(inputs), within))

    async def next_report(self) -> Reported:
        """Wait for the next report of a child case; raises ChildForeign for one that was opened by somebody else."""
        return cast("Reported", await perform(NextReport()))

    async def send(self, case_id: str, key: str, value: object) -> None:
        """Send a named thing to another case of this tenant; it arrives there as if delivered.

        The flow goes on at once; where that case is not there or has closed, the log of this one says so.
        What is no id of a case, or no key (see `park`), raises ValueError.
        """
        await perform(Send(_case_id(case_id), keyed("a key", key), pack(value)))

    async def cancel(self, case_id: str, *, reason: str = "") -> None:
        """Ask another case of this tenant to stop; it hears CaseCancelled and may compensate."""
        await perform(CancelChild(_case_id(case_id), reason))

    async def next_chapter(self, state: object) -> NoReturn:
        """Begin the flow afresh with `state`, of the type of its inputs; nothing before it is replayed any more.

        A case that goes on for long calls it now and then, so that waking it stays cheap. Messages that nobody has
        taken yet stay for the next chapter; writes whose end is open are settled first. It is for the flow itself,
        not for a branch beside others nor for a saga; what was written before it is not undone any more.
        """
        await perform(NextChapter(pack(state), self._accounts.partial))
        raise AssertionError("a chapter ends where the next one begins")

    async def now(self) -> int:
        """Give the time in microseconds since the epoch, the same one on replay."""
        return cast("int", await perform(_NOW))

    async def next(self, schedule: Schedule) -> int:
        """Give a rule's next moment, after now and after any the case waited for, same on replay; see `sleep_until`.

        Raises:
            ScheduleInvalid: the rule cannot be read, or names no moment.
        """
        return cast("int", await perform(Draw("next", partial(following, schedule))))

    async def random(self) -> float:
        """Give a number from 0 up to 1, the same one on replay."""
        return cast("float", await perform(_RANDOM))

    async def new_id(self) -> str:
        """Give a new unique id, the same one on replay."""
        return cast("str", await perform(_ID))


def case_id_fault(case_id: str) -> str:
    """Say why something is no id of a case, or nothing."""
    if CASE_ID.fullmatch(case_id):
        return ""
    what = "names of at most 100 letters (a to z), digits, '_', '.', '-', joined by '/', eight at most"
    return f"case id {case_id[:CASE_ID_TOLD_MAX]!r} must be {what}"


def _case_id(case_id: str) -> str:
    if why := case_id_fault(case_id):
        raise ValueError(why)
    return case_id


def _bounded(seconds: float, what: str) -> None:
    if not 0 <= seconds <= SECONDS_MAX:
        raise ValueError(f"{what} must be from 0 to {SECONDS_MAX}, not {seconds}")


def _awaited(branches: Sequence[object]) -> None:
    odd = [branch for branch in branches if not inspect.iscoroutine(branch)]
    if not odd:
        return
    for branch in branches:
        if inspect.iscoroutine(branch):
            branch.close()
    raise TypeError(f"a branch must be a coroutine, such as case.park(...), not {type(odd[0]).__name__}")


@lru_cache(maxsize=NAMES_MAX)
def _is_name(name: str) -> bool:
    return NAME.fullmatch(name) is not None


def _named(name: str, what: str) -> None:
    if not _is_name(name):
        raise ValueError(f"{what} name {name!r} must be 1 to 64 letters, digits, '_', '.' or '-'")


@dataclass(slots=True, frozen=True)
class Flow:
    """A flow as a crew registers it; cases pin its name, version and source hash."""

    name: str
    version: str
    function: Callable[..., Coroutine[object, object, object]]
    inputs: type
    source_hash: str
    tools: tuple[str, ...] = ()
    """Tools that the flow may call itself."""
    declaration: object = field(default=None, compare=False, repr=False)
    """What it says of itself, to whoever made it; the runtime does not look at it."""

    @classmethod
    def of(
        cls,
        function: Callable[..., Coroutine[object, object, object]],
        *,
        inputs: type,
        version: str = "1",
        tools: Sequence[str] = (),
    ) -> "Flow":
        """Make a flow of a coroutine function `async def flow(case, inputs)`; its name is the function's.

        Raises:
            ValueError: it is no coroutine function, has no text, or a name or a version that is none.
        """
        name = getattr(function, "__name__", "")
        _named(name, "flow")
        if not inspect.iscoroutinefunction(function):
            raise ValueError(f"flow {name!r} must be an `async def`")
        source_hash = source_hash_of(name, function)
        return cls(name, named_version(name, version), function, inputs, source_hash, tuple(tools))
