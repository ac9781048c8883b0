"""Calendar rules by example, by clock changes and by any moment; and cases that wait for the moments they name."""

import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from casework.protocols.records import Drawn, Fired, Timer
from casework.runtime.errors import ScheduleInvalid
from casework.runtime.flow.case import Case
from casework.runtime.flow.schedules import BusinessDay, BusinessDays, Cron, QuarterEnd, Schedule, local, micros
from casework.runtime.flow.schedules import following as following_of
from casework.runtime.store.base import CaseStatus, WaitKind
from casework.runtime.store.memory import MemoryStore
from tests.support.flow_scene import KEY, Ask, closed, crew, entries, runtime, value
from tests.support.manual_clock import ManualClock

MADRID = "Europe/Madrid"
#: Holidays as a user gives them.
SPAIN = BusinessDays(holidays=(date(2026, 1, 1), date(2026, 1, 6), date(2026, 12, 25), date(2027, 1, 1)))
#: From 1990 to 2090.
MOMENTS = st.integers(631_152_000_000_000, 3_786_912_000_000_000)


def at(text: str, zone: str = MADRID) -> int:
    """Give the moment of a local time; `+` after it means the second of two."""
    moment = datetime.fromisoformat(text.rstrip("+")).replace(tzinfo=ZoneInfo(zone), fold=text.endswith("+"))
    return micros(moment)


def following(schedule: Schedule, moment: int, times: int, zone: str = MADRID) -> list[str]:
    told: list[str] = []
    for _ in range(times):
        moment = schedule.after(moment)
        told.append(local(moment, zone).strftime("%Y-%m-%d %H:%M"))
    return told


def test_a_quarter_ends_on_its_last_day_that_is_worked() -> None:
    rule = QuarterEnd(MADRID, days=SPAIN)
    assert following(rule, at("2026-01-01"), 4) == [
        "2026-03-31 17:00",
        "2026-06-30 17:00",
        "2026-09-30 17:00",
        "2026-12-31 17:00",
    ]
    assert following(rule, at("2028-12-01"), 2) == ["2028-12-29 17:00", "2029-03-30 17:00"]


@pytest.mark.parametrize(
    ("shift", "first"), [(1, "2027-01-04 09:00"), (3, "2027-01-06 09:00"), (-1, "2026-12-30 09:00")]
)
def test_a_moment_may_stand_some_business_days_beside_the_end_of_a_quarter(shift: int, first: str) -> None:
    rule = QuarterEnd(MADRID, at=time(9), days=SPAIN, shift=shift)
    assert following(rule, at("2026-12-01"), 1) == [first]


def test_a_shift_over_the_new_year_is_seen_from_the_quarter_after() -> None:
    rule = QuarterEnd(MADRID, days=SPAIN, shift=60)
    assert rule.after(at("2026-01-02")) < at("2026-04-01")


def test_a_year_may_begin_in_another_month() -> None:
    assert following(QuarterEnd("UTC", first_month=5), at("2026-01-01", "UTC"), 2, "UTC") == [
        "2026-01-30 17:00",
        "2026-04-30 17:00",
    ]


def test_business_days_pass_over_weekends_and_holidays() -> None:
    rule = BusinessDay(MADRID, days=SPAIN)
    assert following(rule, at("2026-12-31T08:00"), 3) == ["2026-12-31 09:00", "2027-01-04 09:00", "2027-01-05 09:00"]
    assert following(rule, at("2026-12-31T09:00"), 1) == ["2027-01-04 09:00"]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"weekend": (6, 7)}, "7 in its weekend is no day: 0 is Monday, 6 is Sunday"),
        ({"weekend": ("sat",)}, "'sat' in its weekend is no day"),
        ({"holidays": ("2026-12-25",)}, "'2026-12-25' in its holidays is no date"),
        ({"holidays": (datetime(2026, 12, 25, tzinfo=UTC),)}, "in its holidays is no date"),
    ],
)
def test_business_days_refuse_what_no_day_would_ever_be(said: dict[str, Any], why: str) -> None:
    with pytest.raises(ScheduleInvalid, match=why):
        BusinessDays(**said)


