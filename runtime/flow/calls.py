"""The life of a tool call, from the gate's ruling to its recorded end.

    ruled -> refused                                  the refusal is the record
    ruled -> approval asked -> rejected | ruled again an edit is ruled again with its new bytes
    ruled -> running -> ended                         read-only and free: only the end is recorded
    ruled -> intent (durable) -> running -> ended     everything else: nothing leaves before its intent is safe
    intent without end (after a crash, or the tool does not say) -> looked up -> ended, or a person says what happened

A recorded end is never run again. A write whose end is not known is looked up under the key and bytes fixed in its
intent, never repeated blindly. It does not know who asked for the call.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from msgspec import Raw
from msgspec.structs import replace

from casework.protocols.codec import pack
from casework.protocols.records import Call, Decided, Done, Entry, Intent, Review, ReviewAction, Undone
from casework.protocols.wire import FailureKind, RiskTier
from casework.runtime.flow.services import Services
from casework.runtime.seams import MICROS
from casework.runtime.staff import CallRequest, CallResult, Ruling
from casework.runtime.store.base import Wait, WaitKind
from casework.runtime.telemetry import SpanHandle

Ended = Call | Done | Undone


@dataclass(slots=True, eq=False)
class CallWork:
    """One call on its way."""

    request: CallRequest
    done: Callable[[Ended], None]
    review: Review | None = None
    """What a person is asked before it can go on."""
    intent: Intent | None = None
    running: bool = False
    edited: bool = False
    span: SpanHandle | None = field(default=None)


class Calls:
    """All calls of one incarnation of a case."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._works: dict[str, CallWork] = {}
        self._recorded: dict[str, list[Entry]] = {}

    def remember(self, step_id: str, entry: Entry) -> None:
        """Hear a record of an earlier incarnation that belongs to a call."""
        self._recorded.setdefault(step_id.partition(":approval")[0].partition(":unknown")[0], []).append(entry)

    @property
    def running(self) -> bool:
        """Tell whether any call is under way or about to be."""
        return any(work.review is None for work in self._works.values())

    @property
    def writing(self) -> bool:
        """Tell whether the end of any write is still open."""
        return any(work.intent is not None for work in self._works.values())

    def waits(self) -> list[Wait]:
        """Name the reviews that calls wait for."""
        reviews = [work.review for work in self._works.values() if work.review is not None]
        return [Wait(review.id, WaitKind.REVIEW, review.rule) for review in reviews]

    def waits_for_person(self, step_id: str) -> bool:
        """Tell whether a call cannot go on without a person."""
        work = self._works.get(step_id)
        return work is not None and work.review is not None

    def recorded(self, step_id: str) -> Call | Intent | None:
        """Give the first record of a call made under this step before, here or in an earlier incarnation."""
        for entry in self._recorded.get(step_id, ()):
            if isinstance(entry, Call | Intent):
                return entry
        return None

    def wrote(self, prefix: str) -> bool:
        """Tell whether any step below `prefix` has the intent of a write."""
        return any(
            isinstance(entry, Intent)
            for step_id, entries in self._recorded.items()
            if step_id.startswith(prefix)
            for entry in entries
        )

    def begin(self, request: CallRequest, done: Callable[[Ended], None]) -> None:
        """Take up a call: answer it from the log, recover it, or rule on it. `done` hears the recorded end."""
        step_id = request.step_id
        known = self._works.get(step_id)
        if known is not None:
            known.done = done
            return
        ended, intent, decided, asked = self._history(step_id)
        if ended is not None:
            done(ended)
            return
        work = CallWork(request, done)
        self._works[step_id] = work
        if asked is not None:
            work.intent, work.review = intent, asked
        elif intent is not None and decided is not None:
            work.intent = intent
            self._settled_by_person(work, decided)
        elif intent is not None:
            self._recover(work, intent)
        elif decided is not None:
            self._approved(work, decided)
        else:
            self._rule(work, approved=False)

    def decided(self, decided: Decided) -> bool:
        """Hear a person's decision; False if no call waits for it. The caller has consumed the message."""
        for work in list(self._works.values()):
            if work.review is not None and work.review.id == decided.review_id:
                mark = ":unknown" if work.intent is not None else ":approval"
                step_id = work.request.step_id + mark
                self._services.logbook.write(step_id, decided)
                self.remember(step_id, decided)
                work.review = None
                if work.intent is not None:
                    self._settled_by_person(work, decided)
                else:
                    self._approved(work, decided)
                return True
        return False

    def forget(self, step_id: str) -> None:
        """Hear that nobody waits for a call any more; a write under way is still recorded."""
        work = self._works.get(step_id)
        if work is None:
            return
        work.done = lambda _: None
        if work.review is not None and work.intent is None:
            self._services.logbook.withdraw(work.review.id)
        if not work.running and work.intent is None:
            del self._works[step_id]

    def _history(self, step_id: str) -> tuple[Ended | None, Intent | None, Decided | None, Review | None]:
        """Give what the log has of a call: its end, its open intent, the last decision, the review still open."""
        ended, intent, decided, asked = None, None, None, None
        for entry in self._recorded.get(step_id, ()):
            match entry:
                case Call() | Done() | Undone():
                    ended = entry
                case Intent():
                    intent, decided = entry, None
                case Review():
                    asked = entry
                case Decided():
                    decided, asked = entry, None
                case _:
                    continue
        return ended, intent, decided, asked

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
        request = work.request
        entry = Call(
            tool=request.tool,
            arguments=request.arguments,
            verdict=ruling.verdict,
            failure=FailureKind.REFUSED,
            message=why,
            edited=work.edited,
        )
        self._end(work, entry)

    def _ask_approval(self, work: CallWork, ruling: Ruling) -> None:
        request = work.request
        step_id = f"{request.step_id}:approval"
        work.review = self._services.ask(
            step_id,
            ruling.approval,
            request.arguments,
            ruling.verdict.rule,
            summary=f"{request.grant.caller} wants to call {request.tool}",
        )

    def _approved(self, work: CallWork, decided: Decided) -> None:
        if decided.action is ReviewAction.REJECT:
            ruling = self._services.staff.rule(work.request)
            self._refuse(work, ruling, f"{decided.by} rejected it: {decided.reason or 'no reason given'}")
            return
        if decided.action is ReviewAction.EDIT:
            work.request, work.edited = replace(work.request, arguments=decided.edited), True
        self._rule(work, approved=True)

    def _intend(self, work: CallWork, ruling: Ruling) -> None:
        request, services = work.request, self._services
        now = services.world.clock.wall_micros()
        work.intent = Intent(
            tool=request.tool,
            arguments=request.arguments,
            tier=ruling.tier,
            key=services.identify(f"{request.key.tenant}/{request.key.case_id}/{request.step_id}"),
            call_before=now + int(ruling.call_within_seconds * MICROS),
            verdict=ruling.verdict,
            edited=work.edited,
        )
        record = services.logbook.write(request.step_id, work.intent)
        self._recorded.setdefault(request.step_id, []).append(work.intent)
        services.when_durable(record.seq, lambda: self._run(work, ruling))

    def _run(self, work: CallWork, ruling: Ruling) -> None:
        work.running = True
        services, request = self._services, work.request
        work.span = services.telemetry.tool_call(request.tool, request.trace, request.key.case_id, request.step_id)
        key = work.intent.key if work.intent else ""
        before = work.intent.call_before if work.intent else 0

        async def perform() -> None:
            result = await services.staff.perform(request, idempotency_key=key, call_before=before)
            services.tell(lambda: self._performed(work, ruling, result))

        services.job(perform)

    def _performed(self, work: CallWork, ruling: Ruling, result: CallResult) -> None:
        work.running = False
        if work.intent is None:
            request = work.request
            entry = Call(
                tool=request.tool,
                arguments=request.arguments,
                verdict=ruling.verdict,
                value=result.value,
                failure=result.failure,
                message=result.message,
                cost=result.cost,
                tries=result.tries,
                edited=work.edited,
            )
            self._end(work, entry)
        elif result.failure is FailureKind.UNKNOWN:
            self._recover(work, work.intent)
        else:
            self._end_write(work, result)

    def _recover(self, work: CallWork, intent: Intent) -> None:
        """Find out what became of a write whose end is not in the log."""
        services = self._services
        work.intent, work.running = intent, True
        request = replace(work.request, arguments=intent.arguments)

        async def look_up() -> None:
            result = await services.staff.look_up(request, idempotency_key=intent.key)
            services.tell(lambda: self._looked_up(work, result))

        services.job(look_up)

    def _looked_up(self, work: CallWork, result: CallResult) -> None:
        work.running = False
        assert work.intent is not None, "only a write is looked up"
        if result.failure is not FailureKind.UNKNOWN:
            self._end_write(work, result, found_by="lookup")
            return
        step_id = f"{work.request.step_id}:unknown"
        work.review = self._services.ask(
            step_id,
            f"Did {work.intent.tool} happen?",
            work.intent.arguments,
            "effect.unknown",
            summary="Approve if it happened, reject if it did not; it will not be tried again by itself.",
        )

    def _settled_by_person(self, work: CallWork, decided: Decided) -> None:
        if decided.action is ReviewAction.REJECT:
            result = CallResult(failure=FailureKind.ERROR, message=f"{decided.by} says that it did not happen")
        else:
            result = CallResult(value=pack(None))
        self._end_write(work, result, found_by=decided.by)

    def _end_write(self, work: CallWork, result: CallResult, *, found_by: str = "") -> None:
        assert work.intent is not None, "a write has an intent"
        tool = work.intent.tool
        if result.failure is None:
            self._end(work, Done(tool=tool, value=Raw(bytes(result.value)), cost=result.cost, found_by=found_by))
        else:
            self._end(work, Undone(tool=tool, kind=result.failure, message=result.message))

    def _end(self, work: CallWork, entry: Ended) -> None:
        step_id = work.request.step_id
        self._services.logbook.write(step_id, entry)
        self._recorded.setdefault(step_id, []).append(entry)
        del self._works[step_id]
        if work.span is not None:
            failed = entry.failure if isinstance(entry, Call) else entry.kind if isinstance(entry, Undone) else None
            work.span.end(error=failed or "")
        work.done(entry)
