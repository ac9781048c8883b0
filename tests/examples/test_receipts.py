"""Receipts: what is on them is read, what is not readable is refused with a reason."""

from __future__ import annotations

import datetime as dt
import importlib.util
import io
import math
import pathlib
import sys
from decimal import Decimal

import pytest

from examples.bookkeeping import photo
from examples.bookkeeping.errors import OcrMissing, ReceiptUnclear, ReceiptUnreadable
from examples.bookkeeping.pdf import PDF_BYTES_MAX, read_pdf
from examples.bookkeeping.receipts import parse_receipt, read_receipt
from examples.bookkeeping.textlines import Box, page_slope, rebuild_lines

SAMPLE = pathlib.Path(__file__).parents[2] / "examples/bookkeeping/sample/2026Q2/receipts"
BILL = """Boekhandel Domplein
Domplein 6, 3512 JC Utrecht
BTW-nr: NL800000000B01
Factuurnummer: F2026-0412
Factuurdatum: 14-04-2026
Boek Typografie 30,00
Schetsblok 1.024,30
BTW 9% over 27,52: 2,48
BTW 21% over 846,53: 177,77
Totaal incl. BTW: 1.054,30
Betaald: pin"""


def pdf_of(pages: int) -> bytes:
    import pypdfium2

    document = pypdfium2.PdfDocument.new()
    for _ in range(pages):
        document.new_page(200, 200)

    buffer = io.BytesIO()
    document.save(buffer)
    document.close()
    return buffer.getvalue()


def box(text: str, x: float, y: float, degrees: float = 0.0, width: float = 200, height: float = 20) -> Box:
    turn = math.radians(degrees)

    def turned(a: float, b: float) -> tuple[float, float]:
        return a * math.cos(turn) - b * math.sin(turn), a * math.sin(turn) + b * math.cos(turn)

    corners = turned(x, y), turned(x + width, y), turned(x + width, y + height), turned(x, y + height)
    return Box(text, corners)


def test_a_receipt_gives_its_facts() -> None:
    facts = parse_receipt(BILL, own_name="Studio Linde")
    assert (facts.vendor, facts.number, facts.date) == ("Boekhandel Domplein", "F2026-0412", dt.date(2026, 4, 14))
    assert (facts.vat_id, facts.total, facts.sale) == ("NL800000000B01", Decimal("1054.30"), False)
    assert [line.amount for line in facts.lines] == [Decimal("30.00"), Decimal("1024.30")]
    assert [(line.rate, line.vat) for line in facts.rates] == [(9, Decimal("2.48")), (21, Decimal("177.77"))]


def test_a_photo_that_lost_its_spaces_reads_the_same() -> None:
    squeezed = BILL.replace(": ", ":").replace("BTW 9% over 27", "BTW9%0ver27").replace("incl. BTW", "incl.BTW")
    assert parse_receipt(squeezed).rates == parse_receipt(BILL).rates


def test_amounts_that_include_vat_are_kept_as_such() -> None:
    text = "Winkel\nDatum: 01-05-2026\nBedrag incl. 9% BTW: 30,00\nBedrag incl. 21% BTW: 24,30\nTotaal: 54,30"
    assert [(line.rate, line.gross, line.vat) for line in parse_receipt(text).rates] == [
        (9, Decimal("30.00"), None),
        (21, Decimal("24.30"), None),
    ]


def test_an_invoice_headed_by_the_business_itself_is_a_sale() -> None:
    text = BILL.replace("Boekhandel Domplein", "Studio Linde").replace("BTW-nr", "Aan: Museum\nBTW-nr")
    facts = parse_receipt(text, own_name="Studio Linde")
    assert (facts.sale, facts.customer) == (True, "Museum")


def test_a_credit_note_is_negative_even_if_it_prints_no_sign() -> None:
    text = "Winkel\nCreditfactuur\nDatum: 01-05-2026\nRetour 36,30\nBTW 21% over 30,00: 6,30\nTotaal: 36,30"
    facts = parse_receipt(text)
    assert (facts.credit, facts.total, facts.rates[0].vat) == (True, Decimal("-36.30"), Decimal("-6.30"))


