"""The alarm of a node: it rings when the next timer of a case that no node holds is due, as the store said.

It does not know what is done then.
"""

from collections.abc import Callable
from typing import Final, final

from casework.runtime.timers import Timers

#: Seconds until a store is asked again that was unavailable, or left what was due.
RETRY_SECONDS: Final = 0.5


@final
class Alarm:
    """The one moment that a node waits for."""

    def __init__(self, timers: Timers, ring: Callable[[], None]) -> None:
        """Begin without one."""
        self._timers = timers
        self._ring = ring
        self._due = 0

    def set(self, due: int | None, asked: int) -> None:
        """Ring when that is due, unless it is set to it; `asked` is when the store was asked, and left it."""
        if due is None or due == self._due:
            return
        self._due = due
        if due > asked:
            self._timers.at(due, self._rings)
        else:
            # By the store's clock, which is behind ours, it is not due yet.
            self._timers.after(RETRY_SECONDS, self._rings)

    def _rings(self) -> None:
        self._due = 0
        self._ring()
