"""What must hold of every run of every crew, each as a small check over what the run has left.

It does not know a crew's own rules; those are invariants of its scenario.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from casework.actors.costs import By, attributed, costs_of
from casework.actors.simulation.finished import Finished, Line
from casework.actors.simulation.scenario import Invariant
from casework.protocols.records import Call, Child, Decided, Done, Halted, Intent, ReviewAction, Undone
from casework.protocols.wire import Task
from casework.runtime.flow.replay import INNER, split_mark
from casework.runtime.store.base import CaseStatus, WaitKind

#: How the addresses of cases' cells begin.
CELLS: Final = "case:"

#: (case id or empty, what is wrong).
Broken = tuple[str, str]


def case_lost(finished: Finished) -> Iterator[Broken]:
    """Find cases that somebody was told are open, or that another case opened, and that are not there."""
    for case_id in finished.opened:
        if case_id not in finished.rows:
            yield case_id, "was opened, but is not there"
    for parent, lines in finished.lines.items():
        for line in lines:
            if isinstance(line.entry, Child) and line.entry.case_id not in finished.rows:
                yield line.entry.case_id, f"was opened by {parent}, but is not there"


def effect_twice(finished: Finished) -> Iterator[Broken]:
    """Find writes that happened twice: under one key, or for one step."""
    keys = Counter((each.case_id, each.tool, each.key) for each in finished.effects)
    for (case_id, tool, key), times in keys.items():
        if times > 1:
            yield case_id, f"{tool} happened {times} times under key {key[:12]}"
    keys_of_steps: dict[tuple[str, str], dict[str, None]] = {}
    for each in finished.effects:
        keys_of_steps.setdefault((each.case_id, each.step_id), {})[each.key] = None
    for (case_id, step_id), different in keys_of_steps.items():
        if len(different) > 1:
            yield case_id, f"step {step_id} had its effect under {len(different)} different keys"


def effect_denied(finished: Finished) -> Iterator[Broken]:
    """Find writes that nobody allowed: denied by a rule or a person, or never intended in the log."""
    intended, denied = _intended(finished), _denied(finished)
    for each in finished.effects:
        place = (each.case_id, each.step_id)
        if each.tool in finished.crew.policy.denied:
            yield each.case_id, f"{each.tool} happened, although the policy denies it"
        elif place in denied:
            yield each.case_id, f"{each.tool} happened at step {each.step_id}, although {denied[place]} said no"
        elif place not in intended:
            yield each.case_id, f"{each.tool} happened at step {each.step_id}, although the log intends no such write"


def budget_exceeded(finished: Finished) -> Iterator[Broken]:
    """Find tasks that used more calls or more money than they were given."""
    for case_id, lines in finished.lines.items():
        for line in lines:
            if isinstance(line.entry, Task):
                yield from _overspent(case_id, line.entry, lines)


def unended(finished: Finished) -> Iterator[Broken]:
    """Find cases that have neither ended nor wait for something that has a name; and any that differ from their log."""
    for case_id, row in finished.rows.items():
        halted = [line.entry.reason for line in finished.lines[case_id] if isinstance(line.entry, Halted)]
        wrong = [reason for reason in halted if not reason.startswith("poison")]
        if wrong:
            yield case_id, f"cannot go on by itself: {wrong[0]}"
        elif row.status is CaseStatus.OPEN:
            yield case_id, "has not ended, although nothing goes wrong any more"
        elif row.status is CaseStatus.PARKED and not any(wait.key or wait.kind is WaitKind.CHILD for wait in row.waits):
            yield case_id, "is parked, but waits for nothing that has a name"
        elif row.status is CaseStatus.PARKED and not finished.ended:
            waits = ", ".join(f"{wait.kind} {wait.key}" for wait in row.waits)
            yield case_id, f"never came to rest, and waits for {waits}"


def log_broken(finished: Finished) -> Iterator[Broken]:
    """Find logs whose chain does not verify."""
    for found in finished.broken_logs:
        yield found.key.case_id, f"at record {found.seq}: {found.why}"


def message_lost(finished: Finished) -> Iterator[Broken]:
    """Find nodes whose messages do not add up: sent are accepted or refused, and each accepted one has one fate."""
    for node, system in finished.systems.items():
        try:
            system.check_conservation()
        except AssertionError as error:
            yield "", f"node {node}: {error}"


def dead_letter(finished: Finished) -> Iterator[Broken]:
    """Find messages to agents or their supervisor that were accepted and that nobody handled.

    A case's cell ends whenever its case closes, rests, or is another node's: what it still had to hear is in the store.
    """
    for node, system in finished.systems.items():
        for letter in system.dead_letters:
            receiver = letter.envelope.receiver
            if not receiver.startswith(CELLS):
                yield "", f"node {node}: a message to {receiver} was handled by nobody: {letter.why}"


def attempt_lost(finished: Finished) -> Iterator[Broken]:
    """Find attempts at tasks that were neither answered nor with an agent, nor waiting for one, until taken back."""
    for task in finished.lost:
        yield task.case_id, f"{task.step_id} was given out, and nobody had it any more"


def budget_overspent(finished: Finished) -> Iterator[Broken]:
    """Find budgets that cases share and overspent, or of which the logs say something else than the ledgers."""
    costs = [costs_of(row.key, finished.records[case_id]) for case_id, row in finished.rows.items()]
    calls = [call for each in costs for call in each.spent()]
    kept = {account.name: account.spent_micros for account in finished.accounts}
    for account in finished.accounts:
        if account.left_micros < 0:
            yield "", f"budget {account.name} is overspent by {-account.left_micros} millionths"
    for by in By:
        for name, spent in attributed(calls, by).items():
            if by is not By.TOOL and name and spent.spent != kept.get(name, 0):
                yield "", f"budget {name} spent {kept.get(name, 0)} millionths, and the logs say {spent.spent}"


#: In the order in which they are told.
BUILT_IN: Final = (
    Invariant("case_lost", "no case is lost", case_lost),
    Invariant("effect_twice", "no effect happens twice", effect_twice),
    Invariant("effect_denied", "no effect happens after a denial", effect_denied),
    Invariant("attempt_lost", "no attempt at a task is lost", attempt_lost),
    Invariant("budget_exceeded", "no task uses more than its budget", budget_exceeded),
    Invariant("budget_overspent", "no budget that cases share is overspent", budget_overspent),
    Invariant("unended", "every case ends, or waits for something that has a name", unended),
    Invariant("log_broken", "every log's chain verifies", log_broken),
    Invariant("message_lost", "every message is accounted for", message_lost),
    Invariant("dead_letter", "no accepted message is left to nobody", dead_letter),
)


def _intended(finished: Finished) -> set[tuple[str, str]]:
    return {
        (case_id, line.step_id)
        for case_id, lines in finished.lines.items()
        for line in lines
        if isinstance(line.entry, Intent)
    }


def _denied(finished: Finished) -> dict[tuple[str, str], str]:
    """Give who said no, by case and step of the call."""
    denied: dict[tuple[str, str], str] = {}
    for case_id, lines in finished.lines.items():
        for line in lines:
            match line.entry:
                case Call(verdict=verdict) if not verdict.allowed:
                    denied[case_id, split_mark(line.step_id)[0]] = f"rule {verdict.rule}"
                case Decided(action=ReviewAction.REJECT, by=by):
                    step_id, mark = split_mark(line.step_id)
                    if mark == "approval":
                        denied[case_id, step_id] = by
                case _:
                    pass
    return denied


def _overspent(case_id: str, task: Task, lines: Iterable[Line]) -> Iterator[Broken]:
    calls: dict[str, None] = {}
    micros = 0
    for line in lines:
        if not line.step_id.startswith(f"{task.step_id}{INNER}"):
            continue
        if isinstance(line.entry, Intent) or (isinstance(line.entry, Call) and line.entry.verdict.allowed):
            calls[split_mark(line.step_id)[0]] = None
        if isinstance(line.entry, Call | Done | Undone):
            micros += line.entry.cost.micros
    if len(calls) > task.budget.calls:
        yield case_id, f"task {task.step_id} made {len(calls)} calls, and was given {task.budget.calls}"
    if micros > task.budget.micros:
        yield case_id, f"task {task.step_id} cost {micros} millionths, and was given {task.budget.micros}"
