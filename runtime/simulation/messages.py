"""Messages between simulated processes: lost, doubled and late, as the plan says.

What is on its way belongs to nobody: it is begun in an empty context, or it would die with its sender.
It does not know what a message says.
"""

from collections.abc import Callable
from contextvars import Context
from typing import final

from casework.runtime.simulation.loop import SimulationLoop
from casework.runtime.simulation.mischief import Mischief


@final
class Messages:
    """The net of one run."""

    def __init__(self, loop: SimulationLoop, mischief: Mischief) -> None:
        self._loop = loop
        self._mischief = mischief

    def send(self, arrive: Callable[[], object], context: Context | None = None) -> None:
        """Have `arrive` called once, twice or never; in the given context, or in nobody's."""
        if self._mischief.strikes("loss"):
            return
        copies = 2 if self._mischief.strikes("duplication") else 1
        for _ in range(copies):
            delay = self._mischief.seconds("delay_seconds")
            self._loop.call_later(delay, arrive, context=context or Context())
