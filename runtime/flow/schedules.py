"""Calendar rules: the next moment of a cron expression, a business day or the end of a quarter, in a named zone.

Each rule is plain data with one pure function, `after(moment)`; holidays are a table that the user gives. Local times
are those of an IANA zone: one that a change of clocks leaves out comes an hour later (one of a cron expression as soon
as the clocks have changed), one that it gives twice counts once, the first time, but for cron's stars. A flow asks by
`case.next(rule)`; that records the answer, so a replay gives the same moment even with a newer table of zones.
It does not know who waits for the moment.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Struct

from casework.runtime.errors import ScheduleInvalid

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_DAY: Final = timedelta(days=1)
#: Days that are not worked, one after another at most; a table with more is wrong.
CLOSED_DAYS_MAX: Final = 366
#: What fails in the code of a rule, which may be somebody else's.
RULE_ERRORS: Final = (ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError)
#: The last moment that every store can keep.
MOMENT_MAX: Final = (1 << 63) - 1
#: Business days that a moment may be away from the end of its quarter at most.
SHIFT_MAX: Final = 250


class Schedule(Protocol):
    """A rule that names moments."""

    def after(self, moment: int) -> int:
        """Give the first moment later than `moment`, both in microseconds since the epoch.

        Raises:
            ScheduleInvalid: the rule names no such moment, or cannot be read.
        """
        ...


class Cron(Struct, frozen=True):
    """A cron expression of five fields, as Debian's cron reads it; needs the extra `schedules`.

    Where its minutes or hours begin with a star, an hour that the clocks give twice counts twice.
    """

    expression: str
    zone: str

    def after(self, moment: int) -> int:
        """Give the first moment later than `moment`."""
        try:
            from cronsim import CronSim, CronSimError
        except ImportError as error:
            raise ScheduleInvalid(self.expression, "cron needs the extra: pip install 'casework[schedules]'") from error
        try:
            # In an hour that comes again it begins with those of the hour before, which have been.
            moments = map(micros, CronSim(self.expression, local(moment, self.zone)))
            found = next((later for later in moments if later > moment), None)
        except CronSimError as error:
            raise ScheduleInvalid(self.expression, str(error)) from error
        if found is None:
            raise ScheduleInvalid(self.expression, "it names no moment within fifty years")
        return found


class BusinessDays(Struct, frozen=True):
    """Which days are worked: all but the weekend and these holidays."""

    holidays: tuple[date, ...] = ()
    weekend: tuple[int, ...] = (5, 6)
    """Days of the week, 0 for Monday."""

    def __post_init__(self) -> None:
        """Refuse what no day would ever be; raises ScheduleInvalid."""
        for day in self.weekend:
            if day not in range(7):
                raise ScheduleInvalid("business days", f"{day!r} in its weekend is no day: 0 is Monday, 6 is Sunday")
        for holiday in self.holidays:
            # A moment is a date as well, but equal to none.
            if type(holiday) is not date:
                raise ScheduleInvalid("business days", f"{holiday!r} in its holidays is no date")

    def worked(self, day: date) -> bool:
        """Tell whether a day is worked."""
        return day.weekday() not in self.weekend and day not in self.holidays

    def shifted(self, day: date, days: int) -> date:
        """Give the day that so many business days later is worked, earlier if `days` is negative.

        With 0 it is the day itself, or the last one worked before it.
        """
        if days == 0:
            return day if self.worked(day) else self._beside(day, -_DAY)
        for _ in range(abs(days)):
            day = self._beside(day, _DAY if days > 0 else -_DAY)
        return day

    def _beside(self, day: date, step: timedelta) -> date:
        for _ in range(CLOSED_DAYS_MAX):
            day += step
            if self.worked(day):
                return day
        raise ScheduleInvalid("business days", f"no day within {CLOSED_DAYS_MAX} is worked")


class BusinessDay(Struct, frozen=True):
    """Each day that is worked, at one time of the day."""

    zone: str
    at: time = time(9)
    days: BusinessDays = BusinessDays()

    def after(self, moment: int) -> int:
        """Give the first moment later than `moment`."""
        today = local(moment, self.zone).date()
        return _first_after(moment, (_at(day, self.at, self.zone) for day in self._days(today)))

    def _days(self, today: date) -> Iterator[date]:
        # The day before as well: a time that the change of clocks moved may stand in the next day.
        day = self.days.shifted(today - _DAY, 0)
        while True:
            yield day
            day = self.days.shifted(day, 1)


class QuarterEnd(Struct, frozen=True):
    """The last day of each quarter that is worked, or so many business days after or before it."""

    zone: str
    at: time = time(17)
    days: BusinessDays = BusinessDays()
    shift: int = 0
    """Business days later than the end of the quarter; earlier if negative."""
    first_month: int = 1
    """With which month the year begins, 1 for January."""

    def after(self, moment: int) -> int:
        """Give the first moment later than `moment`."""
        if not 1 <= self.first_month <= 12 or abs(self.shift) > SHIFT_MAX:
            raise ScheduleInvalid(
                "quarter end", f"first_month {self.first_month} or shift {self.shift} is out of range"
            )
        today = local(moment, self.zone).date()
        return _first_after(moment, (_at(day, self.at, self.zone) for day in self._days(today)))

    def _days(self, today: date) -> Iterator[date]:
        # From so far back that a shift to later is seen, even where one day a week is worked.
        month = (today.year - 2 - max(self.shift, 0) // 50) * 12 + self.first_month - 1
        while True:
            month += 3
            end = date(month // 12, month % 12 + 1, 1) - _DAY
            # The end as a day of the calendar: what follows it by a business day does so whether it is worked or not.
            yield self.days.shifted(end, self.shift)


def following(schedule: Schedule, moment: int) -> int:
    """Give the first moment later than `moment` that a rule names, whoever wrote it.

    Raises:
        ScheduleInvalid: it names none, or fails.
    """
    name = type(schedule).__name__
    try:
        found = schedule.after(moment)
    except ScheduleInvalid:
        raise
    except RULE_ERRORS as error:
        raise ScheduleInvalid(name, f"it names no moment: {type(error).__name__}: {error}") from error
    if type(found) is not int or not moment < found <= MOMENT_MAX:
        raise ScheduleInvalid(name, f"it names no moment later than {moment}, but {found!r}")
    return found


def local(moment: int, zone: str) -> datetime:
    """Give a moment as the clocks of a zone show it.

    Raises:
        ScheduleInvalid: there is no such zone.
    """
    try:
        return (_EPOCH + moment * _MICROSECOND).astimezone(ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ScheduleInvalid(zone, "there is no such zone, write one like Europe/Madrid") from error


def micros(at: datetime) -> int:
    """Give a local time in microseconds since the epoch."""
    return (at.astimezone(UTC) - _EPOCH) // _MICROSECOND


def _at(day: date, at: time, zone: str) -> int:
    return micros(datetime.combine(day, at, tzinfo=ZoneInfo(zone)))


def _first_after(moment: int, moments: Iterator[int]) -> int:
    return next(later for later in moments if later > moment)