def test_a_long_shift_is_seen_where_one_day_a_week_is_worked() -> None:
    mondays = QuarterEnd(MADRID, days=BusinessDays(weekend=(1, 2, 3, 4, 5, 6)), shift=250)
    moments = [local(micros(datetime(year, 1, 1, tzinfo=UTC)), MADRID) for year in (2026, 2027)]
    found = [sum(1 for _ in _until(mondays, begin, begin.replace(year=begin.year + 1))) for begin in moments]
    assert found == [4, 4]


def _until(rule: Schedule, begin: datetime, end: datetime) -> Iterator[int]:
    moment = micros(begin)
    while (moment := rule.after(moment)) < micros(end):
        yield moment


def test_the_days_of_a_zone_are_its_own() -> None:
    evening = at("2026-06-30T23:30", "America/Los_Angeles")
    assert following(QuarterEnd("Asia/Tokyo", at=time(23)), evening, 1, "Asia/Tokyo") == ["2026-09-30 23:00"]
    assert following(QuarterEnd("America/Los_Angeles", at=time(23, 45)), evening, 1, "America/Los_Angeles") == [
        "2026-06-30 23:45"
    ]


RULES: dict[str, Cron | BusinessDay] = {
    "cron": Cron("30 2 * * *", MADRID),
    "business day": BusinessDay(MADRID, at=time(2, 30), days=BusinessDays(weekend=())),
}


@pytest.mark.parametrize("name", RULES)
def test_a_time_that_the_clocks_leave_out_comes_all_the_same_and_one_they_give_twice_counts_once(name: str) -> None:
    spring = following(RULES[name], at("2026-03-28T12:00"), 2)
    assert spring == ["2026-03-29 03:00" if name == "cron" else "2026-03-29 03:30", "2026-03-30 02:30"]
    autumn = RULES[name].after(at("2026-10-24T12:00"))
    assert autumn == at("2026-10-25T02:30")
    assert RULES[name].after(autumn) == at("2026-10-26T02:30")


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize(
    ("zone", "asked", "first"),
    [
        (MADRID, "2026-10-25T02:10+", "2026-10-26T02:30"),
        ("Africa/Casablanca", "2026-02-15T02:10+", "2026-02-16T02:30"),
    ],
)
def test_who_asks_in_an_hour_that_comes_again_is_not_given_what_was_in_the_hour_before(
    name: str, zone: str, asked: str, first: str
) -> None:
    assert following_of(replace(RULES[name], zone=zone), at(asked, zone)) == at(first, zone)


def test_a_cron_rule_with_a_star_counts_an_hour_twice_that_the_clocks_give_twice() -> None:
    assert following(Cron("15 * * * *", MADRID), at("2026-10-25T01:30"), 3) == [
        "2026-10-25 02:15",
        "2026-10-25 02:15",
        "2026-10-25 03:15",
    ]


def test_a_day_with_a_change_of_clocks_is_shorter_or_longer_by_an_hour() -> None:
    rule = BusinessDay(MADRID, days=BusinessDays(weekend=()))
    hours = [
        (rule.after(rule.after(at(day))) - rule.after(at(day))) // 3_600_000_000 for day in ("2026-03-28", "2026-10-24")
    ]
    assert hours == [23, 25]


@given(moment=MOMENTS, zone=st.sampled_from([MADRID, "America/New_York", "Australia/Lord_Howe", "UTC"]))
def test_what_comes_after_a_moment_is_later_and_nothing_stands_between(moment: int, zone: str) -> None:
    for rule in (BusinessDay(zone, days=SPAIN), QuarterEnd(zone, days=SPAIN), Cron("0 */6 * * *", zone)):
        later = rule.after(moment)
        assert later > moment
        assert rule.after((moment + later) // 2) == later
        assert rule.after(later - 1) == later


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        (Cron("often", MADRID), "often"),
        (Cron("0 0 30 2 *", MADRID), "day-of-month"),
        (Cron("* * * * *", "Nowhere/At_All"), "no such zone"),
        (BusinessDay("../etc/passwd"), "no such zone"),
        (BusinessDay("UTC", days=BusinessDays(weekend=tuple(range(7)))), "is worked"),
        (QuarterEnd("UTC", first_month=13), "out of range"),
    ],
)
def test_a_rule_that_cannot_be_read_or_names_no_moment_says_so(rule: Schedule, why: str) -> None:
    with pytest.raises(ScheduleInvalid, match=why):
        rule.after(at("2026-01-01"))


