"""One call on its way: what was asked for, who waits for it, and how far it is.

It does not know what is done with it.
"""

from collections.abc import Callable

from msgspec import Struct

from casework.protocols.records import Intent
from casework.runtime.flow.callhistory import Ended
from casework.runtime.staff import CallRequest
from casework.runtime.store.accounts import Overdrawn
from casework.runtime.telemetry import SpanHandle


class CallWork(Struct, eq=False):
    """One call on its way."""

    request: CallRequest
    done: Callable[[Ended], None]
    wanted: bool
    """Somebody waits for it."""
    intent: Intent | None = None
    running: bool = False
    edited: bool = False
    began: float = 0.0
    """When it was begun, in monotonic seconds, if it only reads and is inside a task: the log tells of others."""
    span: SpanHandle | None = None
    short: Overdrawn | None = None
    """The account in which too little was left for it."""
