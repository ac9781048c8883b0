"""The errors of the bookkeeping domain.

    BookkeepingError
    ├── MoneyUnclear        a text that is not an amount in Dutch notation
    ├── BusinessUnclear     business.toml cannot be used
    ├── RulesUnclear        vendors.toml cannot be used
    ├── ReceiptUnreadable   the file gives no text (corrupt, encrypted, not a PDF, a scan, too big)
    ├── ReceiptUnclear      the text is there, but facts are missing from it
    ├── EvidenceMissing     VAT is claimed for a booking that has no receipt: a fault of the caller's
    └── OcrMissing          the photo could be read if the extra casework[ocr] were installed

Each is one line of text that says what to do next. This module does not know who parks or reports what.
"""

from typing import Final

from casework.protocols.errors import CaseworkError

#: How the text of a ReceiptUnreadable begins; left off where a sentence has said so already.
CANNOT_BE_READ: Final = "receipt cannot be read: "


class BookkeepingError(CaseworkError):
    """The root of this crew's errors."""


class MoneyUnclear(BookkeepingError):
    """A text that is not an amount; `text` is the text, `why` says what is wrong with it."""

    def __init__(self, text: str, why: str) -> None:
        self.text = text
        self.why = why
        super().__init__(f"amount {text!r} {why}; expected digits, a comma and two decimals, like 1234,56")


class BusinessUnclear(BookkeepingError):
    """business.toml cannot be used; `path` names the file, `why` says what to change."""

    def __init__(self, path: str, why: str) -> None:
        self.path = path
        self.why = why
        super().__init__(f"{path}: {why}")


class RulesUnclear(BookkeepingError):
    """The vendor rules cannot be used; `path` names the file, `why` says what to change."""

    def __init__(self, path: str, why: str) -> None:
        self.path = path
        self.why = why
        super().__init__(f"{path}: {why}")


class ReceiptUnreadable(BookkeepingError):
    """The file gives no text; `reason` says why and what to deliver instead."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"{CANNOT_BE_READ}{reason}")


class ReceiptUnclear(BookkeepingError):
    """The text was read, but the facts named in `missing` are not in it."""

    def __init__(self, missing: tuple[str, ...]) -> None:
        self.missing = missing
        super().__init__(f"receipt lacks {', '.join(missing)}; deliver a complete receipt or enter it by hand")


class OcrMissing(BookkeepingError):
    """A photo was given and the optical reader is not installed; `extra` names what to install."""

    def __init__(self) -> None:
        self.extra = "casework[ocr]"
        super().__init__("a photo needs the extra casework[ocr]; install it with: pip install 'casework[ocr]'")


class EvidenceMissing(BookkeepingError):
    """VAT is in a booking without a receipt; `transactions` names them. Nothing may be totalled until it is gone."""

    def __init__(self, transactions: tuple[str, ...]) -> None:
        self.transactions = transactions
        super().__init__(f"VAT without a receipt in {', '.join(transactions)}; park them until the receipt is there")
