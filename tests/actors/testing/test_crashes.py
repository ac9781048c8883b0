"""A flow that keeps the rules survives a crash at every append; one that breaks them is found, and told how."""

import time

import anyio
import pytest

from casework.actors import CallRefused, Skill, Work, skill
from casework.actors.testing import Fails, FakePerson, FakeTool, crash_anywhere
from casework.protocols.wire import Cost, RiskTier
from casework.runtime import Case
from casework.runtime.store.base import CaseExists, CaseOpened, Opening, OpenResult
from casework.runtime.store.memory import MemoryStore
from tests.support.refund_crew import Refund, crew

TOOLS = {"limit": FakeTool(50), "bank.pay": FakeTool("receipt-1"), "bank.cash": FakeTool(None)}
LOOKS = FakePerson(rule="above_limit", after_seconds=3_600)
INPUTS = Refund("c", 90)
#: The world outside of all tools, as some flows wrongly reach it.
BOOK: list[int] = []


async def leaf(case: Case, inputs: Refund) -> int:
    return inputs.euros


async def every_kind(case: Case, inputs: Refund) -> list[object]:
    """Take a step of each kind, some side by side."""
    drawn = [await case.now(), await case.random(), await case.new_id()]
    await case.note(f"begun as {drawn[2]}")

    async def asks() -> object:
        return (await case.review("look", inputs, rule="above_limit")).by

    async def waits() -> object:
        return (await case.park("paper", reason="the paper is missing")).by

    told = list(await case.gather(asks(), waits()))
    await case.open("leaf", f"{case.id}/leaf", Refund("c", 5))
    told.append((await case.next_report()).status)
    index, _ = await case.first(case.park("never", reason="it loses"), case.sleep(100))
    told.append(index)
    paid = await _settle(case, inputs)
    await case.decide("end", ("a", "b"), "a", rule="test")
    return [*told, paid, drawn]


async def retried(case: Case, inputs: Refund) -> str:
    return await _settle(case, inputs)


async def _settle(case: Case, inputs: Refund, task: str = "settle") -> str:
    tools = ["bank.pay", "bank.cash"]
    tier = RiskTier.IRREVERSIBLE
    paid = await case.delegate(
        task, inputs, returns=str, goal="pay", tools=tools, tier=tier, micros=1000, deadline_seconds=1e6
    )
    return paid.value


async def reads_the_clock(case: Case, inputs: Refund) -> str:
    await case.note(f"begun at {time.perf_counter_ns()}")
    await case.sleep(0.5)
    return "done"


async def returns_the_clock(case: Case, inputs: Refund) -> int:
    await case.sleep(60)
    return time.perf_counter_ns()


async def books_by_itself(case: Case, inputs: Refund) -> str:
    BOOK.append(inputs.euros)
    await case.sleep(60)
    return "done"


async def pays_in_cash(case: Case, inputs: Refund) -> str:
    return await _settle(case, inputs, "hand_over")


async def waits_for_ever(case: Case, inputs: Refund) -> str:
    await case.park("paper", reason="the paper is missing")
    return "done"


@skill
async def hand_over(inputs: Refund, work: Work) -> str:
    await work.call("bank.cash", inputs, returns=type(None))
    return "paid"


@skill
async def insist(inputs: Refund, work: Work) -> str:
    """Pay in cash, and whatever becomes of it, once more."""
    try:
        await work.call("bank.cash", inputs, returns=type(None))
    except CallRefused:
        await work.call("bank.cash", inputs, returns=type(None))
    return "paid"


async def insists(case: Case, inputs: Refund) -> str:
    return await _settle(case, inputs, "insist")


SKILLS: dict[str, Skill] = {"hand_over": hand_over, "insist": insist}


@pytest.fixture(autouse=True)
def _fresh_book() -> None:
    BOOK.clear()


async def test_a_refund_survives_a_crash_at_every_append() -> None:
    with anyio.fail_after(10):
        whole = await crash_anywhere(crew(), "refund", INPUTS, tools=TOOLS, people=[LOOKS])
    assert (whole.value, whole.result) == ("receipt-1", "completed")
    assert whole.effects.times == {'bank.pay {"customer": "c", "euros": 90}': 1}
    assert whole.cost == Cost(calls=2, micros=200)
    assert whole.appends >= 6


