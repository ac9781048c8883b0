"""How a process hears what others switched in a PostgreSQL store: what stands there is only ever added to.

So its length says whether there is more than was heard of, and travels with what is asked for anyway: each renewal of
a lease, each look of the ear. It does not know what a switch does.
"""

from collections.abc import Callable
from typing import final


@final
class SwitchesHeard:
    """How much was heard of what was switched."""

    def __init__(self) -> None:
        self.listener: Callable[[str], None] | None = None  #: told all lines, each time that there are more
        self._octets = 0

    def missed(self, octets: int) -> bool:
        """Say whether somebody wants to hear more than was heard, where so many bytes stand there."""
        return self.listener is not None and octets != self._octets

    def forget(self) -> None:
        """Hear all of it again: who switches does so after it was written, when another's may have been heard."""
        self._octets = -1

    def hear(self, lines: str) -> None:
        """Hear all that was switched so far."""
        self._octets = len(lines.encode())
        if self.listener is not None:
            self.listener(lines)
