"""How long the calls of tasks were held, by a switch, a budget or a person, as the moments of the log's records say.

A call is *held* from the record with which it begins to wait for somebody to the one with which it goes on. That time
does not count against the task's own: when nothing inside it is held any more, the task is given on with a deadline
that is so much later, but not beyond what the work above it has. Of several calls held at once the time counts once.
Nothing here looks at a clock, so a replay comes to the same. It does not know who holds a call, nor why.
"""

from collections.abc import Iterable
from typing import NamedTuple, final

from casework.protocols.wire import DEADLINE_MAX


class Held(NamedTuple):
    """A time in which a call was held; moments in microseconds since the epoch."""

    step: str
    since: int
    until: int


@final
class Holds:
    """When calls of one case were held."""

    def __init__(self) -> None:
        self.open: dict[str, int] = {}  #: calls that are held now, and since when
        self.past: list[Held] = []  #: those that go on again

    def hear(self, step: str, at: int, *, held: bool) -> None:
        """Hear whether a call is held from a moment on."""
        if held:
            self.open.setdefault(step, at)
        elif step in self.open:
            self.past.append(Held(step, self.open.pop(step), at))

    def micros(self, below: tuple[str, ...], after: int) -> int:
        """Give for how long any call in these scopes was held after a moment and goes on again."""
        return union((max(since, after), until) for step, since, until in self.past if step.startswith(below))


def union(spans: Iterable[tuple[int, int]]) -> int:
    """Give the length of what lies in at least one of these spans; one that ends before it begins is none."""
    total, reached = 0, 0
    for since, until in sorted(spans):
        total += max(until - max(since, reached), 0)
        reached = max(reached, until)
    return total


def deferred(deadline: int, held: int, limit: int) -> int:
    """Give the deadline of a task that was held for so long: never earlier, never beyond `limit` (0: there is none)."""
    return max(deadline, min(deadline + held, limit or DEADLINE_MAX))
