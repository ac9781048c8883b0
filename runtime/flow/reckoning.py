"""What a case has written, as its log says: where each write stands, and the call that undoes it.

A write stands in the log as an intent. Its own end says whether it happened; the ends of intents that name it as the
write which they undo say whether it still stands. Nothing else is asked, so a reckoning is the same after a restart.
It does not know when anything is undone, nor in which order.
"""

from typing import Final

from msgspec import Raw
from msgspec.structs import replace

from casework.protocols.effects import Standing, Write
from casework.protocols.records import Done, Intent, Reckoned, Undone
from casework.protocols.wire import RiskTier
from casework.runtime.flow.callhistory import CallHistory
from casework.runtime.flow.engine import Engine
from casework.runtime.flow.operations import CallTool, Reckon, TakeBack
from casework.runtime.flow.services import FLOW_CALLS_MAX, Services
from casework.runtime.staff import CallRequest, Grant, Staff, Undoes

#: What undoing may cost, in millionths: a write that was affordable must not stand because its undo is not.
UNDO_MICROS_MAX: Final = 2**53


def reckon(engine: Engine, history: CallHistory, services: Services) -> bool:
    """End the first reckoning that nothing unknown holds up; tell whether there was one."""
    if engine.outputs:
        return False
    for step_id, pending in engine.pending.items():
        operation = pending.operation
        if not isinstance(operation, Reckon):
            continue
        writes = writes_of(history, operation, services.staff)
        if operation.patient and any(write.standing is Standing.UNKNOWN for write in writes):
            continue
        entry = Reckoned(writes=writes)
        services.logbook.write(step_id, entry)
        engine.feed(step_id, entry)
        return True
    return False


def writes_of(history: CallHistory, operation: Reckon, staff: Staff) -> tuple[Write, ...]:
    """Give the writes that a reckoning asks for, in the order in which they were done."""
    intents = history.intents()
    undoing: dict[str, list[tuple[Intent, Done | Undone | None]]] = {}
    for _, intent, ended in intents:
        undoing.setdefault(intent.undoes, []).append((intent, ended))
    return tuple(
        _write(step_id, intent, ended, undoing.get(step_id, []), staff)
        for step_id, intent, ended in intents
        if step_id.startswith(operation.scopes)
        and step_id not in operation.besides
        and not (intent.undoes or intent.tier is RiskTier.READ_ONLY or isinstance(ended, Undone))
    )


def _write(
    step_id: str,
    intent: Intent,
    ended: Done | Undone | None,
    undoing: list[tuple[Intent, Done | Undone | None]],
    staff: Staff,
) -> Write:
    write = Write(step_id=step_id, tool=intent.tool, key=intent.key, standing=Standing.UNKNOWN)
    if not isinstance(ended, Done):
        return replace(write, why=f"nobody knows yet whether {intent.tool} happened")
    if any(isinstance(end, Done) for _, end in undoing):
        return replace(write, standing=Standing.UNDONE)
    for undo, end in undoing:
        if end is None:
            return replace(write, why=f"nobody knows yet whether {undo.tool} undid it")
    how = staff.undo(intent.tool, intent.arguments, ended.value)
    return replace(write, standing=Standing.DONE, undo=how.tool, delays=how.delays, why=how.why)


def request_for(
    services: Services, history: CallHistory, step_id: str, operation: CallTool | TakeBack, tools: tuple[str, ...]
) -> CallRequest:
    """Make the request for a call of the flow itself, or of what undoes a write."""
    if isinstance(operation, CallTool):
        return services.request(step_id, operation, tools)
    told = history.told(operation.step_id)
    ended, intent = told.ended, told.intent
    assert intent is not None, "what is undone was intended"
    assert isinstance(ended, Done), "what is undone was done"
    before = history.arguments(step_id)
    arguments = services.staff.undo(intent.tool, intent.arguments, ended.value).arguments
    grant = Grant(
        caller=f"flow:{services.opened.flow}",
        tools_allowed=(operation.undo,),
        risk_tier=RiskTier.IRREVERSIBLE,
        calls_left=FLOW_CALLS_MAX,
        micros_left=UNDO_MICROS_MAX,
        purpose=services.opened.purpose,
    )
    return CallRequest(
        key=services.key,
        step_id=step_id,
        tool=operation.undo,
        arguments=arguments if before is None else Raw(before),
        grant=grant,
        trace=services.opened.trace,
        undoes=Undoes(operation.step_id, intent.tool),
        project=services.opened.project,
        user=services.opened.user,
    )
