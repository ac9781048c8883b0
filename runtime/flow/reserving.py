"""What calls draw from budgets that cases share, and what becomes of one for which too little is left.

Before a call that costs something is made, the most that it can cost is drawn from its accounts, under an id that is
its step's; the append that records its end settles what it did cost. Both may be asked for again and again, so
neither a replay nor a recovery draws twice or forgets. The log has it all: an intent names accounts and amount, an
end the cost, and a decision what was chosen when too little was left.
It does not know how a call is made, nor who sets limits.
"""

from collections.abc import MutableMapping, Sequence
from functools import partial
from typing import Final, Protocol

from msgspec.structs import replace

from casework.protocols.codec import inputs_hash
from casework.protocols.records import Arrived, Decision, Intent, Undone, Unparked
from casework.protocols.wire import Cost, FailureKind, OnStop
from casework.runtime.flow.callhistory import CHEAPER, CallHistory, Ended, cheaper_tool
from casework.runtime.flow.callwork import CallWork
from casework.runtime.flow.replay import marked
from casework.runtime.flow.services import Services
from casework.runtime.staff import CallRequest, CallResult
from casework.runtime.store.accounts import Drawn, Overdrawn, Settlement, draw_id, parts_of
from casework.runtime.store.base import Record
from casework.runtime.switches import switch_key

#: Marks what is told of a call for which too little was left.
BUDGET: Final = "budget"
#: The same of one that something paused holds; logs of earlier versions have that under `BUDGET` too.
SWITCH: Final = "switch"


def budget_key(account: str) -> str:
    """Name what a case waits for that waits for an account's limit to be raised."""
    return f"budget:{account}"


class Holder(Protocol):
    """Who works on tasks, as the calls inside them see it."""

    def rest(self, step_id: str) -> bool:
        """Let the task rest inside which a call is made, which waits; False if it is in none that goes on."""
        ...

    def known(self, step_id: str) -> None:
        """Hear what became of a write, of which nothing was known for a while."""
        ...

    def wake(self) -> None:
        """Send those on their way again whose call waits no longer."""
        ...


class Maker(Protocol):
    """Who makes calls."""

    def go_on(self, work: CallWork) -> None:
        """Rule on a call."""
        ...

    def ask(self, request: CallRequest, title: str, rule: str, summary: str) -> None:
        """Ask a person about a call that is not made yet."""
        ...

    def end(self, work: CallWork, entry: Ended) -> None:
        """Record the end of a call."""
        ...


