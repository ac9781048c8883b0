"""Sagas: what was written in a block is undone, newest first, when the block fails.

A saga is flow code like any other: it asks its case what was written in its scope, has each write undone by a step of
its own, and asks a person about what cannot be undone. So a crash anywhere in it is replayed like every other, and
nothing is undone twice. A block that a cancel interrupts, or whose branch is closed because another one failed or was
first, is undone as well: a closed coroutine can await nothing, so whoever joins the branches does it.

    block ended                        nothing is recorded; a saga around it undoes its writes if that one fails
    block failed, all of it undone     the error goes on
    block failed, something stands     PARTIAL: recorded, a person decides, then the error goes on

It does not know what a write is, nor how one is undone.
"""

import types
from collections.abc import Coroutine, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self, cast, final

from msgspec import Raw

from casework.protocols.codec import pack
from casework.protocols.effects import Effect, Standing, Write
from casework.protocols.records import Decided, Partial, Reckoned, ReviewAction
from casework.protocols.wire import Completed, FailureKind, RiskTier
from casework.runtime.errors import CallFailed, CaseCancelled, FlowError, ReviewRejected
from casework.runtime.flow.operations import (
    Account,
    AskReview,
    Branches,
    CallTool,
    Delegate,
    Enter,
    Leave,
    Operation,
    Reckon,
    Sleep,
    TakeBack,
    perform,
)

#: Seconds that undoing may take at most unless the flow says otherwise: it must end, whatever the world does.
UNDO_SECONDS: Final = 3_600.0
#: The rule by which a person is asked about writes that stand.
PARTIAL_RULE: Final = "effect.partial"
#: Failures of an undo that trying again cannot cure.
FINAL: Final = frozenset({FailureKind.REFUSED, FailureKind.INVALID})
#: Where the writes of a flow are that no saga undoes: everywhere.
EVERYWHERE: Final = ("",)

_ACCEPTED: Final = "the case goes on and closes as partial; what stands is handled by hand"
_REJECTED: Final = "what can be undone is tried once more, then you are asked again"


class PartlyDone(FlowError):
    """How a flow ends when some of what it wrote stands although something failed: a person has accepted that."""

    def __init__(self, value: object, why: str) -> None:
        super().__init__(why)
        self.value = value
        """What the flow returned, where it did."""


@dataclass(slots=True, eq=False)
class Accounts:
    """What the sagas of one case know together."""

    touched: int = 0
    """Calls and tasks that may have written something."""
    accepted: dict[str, None] = field(default_factory=dict[str, None])
    """Steps of writes that a person has accepted as they stand; any of them makes the case partial."""
    earlier: bool = False
    """Such a write was accepted in an earlier chapter."""

    @property
    def partial(self) -> bool:
        """Tell whether something stands by now that a person has accepted."""
        return self.earlier or bool(self.accepted)

    # These two yield to the engine themselves: through `perform` each step would go through one more coroutine.
    @types.coroutine
    def call(self, operation: CallTool) -> Generator[Operation, object, Raw]:
        """Perform a call of the flow itself."""
        self.touched += 1
        try:
            return cast("Raw", (yield operation))
        except CallFailed as error:
            self.touched -= error.kind in FINAL
            raise

    @types.coroutine
    def delegate(self, operation: Delegate) -> Generator[Operation, object, tuple[str, Completed]]:
        """Give out a task and wait for its outcome; gives its step as well."""
        self.touched += operation.tier is not RiskTier.READ_ONLY
        return cast("tuple[str, Completed]", (yield operation))


