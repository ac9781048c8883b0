"""The small-business scheme (KOR): how near the year's turnover is to its threshold.

Advice only: it changes no booking and does not know why turnover grew.
"""

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from types import MappingProxyType
from typing import Final

import msgspec

THRESHOLD: Final = Decimal("20000.00")
# Level by the least share of the threshold that reaches it. A policy may give its own.
LEVELS: Final[Mapping[str, Decimal]] = MappingProxyType(
    {"ok": Decimal(0), "notice": Decimal("0.75"), "warning": Decimal("0.90"), "exceeded": Decimal(1)}
)


class KorState(msgspec.Struct, frozen=True, kw_only=True):
    """Where the business stands; untagged, for it stands in overview.json as it is."""

    member: bool
    turnover_before: Decimal
    turnover_year: Decimal
    threshold: Decimal
    share: Decimal
    """Of the threshold, two decimals; for people. The level goes by the exact share."""
    level: str


def assess(
    turnover_before: Decimal,
    turnover_quarter: Decimal,
    *,
    member: bool,
    levels: Mapping[str, Decimal] = LEVELS,
) -> KorState:
    """Work out the level of this year's turnover so far."""
    year = turnover_before + turnover_quarter
    reached = [name for name, least in sorted(levels.items(), key=lambda pair: pair[1]) if year >= least * THRESHOLD]
    return KorState(
        member=member,
        turnover_before=turnover_before,
        turnover_year=year,
        threshold=THRESHOLD,
        share=(year / THRESHOLD).quantize(Decimal("0.01"), rounding=ROUND_HALF_UP),
        level=reached[-1] if reached else min(levels, key=lambda name: levels[name]),
    )
