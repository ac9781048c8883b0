"""The life of a tool call, from the gate's ruling to its recorded end.

    ruled -> refused                                  the refusal is recorded
    ruled -> approval asked -> rejected | ruled again an edit is ruled again with its new bytes
    ruled -> running -> ended                         read-only and free: only the end is recorded
    ruled -> intent (durable) -> running -> ended     everything else: nothing leaves before its intent is safe
    intent without end (after a crash, or the tool does not say) -> looked up -> ended, or a person says what happened
    intent -> too little left of a budget -> a cheaper tool is ruled on | waits, or a person is asked | refused

A recorded end is never run again. A write whose end is not known is looked up under the key and bytes fixed in its
intent, never repeated blindly, even when nobody asks for it any more. What ends after everybody stopped waiting for
it is recorded aside, as `(late)`. It does not know who asked for the call.
"""

from collections.abc import Callable, Mapping
from contextvars import copy_context
from functools import partial
from typing import Final

from msgspec import Raw
from msgspec.structs import replace

from casework.protocols.codec import inputs_hash
from casework.protocols.records import (
    Arrived,
    Call,
    Decided,
    Done,
    Intent,
    ReviewAction,
    Undone,
    Verdict,
    Withdrawn,
)
from casework.protocols.wire import FailureKind, RiskTier
from casework.runtime.flow.callhistory import NOTHING, CallHistory, Ended, cheaper_tool
from casework.runtime.flow.callwork import CallWork
from casework.runtime.flow.engine import Pending
from casework.runtime.flow.entries import BY_PERSON
from casework.runtime.flow.operations import CallTool
from casework.runtime.flow.replay import INNER, marked
from casework.runtime.flow.reserving import Holder, Reserving
from casework.runtime.flow.services import Services
from casework.runtime.jobs import CHAIN_MAX
from casework.runtime.seams import MICROS
from casework.runtime.staff import CallRequest, CallResult, Grant, Ruling

#: How many calls that need not wait are made in a row before as many have jobs as let others have their turn.
CALLS_AT_ONCE: Final = 8


