"""Who the books are of: business.toml, the quarter's dates and its filing deadline.

This module does not know today's date; whether a deadline has passed is for its callers.
"""

import datetime as dt
import pathlib
import re
import tomllib
from decimal import Decimal
from typing import Final

import msgspec

from examples.bookkeeping.errors import BusinessUnclear

BUSINESS_FILE: Final = "business.toml"

_QUARTER = re.compile(r"(20\d\d)Q([1-4])", re.ASCII)
_EXPECTED = "expected a file with name, vat_id, quarter, kor, turnover_before and accounts"


class Business(msgspec.Struct, frozen=True, kw_only=True, tag="business"):
    """The business and the quarter under work."""

    name: str
    vat_id: str = ""
    quarter: str
    """Like 2026Q2."""
    kor: bool = False
    """Member of the small-business scheme; members may not deduct VAT."""
    turnover_before: Decimal = Decimal("0.00")
    """Turnover without VAT earlier in the same calendar year."""
    accounts: tuple[str, ...] = ()
    """Own IBANs, without spaces."""


def read_business(folder: pathlib.Path) -> Business:
    """Read `business.toml` in the input folder.

    Raises:
        BusinessUnclear: the file is absent, is no TOML, lacks a value, or names an impossible quarter.
    """
    path = folder / BUSINESS_FILE
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BusinessUnclear(str(path), f"cannot be read ({error.strerror}); {_EXPECTED}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BusinessUnclear(str(path), f"is not valid TOML ({error}); {_EXPECTED}") from error
    try:
        business = msgspec.convert(table.get("business", table), Business, strict=False)
        quarter_dates(business.quarter)
    except (msgspec.ValidationError, ValueError) as error:
        raise BusinessUnclear(str(path), f"{error}; {_EXPECTED}") from error
    accounts = tuple(account.replace(" ", "").upper() for account in business.accounts)
    return msgspec.structs.replace(business, accounts=accounts)


def quarter_dates(quarter: str) -> tuple[dt.date, dt.date]:
    """Give the first and last day of a quarter written as 2026Q2; ValueError if it is not written so."""
    found = _QUARTER.fullmatch(quarter)
    if found is None:
        raise ValueError(f"quarter {quarter!r} is not written like 2026Q2")
    year, number = int(found[1]), int(found[2])
    first = dt.date(year, 3 * number - 2, 1)
    return first, _first_after(year, number) - dt.timedelta(days=1)


def filing_deadline(quarter: str) -> dt.date:
    """Give the last day to file: the last day of the month after the quarter."""
    _, last = quarter_dates(quarter)
    month_after = (last + dt.timedelta(days=1)).replace(day=28) + dt.timedelta(days=4)
    return month_after.replace(day=1) - dt.timedelta(days=1)


def _first_after(year: int, number: int) -> dt.date:
    return dt.date(year + 1, 1, 1) if number == 4 else dt.date(year, 3 * number + 1, 1)
