"""Parts side by side: each goes on alone, at most so many at the same time, and a failure of one is heard of at once.

There is no barrier: the next one waiting begins in the moment in which one ends. Which one ends first is in the log, so
a replay begins them in the same order. It does not know what a failure means for the others.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

from casework.actors.patterns.base import Pattern
from casework.actors.patterns.errors import FAILURES, Failure
from casework.actors.patterns.shape import writes
from casework.actors.patterns.terms import Terms
from casework.runtime.flow.case import Case, Result

#: Parts that run at the same time unless somebody says otherwise: more than a crew usually has agents for.
TOGETHER: Final = 32


@dataclass(slots=True, frozen=True, eq=False)
class Branch:
    """One part of several, with what it is given."""

    name: str
    pattern: Pattern
    given: Any
    terms: Terms


@dataclass(slots=True, frozen=True, eq=False)
class Came:
    """What came of a branch."""

    name: str
    result: Result[Any] | None
    """None if it failed; whoever heard of that knows why."""


#: Hears of a branch's failure; it may end all of them by raising.
Heard: TypeAlias = Callable[[Branch, Failure], Awaitable[None]]


async def side_by_side(case: Case, branches: Sequence[Branch], heard: Heard, *, together: int) -> list[Came]:
    """Run branches side by side, and give what came of each, in the order of the branches.

    What `heard` raises closes those that still run, and is raised here; what they asked for is taken back. So it is
    when this is cancelled. A branch that failed, and that the others go on without, leaves nothing behind that it
    wrote: it is undone.
    """
    came: list[Came | None] = [None] * len(branches)
    waiting = iter(enumerate(branches))
    lanes = [_lane(case, waiting, came, heard) for _ in range(min(together, len(branches)))]
    await case.gather(*lanes)
    return cast("list[Came]", came)


async def _lane(case: Case, waiting: Iterator[tuple[int, Branch]], came: list[Came | None], heard: Heard) -> None:
    for index, branch in waiting:
        try:
            came[index] = Came(branch.name, await _whole_or_not(case, branch))
        except FAILURES as failure:
            await heard(branch, failure)
            came[index] = Came(branch.name, None)


async def _whole_or_not(case: Case, branch: Branch) -> Result[Any]:
    """Run a branch; one that fails is undone."""
    if not writes(branch.pattern):
        return await branch.pattern(case, branch.given, branch.terms)
    async with case.saga():
        return await branch.pattern(case, branch.given, branch.terms)
