"""How patterns fail, and what counts as the failure of a part: something of this list, and nothing else.

    FlowError
    ├── TaskFailed, CallFailed, ReviewRejected    a leaf ended without a value
    └── PatternFailed                             a pattern did, though none of its parts may have failed

A cancel is none of these, nor is a mistake in a declaration: those pass through every pattern untouched.
It does not know what is done about a failure.
"""

from typing import Final, TypeAlias

from casework.protocols.wire import FailureKind
from casework.runtime.errors import CallFailed, FlowError, ReviewRejected, TaskFailed


class PatternFailed(FlowError):
    """A pattern ended without a value; unless something catches it, the case fails."""

    def __init__(self, pattern: str, kind: FailureKind, message: str) -> None:
        super().__init__(f"{pattern} failed ({kind}): {message}")
        self.pattern = pattern
        self.kind = kind
        self.message = message


Failure: TypeAlias = TaskFailed | CallFailed | ReviewRejected | PatternFailed

#: The same, to catch.
FAILURES: Final = (TaskFailed, CallFailed, ReviewRejected, PatternFailed)


def kind_of(failure: Failure) -> FailureKind:
    """Give the kind of a failure; what a person rejected is REFUSED."""
    return FailureKind.REFUSED if isinstance(failure, ReviewRejected) else failure.kind
