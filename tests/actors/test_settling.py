"""A task whose write was cut off hears what the tool's lookup says, however long that has to wait to be believed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from casework.actors import CallRefused, Work, skill
from casework.actors.testing import CaseBench, FakeTool
from casework.actors.testing.process import Kill
from casework.protocols.records import Intent, Undone
from casework.protocols.wire import Failed, OnStop, RiskTier
from casework.runtime import Case, TaskFailed
from casework.runtime.seams import MICROS
from tests.support.refund_crew import Refund, crew

#: When the log has the intent, counted in appends.
INTENDED = 1


@skill
async def claim(inputs: Refund, work: Work) -> str:
    """Claim a refund from the bank that knows no keys, but can be asked."""
    return await work.call("bank.claim", inputs, returns=str)


async def claims(case: Case, inputs: Refund, deadline_seconds: float, on_stop: OnStop = OnStop.FAIL) -> str:
    """Have it claimed, and say why it was not."""
    try:
        given = await case.delegate(
            "claim",
            inputs,
            returns=str,
            goal="claim it",
            tools=("bank.claim",),
            tier=RiskTier.IRREVERSIBLE,
            deadline_seconds=deadline_seconds,
            on_stop=on_stop,
        )
    except TaskFailed as failed:
        return str(failed)
    return given.value


async def claims_slowly(case: Case, inputs: Refund) -> str:
    """Give it more time than a lookup needs to be believed."""
    return await claims(case, inputs, 1000)


async def claims_soon(case: Case, inputs: Refund) -> str:
    """Give it less."""
    return await claims(case, inputs, 40)


@asynccontextmanager
async def cut_off(
    flow: str, skill: Any = claim, *, away_seconds: int = 0, flows: tuple[Any, ...] = (claims_slowly, claims_soon)
) -> AsyncIterator[CaseBench]:
    """Kill a process when the intent is durable and before the call is made, and let another one go on."""
    made = crew(*flows, skills={"claim": skill})
    with anyio.fail_after(5):
        async with CaseBench(
            made, tools={"bank.claim": FakeTool("claimed")}, kill=Kill(INTENDED, durable=True)
        ) as bench:
            with anyio.CancelScope() as scope:
                bench.store.on_death = scope.cancel
                await bench.open(flow, "c", Refund("ann", 3))
            await bench.clock.move(bench.clock.wall_micros() + away_seconds * MICROS)
            await bench.crash()
            assert isinstance(bench.log("c").entries[-1], Intent)
            yield bench


@pytest.mark.promise("FLOW-12")
async def test_a_task_waits_until_it_is_known_that_its_write_did_not_happen() -> None:
    async with cut_off("claims_slowly") as bench:
        await bench.forward(seconds=100)
        assert bench.value("c", str).endswith("bank.claim did not happen, says its lookup")
        assert bench.calls("bank.claim") == []


@pytest.mark.promise("FLOW-12")
async def test_an_attempt_has_its_time_anew_once_it_is_known_what_became_of_its_write() -> None:
    benches: list[CaseBench] = []

    @skill
    async def claim_or_think(inputs: Refund, work: Work) -> str:
        """Think for most of an attempt's time, which is half a minute, when it did not happen."""
        try:
            return await work.call("bank.claim", inputs, returns=str)
        except CallRefused as failed:
            await benches[0].clock.sleep(25)
            return f"thought about it: {failed}"

    async with cut_off("claims_slowly", claim_or_think, away_seconds=10) as bench:
        benches.append(bench)
        # It is known after fifty seconds, ten before the attempt's time would be over for the second time.
        await bench.forward(seconds=100)
        assert bench.value("c", str).startswith("thought about it: ")
        assert bench.calls("bank.claim") == []


@pytest.mark.promise("FLOW-12")
@pytest.mark.parametrize(
    ("seconds", "end"), [(34, "thought about it: "), (10, "whether bank.claim happened is not known")]
)
async def test_an_attempt_that_takes_a_write_over_from_the_one_before_waits_for_it_as_that_one_did(
    seconds: int, end: str
) -> None:
    benches: list[CaseBench] = []

    @skill
    async def claim_or_think(inputs: Refund, work: Work) -> str:
        """Think for a while when it did not happen."""
        try:
            return await work.call("bank.claim", inputs, returns=str)
        except CallRefused as failed:
            await benches[0].clock.sleep(6)
            return f"thought about it: {failed}"

    async def claims_twice(case: Case, inputs: Refund) -> str:
        return await claims(case, inputs, seconds, OnStop.REVIEW)

    async with cut_off("claims_twice", claim_or_think, flows=(claims_twice,)) as bench:
        benches.append(bench)
        # The first attempt ends while nothing is known yet; a person has it tried again.
        await bench.forward(seconds=seconds + 1)
        await bench.decide("approve")
        await bench.forward(seconds=seconds + 1 if "whether" in end else 100)
        failed = [entry.message for entry in bench.log("c").entries if isinstance(entry, Failed)]
        told = failed[-1] if "whether" in end else bench.value("c", str)
        assert end in told


async def test_a_task_that_has_no_time_to_wait_says_of_which_write_nothing_is_known_and_the_log_gets_its_end() -> None:
    async with cut_off("claims_soon") as bench:
        await bench.forward(seconds=100)
        said = "task 'claim' failed (timeout): no answer to attempt 1 in time"
        assert bench.value("c", str) == f"{said}; whether bank.claim happened is not known yet"
        (undone,) = [entry for entry in bench.log("c").entries if isinstance(entry, Undone)]
        assert undone.message == "bank.claim did not happen, says its lookup"
