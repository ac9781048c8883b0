"""What somebody's code has entered in a job of the event loop and never left, such as `anyio.fail_after`.

An iteration that is broken off is enough: a generator that yields within `async with` is closed later, in another job,
and cannot leave there what it entered here. The job would then end with the wrong scope, which ends the whole system;
and what was entered may still be cancelled, at its deadline, when the job has long been at somebody else's work: so it
is left at the end of each turn. anyio does not say what a job is within, so what it keeps for itself is looked at.
It does not know whose code it was.
"""

import sys
from collections.abc import Callable
from typing import Any

import anyio


def strayed(scope: anyio.CancelScope) -> Callable[[], bool]:
    """Make what says whether something was entered within a scope of this job and not left; asked at each turn."""
    backend: Any = sys.modules[type(scope).__module__]
    if hasattr(backend, "trio"):
        job, original = backend.trio.lowlevel.current_task(), _trio_scope(scope)
        return lambda: job._cancel_status._scope is not original  # noqa: SLF001 - see above
    state = backend._task_states[backend.current_task()]  # noqa: SLF001 - see above
    return lambda: state.cancel_scope is not scope


def leave_within(scope: anyio.CancelScope) -> bool:
    """Leave all that was entered within a scope of this job and not left; say whether there was any."""
    backend: Any = sys.modules[type(scope).__module__]
    find = _on_trio if hasattr(backend, "trio") else _on_asyncio
    found = False
    while (inner := find(backend, scope)) is not None:
        inner.__exit__(None, None, None)
        found = True
    return found


def _on_asyncio(backend: Any, scope: anyio.CancelScope) -> Any:
    innermost = backend._task_states[backend.current_task()].cancel_scope  # noqa: SLF001 - see above
    return None if innermost is scope else innermost


def _on_trio(backend: Any, scope: Any) -> Any:
    innermost = backend.trio.lowlevel.current_task()._cancel_status._scope  # noqa: SLF001 - see above
    return None if innermost is _trio_scope(scope) else innermost


def _trio_scope(scope: Any) -> Any:
    return scope._CancelScope__original  # noqa: SLF001
