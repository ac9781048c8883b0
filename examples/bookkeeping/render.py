"""overview.html: one file, no script, nothing fetched; whatever comes from the input is escaped.

It does not know how the figures came about.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from html import escape
from typing import Final
from urllib.parse import quote

from examples.bookkeeping.categories import WITHOUT_RECEIPT
from examples.bookkeeping.chart import Bar, bars_svg
from examples.bookkeeping.ledger import Flag, Status
from examples.bookkeeping.overview import CLOSED, CategoryRow, Overview, TrailEntry
from examples.bookkeeping.stylesheet import STYLE

_KINDS: Final = {
    "ambiguous_receipt": "Several receipts fit",
    "cancelled": "Closed without it",
    "disagreement": "Agents disagree",
    "duplicate": "Paid twice in the exports",
    "low_confidence": "Category unsure",
    "missing_receipt": "Receipt missing",
    "needs_ocr": "Photo not read",
    "receipt_used_twice": "Receipt is booked already",
    "rejected": "Booking was rejected",
    "reverse_charge": "Reverse charge",
    "single_rate_on_mixed_receipt": "One rate claimed for a mixed receipt",
    "stopped": "Work has stopped",
    "unreadable_receipt": "Receipt cannot be read",
    "unusual_amount": "Unusual amount",
    "wrong_claim": "VAT claimed is not the receipt's",
    "wrong_vat": "VAT on receipt is wrong",
}
_STATUSES: Final = {
    Status.REVIEW: "needs a decision",
    Status.PARKED: "waits for evidence",
    Status.BOOKED: "booked, for information",
    Status.EXCLUDED: "left out",
}
_LEVELS: Final = {
    "ok": "well below it",
    "notice": "worth an eye",
    "warning": "close to it",
    "exceeded": "above it",
}
#: So much of a review's id is enough for the command to find it.
REVIEW_DIGITS: Final = 12
MINUS: Final = "\N{MINUS SIGN}"
_FOOTER: Final = (
    "<footer><p>Made from the bank exports and receipts alone. Nothing without evidence is in the VAT figures. "
    "This program cannot file a return; a person does.</p></footer>"
)
_ORDER: Final = (Status.REVIEW, Status.PARKED, Status.BOOKED, Status.EXCLUDED)


def render_overview(overview: Overview, evidence_base: str = "") -> str:
    """Write the overview as one HTML page.

    `evidence_base` is put before the links to evidence: the way from the page's folder to the input folder,
    empty or ending with a slash.
    """
    parts = (
        _head(overview),
        _banner(overview),
        _figures(overview),
        _vat_table(overview),
        _chart(overview),
        _exceptions(overview, evidence_base),
        _category_table(overview.categories),
        _problems(overview),
        _trails(overview),
        _FOOTER,
    )
    title = escape(f"{overview.business}, {overview.quarter}: VAT overview")
    body = "\n".join(part for part in parts if part)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head>\n<body><main>\n{body}\n</main></body></html>\n"
    )


def euro(amount: Decimal | None) -> str:
    """Write an amount for people, the sign first: `€ 1,244.35`; nothing for None."""
    if amount is None:
        return ""
    return f"{MINUS if amount < 0 else ''}€\u00a0{abs(amount):,.2f}"


def _head(overview: Overview) -> str:
    deadline = f"{overview.deadline.day} {overview.deadline:%B %Y}"
    return (
        f"<header><h1>{escape(overview.business)}</h1><p>VAT overview of {escape(overview.quarter)}, "
        f"to be filed by a person before the end of <strong>{deadline}</strong></p></header>"
    )


def _banner(overview: Overview) -> str:
    counts = overview.counts
    if overview.status == CLOSED:
        told = "A person has closed this quarter; the figures are final."
    elif counts.parked + counts.review:
        waiting = f"{_many(counts.review, 'decision')} and {_many(counts.parked, 'receipt')} outstanding"
        told = f"{waiting}; none of these payments is in the figures below."
    else:
        told = "Nothing is outstanding; a person may close the quarter."
    kind = "banner closed" if overview.status == CLOSED else "banner"
    word = escape(overview.status.upper())
    return (
        f'<div class="{kind}" role="status"><strong>{word}</strong> '
        f"<span>revision {overview.revision}</span> <span>{told}</span></div>"
    )


def _figures(overview: Overview) -> str:
    to_pay, counts, kor = overview.vat.to_pay, overview.counts, overview.kor
    share = min(max(float(kor.share), 0.0), 1.0)
    cards = (
        ("VAT to pay" if to_pay >= 0 else "VAT to get back", euro(abs(to_pay)), "box 5c, this quarter"),
        ("Payments booked", f"{counts.booked} of {counts.transactions}", f"{counts.receipts} receipts delivered"),
        ("Outstanding", str(counts.review + counts.parked), f"{counts.review} to decide, {counts.parked} to deliver"),
    )
    scheme = (
        f'<div class="figure"><span class="soft">Turnover this year</span><b>{euro(kor.turnover_year)}</b>'
        f'<meter min="0" max="1" low="0.75" high="0.9" optimum="0" value="{share}">{kor.share:.0%}</meter>'
        f'<span class="soft">{kor.share:.0%} of the KOR threshold, '
        f"{escape(_LEVELS.get(kor.level, kor.level))}</span></div>"
    )
    shown = "".join(
        f'<div class="figure"><span class="soft">{name}</span><b>{value}</b><span class="soft">{note}</span></div>'
        for name, value, note in cards
    )
    return f'<div class="figures">{shown}{scheme}</div>'


def _vat_table(overview: Overview) -> str:
    vat, reverse = overview.vat, overview.vat.reverse_charge
    rows: tuple[tuple[str, str, Decimal | None, Decimal, str], ...] = (
        ("1a", "Supplies at 21 %", vat.standard.turnover, vat.standard.vat, ""),
        ("1b", "Supplies at 9 %", vat.reduced.turnover, vat.reduced.vat, ""),
        ("4b", "Services from other EU countries, reverse charge", reverse.turnover, reverse.vat, ""),
        ("5a", "VAT due", None, vat.due, ""),
        ("5b", "Deductible input VAT", None, vat.deductible, ""),
        ("5c", "To pay" if vat.to_pay >= 0 else "To get back", None, vat.to_pay, "sum"),
    )
    body = "".join(
        f'<tr class="{kind}"><th scope="row">{box}</th><td>{name}</td><td class="money">{euro(base)}</td>'
        f'<td class="money">{euro(amount)}</td></tr>'
        for box, name, base, amount, kind in rows
    )
    return (
        '<section><h2>VAT return</h2><div class="scroll"><table><caption>Boxes of the Dutch return, '
        "each rate of each invoice rounded to cents before adding</caption>"
        '<thead><tr><th scope="col">Box</th><th scope="col">What</th><th scope="col" class="money">Turnover</th>'
        f'<th scope="col" class="money">VAT</th></tr></thead><tbody>{body}</tbody></table></div></section>'
    )


def _chart(overview: Overview) -> str:
    off = WITHOUT_RECEIPT - {"bank_fees"} | {"sales"}
    bars = [Bar(_label(row.category), row.net, row.vat) for row in overview.categories if row.category not in off]
    if not bars:
        return ""
    return (
        '<section><h2>Costs by category</h2><p class="soft"><span class="key net"></span>without VAT'
        f'<span class="key vat"></span>VAT</p>{bars_svg(bars, "Costs by category, in euro")}</section>'
    )


def _category_table(rows: Sequence[CategoryRow]) -> str:
    body = "".join(
        f'<tr><th scope="row">{escape(_label(row.category))}</th><td class="count">{row.count}</td>'
        f'<td class="money">{euro(row.net)}</td><td class="money">{euro(row.vat)}</td>'
        f'<td class="money">{euro(row.gross)}</td></tr>'
        for row in rows
    )
    return (
        '<section><h2>Booked by category</h2><div class="scroll"><table>'
        "<caption>Sales are income, all others are money out; refunds count against them</caption><thead><tr>"
        '<th scope="col">Category</th><th scope="col" class="count">Payments</th><th scope="col" class="money">Net</th>'
        '<th scope="col" class="money">VAT</th><th scope="col" class="money">Gross</th></tr></thead>'
        f"<tbody>{body}</tbody></table></div></section>"
    )


def _exceptions(overview: Overview, evidence_base: str) -> str:
    if not overview.exceptions:
        return "<section><h2>Exceptions</h2><p>None: every payment is booked with its evidence.</p></section>"
    ordered = sorted(overview.exceptions, key=lambda flag: _ORDER.index(flag.status))
    body = "".join(_exception_row(flag, overview, evidence_base) for flag in ordered)
    return (
        '<section class="long"><h2>Exceptions</h2><div class="scroll"><table>'
        "<caption>What needs a person comes first</caption><thead><tr>"
        '<th scope="col">What</th><th scope="col">Payment</th><th scope="col" class="money">Amount</th>'
        f'<th scope="col">Why, and where to look</th></tr></thead><tbody>{body}</tbody></table></div></section>'
    )


def _exception_row(flag: Flag, overview: Overview, evidence_base: str) -> str:
    day = f'<span class="soft nowrap">{flag.date.isoformat()}</span><br>' if flag.date else ""
    who = f"{escape(flag.counterparty)}<br>" if flag.counterparty else ""
    key = flag.transaction or flag.receipt
    links = [f'<a href="{_href(path, evidence_base)}">{escape(path.rsplit("/", 1)[-1])}</a>' for path in flag.evidence]
    trail = next((each for each in (flag.trail, key) if each in overview.trails), "")
    if trail:
        links.append(f'<a href="#{_anchor(trail)}">decisions</a>')
    waits = f"<br>{_next_step(flag.waits_for)}" if flag.waits_for else ""
    why = escape(flag.message) + waits + (f'<br><span class="links">{"".join(links)}</span>' if links else "")
    return (
        f"<tr><td>{escape(_kind(flag.kind))}<br>"
        f'<span class="tag {flag.status.value}">{_STATUSES[flag.status]}</span></td>'
        f'<td>{day}{who}<span class="id soft">{escape(key)}</span></td>'
        f'<td class="money">{euro(flag.amount)}</td><td>{why}</td></tr>'
    )


def _next_step(waits_for: str) -> str:
    """Give the command that lets it go on, or name what it waits for."""
    kind, _, rest = waits_for.partition(":")
    if kind == "review":
        return f'<span class="id soft">casework review show {escape(rest[:REVIEW_DIGITS])}</span>'
    if kind == "receipt":
        return f'<span class="id soft">casework deliver {escape(waits_for)} FILE</span>'
    return f'<span class="soft">Waits for {escape(waits_for)}</span>'


def _problems(overview: Overview) -> str:
    if not overview.problems:
        return ""
    items = "".join(f"<li>{escape(str(problem))}</li>" for problem in overview.problems)
    return f'<section><h2>Refused input</h2><p class="soft">Everything else went on.</p><ul>{items}</ul></section>'


def _trails(overview: Overview) -> str:
    if not overview.trails:
        return ""
    shown = "".join(_trail(key, overview.trails[key]) for key in sorted(overview.trails))
    return f'<section class="long"><h2>Decisions</h2><p class="soft">As the case logs have them.</p>{shown}</section>'


def _trail(key: str, entries: Iterable[TrailEntry]) -> str:
    # The anchor is inside the details: browsers open them on the way to it.
    listed = list(entries)
    items = "".join(
        f"<li><strong>{escape(entry.who)}</strong>: {escape(entry.what)}"
        + (f' <span class="soft">{escape(entry.why)}</span>' if entry.why else "")
        + "</li>"
        for entry in listed
    )
    told = _many(len(listed), "decision")
    return (
        f'<details><summary><span class="id">{escape(key)}</span><span class="soft">{told}</span></summary>'
        f'<ol class="trail" id="{_anchor(key)}">{items}</ol></details>'
    )


def _href(path: str, base: str) -> str:
    # Quoted wholly, colon included: a file named like a script address stays a file name.
    return escape(quote(base, safe="/:.%") + quote(path))


def _anchor(key: str) -> str:
    """Give an id for a trail; what is no letter or digit becomes its code, so that two keys never meet."""
    return "trail-" + re.sub(r"[^A-Za-z0-9-]", lambda found: f"_{ord(found[0]):x}_", key)


def _label(category: str) -> str:
    return category.replace("_", " ")


def _kind(kind: str) -> str:
    return _KINDS.get(kind, kind.replace("_", " ").capitalize())


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
