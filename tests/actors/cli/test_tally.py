"""Many seeds in numbers: whatever order they come in, the sum is the same, and the first failing seeds are kept."""

import random

from casework.actors.cli.simulated import Manner, Rates, deaths, failure_lines, summary_lines, timeline
from casework.actors.cli.tally import KEPT_MAX, Tally
from casework.actors.simulation.report import SeedReport, Violation
from casework.runtime.simulation import FaultPlan


def report(seed: int, *broken: str) -> SeedReport:
    return SeedReport(
        seed=seed,
        plan=FaultPlan(),
        violations=tuple(Violation(name, "r-1", f"what {name} says") for name in broken),
        case_runs=2,
        steps=10,
        seconds=60.0,
        ends={"completed": 1, "waits for operator": 1},
        points={"append.before": seed, "append.after": 0},
        faults={"loss": 1},
    )


def test_the_order_of_seeds_changes_nothing() -> None:
    reports = [report(seed, *(["lost"] if seed % 2 else [])) for seed in range(500)]
    tallies = []
    for order in range(2):
        random.Random(order).shuffle(reports)
        tally = Tally()
        for each in reports:
            tally.add(each, 0.5)
        tallies.append(tally)
    first, second = tallies
    assert [each.seed for each in first.failures] == [each.seed for each in second.failures] == list(range(1, 200, 2))
    assert len(first.failures) == KEPT_MAX
    assert (first.failing, first.broken, first.faults) == (250, {"lost": 250}, {"loss": 500})
    assert first.case_runs_per_cpu_second == 4.0
    assert first.never_hit(["append.after", "append.before", "store.claim.before"]) == [
        "append.after",
        "store.claim.before",
    ]


def test_a_summary_names_each_broken_invariant_with_its_first_seed() -> None:
    tally = Tally()
    for seed, broken in ((4, "lost"), (2, "twice"), (3, "lost")):
        tally.add(report(seed, broken), 1.0)
    lines = list(summary_lines(tally, Rates(2.0, 2), ["append.after"]))
    assert lines == [
        "3 seeds, 6 case-runs, 3 minutes of virtual time",
        "1.5 seeds/s on 2 processes, 2 case-runs per CPU-second",
        "cases in the end: completed 3, waits for operator 3",
        "faults that struck: loss 3",
        "points that were passed: 1; never: append.after",
        "3 seeds broke an invariant:",
        "  lost in 2 seeds, first in seed 3",
        "  twice in 1 seed, first in seed 2",
    ]


def test_nothing_at_all_is_a_summary_too_that_claims_nothing() -> None:
    first, *_, last = summary_lines(Tally(), Rates(0.0, 1), [])
    assert first == "0 seeds, 0 case-runs, 0 seconds of virtual time"
    assert last == "no seed was run to its end, so nothing is known"


def test_a_failing_seed_is_told_with_the_command_that_a_shell_takes() -> None:
    lines = list(failure_lines(report(7, "lost", "lost"), Manner("a:crew", '{"loss": 0.1}')))
    assert lines == [
        "seed 7 broke lost",
        "  lost: what lost says",
        "  lost: what lost says",
        "  digest: none, it broke off",
        "  again:  casework simulate a:crew --seed 7 --faults '{\"loss\": 0.1}'",
    ]


def test_a_timeline_tells_what_happened_and_leaves_housekeeping_out() -> None:
    told = (
        "0.000000 a.1 renew NoneType",
        "0.500000 a.1 append Appended r-1 #2 done pay",
        "0.600000 b.2 append Fenced r-1 #2 done pay",
        "1.000000 b.2 died at append.before",
        "1.500000 loss!",
        "2.000000 b has its clock +3.000 s off",
        "60.000000 healed",
        "61.000000 CaseKey(tenant='default', case_id='r-1') 4 1bdc5fd23d39f84302ba",
    )
    assert [(at.strip(), who, what) for at, who, what in timeline(told)] == [
        ("0.500", "a.1", "append r-1 #2 done pay"),
        ("0.600", "b.2", "append r-1 #2 done pay: Fenced"),
        ("1.000", "b.2", "died at append.before"),
        ("1.500", "", "fault: a message is lost"),
        ("2.000", "", "b has its clock +3.000 s off"),
        ("60.000", "", "healed"),
        ("61.000", "", "r-1 has 4 records, head 1bdc5fd23d39"),
    ]
    assert deaths(told) == {"append.before": 1}