async def test_a_flow_with_every_kind_of_step_survives_although_what_it_draws_differs() -> None:
    with anyio.fail_after(20):
        whole = await crash_anywhere(
            crew(every_kind, leaf), "every_kind", INPUTS, tools=TOOLS, people=[LOOKS], deliveries={"paper": 1}
        )
    assert isinstance(whole.value, list)
    assert whole.value[:5] == ["ann", "test", "closed", 1, "receipt-1"]
    assert whole.appends >= 8


async def test_a_flow_that_stops_even_when_nothing_is_killed_is_told_apart() -> None:
    tools = TOOLS | {"bank.pay": FakeTool("receipt-2", plan=[Fails("busy", retryable=True)])}
    with anyio.fail_after(10):
        with pytest.raises(AssertionError, match="does not end even when nothing is killed: case crash is parked"):
            await crash_anywhere(crew(retried), "retried", INPUTS, tools=tools)


async def test_a_clock_that_is_read_directly_is_found_with_what_to_do() -> None:
    with anyio.fail_after(10):
        with pytest.raises(AssertionError) as raised:
            await crash_anywhere(crew(reads_the_clock), "reads_the_clock", INPUTS)
    text = str(raised.value)
    assert "killed at append 1 of " in text
    assert "before it was durable, flow 'reads_the_clock' ends differently" in text
    assert "step note (noted) of case crash differs" in text
    assert "take time, chance and ids from its case" in text
    assert "this crash alone: only='1-before'" in text


async def test_a_clock_that_is_read_directly_stops_the_case_when_its_log_is_replayed() -> None:
    with anyio.fail_after(10):
        with pytest.raises(AssertionError) as raised:
            await crash_anywhere(crew(reads_the_clock), "reads_the_clock", INPUTS, only="1-after")
    text = str(raised.value)
    assert "after it was durable, before anybody heard so" in text
    assert "the case did not end: case crash stopped: ReplayMismatch" in text


@pytest.mark.parametrize("rests", [False, True])
async def test_another_order_of_notes_of_one_append_is_found_only_where_it_is_replayed(rests: bool) -> None:
    async def notes(case: Case, inputs: Refund) -> None:
        BOOK.append(1)
        for text in ("a", "b") if len(BOOK) % 2 else ("b", "a"):
            await case.note(text)
        if rests:
            await case.park("paper", reason="the paper is missing")

    async def tried() -> None:
        await crash_anywhere(crew(notes), "notes", INPUTS, deliveries={"paper": 1}, fresh=BOOK.clear)

    with anyio.fail_after(10):
        if rests:
            with pytest.raises(AssertionError, match="stopped: ReplayMismatch"):
                await tried()
        else:
            await tried()


async def test_a_result_that_is_not_the_same_is_found() -> None:
    with anyio.fail_after(10):
        with pytest.raises(AssertionError, match="what the flow returned differs"):
            await crash_anywhere(crew(returns_the_clock), "returns_the_clock", INPUTS)


async def test_an_effect_outside_of_a_tool_is_found() -> None:
    with anyio.fail_after(10):
        with pytest.raises(AssertionError) as raised:
            await crash_anywhere(
                crew(books_by_itself), "books_by_itself", INPUTS, fresh=BOOK.clear, watch=lambda: list(BOOK)
            )
    text = str(raised.value)
    assert "what `watch` saw differs" in text
    assert "not killed: [90" in text
    assert "make it a tool" in text


async def test_a_tool_without_a_key_that_is_called_twice_is_found() -> None:
    wrong = FakePerson("reject", rule="effect.unknown")
    with anyio.fail_after(10):
        with pytest.raises(AssertionError) as raised:
            await crash_anywhere(crew(insists, skills=SKILLS), "insists", INPUTS, tools=TOOLS, people=[wrong])
    text = str(raised.value)
    assert 'effect bank.cash {"customer": "c", "euros": 90} was made twice (keys: ' in text
    assert "instead of once" in text
    assert "declare it `keyed`, or give it a `lookup`" in text


