"""Whose fault it is: what went wrong in somebody's code, told apart from a cancellation that must go on.

A cancellation belongs to the runtime only while a scope around the code is cancelled. On asyncio code may meet others:
what it awaited was cancelled by somebody else. Let out, that would look like the end of the whole system; here it is
a failure like any other. So is an exit: code that an actor runs has no business to end the process that it shares
with others, and would at every start. Only an interrupt from the keyboard goes on, and what closes a coroutine. And
code that is being cancelled may fail while it tidies up: then there are both.
It does not know what becomes of either.
"""

import math
from typing import cast

import anyio

from casework.protocols.errors import worded
from casework.runtime.errors import ForeignCancel


def blame(error: BaseException) -> tuple[Exception | None, BaseException | None]:
    """Split what was raised into the failure of the code, and the cancellation or interrupt that must go on."""
    if isinstance(error, Exception):
        return error, None
    cancelled, rest = _parted(error)
    if rest is not None and _passing(rest):
        return None, error
    failure = _failure(rest)
    if anyio.current_effective_deadline() == -math.inf:
        return failure, cancelled
    return failure or ForeignCancel(error), None


def _passing(error: BaseException) -> bool:
    kinds = (KeyboardInterrupt, GeneratorExit)
    if isinstance(error, BaseExceptionGroup):
        return cast("BaseExceptionGroup[BaseException]", error).subgroup(kinds) is not None
    return isinstance(error, kinds)


def _failure(error: BaseException | None) -> Exception | None:
    if error is None or isinstance(error, Exception):
        return error
    failure = RuntimeError(worded(error)).with_traceback(error.__traceback__)
    failure.__cause__ = error
    return failure


def _parted(error: BaseException) -> tuple[BaseException | None, BaseException | None]:
    """Part cancellations from the rest of what was raised."""
    kind = anyio.get_cancelled_exc_class()
    if isinstance(error, BaseExceptionGroup):
        return cast("BaseExceptionGroup[BaseException]", error).split(kind)
    return (error, None) if isinstance(error, kind) else (None, error)
