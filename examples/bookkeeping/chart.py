"""Horizontal bars as inline SVG: cost per category, the part that is VAT set apart.

Colours come from the page's style sheet, so that the chart follows print and dark mode; the numbers are printed beside
the bars and repeated in the page's table. It does not know where the rows come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from html import escape
from typing import Final

from examples.bookkeeping.money import money_text

WIDTH: Final = 720
ROW: Final = 30
BAR: Final = 16
LABEL: Final = 132
VALUE: Final = 104
TOP: Final = 6
BARS_MAX: Final = 40


@dataclass(slots=True, frozen=True)
class Bar:
    """One bar: its label and the two parts stacked in it."""

    label: str
    net: Decimal
    vat: Decimal

    @property
    def total(self) -> Decimal:
        """Length of the bar."""
        return self.net + self.vat


def bars_svg(bars: Sequence[Bar], title: str) -> str:
    """Draw the bars, the longest first. A negative total gets its number and no bar."""
    shown = sorted(bars, key=lambda bar: (-bar.total, bar.label))[:BARS_MAX]
    longest = max((bar.total for bar in shown), default=Decimal(0))
    height = TOP * 2 + ROW * len(shown)
    told = "; ".join(f"{bar.label} {money_text(bar.total)} euro" for bar in shown)
    rows = "".join(_row(bar, TOP + ROW * index, longest) for index, bar in enumerate(shown))
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="chart-title chart-desc">'
        f'<title id="chart-title">{escape(title)}</title><desc id="chart-desc">{escape(told)}</desc>'
        f'<line class="axis" x1="{LABEL}" x2="{LABEL}" y1="{TOP}" y2="{height - TOP}"/>{rows}</svg>'
    )


def _row(bar: Bar, top: int, longest: Decimal) -> str:
    room = WIDTH - LABEL - VALUE
    net, vat = _length(bar.net, longest, room), _length(bar.vat, longest, room)
    middle = top + ROW / 2
    y = middle - BAR / 2
    parts = ""
    if net:
        parts += f'<rect class="bar-net" x="{LABEL}" y="{y}" width="{net}" height="{BAR}"/>'
    if vat:
        parts += f'<rect class="bar-vat" x="{LABEL + net}" y="{y}" width="{vat}" height="{BAR}"/>'
    return (
        f'<text class="bar-label" x="{LABEL - 10}" y="{middle}" text-anchor="end" dominant-baseline="central">'
        f"{escape(bar.label)}</text>{parts}"
        f'<text class="bar-value" x="{LABEL + net + vat + 8}" y="{middle}" dominant-baseline="central">'
        f"{bar.total:,.2f}</text>"
    )


def _length(value: Decimal, longest: Decimal, room: int) -> float:
    return round(float(value / longest) * room, 1) if value > 0 and longest > 0 else 0.0
