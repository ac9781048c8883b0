"""The bills of the plan on paper: PDFs with a text layer, and photographs without one.

The PDFs are uncompressed and undated, so that the same plan gives the same bytes with every zlib.
It does not know which payment a bill belongs to.
"""

import hashlib
import io
import pathlib
from typing import Final, NamedTuple

import reportlab
from PIL import Image, ImageDraw, ImageFont
from reportlab.pdfgen.canvas import Canvas

from examples.bookkeeping.sample_names import Dice, Paper, bill_number, vat_id
from examples.bookkeeping.sample_parties import BUSINESS, PARTIES, How
from examples.bookkeeping.scenario import VAT_ID, Bill, Style, by_rate, half_up

_PAID: Final = {How.CARD: "pin", How.IDEAL: "iDEAL", How.DEBIT: "op rekening", How.TRANSFER: "op rekening"}


class Line(NamedTuple):
    """One printed line: text at the left, an amount at the right."""

    left: str
    right: str = ""


class _Sheet(NamedTuple):
    """A paper size and type, in points."""

    width: int
    height: int
    margin: int
    font: str
    size: int


_TILL_ROLL: Final = _Sheet(226, 220, 14, "Courier", 7)
_A4: Final = _Sheet(595, 842, 64, "Helvetica", 10)


def amount(cents: int) -> str:
    """Write an amount as Dutch bills print it: `1.234,56`."""
    whole = f"{abs(cents) // 100:,}".replace(",", ".")
    return f"{'-' if cents < 0 else ''}{whole},{abs(cents) % 100:02}"


def draw(paper: Paper, dice: Dice) -> bytes:
    """Draw a bill in the form that its file name asks for."""
    lines = sale_lines(paper) if PARTIES[paper.party].category == "sales" else purchase_lines(paper, dice)
    if paper.path.suffix == ".jpg":
        return _photo(lines, dice, paper.path.name)
    sheet = _TILL_ROLL if PARTIES[paper.party].how is How.CARD else _A4
    return _pdf(lines, sheet)


def purchase_lines(paper: Paper, dice: Dice) -> list[Line]:
    """Say what a supplier's receipt, invoice or credit note says."""
    party, bill = PARTIES[paper.party], paper.bill
    till = party.how is How.CARD
    credit = sum(cents for _, _, cents in bill.items) < 0
    day = f"{bill.day:%d-%m-%Y}"
    return [
        Line(party.name),
        Line(party.address),
        Line(f"BTW-nr: {vat_id(paper.party, bill, dice)}"),
        *([Line("Creditfactuur")] if credit else []),
        Line(f"{'Bonnummer' if till else 'Factuurnummer'}: {bill_number(bill, dice)}"),
        Line(f"{'Datum' if till else 'Factuurdatum'}: {day}"),
        *(Line(text, amount(cents)) for text, _, cents in bill.items),
        *_vat_lines(bill),
        Line(
            "Totaal:" if till or bill.style is Style.REVERSE else "Totaal incl. BTW:",
            amount(sum(cents for _, _, cents in bill.items)),
        ),
        Line(f"Betaald: {_PAID[party.how]}"),
    ]


def sale_lines(paper: Paper) -> list[Line]:
    """Say what one of the business's own invoices says; its prices exclude VAT."""
    bill = paper.bill
    vat = [(rate, net, half_up(net * rate, 100)) for rate, net in by_rate(bill)]
    return [
        Line(BUSINESS.name),
        Line(BUSINESS.address),
        Line(f"BTW-nr: {VAT_ID}"),
        Line(f"Aan: {PARTIES[paper.party].name}"),
        Line(f"Factuurnummer: {bill.number}"),
        Line(f"Factuurdatum: {bill.day:%d-%m-%Y}"),
        *(Line(text, amount(cents)) for text, _, cents in bill.items),
        *(Line(f"BTW {rate}% over {amount(net)}:", amount(tax)) for rate, net, tax in vat),
        Line("Totaal incl. BTW:", amount(sum(net + tax for _, net, tax in vat))),
        Line("Betaald: op rekening"),
    ]


def _vat_lines(bill: Bill) -> list[Line]:
    if bill.style is Style.REVERSE:
        return [Line("BTW verlegd")]
    if bill.style is Style.INCLUSIVE:
        return [Line(f"Bedrag incl. {rate}% BTW:", amount(gross)) for rate, gross in by_rate(bill)]
    lines: list[Line] = []
    for rate, gross in by_rate(bill):
        tax = half_up(gross * rate, 100 + rate)
        net, tax = bill.stated or (gross - tax, tax)
        lines.append(Line(f"BTW {rate}% over {amount(net)}:", amount(tax)))
    return lines


def _pdf(lines: list[Line], sheet: _Sheet) -> bytes:
    target = io.BytesIO()
    canvas = Canvas(target, pagesize=(sheet.width, sheet.height), invariant=1, pageCompression=0)
    canvas.setTitle(lines[0].left)
    down = float(sheet.height - sheet.margin - sheet.size)
    for number, line in enumerate(lines):
        heading = number == 0
        canvas.setFont(f"{sheet.font}-Bold" if heading else sheet.font, sheet.size + (2 if heading else 0))
        canvas.drawString(sheet.margin, down, line.left)
        if line.right:
            canvas.drawRightString(sheet.width - sheet.margin, down, line.right)
        # A blank line below the letterhead, as on paper.
        down -= sheet.size * (3 if number == 1 else 1.8)
    canvas.showPage()
    canvas.save()
    return target.getvalue()


def _photo(lines: list[Line], dice: Dice, name: str) -> bytes:
    """Draw a white slip on a grey table, turned a little, with the grain of a cheap camera."""
    width, height, step = 1000, 1100, 74
    slip = Image.new("L", (860, 150 + step * len(lines)), 247)
    pen = ImageDraw.Draw(slip)
    face = pathlib.Path(reportlab.__file__).parent / "fonts" / "Vera.ttf"
    font = ImageFont.truetype(str(face), 34)
    for number, line in enumerate(lines):
        down = 60 + step * number
        pen.text((50, down), line.left, fill=25, font=font)
        pen.text((810, down), line.right, fill=25, font=font, anchor="ra")
    degrees = 0.8 if dice.below(2, "turn", name) else -0.8
    turned = slip.rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=150)
    picture = Image.new("L", (width, height), 150)
    picture.paste(turned, ((width - turned.width) // 2, (height - turned.height) // 2))
    grain = hashlib.shake_256(dice.number("grain", name, digits=18).encode()).digest(width * height)
    noise = Image.frombytes("L", (width, height), grain)
    picture = Image.blend(picture, noise, 0.06)
    target = io.BytesIO()
    picture.save(target, "JPEG", quality=70)
    return target.getvalue()
