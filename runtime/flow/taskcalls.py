"""What an agent asks of its case inside a task: how it is read, the request that it becomes, the answer that it gets.

Pure functions, which know neither who works on the task nor what becomes of the call.
"""

from collections.abc import Callable
from typing import Final

from casework.protocols.codec import CARRIED_BYTES_MAX, decode_call_asked
from casework.protocols.errors import FrameInvalid, FrameTooLarge
from casework.protocols.records import Call, Undone
from casework.protocols.wire import CallAnswered, CallAsked, RiskTier
from casework.runtime.flow.callhistory import Ended
from casework.runtime.flow.services import Services
from casework.runtime.flow.taskwork import TaskWork
from casework.runtime.staff import CallRequest, Grant

#: Characters of a tool's name at most, longer than that of any tool: steps are named by it.
TOOL_CHARS_MAX: Final = 200


def call_asked(frame: bytes) -> CallAsked:
    """Read what an agent asks for, which may be anything.

    Raises:
        FrameInvalid, FrameTooLarge: it is no call, or none that could be recorded.
    """
    asked = decode_call_asked(frame)
    if len(frame) > CARRIED_BYTES_MAX:
        raise FrameTooLarge(len(frame), CARRIED_BYTES_MAX)
    if len(asked.tool) > TOOL_CHARS_MAX:
        raise FrameInvalid("call request", f"a tool's name has at most {TOOL_CHARS_MAX} characters")
    return asked


def request_of(
    services: Services, work: TaskWork, step_id: str, asked: CallAsked, held: Callable[[str], int]
) -> CallRequest:
    """Make the request for a call inside a task; `held` says what a call that has not ended may cost at most."""
    task = work.task
    grant = Grant(
        caller=f"task:{task.task}",
        tools_allowed=task.tools_allowed,
        # What tells whether work is done changes nothing, whatever the work itself may.
        risk_tier=RiskTier.READ_ONLY if asked.criterion else task.risk_tier,
        calls_left=task.budget.calls - len(work.spent.keys() - {step_id}),
        micros_left=task.budget.micros - _bound(work, step_id, held),
        purpose=task.purpose,
        deadline=task.deadline,
    )
    trace = work.span.traceparent if work.span is not None else task.trace
    opened = services.opened
    return CallRequest(
        services.key, step_id, asked.tool, asked.arguments, grant, trace, project=opened.project, user=opened.user
    )


def answer_of(step_id: str, ended: Ended) -> CallAnswered:
    """Make what an agent hears of how its call ended."""
    if isinstance(ended, Undone):
        return CallAnswered(failure=ended.kind, message=ended.message)
    if isinstance(ended, Call) and ended.failure is not None:
        return CallAnswered(failure=ended.failure, message=ended.message)
    return CallAnswered(value=ended.value, step_id=step_id)


def _bound(work: TaskWork, step_id: str, held: Callable[[str], int]) -> int:
    """Add up what a task has spent, and what its calls may cost that have not ended, but for one of them."""
    if not work.task.budget.micros:
        return 0
    return sum(work.spent.values()) + sum(held(step) for step in work.spent if step != step_id)