@final
class Saga:
    """A block whose writes are undone when it fails; get one from `case.saga()`."""

    def __init__(self, accounts: Accounts, seconds: float) -> None:
        """Prepare; nothing happens before the block is entered."""
        self._accounts = accounts
        self._seconds = seconds
        self._scope = ""
        self.stands = False
        """Whether something of what was written in it stands, although it failed: a person has accepted that."""

    async def __aenter__(self) -> Self:
        """Begin the block.

        Raises:
            RuntimeError: this saga has begun a block before.
        """
        if self._scope:
            raise RuntimeError("a saga is for one block: call case.saga() for each")
        self._scope = cast("str", await perform(Enter("saga")))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the block; after an error, undo first what was written in it. The error goes on.

        A cancel does not interrupt it; heard meanwhile, it goes on in the error's place.
        """
        if error is not None and not isinstance(error, Exception):
            return  # The branch is closed: whoever joins it does the rest.
        cancelled = None
        if error is not None:
            cancelled = await _unwind((self._scope,), self._accounts, self._seconds)
            self.stands = any(step.startswith(self._scope) for step in self._accounts.accepted)
        await perform(Leave())
        if cancelled is not None:
            raise cancelled from error


async def joined(branches: Branches, accounts: Accounts) -> object:
    """Run branches side by side, and undo what was written in sagas of those that were closed."""
    async with _Joining(branches, accounts):
        return await perform(branches)


async def accountable(flow: Coroutine[object, object, object], accounts: Accounts) -> object:
    """Run a flow; one that fails after it has written ends only when a person has seen what stands.

    Raises:
        PartlyDone: it ended, and some of what it wrote stands although something failed.
    """
    try:
        value = await flow
    except FlowError as error:
        cancelled = None
        if accounts.touched:
            cancelled = await _unwind(EVERYWHERE, accounts, UNDO_SECONDS, undo=False)
        if accounts.partial:
            raise PartlyDone(None, str(cancelled or error)) from error
        if cancelled is not None:
            raise cancelled from error
        raise
    if accounts.partial:
        raise PartlyDone(value, "")
    return value


def order(writes: Sequence[Write]) -> list[Write]:
    """Say which writes are undone, and in which order: of those that stand and can be undone, the newest first."""
    return [write for write in reversed(writes) if write.standing is Standing.DONE and write.undo]


def account(writes: Sequence[Write], fates: Mapping[str, str]) -> Partial:
    """Say what is done, undone and unknown, after undoing; `fates` has why an undo failed, or an empty text."""
    found: dict[Standing, list[Effect]] = {standing: [] for standing in Standing}
    for write in sorted(writes, key=lambda write: write.step_id):
        standing, why = write.standing, write.why
        if standing is Standing.DONE and write.undo:
            why = fates.get(write.step_id, f"{write.undo} was not called")
            standing = Standing.DONE if why else Standing.UNDONE
        found[standing].append(Effect(step_id=write.step_id, tool=write.tool, key=write.key, why=why))
    return Partial(
        done=tuple(found[Standing.DONE]),
        undone=tuple(found[Standing.UNDONE]),
        unknown=tuple(found[Standing.UNKNOWN]),
    )


async def _unwind(
    scopes: tuple[str, ...], accounts: Accounts, seconds: float, *, undo: bool = True
) -> CaseCancelled | None:
    """Undo what was written in some scopes, and have a person accept what stands; give a cancel heard meanwhile."""
    cancelled: CaseCancelled | None = None
    async with _Undoing(scopes):
        while True:
            try:
                if not await _round(scopes, accounts, seconds, undo=undo):
                    return cancelled
                undo = True
            except CaseCancelled as error:
                # It is raised once. What it took back is found in the log, and what is left is begun afresh.
                cancelled = error


async def _round(scopes: tuple[str, ...], accounts: Accounts, seconds: float, *, undo: bool) -> bool:
    """Go once over what was written; tell whether a person wants it done once more."""
    accepted, fates = tuple(accounts.accepted), dict[str, str]()
    writes = await _reckon(Reckon(scopes, accepted))
    wanted = order(writes) if undo else []
    if wanted:
        branches = Branches((_undo_all(wanted, fates), _pass(seconds)), first=True, lost=[])
        index, _ = cast("tuple[int, None]", await perform(branches))
        if index == 1:
            writes = await _reckon(Reckon(scopes, accepted, patient=False))
    partial = account(writes, fates)
    left = partial.done + partial.unknown
    if not left:
        return False
    await perform(Account(partial.done, partial.undone, partial.unknown))
    decided = cast("Decided", await perform(_question(partial)))
    if decided.action is ReviewAction.REJECT:
        return True
    accounts.accepted.update((effect.step_id, None) for effect in left)
    return False


async def _reckon(operation: Reckon) -> tuple[Write, ...]:
    return cast("Reckoned", await perform(operation)).writes


async def _undo_all(writes: Sequence[Write], fates: dict[str, str]) -> None:
    """Undo one write after the other, and say of each what became of it; a failure does not stop the others."""
    for write in writes:
        fates[write.step_id] = await _undo(write.step_id, write.undo, iter(write.delays))


async def _undo(step_id: str, undo: str, delays: Iterator[float]) -> str:
    """Undo a write; each further try is a step of its own. Give why it failed, or an empty text."""
    while True:
        try:
            await perform(TakeBack(step_id, undo))
        except ReviewRejected as error:
            return str(error)
        except CallFailed as error:
            delay = next(delays, None)
            if delay is None or error.kind in FINAL:
                return str(error)
            await perform(Sleep(seconds=delay))
        else:
            return ""


async def _pass(seconds: float) -> None:
    await perform(Sleep(seconds=seconds))


def _question(partial: Partial) -> AskReview:
    counts = f"{len(partial.done)} done, {len(partial.undone)} undone, {len(partial.unknown)} unknown"
    return AskReview(
        title=f"Partly done: {counts}",
        proposal=pack({"done": partial.done, "undone": partial.undone, "unknown": partial.unknown}),
        rule=PARTIAL_RULE,
        summary="Something failed, and not everything that was written before is undone.",
        evidence=(),
        consequences=((ReviewAction.APPROVE, _ACCEPTED), (ReviewAction.REJECT, _REJECTED)),
        expires_seconds=0.0,
    )


@final
class _Joining:
    """Where branches come together; those that were closed may have left sagas behind."""

    def __init__(self, branches: Branches, accounts: Accounts) -> None:
        self._branches = branches
        self._accounts = accounts

    async def __aenter__(self) -> None:
        return

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        lost = tuple(self._branches.lost)
        if not lost or not (error is None or isinstance(error, Exception)):
            return
        cancelled = await _unwind(lost, self._accounts, UNDO_SECONDS)
        if cancelled is not None:
            raise cancelled from error


@final
class _Undoing:
    """The scope in which a saga's steps are named: `saga/undo/`."""

    def __init__(self, scopes: tuple[str, ...]) -> None:
        self._scopes = scopes

    async def __aenter__(self) -> None:
        await perform(Enter("undo", self._scopes))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, Exception):
            await perform(Leave())