def test_reverse_charge_needs_no_rate() -> None:
    assert parse_receipt("Cloud\nDatum: 01-05-2026\nBTW verlegd\nTotaal: 120,00").reverse_charge


def test_all_missing_facts_are_named_at_once() -> None:
    with pytest.raises(ReceiptUnclear) as caught:
        parse_receipt("Winkel\nDatum: 31-02-2026")
    assert caught.value.missing == ("the date", "the total", "the VAT per rate")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b"Dear reader, this is text", "not a PDF"),
        (b"%PDF-1.4 and then rubbish", "corrupt"),
        (b"%PDF-" + b"x" * PDF_BYTES_MAX, "PDF is more than 20 MiB; "),
    ],
    ids=["empty", "text", "corrupt", "large"],
)
def test_a_file_that_is_no_pdf_is_refused_with_its_reason(data: bytes, said: str) -> None:
    with pytest.raises(ReceiptUnreadable, match=said):
        read_pdf(data)


def test_a_scan_and_a_book_are_refused() -> None:
    with pytest.raises(ReceiptUnreadable, match="no text layer"):
        read_pdf(pdf_of(1))
    with pytest.raises(ReceiptUnreadable, match="21 pages"):
        read_pdf(pdf_of(21))


def test_an_encrypted_pdf_is_refused() -> None:
    canvas = pytest.importorskip("reportlab.pdfgen.canvas", reason="reportlab makes the encrypted file")

    buffer = io.BytesIO()
    page = canvas.Canvas(buffer, encrypt="secret")
    page.drawString(10, 10, "Totaal: 1,00")
    page.save()
    with pytest.raises(ReceiptUnreadable, match="encrypted"):
        read_pdf(buffer.getvalue())


@pytest.mark.parametrize("degrees", [-3.0, 0.0, 2.0])
def test_lines_are_rebuilt_however_the_slip_was_held(degrees: float) -> None:
    boxes = [
        box("4,22", 800, 100, degrees, width=80),
        box("Totaal", 10, 140, degrees),
        box("BTW", 10, 100, degrees),
        box("54,30", 800, 140, degrees, width=80),
    ]
    assert rebuild_lines(boxes) == ["BTW 4,22", "Totaal 54,30"]
    assert math.degrees(math.atan(page_slope(boxes))) == pytest.approx(degrees, abs=0.01)


def test_no_boxes_are_no_lines() -> None:
    assert rebuild_lines([]) == []


def test_without_the_extra_the_refusal_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rapidocr_onnxruntime", None)
    photo._reader.cache_clear()
    with pytest.raises(OcrMissing, match=r"casework\[ocr\]"):
        photo.ocr_lines(b"\xff\xd8\xff")
    photo._reader.cache_clear()


def test_a_photo_that_is_none_is_refused() -> None:
    with pytest.raises(ReceiptUnreadable, match="neither JPEG nor PNG"):
        photo.ocr_lines(b"GIF89a")
    with pytest.raises(ReceiptUnreadable, match="photo is more than 20 MiB; "):
        photo.ocr_lines(b"\xff\xd8\xff" + b"x" * photo.PHOTO_BYTES_MAX)


@pytest.mark.skipif(importlib.util.find_spec("rapidocr_onnxruntime") is None, reason="extra casework[ocr] is absent")
@pytest.mark.parametrize(("name", "total"), [("photo-1.jpg", "27.45"), ("photo-2.jpg", "16.84")])
def test_the_photos_of_the_sample_are_read(name: str, total: str) -> None:
    text = "\n".join(photo.ocr_lines((SAMPLE / name).read_bytes()))
    assert parse_receipt(text).total == Decimal(total)


def test_every_pdf_of_the_sample_is_read() -> None:
    for path in sorted(SAMPLE.glob("*.pdf")):
        facts = read_receipt(path.name, path.read_bytes(), own_name="Studio Linde")
        assert len(facts.sha256) == 64
        assert facts.number
