"""The payments of the plan as two bank exports, quirks and all.

ING: semicolons, unsigned amounts with `Af` or `Bij`, newest row first, remarks packed into one cell, UTF-8.
Rabobank: commas, signed amounts, a running number, oldest row first, CP1252.
It does not know which payments are special.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Final

from examples.bookkeeping.sample_names import OWN_IBANS, Dice, bill_number, party_iban
from examples.bookkeeping.sample_parties import PARTIES, How, Party
from examples.bookkeeping.scenario import PAYMENTS, RABO_SEQUENCE_FIRST, Case, Payment

_BALANCE_BEFORE: Final = {"ing": 481237, "rabo": 196450}
_ING_HEADER: Final = (
    "Datum", "Naam / Omschrijving", "Rekening", "Tegenrekening", "Code", "Af Bij", "Bedrag (EUR)",
    "Mutatiesoort", "Mededelingen", "Saldo na mutatie", "Tag",
)  # fmt: skip
_RABO_HEADER: Final = (
    "IBAN/BBAN", "Munt", "BIC", "Volgnr", "Datum", "Rentedatum", "Bedrag", "Saldo na trn",
    "Tegenrekening IBAN/BBAN", "Naam tegenpartij", "Naam uiteindelijke partij", "Naam initiërende partij",
    "BIC tegenpartij", "Code", "Batch ID", "Transactiereferentie", "Machtigingskenmerk", "Incassant ID",
    "Betalingskenmerk", "Omschrijving-1", "Omschrijving-2", "Omschrijving-3", "Reden retour", "Oorspr bedrag",
    "Oorspr munt", "Koers",
)  # fmt: skip
_ING_KIND: Final = {
    How.CARD: ("BA", "Betaalautomaat"),
    How.IDEAL: ("ID", "iDEAL"),
    How.DEBIT: ("IC", "Incasso"),
    How.TRANSFER: ("GT", "Online bankieren"),
    How.OWN: ("GT", "Online bankieren"),
    How.CASH: ("GM", "Geldautomaat"),
    How.BANK: ("DV", "Diversen"),
}
_RABO_CODE: Final = {
    How.CARD: "bc",
    How.IDEAL: "id",
    How.DEBIT: "ei",
    How.TRANSFER: "bg",
    How.OWN: "tb",
    How.CASH: "gb",
    How.BANK: "db",
}
_BIC: Final = {"INGB": "INGBNL2A", "RABO": "RABONL2U", "ABNA": "ABNANL2A", "TRIO": "TRIONL2U", "KNAB": "KNABNL2H"}


def euros(cents: int) -> str:
    """Write an amount as banks export it: `1234,56`."""
    sign = "-" if cents < 0 else ""
    return f"{sign}{abs(cents) // 100},{abs(cents) % 100:02}"


def ing_export(dice: Dice) -> bytes:
    """Write the ING export: newest row first, each with the balance after it."""
    balance = _BALANCE_BEFORE["ing"]
    rows: list[Sequence[str]] = []
    for payment in PAYMENTS:
        if payment.account == "ing":
            balance += payment.cents
            rows.append(_ing_row(payment, balance, dice))
    return _table((_ING_HEADER, *reversed(rows)), delimiter=";", ending="\n").encode("utf-8")


def rabo_export(dice: Dice) -> bytes:
    """Write the Rabobank export: oldest row first, numbered through."""
    balance = _BALANCE_BEFORE["rabo"]
    rows: list[Sequence[str]] = []
    for payment in PAYMENTS:
        if payment.account == "rabo":
            balance += payment.cents
            rows.append(_rabo_row(payment, RABO_SEQUENCE_FIRST + len(rows), balance, dice))
    return _table((_RABO_HEADER, *rows), delimiter=",", ending="\r\n").encode("cp1252")


def _table(rows: Iterable[Sequence[str]], *, delimiter: str, ending: str) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator=ending).writerows(rows)
    return text.getvalue()


def _ing_row(payment: Payment, balance: int, dice: Dice) -> Sequence[str]:
    party = PARTIES[payment.party]
    code, kind = _ING_KIND[party.how]
    if payment.cents > 0 and party.how in (How.TRANSFER, How.IDEAL, How.OWN):
        code, kind = "OV", "Overschrijving"
    return (
        payment.day.strftime("%Y%m%d"),
        party.bank,
        OWN_IBANS["ing"],
        _counter_iban(payment, dice),
        code,
        "Af" if payment.cents < 0 else "Bij",
        euros(abs(payment.cents)),
        kind,
        _ing_remarks(payment, party, dice),
        euros(balance),
        "",
    )


def _ing_remarks(payment: Payment, party: Party, dice: Dice) -> str:
    value_day = f"Valutadatum: {payment.day:%d-%m-%Y}"
    text = _description(payment, dice)
    if party.how in (How.CARD, How.CASH):
        slip = dice.code("slip", *_key(payment), length=6)
        terminal = dice.code("terminal", payment.party, length=6)
        when = f"{payment.day:%d-%m-%Y} {_clock(payment, dice)}"
        return f"Pasvolgnr: 003 {when} Transactie: {slip} Term: {terminal} {value_day}"
    if party.how is How.BANK:
        return f"{text} {value_day}"
    parts = [f"Naam: {party.bank}", f"Omschrijving: {text}", f"IBAN: {_counter_iban(payment, dice)}"]
    if reference := _reference(payment, dice):
        parts.append(f"Kenmerk: {reference}")
    if party.how is How.DEBIT:
        mandate, collector = _mandate(payment, dice)
        parts.append(f"Machtiging ID: {mandate} Incassant ID: {collector} Doorlopende incasso")
    return " ".join((*parts, value_day))


def _rabo_row(payment: Payment, sequence: int, balance: int, dice: Dice) -> Sequence[str]:
    party = PARTIES[payment.party]
    iban = _counter_iban(payment, dice)
    code = _RABO_CODE[party.how]
    if payment.cents > 0 and party.how is How.TRANSFER:
        code = "cb"
    mandate, collector = _mandate(payment, dice) if party.how is How.DEBIT else ("", "")
    return (
        OWN_IBANS["rabo"],
        "EUR",
        "RABONL2U",
        f"{sequence:018}",
        payment.day.isoformat(),
        payment.day.isoformat(),
        f"{'+' if payment.cents > 0 else ''}{euros(payment.cents)}",
        f"{'+' if balance > 0 else ''}{euros(balance)}",
        iban,
        party.bank,
        "",
        "",
        _BIC.get(iban[4:8], "AIBKIE2D" if iban else ""),
        code,
        "",
        dice.number("batch", sequence, digits=12) if code in ("ei", "id") else "",
        mandate,
        collector,
        _reference(payment, dice),
        _description(payment, dice),
        "",
        "",
        "",
        "",
        "",
        "",
    )


def _counter_iban(payment: Payment, dice: Dice) -> str:
    """Card, cash and the bank itself have no account number in an export."""
    how = PARTIES[payment.party].how
    if how in (How.CARD, How.CASH, How.BANK):
        return ""
    if how is How.OWN:
        return OWN_IBANS["rabo" if payment.account == "ing" else "ing"]
    return party_iban(payment.party, dice)


def _description(payment: Payment, dice: Dice) -> str:
    """Say what the payment is for, alike in both banks when it is the same payment."""
    payment = _first_copy(payment)
    how = PARTIES[payment.party].how
    if how in (How.CARD, How.CASH):
        place = "Betaalautomaat" if how is How.CARD else "Geldautomaat"
        return f"{place} {_clock(payment, dice)} pasnr. 021"
    if payment.text:
        return payment.text
    if payment.bill is not None and payment.cents > 0:
        return f"Terugbetaling creditfactuur {bill_number(payment.bill, dice)}"
    if how is How.IDEAL or payment.bill is None:
        return f"Bestelling {dice.number('order', payment, digits=8)}"
    customer = f" klantnr {dice.number('customer', payment.party, digits=5)}" if how is How.DEBIT else ""
    return f"Factuur {bill_number(payment.bill, dice)}{customer}"


def _reference(payment: Payment, dice: Dice) -> str:
    how = PARTIES[payment.party].how
    if how not in (How.IDEAL, How.DEBIT, How.TRANSFER) or payment.cents > 0:
        return ""
    return dice.number("reference", *_key(_first_copy(payment)), digits=16)


def _first_copy(payment: Payment) -> Payment:
    """Give the payment that a duplicate repeats, else the payment itself."""
    if payment.case is not Case.DUPLICATE:
        return payment
    alike = (payment.day, payment.party, payment.cents)
    return next(other for other in PAYMENTS if other is not payment and (other.day, other.party, other.cents) == alike)


def _key(payment: Payment) -> tuple[object, ...]:
    """Name a payment; a duplicate has a name of its own, for it stands in the other account."""
    return payment.account, payment.day, payment.party, payment.cents


def _clock(payment: Payment, dice: Dice) -> str:
    minutes = 9 * 60 + dice.below(9 * 60, "clock", *_key(payment))
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _mandate(payment: Payment, dice: Dice) -> tuple[str, str]:
    """Give mandate and creditor id of a direct debit, the same each month."""
    digits = dice.number("mandate", payment.party, digits=8)
    return f"M{digits}", f"NL{dice.below(89, 'creditor', payment.party) + 10}ZZZ{digits}0000"
