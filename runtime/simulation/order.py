"""Sets that keep the order of insertion, where anyio keeps jobs and scopes that it cancels.

anyio cancels in the order of a set, which is that of addresses in memory: another one in each process. While a
simulation runs, its scopes and task groups get sets whose order is that in which their members came.
It does not know who is cancelled.
"""

from collections.abc import Generator, Iterator, MutableSet
from contextlib import contextmanager
from typing import Any, Final, TypeVar, final

# Nothing public leads to the two classes.
from anyio._backends._asyncio import CancelScope, TaskGroup

T = TypeVar("T")

#: The attributes that hold a set whose order decides something.
SCOPE_SETS: Final = ("_child_scopes", "_tasks")
GROUP_SETS: Final = ("_tasks",)


@final
class InsertionOrdered(MutableSet[T]):
    """A set in the order of insertion; members are told apart as in any set."""

    __slots__ = ("_members",)

    def __init__(self) -> None:
        self._members: dict[T, None] = {}

    def __contains__(self, member: object) -> bool:
        return member in self._members

    def __iter__(self) -> Iterator[T]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def add(self, value: T) -> None:
        """Put a member at the end, unless it is in already."""
        self._members[value] = None

    def discard(self, value: T) -> None:
        """Take a member away, if it is in."""
        self._members.pop(value, None)


@contextmanager
def insertion_order() -> Generator[None, None, None]:
    """Give every scope and task group that is made within the block sets in the order of insertion."""
    made: list[tuple[type[Any], Any]] = [
        (CancelScope, _ordering(CancelScope, SCOPE_SETS)),
        (TaskGroup, _ordering(TaskGroup, GROUP_SETS)),
    ]
    try:
        yield
    finally:
        for kind, init in made:
            kind.__init__ = init


def _ordering(kind: type[Any], names: tuple[str, ...]) -> Any:
    """Have a class make ordered sets; gives what stood there before."""
    before = kind.__init__

    def init(self: object, *args: object, **options: object) -> None:
        before(self, *args, **options)
        for name in names:
            assert not getattr(self, name), "nothing is in a scope before it is made"
            setattr(self, name, InsertionOrdered[object]())

    kind.__init__ = init
    return before
