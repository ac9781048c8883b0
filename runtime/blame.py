"""Whose fault it is: what went wrong in somebody's code, told apart from a cancellation that must go on.

A cancellation belongs to the runtime only while a scope around the code is cancelled. On asyncio code may meet others:
what it awaited was cancelled by somebody else. Let out, that would look like the end of the whole system; here it is
a failure like any other. And code that is being cancelled may fail while it tidies up: then there are both.
It does not know what becomes of either.
"""

import math
from typing import cast

import anyio

from casework.runtime.errors import ForeignCancel


def blame(error: BaseException) -> tuple[Exception | None, BaseException | None]:
    """Split what was raised into the failure of the code, and the cancellation (or exit) that must be raised on."""
    if isinstance(error, Exception):
        return error, None
    cancelled, rest = _parted(error)
    if rest is not None and not isinstance(rest, Exception):
        return None, error
    if anyio.current_effective_deadline() == -math.inf:
        return rest, cancelled
    return rest or ForeignCancel(error), None


def _parted(error: BaseException) -> tuple[BaseException | None, BaseException | None]:
    """Part cancellations from the rest of what was raised."""
    kind = anyio.get_cancelled_exc_class()
    if isinstance(error, BaseExceptionGroup):
        return cast("BaseExceptionGroup[BaseException]", error).split(kind)
    return (error, None) if isinstance(error, kind) else (None, error)
