"""Whether what failed is tried again: one pure decision by tier and kind of failure.

    tier           tried again when
    READ_ONLY      the failure may pass (timeout, unavailable, or said to be retryable), up to the attempts
    REVERSIBLE     nobody began it (unavailable and retryable), up to the attempts
    IRREVERSIBLE   never

It does not know what the task is about, nor waits for anything.
"""

from typing import Final

from casework.actors.policy import Policy, policy_hash
from casework.protocols.records import Decision
from casework.protocols.wire import Failed, FailureKind, RiskTier, Task
from casework.runtime.staff import Retry

#: Kinds that trying again can never cure: a rule said no, the data is wrong, or a write may have happened.
FINAL: Final = frozenset({FailureKind.REFUSED, FailureKind.INVALID, FailureKind.UNKNOWN})
#: Kinds that may pass by themselves.
PASSING: Final = frozenset({FailureKind.TIMEOUT, FailureKind.UNAVAILABLE})
OPTIONS: Final = ("retry", "stop")


def decide_retry(policy: Policy, task: Task, failed: Failed, attempt: int) -> Retry:
    """Decide on the failure of `attempt`, counted from 1; the delay is in seconds."""
    retries = policy.retry.reversible if task.risk_tier is RiskTier.REVERSIBLE else policy.retry.read_only
    attempts = min(task.attempts, retries.attempts)
    again, rule, why = _judge(task.risk_tier, failed, attempt, attempts)
    decision = Decision(
        subject=f"retry {task.task}",
        options=OPTIONS,
        chosen=OPTIONS[0] if again else OPTIONS[1],
        rule=rule,
        why=why,
        policy_hash=policy_hash(policy),
    )
    return Retry(again, retries.delay_seconds(attempt) if again else 0.0, decision)


def tell_reread(policy: Policy, tool: str, kind: FailureKind, tries: int, *, again: bool) -> Decision:
    """Tell whether a tool that only reads is read again within one call, after so many tries."""
    attempts = policy.retry.read_only.attempts
    last = "retry.attempts" if tries >= attempts else "retry.final"
    return Decision(
        subject=f"retry {tool}",
        options=OPTIONS,
        chosen=OPTIONS[0] if again else OPTIONS[1],
        rule=f"retry.{RiskTier.READ_ONLY}" if again else last,
        why=f"{kind} at try {tries} of {attempts}",
        policy_hash=policy_hash(policy),
    )


def _judge(tier: RiskTier, failed: Failed, attempt: int, attempts: int) -> tuple[bool, str, str]:
    kind = failed.kind
    if kind in FINAL:
        return False, "retry.final", f"{kind} is not cured by trying again"
    if tier is RiskTier.IRREVERSIBLE:
        return False, "retry.irreversible", "what is irreversible is never tried again"
    if tier is RiskTier.REVERSIBLE and not (kind is FailureKind.UNAVAILABLE and failed.retryable):
        return False, "retry.reversible", f"after {kind} a write may have begun"
    if kind not in PASSING and not failed.retryable:
        return False, "retry.final", f"{kind} was said not to pass"
    if attempt >= attempts:
        return False, "retry.attempts", f"attempt {attempt} of {attempts} was the last"
    return True, f"retry.{tier}", f"{kind} at attempt {attempt} of {attempts}"