def test_without_its_extra_a_cron_rule_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cronsim", None)
    with pytest.raises(ScheduleInvalid, match=r"casework\[schedules\]"):
        Cron("* * * * *", "UTC").after(0)


class JumpingClock(ManualClock):
    """A manual clock whose wall can be set apart from what passes."""

    def __init__(self, start: int) -> None:
        super().__init__(start / 1_000_000)
        self._apart = 0

    def wall_micros(self) -> int:
        return super().wall_micros() + self._apart

    def set_wall(self, moment: int) -> None:
        self._apart += moment - self.wall_micros()


async def quarterly(case: Case, inputs: Ask) -> list[int]:
    moments: list[int] = []
    for _ in range(inputs.n):
        moments.append(await case.next(QuarterEnd(MADRID, days=SPAIN)))
        await case.sleep_until(moments[-1])
    return moments


@pytest.mark.promise("FLOW-30")
async def test_a_case_waits_a_year_of_quarters_through_restarts_with_nothing_in_memory() -> None:
    store, clock = MemoryStore(), JumpingClock(at("2026-01-01"))
    with anyio.fail_after(5):
        for number in range(4):
            async with runtime(crew(quarterly), store, clock) as machine:
                if number == 0:
                    await machine.open("quarterly", "c1", Ask(4))
                row = await machine.wait("c1")
                (wait,) = row.waits
                assert wait.kind is WaitKind.TIMER
            clock.advance((wait.due - clock.wall_micros()) / 1_000_000 + 1)
        async with runtime(crew(quarterly), store, clock):
            await closed(store)
    expected = [at(f"2026-{day}T17:00") for day in ("03-31", "06-30", "09-30", "12-31")]
    assert await value(store) == expected
    assert [timer.due for timer in await entries(store, Timer)] == expected
    assert len(await entries(store, Drawn)) == len(await entries(store, Fired)) == 4


async def once(case: Case, inputs: Ask) -> int:
    moment = await case.next(BusinessDay(MADRID, days=SPAIN))
    await case.sleep_until(moment)
    return await case.now()


async def settle(clock: ManualClock, seconds: float = 0.0) -> None:
    """Let a second or more pass, one after another, as a node hears of them."""
    await anyio.wait_all_tasks_blocked()
    for _ in range(int(seconds)):
        clock.advance(1)
        await anyio.wait_all_tasks_blocked()


@pytest.mark.promise("FLOW-30")
@pytest.mark.parametrize("resting", [False, True], ids=["in memory", "released"])
async def test_a_wall_clock_that_jumps_ahead_brings_the_moment_nearer(resting: bool) -> None:
    store, clock = MemoryStore(), JumpingClock(at("2026-02-02T08:00"))
    with anyio.fail_after(5):
        async with runtime(crew(once), store, clock) as machine:
            await machine.open("once", "c1", Ask())
            await machine.wait("c1")
            await settle(clock, 3 if resting else 0)
            assert machine.statistics().parked == (not resting)
            clock.set_wall(at("2026-02-02T09:00"))
            await settle(clock, 1)
            await closed(store)
    assert await value(store) == at("2026-02-02T09:00:01")


@pytest.mark.promise("FLOW-30")
@pytest.mark.parametrize("resting", [False, True], ids=["in memory", "released"])
async def test_a_wall_clock_that_is_set_back_lets_nothing_ring_before_its_moment(resting: bool) -> None:
    store, clock = MemoryStore(), JumpingClock(at("2026-02-02T08:59:56"))
    with anyio.fail_after(5):
        async with runtime(crew(once), store, clock) as machine:
            await machine.open("once", "c1", Ask())
            await machine.wait("c1")
            await settle(clock, 2 if resting else 0)
            clock.set_wall(at("2026-02-02T08:59:54"))
            await settle(clock, 5)
            row = await store.case(KEY)
            assert row is not None
            assert row.status is CaseStatus.PARKED
            await settle(clock, 2)
            await closed(store)
    assert at("2026-02-02T09:00") <= await value(store) <= at("2026-02-02T09:00:01")
    assert len(await entries(store, Fired)) == 1


