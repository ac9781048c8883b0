"""Supervision as the full matrix: restart type by exit by what happened before."""

import itertools

import pytest

from casework.runtime.lifecycle import LEGAL, Exit, Phase, advance
from casework.runtime.supervision import Restart, Strategy, Verdict, affected, decide, within_period

FAILURES = (Exit.KILLED, Exit.FAILED, Exit.ESCALATED)

MATRIX = {
    **{(restart, exit_): Verdict.FORGET for restart in Restart for exit_ in (Exit.SHUTDOWN, Exit.PASSIVATED)},
    **{(restart, Exit.RECYCLED): Verdict.RESTART for restart in Restart},
    **{(Restart.TEMPORARY, exit_): Verdict.FORGET for exit_ in Exit},
    **{(Restart.TRANSIENT, exit_): Verdict.RESTART for exit_ in FAILURES},
    **{(Restart.PERMANENT, exit_): Verdict.RESTART for exit_ in FAILURES},
    (Restart.TRANSIENT, Exit.NORMAL): Verdict.FORGET,
    (Restart.PERMANENT, Exit.NORMAL): Verdict.RESTART,
}

CASES = list(itertools.product(Restart, Exit))
NAMES = [f"{restart.value}-{exit_.value}" for restart, exit_ in CASES]


@pytest.mark.promise("KERNEL-8")
@pytest.mark.parametrize(("restart", "exit_"), CASES, ids=NAMES)
def test_below_the_limit(restart: Restart, exit_: Exit) -> None:
    assert decide(restart, exit_, [0.0, 1.0], 3) is MATRIX[restart, exit_]


@pytest.mark.promise("KERNEL-8")
@pytest.mark.parametrize(("restart", "exit_"), CASES, ids=NAMES)
def test_at_the_limit_what_would_be_restarted_escalates(restart: Restart, exit_: Exit) -> None:
    fails = MATRIX[restart, exit_] is Verdict.RESTART and exit_ is not Exit.RECYCLED
    expected = Verdict.ESCALATE if fails else MATRIX[restart, exit_]
    assert decide(restart, exit_, [0.0, 1.0, 2.0], 3) is expected


@pytest.mark.promise("KERNEL-8")
@pytest.mark.parametrize("restart", [Restart.PERMANENT, Restart.TRANSIENT], ids=lambda restart: restart.value)
def test_the_end_that_a_sibling_caused_is_never_one_too_many(restart: Restart) -> None:
    assert decide(restart, Exit.RECYCLED, [0.0] * 10, 0) is Verdict.RESTART


@pytest.mark.parametrize(("restart", "exit_"), CASES, ids=NAMES)
def test_an_intensity_of_zero_never_restarts_after_a_failure(restart: Restart, exit_: Exit) -> None:
    assert decide(restart, exit_, [], 0) is not Verdict.RESTART or exit_ is Exit.RECYCLED


def test_restarts_before_the_period_do_not_count() -> None:
    assert within_period([0.0, 5.0, 6.0, 9.0], now=10.0, period_seconds=5.0) == [6.0, 9.0]


#: Who ends and starts again with each one of four children.
AFFECTED = {
    (Strategy.ONE_FOR_ONE, "a"): "",
    (Strategy.ONE_FOR_ONE, "b"): "",
    (Strategy.ONE_FOR_ONE, "c"): "",
    (Strategy.ONE_FOR_ONE, "d"): "",
    (Strategy.REST_FOR_ONE, "a"): "bcd",
    (Strategy.REST_FOR_ONE, "b"): "cd",
    (Strategy.REST_FOR_ONE, "c"): "d",
    (Strategy.REST_FOR_ONE, "d"): "",
    (Strategy.ONE_FOR_ALL, "a"): "bcd",
    (Strategy.ONE_FOR_ALL, "b"): "acd",
    (Strategy.ONE_FOR_ALL, "c"): "abd",
    (Strategy.ONE_FOR_ALL, "d"): "abc",
}
TOGETHER = list(itertools.product(Strategy, "abcd"))


@pytest.mark.promise("KERNEL-8")
@pytest.mark.parametrize(("strategy", "failed"), TOGETHER, ids=[f"{one.value}-{name}" for one, name in TOGETHER])
def test_who_ends_and_starts_again_with_a_failed_child(strategy: Strategy, failed: str) -> None:
    assert affected(strategy, tuple("abcd"), failed) == tuple(AFFECTED[strategy, failed])


@pytest.mark.promise("KERNEL-8")
@pytest.mark.parametrize("strategy", Strategy, ids=lambda strategy: strategy.value)
def test_an_only_child_affects_nobody(strategy: Strategy) -> None:
    assert affected(strategy, ["only"], "only") == ()


@pytest.mark.parametrize(("now", "to"), list(itertools.product(Phase, Phase)), ids=lambda phase: phase.value)
def test_a_phase_advances_only_as_the_table_says(now: Phase, to: Phase) -> None:
    if to in LEGAL[now]:
        assert advance(now, to) is to
    else:
        with pytest.raises(AssertionError, match=f"from {now.value} to {to.value}"):
            advance(now, to)
