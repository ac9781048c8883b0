"""Which cases must not run again, for they break their cell or end their process each time.

A new record begins both counts anew: the claims in the case's row, and the failures here, which only this process saw.
It does not know how a case is claimed, nor what becomes of one that must not run.
"""

from typing import Final, NamedTuple, final

from casework.protocols.errors import worded
from casework.runtime.flow.reading import CLAIMS_MAX, killing
from casework.runtime.store.base import CaseKey, CaseRow

#: Times in a row that a case may break its cell before it parks for an operator.
FAILURES_MAX: Final = 3
#: Characters of an error that a reason repeats, at most.
WHY_CHARS_MAX: Final = 500


class Failures(NamedTuple):
    """What a case did to its cells here."""

    times: int = 0
    """How often in a row it broke one."""
    length: int = 0
    """How long its log was then."""
    why: str = ""
    """What the last one broke of, where that is known."""


_NONE: Final = Failures()


@final
class Poison:
    """The failures of each case that this process saw."""

    def __init__(self) -> None:
        self._failures: dict[CaseKey, Failures] = {}

    def failed(self, key: CaseKey, durable: int, error: BaseException | None = None) -> None:
        """Hear that a case broke its cell, and of what, when so many of its records were durable."""
        before = self._failures.get(key, Failures(length=durable))
        why = before.why if error is None else worded(error)[:WHY_CHARS_MAX]
        self._failures[key] = Failures(before.times + 1 if before.length == durable else 1, durable, why)

    def forget(self, key: CaseKey) -> None:
        """Hear that a case ended well, or was given back."""
        self._failures.pop(key, None)

    def hopeless(self, key: CaseKey) -> str:
        """Say why not even that it parks could be written; nothing if nobody knows that."""
        times, _, why = self._failures.get(key, _NONE)
        return f"not even that it parks can be written: {why or 'nobody knows why'}" if times > FAILURES_MAX else ""

    def verdict(self, row: CaseRow) -> str:
        """Say why a claimed case must not run again; nothing if it may."""
        times, _, why = self._failures.get(row.key, _NONE)
        if times >= FAILURES_MAX:
            return f"poison: it failed {times} times in a row" + (f", at last with {why}" if why else "")
        # Two claims more are given, for the case to go on without the message or without the tasks that may have done
        # it; it reads its log then.
        if row.claims > CLAIMS_MAX + 2 or (why and row.claims > CLAIMS_MAX):
            told = f"this one saw it fail with {why}" if why else "none of them left a word why"
            return f"{killing(row)}; {told}"
        return ""