class Calls:
    """All calls of one incarnation of a case."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._works: dict[str, CallWork] = {}
        self.history = CallHistory()  #: what the log has of calls
        # Made for the first call that costs something: few cases have one.
        self._spends: Reserving | None = None
        self._holder: Holder | None = None
        self._over, self._reads = False, 0
        self.prompt = False  #: whether calls that need not wait may be made at once

    @property
    def running(self) -> bool:
        """Tell whether any call is under way or about to be."""
        looking = self._spends is not None and self._spends.looking
        return looking or not all(map(self.history.resting, self._works))

    def are_all_of(self, pending: Mapping[str, Pending]) -> bool:
        """Tell whether some are under way, and are all that the flow waits for."""
        if self.history.asked or self.history.short or not self._works:
            return False
        return all(type(step.operation) is CallTool for step in pending.values())

    @property
    def writing(self) -> bool:
        """Tell whether the end of any write is still open."""
        return any(work.intent is not None for work in self._works.values())

    @property
    def writing_now(self) -> bool:
        """Tell whether any write is being made, or its fate looked up."""
        return any(work.intent is not None and step not in self.history.asked for step, work in self._works.items())

    def held(self, step_id: str) -> int:
        """Give what a call that has not ended may cost at most, in millionths; 0 for any other."""
        work = self._works.get(step_id)
        return self._services.staff.rule(work.request).micros_max if work is not None else 0

    def begin(self, request: CallRequest, done: Callable[[Ended], None], *, wanted: bool = True) -> None:
        """Take up a call: answer it from the log, recover it, or rule on it. `done` hears the recorded end."""
        step_id = request.step_id
        known = self._works.get(step_id)
        if known is not None:
            known.done, known.wanted = done, wanted
            # One that was taken up from the log was not granted by whoever asks for it.
            known.request = replace(known.request, grant=request.grant)
            return
        told = self.history.told(step_id)
        if told is NOTHING:
            work = self._works[step_id] = CallWork(request, done, wanted)
            self._rule(work, approved=False)
            return
        intent, decided = told.intent, told.decided
        if told.ended is not None:
            done(told.ended)
            return
        work = CallWork(request, done, wanted)
        self._works[step_id] = work
        work.intent = intent
        if told.overdraft is not None:
            work.request = replace(request, tool=cheaper_tool(told.overdraft) or request.tool)
        if told.asked is not None or told.waits:
            return
        if intent is not None and decided is not None:
            self._settled_by_person(work, decided)
        elif intent is not None:
            self._recover(work, intent)
        elif decided is not None:
            self._approved(work, decided)
        else:
            self._rule(work, approved=False)

    def recover(self) -> None:
        """Find out about every write whose end is not in the log, whether anybody asks for it again or not."""
        key, opened = self._services.key, self._services.opened
        for step_id in self.history.steps():
            told = self.history.told(step_id)
            intent = told.intent
            if told.ended is None and intent is not None and step_id not in self._works:
                grant = Grant(f"flow:{opened.flow}", (intent.tool,), intent.tier, 0, 0, opened.purpose)
                request = CallRequest(key, step_id, intent.tool, intent.arguments, grant, opened.trace)
                self.begin(request, _nobody, wanted=False)
            elif told.waits:
                self._reserving.look(step_id)

    def decided(self, decided: Decided) -> bool:
        """Hear a person's decision; False if no call waits for it. The caller has consumed the message."""
        step_id = self.history.asked_by_review(decided.review_id)
        if step_id is None:
            return False
        intent = self.history.told(step_id).intent
        mark = marked(step_id, "approval" if intent is None else "unknown")
        record = self._services.logbook.write(mark, decided)
        self.history.remember(mark, decided, record.at)
        work = self._works.get(step_id)
        if work is None:
            # Its agent is not at work; when it asks again, it finds the decision in the log.
            return True
        if work.intent is not None:
            self._settled_by_person(work, decided)
        elif self._holder is not None and self._holder.rest(step_id):
            # As if it were taken up from the log: its task goes on with more time than it was asked for with.
            del self._works[step_id]
        else:
            self._approved(work, decided)
        return True

    def forget(self, step_id: str) -> None:
        """Hear that nobody waits for a call any more; a write under way is still recorded."""
        work = self._works.get(step_id)
        review = self.history.asked.get(step_id)
        if work is not None:
            work.done, work.wanted = _nobody, False
        if self.history.told(step_id).intent is not None:
            return
        if step_id in self.history.short:
            self._reserving.unpark(step_id)
        if review is not None:
            withdrawn = Withdrawn(review_id=review.id)
            mark = marked(step_id, "approval")
            self._services.logbook.write(mark, withdrawn)
            self._services.logbook.withdraw(review.id)
            self.history.remember(mark, withdrawn)
        if work is not None and not work.running:
            del self._works[step_id]

    def forget_below(self, step_id: str) -> None:
        """Hear that nobody waits for any call of a task any more."""
        scopes = (f"{step_id}{INNER}", f"{step_id}@")
        for step in [
            step for step in {**self._works, **self.history.asked, **self.history.short} if step.startswith(scopes)
        ]:
            self.forget(step)

    def orphan(self) -> None:
        """Hear that the flow goes no further: nobody waits for any call, but what is under way is still recorded."""
        for work in self._works.values():
            work.done, work.wanted = _nobody, False

    def held_in(self, holder: Holder | None) -> None:
        """Hear who works on the tasks inside which calls are made, or that nobody does any more."""
        self._holder, self._spends = holder, None

    def arrived(self, arrived: Arrived) -> bool:
        """Hear that the limit of a budget was raised; False if no call waits for that. The caller consumes it."""
        return bool(self.history.short) and self._reserving.arrived(arrived)

    def go_on(self, work: CallWork) -> None:
        """Rule on a call whose bytes are final, as far as a person has not done so."""
        decided = self.history.told(work.request.step_id).decided
        if decided is not None:
            self._approved(work, decided)
        else:
            self._rule(work, approved=False)

    def close(self) -> None:
        """Hear that the case or its chapter has ended: nothing is recorded any more."""
        self._over = True
        if self._spends is not None:
            self._spends.close()

    @property
    def _reserving(self) -> Reserving:
        if self._spends is None:
            self._spends = Reserving(self._services, self.history, self._works, self, self._holder)
        return self._spends

    def _rule(self, work: CallWork, *, approved: bool) -> None:
        ruling = self._services.staff.rule(work.request)
        if not ruling.verdict.allowed:
            self._refuse(work, ruling, ruling.verdict.why)
        elif ruling.approval and not approved:
            self._ask_approval(work, ruling)
        elif ruling.tier is RiskTier.READ_ONLY and ruling.micros_max == 0:
            self._run(work, ruling)
        else:
            self._intend(work, ruling)

    def _refuse(self, work: CallWork, ruling: Ruling, why: str) -> None:
        """End a call that may not be made."""
        self.end(work, work.refused(ruling.verdict, why))

    def _ask_approval(self, work: CallWork, ruling: Ruling) -> None:
        request = work.request
        self.ask(request, ruling.approval, ruling.verdict.rule, f"{request.grant.caller} wants to call {request.tool}")
        self._services.world.point("approval.asked")

    def ask(self, request: CallRequest, title: str, rule: str, summary: str) -> None:
        """Ask a person about a call that is not made yet."""
        step_id = marked(request.step_id, "approval", self.history.told(request.step_id).overdrafts)
        review, at = self._services.ask(step_id, title, request.arguments, rule, summary=summary)
        self.history.remember(step_id, review, at)

    def _approved(self, work: CallWork, decided: Decided) -> None:
        self._services.world.point("approval.heard")
        if decided.action is ReviewAction.REJECT:
            why = decided.reason or "no reason given"
            policy_hash = self._services.staff.policy_hash
            verdict = Verdict(allowed=False, rule=f"{BY_PERSON}{decided.by}", policy_hash=policy_hash, why=why)
            self._refuse(work, Ruling(verdict), f"{decided.by} rejected it: {why}")
            return
        if decided.action is ReviewAction.EDIT:
            work.request, work.edited = replace(work.request, arguments=decided.edited), True
        self._rule(work, approved=True)

    def _intend(self, work: CallWork, ruling: Ruling) -> None:
        request, services = work.request, self._services
        key = services.identify(f"{request.key.tenant}/{request.key.case_id}/{request.step_id}")
        work.intent = work.intended(ruling, key, services.world.clock.wall_micros())
        record = services.logbook.write(request.step_id, work.intent)
        self.history.remember(request.step_id, work.intent, record.at)
        services.cell.when_durable(record.seq, lambda: self._run_write(work, ruling))

    def _run_write(self, work: CallWork, ruling: Ruling) -> None:
        """Make a write whose intent is durable, unless nobody waits for it by now."""
        assert work.intent is not None, "a write has an intent"
        if work.wanted:
            self._run(work, ruling)
        else:
            why = "nobody waited for it any more, so it was not made"
            self.end(work, Undone(tool=work.intent.tool, kind=FailureKind.REFUSED, message=why))

    def _run(self, work: CallWork, ruling: Ruling) -> None:
        work.running = True
        if INNER in work.request.step_id:
            work.began = self._services.world.clock.monotonic()
        services, request, intent = self._services, work.request, work.intent
        if services.telemetry.recording:
            case_id, step_id = request.key.case_id, request.step_id
            work.span = services.telemetry.tool_call(request.tool, request.trace, case_id, step_id)
        if intent is not None and intent.accounts:
            request = replace(request, reserve=partial(self._reserving.reserve, work, intent))
        if intent is None:
            self._read(work, ruling)
            return
        key, before, staff = intent.key, intent.call_before, services.staff
        perform = partial(staff.perform, request, inputs=ruling.inputs, idempotency_key=key, call_before=before)

        async def write() -> CallResult | None:
            return await perform() if await services.cell.entitled() else None

        services.find_out("call", write, partial(self._performed, work, ruling))

    def _read(self, work: CallWork, ruling: Ruling) -> None:
        """Make a call that only reads, at once unless many were in a row; what it waits for has a job."""
        staff, request = self._services.staff, work.request
        at_once = self.prompt and self._reads % (CALLS_AT_ONCE + CHAIN_MAX) < CALLS_AT_ONCE
        self._reads += 1
        if at_once:
            # What a tool leaves in context variables is its own.
            begun = copy_context().run(staff.begin, request, ruling.inputs)
            if isinstance(begun, CallResult):
                self._performed(work, ruling, begun)
                return
            find = begun
        else:
            find = partial(staff.perform, request, inputs=ruling.inputs, idempotency_key="", call_before=0)
        self._services.find_out("call", find, partial(self._performed, work, ruling))

    def _performed(self, work: CallWork, ruling: Ruling, result: CallResult | None) -> None:
        work.running = False
        if result is None or self._over:
            return  # The case is another node's by now, or has ended.
        for number, decision in enumerate(result.decisions):
            told = replace(decision, inputs_hash=inputs_hash(work.request.arguments))
            self._services.logbook.write(marked(work.request.step_id, decision.rule, number), told)
        if work.short is not None:
            self._reserving.overdrew(work, work.short)
        elif result.held:
            self._reserving.hold(work, result)
        elif work.intent is None:
            took = self._services.world.clock.monotonic() - work.began if work.began else 0.0
            self.end(work, work.read(ruling.verdict, result, int(took * MICROS)))
        elif result.failure is FailureKind.UNKNOWN:
            self._recover(work, work.intent)
        else:
            self._end_write(work, result)

    def _recover(self, work: CallWork, intent: Intent) -> None:
        """Find out what became of a write whose end is not in the log."""
        services = self._services
        work.intent, work.running = intent, True
        request = replace(work.request, tool=intent.tool, arguments=intent.arguments)

        async def look_up() -> CallResult | None:
            # It may be made again under its key. What it may have cost is drawn by then, or it never was made.
            if not await services.cell.entitled():
                return None
            if not intent.accounts or await self._reserving.reserve(work, intent):
                key, at, before = intent.key, self.history.intended_at(request.step_id), intent.call_before
                return await services.staff.look_up(request, idempotency_key=key, intended_at=at, call_before=before)
            return CallResult(failure=FailureKind.REFUSED)

        services.find_out("look up", look_up, partial(self._looked_up, work))

    def _looked_up(self, work: CallWork, result: CallResult | None) -> None:
        work.running = False
        assert work.intent is not None, "only a write is looked up"
        if result is None or self._over:
            return
        if work.short is not None:
            self._reserving.overdrew(work, work.short)
            return
        if result.failure is not FailureKind.UNKNOWN:
            self._end_write(work, result, found_by="lookup")
            if self._holder is not None:
                self._holder.known(work.request.step_id)
            return
        step_id = marked(work.request.step_id, "unknown")
        title, asked = f"Did {work.intent.tool} happen?", work.intent.arguments
        summary = "Approve if it happened, reject if it did not; it will not be tried again by itself."
        review, at = self._services.ask(step_id, title, asked, "effect.unknown", summary=summary)
        self.history.remember(step_id, review, at)
        if self._holder is not None:
            self._holder.rest(work.request.step_id)

    def _settled_by_person(self, work: CallWork, decided: Decided) -> None:
        self._end_write(work, work.settled(decided), found_by=decided.by)

    def _end_write(self, work: CallWork, result: CallResult, *, found_by: str = "") -> None:
        assert work.intent is not None, "a write has an intent"
        tool = work.intent.tool
        if result.failure is None:
            self.end(work, Done(tool=tool, value=Raw(bytes(result.value)), cost=result.cost, found_by=found_by))
        else:
            self.end(work, Undone(tool=tool, kind=result.failure, message=result.message, cost=result.cost))

    def end(self, work: CallWork, entry: Ended) -> None:
        """Record the end of a call, and tell who waits for it."""
        step_id = work.request.step_id
        # A flow that no longer waits could not be led past the record on replay.
        self._services.logbook.write(step_id if work.wanted else marked(step_id, "late"), entry)
        if work.intent is not None and work.intent.accounts:
            self._reserving.settle(step_id, entry.cost)
        self.history.remember(step_id, entry)
        del self._works[step_id]
        if work.span is not None:
            failed = entry.failure if isinstance(entry, Call) else entry.kind if isinstance(entry, Undone) else None
            work.span.end(error=failed or "")
        work.done(entry)


def _nobody(_: Ended) -> None:
    """Hear the end of a call that nobody waits for."""
