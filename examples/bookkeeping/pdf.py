"""The text layer of a PDF, by pypdfium2, which is imported on first use.

PDFium is not thread safe: callers let one thread at a time in. It does not know what a receipt looks like.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from examples.bookkeeping.errors import ReceiptUnreadable

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument, PdfiumError

PDF_BYTES_MAX: Final = 20 * 1024 * 1024
# A receipt has a page or two, a telecom bill ten; a longer document is not one receipt.
PDF_PAGES_MAX: Final = 20

_START: Final = b"%PDF-"
# Readers accept the mark anywhere in the first KiB, after the rubbish that mail programs put before it.
_START_WITHIN: Final = 1024
_WRONG_PASSWORD: Final = "password"


def read_pdf(data: bytes) -> str:
    """Give the text of all pages.

    Raises:
        ReceiptUnreadable: too big, not a PDF, corrupt, encrypted, too many pages, or without a text layer.
    """
    if len(data) > PDF_BYTES_MAX:
        raise ReceiptUnreadable(f"PDF is more than {PDF_BYTES_MAX >> 20} MiB; deliver a smaller one")
    if not data:
        raise ReceiptUnreadable("file is empty; deliver it again")
    if _START not in data[:_START_WITHIN]:
        raise ReceiptUnreadable("file is not a PDF whatever its name says; deliver the original PDF")
    text = _text(data)
    if not text.strip():
        raise ReceiptUnreadable("PDF has no text layer, it is a scan; deliver it as a JPEG photo or a PDF with text")
    return text


def _text(data: bytes) -> str:
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        raise ReceiptUnreadable(_complaint(error)) from error
    try:
        if len(document) > PDF_PAGES_MAX:
            raise ReceiptUnreadable(f"PDF has {len(document)} pages, the limit is {PDF_PAGES_MAX}; deliver one receipt")
        return "\n".join(_page_text(document, number) for number in range(len(document)))
    except pypdfium2.PdfiumError as error:
        raise ReceiptUnreadable(_complaint(error)) from error
    finally:
        document.close()


def _page_text(document: PdfDocument, number: int) -> str:
    page = document[number]
    try:
        text_page = page.get_textpage()
        try:
            return str(text_page.get_text_range())
        finally:
            text_page.close()
    finally:
        page.close()


def _complaint(error: PdfiumError) -> str:
    if _WRONG_PASSWORD in str(error).lower():
        return "PDF is encrypted; deliver it without a password"
    return "PDF is corrupt; deliver it again"