async def test_what_became_of_a_write_without_key_and_lookup_is_answered_by_the_world() -> None:
    with anyio.fail_after(10):
        with pytest.raises(AssertionError, match=r"the case did not end: .*task hand_over stopped") as raised:
            await crash_anywhere(crew(pays_in_cash, skills=SKILLS), "pays_in_cash", INPUTS, tools=TOOLS)
    text = str(raised.value)
    assert "after it was durable" in text, "the intent was, but the call was never made"
    assert "declare it `keyed`, and it is made again under its key" in text


async def test_a_flow_whose_tool_cannot_say_what_happened_may_be_allowed_to_stop() -> None:
    wrong = FakePerson("reject", rule="effect.unknown")
    with anyio.fail_after(10):
        whole = await crash_anywhere(
            crew(pays_in_cash, skills=SKILLS), "pays_in_cash", INPUTS, tools=TOOLS, may_stop=True
        )
        assert whole.value == "paid"
        with pytest.raises(AssertionError, match="was made twice"):
            await crash_anywhere(
                crew(insists, skills=SKILLS), "insists", INPUTS, tools=TOOLS, people=[wrong], may_stop=True
            )


async def test_a_flow_that_does_not_end_by_itself_is_told_what_it_waits_for() -> None:
    with anyio.fail_after(10):
        with pytest.raises(AssertionError, match=r"waits for evidence paper \(the paper is missing\)"):
            await crash_anywhere(crew(waits_for_ever), "waits_for_ever", INPUTS)


async def test_every_nth_append_is_tried_and_the_last_one_always() -> None:
    runs: list[int] = []
    with anyio.fail_after(10):
        whole = await crash_anywhere(
            crew(), "refund", INPUTS, tools=TOOLS, people=[LOOKS], every=4, fresh=lambda: runs.append(1)
        )
    numbers = {*range(1, whole.appends + 1, 4), whole.appends}
    # And once before and once after the case itself is opened.
    assert len(runs) == 1 + 2 * len(numbers) + 2


@pytest.mark.parametrize("when", ["open-before", "open-after"])
async def test_a_crash_as_the_case_is_opened_is_tried_as_well(when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[object] = []
    real = MemoryStore.open_case

    async def watched(self: MemoryStore, opening: Opening) -> OpenResult:
        opened.append(await real(self, opening))
        return opened[-1]  # type: ignore[return-value]

    monkeypatch.setattr(MemoryStore, "open_case", watched)
    with anyio.fail_after(10):
        await crash_anywhere(crew(), "refund", INPUTS, tools=TOOLS, people=[LOOKS], only=when)
    # The first run opens it once; the killed one does or does not, and the next process asks for it again.
    expected = [CaseOpened, CaseOpened] if when == "open-before" else [CaseOpened, CaseOpened, CaseExists]
    assert [type(each) for each in opened] == expected


async def test_a_flow_that_ends_otherwise_when_it_is_opened_again_is_found() -> None:
    given = iter(("first", "killed", "again"))
    settings = {"run": "x"}

    async def names(case: Case, inputs: Refund) -> str:
        return settings["run"]

    def fresh() -> None:
        settings["run"] = next(given)

    with (
        anyio.fail_after(10),
        pytest.raises(AssertionError, match="killed as the case was opened, before it was") as told,
    ):
        await crash_anywhere(crew(names), "names", INPUTS, only="open-before", fresh=fresh)
    assert "this crash alone: only='open-before'" in str(told.value)


async def test_one_crash_alone_is_tried_by_its_name() -> None:
    runs: list[int] = []
    with anyio.fail_after(10):
        await crash_anywhere(
            crew(), "refund", INPUTS, tools=TOOLS, people=[LOOKS], only="3-after", fresh=lambda: runs.append(1)
        )
        with pytest.raises(ValueError, match="'third' names no crash; write it as 3-before or 3-after, or open-"):
            await crash_anywhere(crew(), "refund", INPUTS, tools=TOOLS, only="third")
        with pytest.raises(ValueError, match=r"'99-after' names no crash: flow 'refund' has \d+ appends"):
            await crash_anywhere(crew(), "refund", INPUTS, tools=TOOLS, people=[LOOKS], only="99-after")
        with pytest.raises(ValueError, match="every must be at least 1, not 0"):
            await crash_anywhere(crew(), "refund", INPUTS, tools=TOOLS, every=0)
    assert len(runs) == 2
