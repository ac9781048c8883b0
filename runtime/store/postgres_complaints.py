"""Tells the log why a PostgreSQL server takes nothing, once for each reason as long as it goes on.

Whoever is refused asks again and again, so the same reason comes every second or so. It does not know who asks.
"""

import logging
import math
from typing import Final, final

from casework.runtime.seams import Clock

#: Seconds for which a reason is not heard before it is told again; longer than anybody waits before asking again.
SILENCE_SECONDS: Final = 60.0
#: Reasons remembered at most, for they may name values; the one heard least lately is forgotten first.
REASONS_MAX: Final = 100

_LOGGER: Final = logging.getLogger(__name__)


@final
class Complaints:
    """What one server gave as reasons lately."""

    def __init__(self, shown: str, clock: Clock) -> None:
        """Begin; `shown` names the store without its password."""
        self._shown = shown
        self._clock = clock
        self._heard: dict[str, float] = {}

    def hear(self, why: str) -> None:
        """Hear a reason, and tell it unless it was heard a moment ago."""
        now = self._clock.monotonic()
        silent = now - self._heard.pop(why, -math.inf) > SILENCE_SECONDS
        self._heard[why] = now
        if silent:
            _LOGGER.warning("%s: calls are refused for now: %s", self._shown, why)
        if len(self._heard) > REASONS_MAX:
            del self._heard[next(iter(self._heard))]
