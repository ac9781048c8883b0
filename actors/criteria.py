"""Success criteria: named predicates by which a task counts as done, and what was found of each.

A plain predicate is given the task's value. One that is an `async def` is given a `Check` as well: it sees the task's
inputs, and reads again what the work should have left in the world, with tools that only read. Those reads are calls
of the case inside the task's scope: they pass its gate within the task's terms, stand in its log, and are not made
again by an agent that is run again. Criteria are asked in the order in which the task names them, up to the first
that is not met, so that each may rely on those before it.
It does not know what an agent did for its value.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Generic, TypeAlias, TypeVar, cast

from msgspec import Struct

from casework.actors.errors import CallRefused, WorkFailed
from casework.protocols.codec import decode_call_answered, digest, encode, pack, unpack
from casework.protocols.wire import CallAsked, Checked, FailureKind, Task
from casework.runtime.staff import CaseRef

Inputs = TypeVar("Inputs", bound=Struct)
T = TypeVar("T")

#: A named predicate: `f(value) -> bool`, or `async def f(value, check: Check[Inputs]) -> bool`.
Criterion: TypeAlias = Callable[..., bool] | Callable[..., Awaitable[bool]]
#: Predicates of which is remembered whether they read.
CRITERIA_MAX: Final = 1_024


@dataclass(slots=True, eq=False)
class Check(Generic[Inputs]):
    """What a criterion is given beside the value, if it is an `async def`."""

    inputs: Inputs
    """What the agent was shown."""
    task: Task
    attempt: int
    criterion: str
    case: CaseRef
    seen: list[str] = field(default_factory=list[str])
    """What was read so far: step and hash of each call."""

    async def read(self, tool: str, arguments: Struct | Mapping[str, object], *, returns: type[T]) -> T:
        """Have the case call a READ_ONLY tool that agent and task may use; run again, the recorded value comes back.

        Raises:
            CallRefused: it has no value; `kind` says why. A tool that writes is refused.
            FrameInvalid: the value is not of type `returns`.

        If cancelled, the call may still be made and recorded; its answer is dropped.
        """
        sent = arguments if isinstance(arguments, Struct) else dict(arguments)
        asked = CallAsked(
            task_id=self.task.id, attempt=self.attempt, tool=tool, arguments=pack(sent), criterion=self.criterion
        )
        answered = decode_call_answered(await self.case.call(encode(asked)))
        if answered.failure is not None:
            raise CallRefused(tool, answered.failure, answered.message)
        self.seen.append(f"{answered.step_id} {digest(answered.value).hex()}")
        return unpack(answered.value, returns)


@dataclass(slots=True, eq=False)
class Examination:
    """The criteria of one attempt at a task, asked one after the other."""

    criteria: Mapping[str, Criterion]
    task: Task
    attempt: int
    case: CaseRef
    asking: str = ""
    """The criterion that is being asked."""
    _checked: list[Checked] = field(default_factory=list[Checked])
    _check: Check[Struct] | None = None

    async def hold(self, value: object, inputs: Struct) -> None:
        """Ask all criteria of a value.

        Raises:
            WorkFailed: one is not met, or gave neither True nor False.

        Whatever else a criterion raises goes on; `asking` names it then.
        """
        for criterion in self.task.success_criteria:
            name = self.asking = criterion.name
            predicate, self._check = self.criteria[name], None
            met: object = False
            if rereads(predicate):
                self._check = Check(inputs, self.task, self.attempt, name, self.case)
                met = await cast("Awaitable[bool]", predicate(value, self._check))
            else:
                met = predicate(value)
            if met is not True and met is not False:
                why = f"it gave {type(met).__name__} instead of True or False"
                raise WorkFailed(why, kind=FailureKind.ERROR)
            self._checked.append(self._found(name, met=met))
            self.asking = ""
            if not met:
                raise WorkFailed(f"criterion {name!r} is not met", kind=FailureKind.CRITERION)

    def verdict(self) -> tuple[Checked, ...]:
        """Give what was found so far; a criterion that raised is one that could not be told."""
        return (*self._checked, self._found(self.asking, met=False)) if self.asking else tuple(self._checked)

    def _found(self, name: str, *, met: bool) -> Checked:
        return Checked(name=name, met=met, read=tuple(self._check.seen) if self._check else ())


@lru_cache(maxsize=CRITERIA_MAX)
def rereads(criterion: Criterion) -> bool:
    """Tell whether a criterion is given a Check, through which it may read."""
    return inspect.iscoroutinefunction(criterion)
