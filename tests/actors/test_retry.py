"""The table of retries, row by row."""

import pytest

from casework.actors.policy import policy_hash
from casework.actors.retry import decide_retry
from casework.protocols.wire import Failed, FailureKind, RiskTier
from tests.support.staff_scene import Scene

READ, UNDO, FINAL = RiskTier.READ_ONLY, RiskTier.REVERSIBLE, RiskTier.IRREVERSIBLE
KIND = FailureKind

#: tier, kind, said to be retryable, attempt, tried again, rule
TABLE = [
    (READ, KIND.TIMEOUT, False, 1, True, "retry.read_only"),
    (READ, KIND.UNAVAILABLE, False, 2, True, "retry.read_only"),
    (READ, KIND.UNAVAILABLE, True, 3, False, "retry.attempts"),
    (READ, KIND.ERROR, True, 1, True, "retry.read_only"),
    (READ, KIND.ERROR, False, 1, False, "retry.final"),
    (READ, KIND.CRITERION, True, 1, True, "retry.read_only"),
    (READ, KIND.CRITERION, False, 1, False, "retry.final"),
    (READ, KIND.REFUSED, True, 1, False, "retry.final"),
    (READ, KIND.INVALID, True, 1, False, "retry.final"),
    (READ, KIND.UNKNOWN, True, 1, False, "retry.final"),
    (UNDO, KIND.UNAVAILABLE, True, 1, True, "retry.reversible"),
    (UNDO, KIND.UNAVAILABLE, True, 2, False, "retry.attempts"),
    (UNDO, KIND.UNAVAILABLE, False, 1, False, "retry.reversible"),
    (UNDO, KIND.TIMEOUT, True, 1, False, "retry.reversible"),
    (UNDO, KIND.ERROR, True, 1, False, "retry.reversible"),
    (UNDO, KIND.UNKNOWN, True, 1, False, "retry.final"),
    (FINAL, KIND.UNAVAILABLE, True, 1, False, "retry.irreversible"),
    (FINAL, KIND.TIMEOUT, True, 1, False, "retry.irreversible"),
]


@pytest.mark.promise("RETRY-1")
@pytest.mark.parametrize(("tier", "kind", "retryable", "attempt", "again", "rule"), TABLE)
def test_a_task_is_tried_again_as_its_tier_and_failure_say(
    scene: Scene, tier: RiskTier, kind: FailureKind, retryable: bool, attempt: int, again: bool, rule: str
) -> None:
    policy = scene.policy()
    failed = Failed(task_id="t1", kind=kind, message="no", retryable=retryable)
    retry = decide_retry(policy, scene.task(tier=tier), failed, attempt)
    assert (retry.again, retry.decision.rule) == (again, rule)
    assert retry.decision.options == ("retry", "stop")
    assert retry.decision.chosen == ("retry" if again else "stop")
    assert retry.decision.policy_hash == policy_hash(policy)
    assert retry.decision.why


def test_the_delay_grows_up_to_its_bound(scene: Scene) -> None:
    policy = scene.policy("[retry.read_only]\nattempts = 99\nbackoff_seconds = 1\nfactor = 3\ndelay_seconds_max = 20\n")
    failed = Failed(task_id="t1", kind=KIND.TIMEOUT, message="no")
    task = scene.task(attempts=99)
    delays = [decide_retry(policy, task, failed, attempt).delay_seconds for attempt in (1, 2, 3, 4, 90)]
    assert delays == [1, 3, 9, 20, 20]


def test_neither_contract_nor_policy_alone_gives_more_attempts(scene: Scene) -> None:
    failed = Failed(task_id="t1", kind=KIND.TIMEOUT, message="no")
    assert not decide_retry(scene.policy(), scene.task(attempts=1), failed, 1).again
    assert not decide_retry(scene.policy("[retry.read_only]\nattempts = 1\n"), scene.task(attempts=9), failed, 1).again
