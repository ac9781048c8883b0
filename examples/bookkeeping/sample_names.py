"""What things of the sample are called: transaction ids, receipt files, own and foreign account numbers.

Transaction ids and file names follow from the plan alone, so that every seed has the same expected answers.
Everything else that needs a made-up number takes it from `Dice`, which a seed fixes on every Python version.
It does not know any file format.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from examples.bookkeeping.sample_parties import PARTIES
from examples.bookkeeping.scenario import PAYMENTS, RABO_SEQUENCE_FIRST, Bill, Case, Payment, Style

LATE_FILE: Final = "factuur-cameraland.pdf"
_BANKS: Final = ("INGB", "RABO", "ABNA", "TRIO", "KNAB")


class Dice:
    """Made-up digits: the same for the same seed and question, for ever."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def number(self, *question: object, digits: int) -> str:
        """Give that many decimal digits."""
        text = "/".join(map(str, (self._seed, *question)))
        value = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")
        return str(value % 10**digits).zfill(digits)

    def below(self, bound: int, *question: object) -> int:
        """Give a whole number from 0 up to, not including, `bound`."""
        return int(self.number(*question, digits=18)) % bound

    def code(self, *question: object, length: int) -> str:
        """Give capitals and digits, as on a card terminal's slip."""
        signs = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZ"
        return "".join(signs[self.below(len(signs), *question, place)] for place in range(length))


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """A bill as a file: where it lies and whose it is."""

    path: PurePosixPath
    """Relative to the sample folder."""
    party: str
    bill: Bill
    payment: Payment
    row: int
    """Index of the payment in `PAYMENTS`."""


def transaction_ids() -> list[str]:
    """Name each payment of `PAYMENTS` as the importer will."""
    of_day: Counter[str] = Counter()
    sequence = RABO_SEQUENCE_FIRST
    ids: list[str] = []
    for payment in PAYMENTS:
        if payment.account == "ing":
            day = payment.day.strftime("%Y%m%d")
            of_day[day] += 1
            ids.append(f"ing-{day}-{of_day[day]:02}")
        else:
            ids.append(f"rabo-{sequence}")
            sequence += 1
    return ids


def papers() -> list[Paper]:
    """Give every bill its file: numbered by date, as somebody who empties a drawer would."""
    bills = [(bill, row) for row, p in enumerate(PAYMENTS) for bill in (p.bill, p.twin) if bill is not None]
    bills.sort(key=lambda found: (found[0].day, PAYMENTS[found[1]].party, found[1]))
    found: list[Paper] = []
    count: Counter[str] = Counter()
    for bill, row in bills:
        payment = PAYMENTS[row]
        path = PurePosixPath("2026Q2/receipts", _file_name(bill, payment, count))
        if payment.case is Case.LATE:
            path = PurePosixPath("late", LATE_FILE)
        found.append(Paper(path=path, party=payment.party, bill=bill, payment=payment, row=row))
    return found


def _file_name(bill: Bill, payment: Payment, count: Counter[str]) -> str:
    if PARTIES[payment.party].category == "sales":
        return f"verkoop-{bill.number.lower()}.pdf"
    if payment.case is Case.LATE:
        return LATE_FILE
    if payment.case is Case.PHOTO:
        count["photo"] += 1
        return f"photo-{count['photo']}.jpg"
    count["bon"] += 1
    return f"bon-{count['bon']:03}.pdf"


def bill_number(bill: Bill, dice: Dice) -> str:
    """Give the number printed on a bill."""
    if bill.number:
        return bill.number
    first = bill.items[0]
    prefix = "CF" if first[2] < 0 else "F"
    return f"{prefix}2026-{dice.number('bill', bill.day, first, digits=4)}"


def vat_id(party: str, bill: Bill, dice: Dice) -> str:
    """Give a supplier's VAT id: of the right form, belonging to nobody in particular."""
    if bill.style is Style.REVERSE:
        return "IE1234567FA"
    return f"NL8000{dice.number('vat', party, digits=5)}B01"


def iban(country: str, rest: str) -> str:
    """Put the right check digits (ISO 7064, modulo 97) into an account number."""
    digits = "".join(str(int(sign, 36)) for sign in f"{rest}{country}00")
    return f"{country}{98 - int(digits) % 97:02}{rest}"


OWN_IBANS: Final = {"ing": iban("NL", "INGB0001234567"), "rabo": iban("NL", "RABO0123456789")}


def party_iban(party: str, dice: Dice) -> str:
    """Give the account of a supplier or customer, the same in every row."""
    if party == "cloud":
        return iban("IE", f"AIBK{dice.number('iban', party, digits=14)}")
    bank = _BANKS[dice.below(len(_BANKS), "bank", party)]
    return iban("NL", f"{bank}0{dice.number('iban', party, digits=9)}")