async def three(case: Case, inputs: Ask) -> list[int]:
    order: list[int] = []

    async def waits(days: int) -> None:
        await case.sleep(days * 86_400)
        order.append(days)

    await case.gather(*[waits(days) for days in (10, 3, 5)])
    return order


@pytest.mark.promise("FLOW-30")
@pytest.mark.parametrize("suspended", [False, True], ids=["ended", "suspended"])
async def test_timers_that_came_due_while_nothing_ran_fire_in_the_order_of_their_moments(suspended: bool) -> None:
    store, clock = MemoryStore(), JumpingClock(at("2026-02-02"))
    with anyio.fail_after(5):
        async with runtime(crew(three), store, clock) as machine:
            await machine.open("three", "c1", Ask())
            await machine.wait("c1")
            if suspended:
                clock.set_wall(at("2026-03-02"))
                await settle(clock, 2)
                await closed(store)
        clock.set_wall(at("2026-03-02"))
        async with runtime(crew(three), store, clock):
            await closed(store)
    assert await value(store) == [3, 5, 10]


async def daily(case: Case, inputs: Ask) -> int:
    if inputs.n < 2:
        await case.sleep_until(await case.next(BusinessDay(MADRID)))
    if inputs.n == 1:
        await case.next_chapter(Ask(2))
    await case.park("go", reason="after the clock was set back")
    return await case.next(BusinessDay(MADRID))


@pytest.mark.promise("FLOW-30")
@pytest.mark.parametrize("restart", [False, True], ids=["in memory", "restarted"])
@pytest.mark.parametrize("chapters", [0, 1])
async def test_a_moment_that_was_waited_for_does_not_come_next_again_by_a_clock_that_is_behind(
    chapters: int, restart: bool
) -> None:
    store, clock = MemoryStore(), JumpingClock(at("2026-02-02T08:59:59"))
    with anyio.fail_after(5):
        async with runtime(crew(daily), store, clock) as machine:
            await machine.open("daily", "c1", Ask(chapters))
            await machine.wait("c1")
            await settle(clock, 2)
            clock.set_wall(at("2026-02-02T08:59:58"))
            if not restart:
                await machine.deliver("c1", key="go", by="ann", message_id="m1")
                await machine.wait("c1")
        async with runtime(crew(daily), store, clock) as machine:
            if restart:
                await machine.deliver("c1", key="go", by="ann", message_id="m1")
            await closed(store)
    assert len(await entries(store, Fired)) == 1
    assert await value(store) == at("2026-02-03T09:00")


async def unreadable(case: Case, inputs: Ask) -> str:
    try:
        await case.next(Cron("now and then", MADRID))
    except ScheduleInvalid as invalid:
        return invalid.rule
    return ""


async def test_a_flow_hears_of_a_rule_that_cannot_be_read() -> None:
    store = MemoryStore()
    with anyio.fail_after(5):
        async with runtime(crew(unreadable), store) as machine:
            await machine.open("unreadable", "c1", Ask())
            await machine.wait("c1")
    assert await value(store) == "now and then"


def test_moments_are_told_exactly() -> None:
    assert micros(local(1_700_000_000_123_457, MADRID)) == 1_700_000_000_123_457
    assert local(0, "UTC") == datetime(1970, 1, 1, tzinfo=UTC)


class Raises:
    def after(self, moment: int) -> int:
        raise KeyError("mine")


class Gives(Struct):
    """A rule that gives something."""

    what: object

    def after(self, moment: int) -> int:
        return self.what  # type: ignore[return-value]


@pytest.mark.parametrize("rule", [Raises(), Gives("soon"), Gives(5), Gives(2.5), QuarterEnd("UTC", shift=10**9), None])
async def test_a_rule_that_names_no_later_moment_fails_its_flow_and_nothing_else(rule: Schedule) -> None:
    async def waits(case: Case, inputs: Ask) -> None:
        await case.next(rule)

    store = MemoryStore()
    with anyio.fail_after(5):
        async with runtime(crew(waits), store) as machine:
            await machine.open("waits", "c1", Ask())
            row = await machine.wait("c1")
            assert [(wait.kind, wait.reason.split(":")[0]) for wait in row.waits] == [
                (WaitKind.OPERATOR, "ScheduleInvalid")
            ]
