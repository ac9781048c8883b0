"""Which cases must not run again, for they break their cell or end their process each time.

A new record begins both counts anew: the claims in the case's row, and the failures here, which only this process saw.
It does not know how a case is claimed, nor what becomes of one that must not run.
"""

from typing import Final, final

from casework.runtime.store.base import CaseKey, CaseRow

#: Times in a row that a case may break its cell before it parks for an operator.
FAILURES_MAX: Final = 3
#: Claims in a row without a new record after which a case has killed its process often enough: the last two of them
#: alone on its node. With one alone, somebody who kills processes at random parked a bystander now and then.
CLAIMS_MAX: Final = 4


@final
class Poison:
    """How often in a row each case broke its cell, and how long its log was then."""

    def __init__(self) -> None:
        self._failures: dict[CaseKey, tuple[int, int]] = {}

    def failed(self, key: CaseKey, durable: int) -> None:
        """Hear that a case broke its cell when so many of its records were durable."""
        times, length = self._failures.get(key, (0, durable))
        self._failures[key] = (times + 1 if length == durable else 1, durable)

    def forget(self, key: CaseKey) -> None:
        """Hear that a case ended well, or was given back."""
        self._failures.pop(key, None)

    def hopeless(self, key: CaseKey) -> bool:
        """Tell whether not even that it parks could be written."""
        return self._failures.get(key, (0, 0))[0] > FAILURES_MAX

    def verdict(self, row: CaseRow) -> str:
        """Say why a claimed case must not run again; nothing if it may."""
        failures, _ = self._failures.get(row.key, (0, 0))
        if failures >= FAILURES_MAX:
            return f"poison: it failed {failures} times in a row"
        if row.claims > CLAIMS_MAX:
            times = row.claims - 1
            return f"poison: {times} processes that worked on it ended before it had a new record"
        return ""