class Reserving:
    """The draws and settlements of one incarnation of a case."""

    def __init__(
        self,
        services: Services,
        history: CallHistory,
        works: MutableMapping[str, CallWork],
        maker: Maker,
        holder: Holder | None,
    ) -> None:
        """Make it; `holder` works on the tasks inside which calls are made."""
        self._services = services
        self._history = history
        self._works = works
        self._maker = maker
        self._holder = holder
        self._looking: set[str] = set()
        self._over = False

    @property
    def looking(self) -> bool:
        """Tell whether it is being found out if enough is left by now for a call that waits."""
        return bool(self._looking)

    def close(self) -> None:
        """Hear that nothing is recorded any more."""
        self._over = True

    async def reserve(self, work: CallWork, intent: Intent) -> bool:
        """Draw what a call may cost; False if too little is left. If cancelled, ask again."""
        drawn = await self._services.purse.draw(self._id(work.request.step_id), intent.accounts, intent.micros)
        if isinstance(drawn, Drawn):
            work.short = None
        else:  # Under one id one amount is drawn: another than before is not to be had.
            work.short = drawn if isinstance(drawn, Overdrawn) else Overdrawn(intent.accounts[0], 0)
        return work.short is None

    def settle(self, step_id: str, cost: Cost) -> None:
        """Say with the record of a call's end what it did cost."""
        services = self._services
        at = services.world.clock.wall_micros()
        services.logbook.settle(Settlement(self._id(step_id), cost.micros, at))

    def overdrew(self, work: CallWork, short: Overdrawn) -> None:
        """Carry out what the policy says of a call for which too little is left; it was not made."""
        intent, step_id, maker = work.intent, work.request.step_id, self._maker
        assert intent is not None, "what costs something is intended first"
        if not work.wanted and not self._rests(step_id):
            why = f"{short.left_micros} is left of {short.account}, and nobody waits for it any more"
            maker.end(work, Undone(tool=intent.tool, kind=FailureKind.REFUSED, message=why))
            return
        work.intent, work.short = None, None
        work.request = replace(work.request, tool=intent.tool, arguments=intent.arguments)
        decision = self._decide(work.request, intent, short)
        record = self._write(step_id, decision, self._history.told(step_id).overdrafts)
        if decision.chosen == OnStop.FAIL:
            why = f"{decision.rule}: {decision.why}"
            maker.end(work, Undone(tool=intent.tool, kind=FailureKind.REFUSED, message=why))
            return
        if cheaper_tool(decision) and work.wanted:
            work.request = replace(work.request, tool=cheaper_tool(decision))
            maker.go_on(work)
            return
        if decision.chosen == OnStop.REVIEW:
            title = f"Too little is left for {intent.tool}: try it again?"
            maker.ask(work.request, title, decision.rule, f"{decision.why}; approve once the limit is raised.")
        elif decision.chosen == OnStop.PARK:
            # A limit that is raised before everybody can see that it is waited for is seen here.
            self._services.cell.when_durable(record.seq, lambda: self.look(step_id))
        if cheaper_tool(decision) or self._rests(step_id):
            # Its agent asks for it again, and finds in the log what was decided.
            del self._works[step_id]

    def hold(self, work: CallWork, result: CallResult) -> None:
        """Let a call wait until what holds it is resumed; it was not made."""
        step_id, maker = work.request.step_id, self._maker
        if not work.wanted and not self._rests(step_id):
            if work.intent is not None:
                maker.end(work, Undone(tool=work.intent.tool, kind=FailureKind.REFUSED, message=result.message))
            else:
                del self._works[step_id]  # Nobody waits for what it holds, so neither does the case.
            return
        if work.intent is not None:
            work.request = replace(work.request, tool=work.intent.tool, arguments=work.intent.arguments)
            work.intent = None
        decision = Decision(
            subject=switch_key(result.held),
            options=(OnStop.PARK,),
            chosen=OnStop.PARK,
            rule="switch",
            why=result.message,
            policy_hash=self._services.staff.policy_hash,
        )
        record = self._write(step_id, decision, self._history.told(step_id).overdrafts)
        self._services.cell.when_durable(record.seq, lambda: self._recheck(step_id, result.held))
        if self._rests(step_id):
            del self._works[step_id]

    def _recheck(self, step_id: str, target: str) -> None:
        """Go on if what holds a call was resumed before everybody could see that it is waited for."""
        held = step_id in self._history.short and not self._over
        if held and self._services.staff.lifted(target):
            self._resume([step_id], Unparked(key=switch_key(target)))

    def arrived(self, arrived: Arrived) -> bool:
        """Hear that the limit of a budget was raised; False if no call waits for that. The caller consumes it."""
        steps = [step for step, decision in self._history.short.items() if decision.subject == arrived.key]
        self._resume(steps, arrived)
        return bool(steps)

    def look(self, step_id: str) -> None:
        """Find out whether by now enough is left for a call that waits; its limit may have been raised meanwhile."""
        services, decision = self._services, self._history.short.get(step_id)
        if decision is None or self._over:
            return
        account, micros = decision.subject.partition(":")[2], self._history.micros(step_id)
        self._looking.add(step_id)

        def looked(left: int) -> None:
            self._looked(step_id, enough=left >= micros)

        services.find_out("look", partial(services.purse.left, account), looked)

    def unpark(self, step_id: str) -> None:
        """Hear that nobody waits any more for a call that waits."""
        self._write(step_id, Unparked(key=self._history.short[step_id].subject))

    def _looked(self, step_id: str, *, enough: bool) -> None:
        self._looking.discard(step_id)
        decision = self._history.short.get(step_id)
        if decision is not None and enough and not self._over:
            self._resume([step_id], Unparked(key=decision.subject))

    def _resume(self, steps: Sequence[str], entry: Arrived | Unparked) -> None:
        """Let calls go on that waited, at once or when their agents ask for them again."""
        for step_id in steps:
            self._write(step_id, entry)
            work = self._works.get(step_id)
            if work is not None and self._rests(step_id):
                del self._works[step_id]
            elif work is not None:
                self._maker.go_on(work)
        if self._holder is not None:
            self._holder.wake()

    def _id(self, step_id: str) -> str:
        return draw_id(self._services.key, step_id, self._services.number)

    def _rests(self, step_id: str) -> bool:
        """Have the task rest inside which a call is made; False if it is in none that goes on."""
        return self._holder is not None and self._holder.rest(step_id)

    def _write(self, step_id: str, entry: Decision | Arrived | Unparked, number: int = 0) -> Record:
        subject = entry.subject if isinstance(entry, Decision) else entry.key
        mark = marked(step_id, SWITCH if subject.startswith(f"{SWITCH}:") else BUDGET, number)
        record = self._services.logbook.write(mark, entry)
        self._history.remember(mark, entry, record.at)
        return record

    def _decide(self, request: CallRequest, intent: Intent, short: Overdrawn) -> Decision:
        """Choose what becomes of a call for which too little is left."""
        services = self._services
        overdraft = services.staff.budgets.overdrawn(intent.tool)
        chosen: str = overdraft.then
        why = f"{intent.tool} may cost {intent.micros} and {short.left_micros} is left of {short.account}"
        if overdraft.cheaper:
            verdict = services.staff.rule(replace(request, tool=overdraft.cheaper)).verdict
            chosen = f"{CHEAPER}{overdraft.cheaper}" if verdict.allowed else chosen
            why = why if verdict.allowed else f"{why}; {overdraft.cheaper} is not allowed: {verdict.rule}"
        return Decision(
            subject=budget_key(short.account),
            options=(*((f"{CHEAPER}{overdraft.cheaper}",) if overdraft.cheaper else ()), *OnStop),
            chosen=chosen,
            rule=f"budget.{parts_of(short.account)[0]}",
            why=why,
            inputs_hash=inputs_hash(request.arguments),
            policy_hash=services.staff.policy_hash,
        )
