"""How the cases of a run ended, and why a task came to nothing: a crew that never succeeds breaks no invariant."""

from dataclasses import replace

from casework.actors import Work
from casework.actors.simulation import run_seed
from casework.protocols import RiskTier
from casework.runtime import Case
from casework.runtime.simulation import FaultPlan
from tests.support.shop_crew import Refund, make_crew, settle


async def refund(case: Case, inputs: Refund) -> str:
    paid = await case.delegate(
        "settle", inputs, returns=str, goal="Pay it", tools=["bank.pay"], tier=RiskTier.IRREVERSIBLE
    )
    return paid.value


async def divides_by_nothing(inputs: Refund, work: Work) -> str:
    return str(1 // 0)


def test_a_report_counts_how_cases_ended_and_its_lines_say_why_their_tasks_failed() -> None:
    crew = make_crew(flow=refund, settling=replace(settle, function=divides_by_nothing))
    report = run_seed(crew, 0, FaultPlan(), keep=True)
    assert not [each for each in report.violations if each.invariant == "unended"]
    assert report.ends == {"waits for operator": report.case_runs}
    assert any(" (error: ZeroDivisionError at " in line for line in report.told)
    assert run_seed(make_crew(), 0, FaultPlan()).ends == {"completed": report.case_runs}
