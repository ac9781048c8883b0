"""What the page on resilience says of policies and of tasks whose workers die."""

import re
from pathlib import Path

import anyio
import pytest

from casework.actors import Skill, Work
from casework.actors.agent import AgentBehavior
from casework.actors.policy import parse_policy
from casework.actors.testing import CaseBench
from casework.protocols.wire import Outcome
from casework.runtime import Case
from casework.runtime.store.base import CaseStatus
from tests.support.refund_crew import Refund, crew

PAGE = Path(__file__).parents[2] / "docs" / "resilience.md"


def test_the_policy_that_the_page_shows_is_one() -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    policy = parse_policy(f'name = "page"\n{text}')
    assert policy.breakers["tool:rates.live"].failures == 1
    assert policy.rates.limits["tenant:*"].burst == 100


async def test_a_task_whose_workers_die_is_kept_with_its_reason_after_its_attempts_and_can_be_given_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun: list[int] = []
    encoded = AgentBehavior._frame

    def dies(worker: AgentBehavior, outcome: Outcome) -> bytes:
        if len(begun) <= 3:
            raise RuntimeError("a fault of the runtime's own")
        return encoded(worker, outcome)

    async def begins(inputs: Refund, work: Work) -> str:
        begun.append(work.attempt)
        return "fine"

    async def hands_over(case: Case, inputs: Refund) -> str:
        given = await case.delegate("die", inputs, returns=str, goal="it", attempts=3, deadline_seconds=600)
        return given.value

    monkeypatch.setattr(AgentBehavior, "_frame", dies)
    with anyio.fail_after(20):
        async with CaseBench(crew(hands_over, skills={"die": Skill(Refund, str, begins)})) as bench:
            await bench.open("hands_over", "c1", Refund("c", 1))
            await bench.forward(minutes=9)
            assert begun == [1, 2, 3]
            assert bench.row("c1").status is CaseStatus.PARKED
            (wait,) = bench.waits("c1")
            assert (wait.key, wait.reason) == ("retry:c1:die", "task die stopped: no answer to attempt 3 in time")
            await bench.deliver(wait.key)
            await bench.settle()
            assert bench.value("c1", str) == "fine"
