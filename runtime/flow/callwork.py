"""One call on its way: what was asked for, who waits for it, and how far it is.

It does not know what is done with it.
"""

from collections.abc import Callable

from msgspec import Struct

from casework.protocols.records import Call, Intent, Verdict
from casework.runtime.flow.callhistory import Ended
from casework.runtime.staff import CallRequest, CallResult
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

    def read(self, verdict: Verdict, result: CallResult, took: int) -> Call:
        """Make the record of a call that only reads; it took so many microseconds, 0 for one that the flow made."""
        request = self.request
        return Call(
            tool=request.tool,
            arguments=request.arguments,
            verdict=verdict,
            value=result.value,
            failure=result.failure,
            message=result.message,
            cost=result.cost,
            tries=result.tries,
            edited=self.edited,
            took=took,
        )
