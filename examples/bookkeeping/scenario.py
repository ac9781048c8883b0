"""The plan of the sample quarter: every payment and every bill, as plain data in integer cents.

This is the ground truth. `generate.py` draws bank exports and receipts from it; `expected.py` works the right
answers out of it. Payments are signed, money in is positive. What a bill charges for an item includes VAT,
except on the business's own invoices, which list prices without it.
It does not know how any file looks, and the crew never imports it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Final

Item = tuple[str, int, int]
"""Description, VAT rate in per cent, amount in cents."""

VAT_ID: Final = "NL001234567B01"
QUARTER: Final = "2026Q2"
DEADLINE: Final = "2026-07-31"
TURNOVER_BEFORE: Final = 874250
"""Turnover without VAT of January to March, in cents."""
RABO_SEQUENCE_FIRST: Final = 4211
"""Volgnr of the first Rabobank row of the quarter."""


class Case(Enum):
    """What is special about a payment; most are `PLAIN`."""

    PLAIN = ""
    MISSING = "missing receipt"
    LATE = "missing receipt that comes later"
    PHOTO = "photographed receipt"
    DUPLICATE = "duplicate"
    AMBIGUOUS = "ambiguous receipt"
    LOW = "low confidence"
    RULED = "disagreement settled by rule"
    DISPUTED = "disagreement for a person"
    REVERSE = "reverse charge"
    WRONG_VAT = "wrong VAT"
    REFUND = "refund"
    UNUSUAL = "unusual amount"
    MIXED = "mixed rates, prices including VAT"


class Style(Enum):
    """How a bill shows its VAT."""

    RATES = "net and VAT of each rate"
    INCLUSIVE = "amount including VAT of each rate"
    REVERSE = "BTW verlegd"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """A receipt or an invoice."""

    day: date
    items: tuple[Item, ...]
    style: Style = Style.RATES
    number: str = ""
    """Empty where the generator may make one up."""
    stated: tuple[int, int] | None = None
    """Net and VAT in cents that a wrong bill states."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """One row of a bank export."""

    account: str
    """`ing` or `rabo`."""
    day: date
    party: str
    """A key of `sample_parties.PARTIES`."""
    cents: int
    text: str = ""
    """What the payer wrote; empty where the generator may make it up."""
    bill: Bill | None = None
    twin: Bill | None = None
    """A second bill that fits as well."""
    case: Case = Case.PLAIN


def half_up(numerator: int, denominator: int) -> int:
    """Divide whole numbers, rounding half away from zero."""
    quotient = (2 * abs(numerator) + denominator) // (2 * denominator)
    return -quotient if numerator < 0 else quotient


def by_rate(bill: Bill) -> list[tuple[int, int]]:
    """Add the items of each rate, lowest rate first."""
    rates = sorted({rate for _, rate, _ in bill.items})
    return [(rate, sum(cents for _, own, cents in bill.items if own == rate)) for rate in rates]


def _day(month_day: str) -> date:
    return date.fromisoformat(f"2026-{month_day}")


def _buy(
    account: str, days: str, party: str, *items: Item, style: Style = Style.RATES, case: Case = Case.PLAIN
) -> Payment:
    """Pay a supplier; `days` is the day of payment, then the day of the bill where that is another one."""
    paid, _, billed = days.partition(" ")
    bill = Bill(day=_day(billed or paid), items=items, style=style)
    total = sum(cents for _, _, cents in items)
    return Payment(account=account, day=_day(paid), party=party, cents=-total, bill=bill, case=case)


def _sell(account: str, days: str, party: str, number: int, *items: Item) -> Payment:
    """Be paid by a customer; `days` is the day of payment, then the day of the invoice."""
    paid, _, billed = days.partition(" ")
    bill = Bill(day=_day(billed), items=items, number=f"SL2026-{number:03}")
    total = sum(net + half_up(net * rate, 100) for rate, net in by_rate(bill))
    text = f"Factuur {bill.number}"
    return Payment(account=account, day=_day(paid), party=party, cents=total, text=text, bill=bill)


def _pay(account: str, day: str, party: str, cents: int, text: str = "", case: Case = Case.PLAIN) -> Payment:
    """Pay or be paid without a bill."""
    return Payment(account=account, day=_day(day), party=party, cents=cents, text=text, case=case)


SALES: Final = (
    _sell("ing", "04-10 04-01", "wending", 9, ("Omslagontwerp roman", 21, 64000)),
    _sell("ing", "04-14 04-02", "kraan", 10, ("Huisstijl fase 1", 21, 82000)),
    _sell("ing", "04-17 04-08", "stroom", 11, ("Illustraties lesrooster", 21, 37500)),
    _sell("rabo", "04-21 04-10", "lumiere", 12, ("Prentenboek De Lindelaan, 20 ex.", 9, 29800)),
    _sell("ing", "04-28 04-15", "gemeente", 13, ("Informatiebord Griftpark", 21, 91000)),
    _sell("ing", "04-30 04-20", "tandarts", 14, ("Folder en afsprakenkaart", 21, 41500)),
    _sell("ing", "05-08 04-28", "wending", 15, ("Illustraties binnenwerk", 21, 56000)),
    _sell("ing", "05-13 05-01", "kraan", 16, ("Huisstijl fase 2", 21, 52050), ("Visitekaartontwerp", 21, 25950)),
    _sell(
        "ing", "05-18 05-06", "festival", 17,
        ("Affiche en programma", 21, 69000), ("Festivalboekje, 50 ex.", 9, 24550),
    ),
    _sell("rabo", "05-22 05-11", "bellevue", 18, ("Etiketten voorjaarswijn", 21, 45500)),
    _sell("ing", "05-26 05-13", "museum", 19, ("Vormgeving zaalteksten", 21, 59500)),
    _sell("ing", "05-29 05-18", "stroom", 20, ("Poster zomerprogramma", 21, 32550)),
    _sell("ing", "06-03 05-22", "lumiere", 21, ("Prentenboek De Lindelaan, 25 ex.", 9, 37250)),
    _sell("ing", "06-09 05-28", "gemeente", 22, ("Plattegrond wijkcentrum", 21, 70500)),
    _sell("rabo", "06-12 06-02", "bellevue", 23, ("Ontwerp wijnkaart", 21, 34000)),
    _sell("ing", "06-16 06-04", "tandarts", 24, ("Illustraties website", 21, 48000)),
    _sell("ing", "06-19 06-09", "museum", 25, ("Uitnodigingen opening", 21, 41075)),
    _sell("ing", "06-26 06-15", "festival", 26, ("Ontwerp podiumbanners", 21, 51525)),
)  # fmt: skip

PURCHASES_ING: Final = (
    _buy("ing", "04-02 04-01", "rent", ("Huur atelier april", 21, 30250), ("Servicekosten", 21, 4114)),
    _buy("ing", "05-04 05-01", "rent", ("Huur atelier mei", 21, 30250), ("Servicekosten", 21, 3872)),
    _buy("ing", "06-02 06-01", "rent", ("Huur atelier juni", 21, 30250), ("Servicekosten", 21, 3509)),
    _buy("ing", "04-15 04-08", "kpn", ("Mobiel abonnement", 21, 2299), ("Verbruik buiten bundel", 21, 188)),
    _buy("ing", "05-15 05-08", "kpn", ("Mobiel abonnement", 21, 2299), ("Verbruik buiten bundel", 21, 413)),
    _buy("ing", "06-15 06-08", "kpn", ("Mobiel abonnement", 21, 2299), ("Verbruik buiten bundel", 21, 64)),
    _buy("ing", "04-20 04-13", "transip", ("Webhosting pakket M", 21, 1209)),
    _buy("ing", "05-20 05-13", "transip", ("Webhosting pakket M", 21, 1209), ("Domeinnaam .nl", 21, 907)),
    _buy("ing", "06-22 06-15", "transip", ("Webhosting pakket M", 21, 1209), ("Extra opslag", 21, 242)),
    _buy("ing", "04-22 04-15", "nn", ("Premie beroepsaansprakelijkheid april, 30 dagen", 0, 4115)),
    _buy("ing", "05-22 05-15", "nn", ("Premie beroepsaansprakelijkheid mei, 31 dagen", 0, 4252)),
    _buy("ing", "06-24 06-15", "nn", ("Premie beroepsaansprakelijkheid juni, ingangskorting", 0, 3918)),
    _buy("ing", "04-09", "ns", ("Treinkaartje Utrecht - Amsterdam retour", 9, 1880), style=Style.INCLUSIVE),
    _buy("ing", "04-16", "ns", ("Treinkaartje Utrecht - Arnhem retour", 9, 2540)),
    _buy("ing", "04-29", "ns", ("Treinkaartje Utrecht - Den Haag retour", 9, 2660)),
    _buy("ing", "05-12", "ns", ("Treinkaartje Utrecht - Rotterdam retour", 9, 2490)),
    _buy("ing", "05-27", "ns", ("Treinkaartje Utrecht - Zwolle retour", 9, 3710), style=Style.INCLUSIVE),
    _buy("ing", "06-10", "ns", ("Treinkaartje Utrecht - Haarlem retour", 9, 2180)),
    _buy("ing", "06-25", "ns", ("Treinkaartje Utrecht - Eindhoven retour", 9, 3420)),
    _buy("ing", "04-08", "ah", ("Lunch projectoverleg", 9, 1848), ("Servetten en bekers", 21, 350)),
    _buy("ing", "04-23", "ah", ("Broodjes en fruit", 9, 1432)),
    _buy("ing", "05-07", "ah", ("Lunch projectoverleg", 9, 2126), ("Servetten en bekers", 21, 289),
         style=Style.INCLUSIVE),
    _buy("ing", "05-28", "ah", ("Broodjes en sap", 9, 1268)),
    _buy("ing", "06-11", "ah", ("Lunch projectoverleg, 6 personen", 9, 3184), ("Wegwerpborden", 21, 425)),
    _buy("ing", "04-11", "hema", ("Ordners en tabbladen", 21, 1975), style=Style.INCLUSIVE),
    _buy("ing", "05-30", "hema", ("Notitieboeken", 21, 1450), ("Archiefdozen", 21, 1179)),
    _buy("ing", "06-18", "hema", ("Plakband en lijmstiften", 21, 1089)),
    _buy("ing", "04-07", "kantoor", ("Printpapier A3, 3 pak", 21, 4356)),
    _buy("ing", "05-11", "kantoor", ("Printpapier A4, 5 pak", 21, 3328), ("Nietmachine", 21, 1815)),
    _buy("ing", "06-08", "kantoor", ("Enveloppen C5, 500 st", 21, 3872)),
    _buy("ing", "04-17 04-16", "coolblue", ("USB-C kabel", 21, 3630), ("Externe SSD 1 TB", 21, 9075)),
    _buy("ing", "05-21 05-20", "coolblue", ("Toetsenbord", 21, 10890)),
    _buy("ing", "06-17 06-16", "coolblue", ("Laptopstandaard", 21, 6655), ("Muis", 21, 4719)),
    _buy("ing", "04-24 04-22", "coolblue", ("Retour USB-C kabel", 21, -3630), case=Case.REFUND),
    _buy("ing", "04-08 04-07", "pixel", ("Drukwerk ansichtkaarten, 100 st", 21, 2468)),
    _buy("ing", "04-21 04-20", "pixel", ("Drukwerk stickers, 50 st", 21, 1936), style=Style.INCLUSIVE),
    _buy("ing", "05-06 05-05", "pixel", ("Drukwerk visitekaartjes, 250 st", 21, 2662)),
    _buy("ing", "05-13 05-12", "pixel", ("Drukwerk proefdruk affiche", 21, 1694)),
    _buy("ing", "05-26 05-25", "pixel", ("Drukwerk ansichtkaarten, 150 st", 21, 3146)),
    _buy("ing", "06-04 06-03", "pixel", ("Drukwerk stickers, 75 st", 21, 2299)),
    _buy("ing", "06-12 06-11", "pixel", ("Drukwerk flyers, 200 st", 21, 2783)),
    _buy("ing", "06-23 06-22", "pixel", ("Drukwerk portfolioboek, 25 st", 21, 42350), case=Case.UNUSUAL),
    _buy("ing", "05-16", "boek", ("Boek Typografie van nu", 9, 3000), ("Schetsblok A3 en stiften", 21, 2430),
         style=Style.INCLUSIVE, case=Case.MIXED),
    _buy("ing", "04-14", "station", ("Treinkaartje Utrecht - Maastricht", 9, 5470), case=Case.RULED),
    _buy("ing", "04-30 04-22", "hethof", ("Drukwerk brochure Griftpark", 21, 14399)),
    Payment(
        account="ing", day=_day("05-19"), party="hethof", cents=-7260, text="Betaling rekening mei",
        case=Case.AMBIGUOUS,
        bill=Bill(day=_day("05-08"), items=(("Drukwerk folder, 250 st", 21, 7260),)),
        twin=Bill(day=_day("05-15"), items=(("Drukwerk folder, 250 st", 21, 7260),)),
    ),
    _pay("ing", "04-13", "bol", -4835, case=Case.MISSING),
    _pay("ing", "06-06", "gamma", -6195, case=Case.MISSING),
    _buy("ing", "05-29 05-22", "driehoek", ("Levering conform afspraak", 21, 9680), case=Case.LOW),
)  # fmt: skip

PURCHASES_RABO: Final = (
    _buy("rabo", "04-10 04-03", "ziggo", ("Zakelijk internet", 21, 4840), ("Gesprekskosten", 21, 73)),
    _buy("rabo", "05-11 05-04", "ziggo", ("Zakelijk internet", 21, 4840), ("Gesprekskosten", 21, 254)),
    _buy("rabo", "06-10 06-03", "ziggo", ("Zakelijk internet", 21, 4840), ("Gesprekskosten", 21, 131)),
    _buy("rabo", "04-16 04-09", "letter", ("Fontlicentie studio, 2 gebruikers", 21, 2904)),
    _buy("rabo", "05-18 05-11", "letter", ("Fontlicentie studio, 3 gebruikers", 21, 4235)),
    _buy("rabo", "06-16 06-09", "letter", ("Fontlicentie studio, 2 gebruikers", 21, 2904), ("Fontpakket", 21, 605)),
    _buy("rabo", "04-24 04-17", "boekmaat", ("Softwarelicentie administratie", 21, 1815)),
    _buy("rabo", "05-26 05-18", "boekmaat", ("Softwarelicentie administratie", 21, 1815), ("Bankkoppeling", 21, 363)),
    _buy("rabo", "06-24 06-17", "boekmaat", ("Softwarelicentie administratie", 21, 1815), ("Bankkoppeling", 21, 182)),
    _buy("rabo", "04-13 04-07", "krant", ("Krantenabonnement april", 9, 2950)),
    _buy("rabo", "05-12 05-06", "krant", ("Krantenabonnement mei", 9, 3050), style=Style.INCLUSIVE),
    _buy("rabo", "06-11 06-05", "krant", ("Krantenabonnement juni", 9, 3150)),
    _buy("rabo", "04-28 04-20", "unie", ("Contributie tweede kwartaal", 21, 8470)),
    _buy("rabo", "05-20 05-13", "cloud", ("Cloudframe Studio licence, 12 months", 0, 12000), style=Style.REVERSE,
         case=Case.REVERSE),
    _buy("rabo", "04-09", "shell", ("Euro 95, 24,31 liter", 21, 4983)),
    _buy("rabo", "05-01", "shell", ("Euro 95, 27,02 liter", 21, 5512), style=Style.INCLUSIVE),
    _buy("rabo", "05-23", "shell", ("Euro 95, 22,58 liter", 21, 4629)),
    _buy("rabo", "06-13", "shell", ("Euro 95, 29,04 liter", 21, 5954)),
    _buy("rabo", "04-15", "qpark", ("Parkeren Catharijne", 21, 1250)),
    _buy("rabo", "05-14", "qpark", ("Parkeren Catharijne", 21, 875), style=Style.INCLUSIVE),
    _buy("rabo", "06-18", "qpark", ("Parkeren Catharijne", 21, 1625)),
    _buy("rabo", "04-22", "uov", ("Dagkaart bus en tram", 9, 940)),
    _buy("rabo", "05-19", "uov", ("Dagkaart bus en tram, 2 personen", 9, 1860)),
    _buy("rabo", "06-05", "uov", ("Ritten bus en tram", 9, 1128), style=Style.INCLUSIVE),
    _buy("rabo", "04-18", "bakker", ("Taart oplevering huisstijl", 9, 2895)),
    _buy("rabo", "05-09", "bakker", ("Broodjes en koffiebroodjes", 9, 1640), style=Style.INCLUSIVE),
    _buy("rabo", "06-20", "bakker", ("Gebak opening", 9, 2375)),
    _buy("rabo", "05-08 05-07", "lunch", ("Bezorglunch overleg, 4 personen", 9, 4796)),
    _buy("rabo", "06-17 06-16", "lunch", ("Bezorglunch overleg, 5 personen", 9, 5886), ("Bezorgkosten", 9, 327)),
    _buy("rabo", "04-14", "postnl", ("Pakketzegels binnenland", 0, 3475)),
    _buy("rabo", "05-06", "postnl", ("Postzegels, 20 st", 0, 2420)),
    _buy("rabo", "05-28", "postnl", ("Pakket buitenland", 0, 1830)),
    _buy("rabo", "06-19", "postnl", ("Pakketzegels binnenland", 0, 2085)),
    _buy("rabo", "04-30 04-24", "schoon", ("Schoonmaak atelier april", 21, 6655)),
    _buy("rabo", "05-29 05-22", "schoon", ("Schoonmaak atelier mei", 21, 7018)),
    _buy("rabo", "06-29 06-22", "schoon", ("Schoonmaak atelier juni", 21, 6413)),
    _buy("rabo", "06-05 05-28", "faber", ("Fotografie portfolio", 21, 31460)),
    _buy("rabo", "04-23 04-22", "academie", ("Cursus Digitaal tekenen", 21, 11979)),
    _buy("rabo", "06-09 06-08", "academie", ("Workshop Kleurenleer", 21, 8954)),
    _buy("rabo", "05-21", "cursus", ("Treinkaartje Utrecht - Zutphen retour", 9, 4140), case=Case.DISPUTED),
    _pay("rabo", "04-25", "tango", -5210, case=Case.MISSING),
    _pay("rabo", "05-16", "ikea", -8995, case=Case.MISSING),
    _buy("rabo", "06-19 06-18", "camera", ("Statief en cameratas", 21, 18150), case=Case.LATE),
    _buy("rabo", "05-02", "hubo", ("Verf en kwasten", 21, 2745), case=Case.PHOTO),
    _buy("rabo", "06-03", "copy", ("Kopieerwerk kleur A3", 21, 1684), case=Case.PHOTO),
    _buy("rabo", "04-29", "jansen", ("Diversen", 21, 3993), case=Case.LOW),
    _buy("rabo", "06-26 06-19", "vlot", ("Bijdrage conform overleg", 21, 5445), case=Case.LOW),
    Payment(
        account="rabo", day=_day("05-27"), party="printer", cents=-12500, case=Case.WRONG_VAT,
        bill=Bill(day=_day("05-20"), items=(("Onderhoudsbeurt printer", 21, 12500),), stated=(10000, 2500)),
    ),
    _buy("rabo", "06-23 06-16", "noel", ("Inbinden portfolio", 21, 9438)),
    # The same two payments stand in the ING export.
    _pay("rabo", "04-30", "hethof", -14399, case=Case.DUPLICATE),
    _pay("rabo", "06-17", "coolblue", -11374, case=Case.DUPLICATE),
)  # fmt: skip


def _transfers() -> Iterator[Payment]:
    """Money moved between the two accounts, which both exports show."""
    text = "Naar andere eigen rekening"
    for day, cents in (("04-02", 50000), ("04-20", 35000), ("05-07", 60000), ("05-25", 40000), ("06-15", 55000)):
        yield _pay("ing", day, "own", -cents, text)
        yield _pay("rabo", day, "own", cents, text)


WITHOUT_BILL: Final = (
    *_transfers(),
    _pay("ing", "04-07", "fee_ing", -1095, "Zakelijke Rekening maart"),
    _pay("ing", "05-04", "fee_ing", -1140, "Zakelijke Rekening april"),
    _pay("ing", "06-04", "fee_ing", -1125, "Zakelijke Rekening mei"),
    _pay("rabo", "04-01", "fee_rabo", -1085, "Rabo ZakelijkPakket maart"),
    _pay("rabo", "05-04", "fee_rabo", -1130, "Rabo ZakelijkPakket april"),
    _pay("rabo", "06-01", "fee_rabo", -1110, "Rabo ZakelijkPakket mei"),
    _pay("ing", "04-24", "fiscus", -18700, "Voorlopige aanslag IB 2026 termijn 4"),
    _pay("ing", "05-22", "fiscus", -18700, "Voorlopige aanslag IB 2026 termijn 5"),
    _pay("ing", "06-25", "fiscus", -18700, "Voorlopige aanslag IB 2026 termijn 6"),
    _pay("ing", "04-24", "fiscus", -9600, "Voorlopige aanslag Zvw 2026 termijn 4"),
    _pay("ing", "05-22", "fiscus", -9600, "Voorlopige aanslag Zvw 2026 termijn 5"),
    _pay("ing", "06-25", "fiscus", -9600, "Voorlopige aanslag Zvw 2026 termijn 6"),
    _pay("ing", "04-29", "fiscus", -32600, "Omzetbelasting 1e kwartaal 2026"),
    _pay("ing", "04-24", "linde", -45000, "Prive-opname april"),
    _pay("ing", "05-22", "linde", -40000, "Prive-opname mei"),
    _pay("ing", "06-24", "linde", -50000, "Prive-opname juni"),
    _pay("ing", "06-29", "linde", 20000, "Prive-storting"),
    _pay("ing", "05-09", "atm_ing", -5000),
    _pay("ing", "06-13", "atm_ing", -7000),
    _pay("rabo", "04-18", "atm_rabo", -4000),
    _pay("rabo", "05-30", "atm_rabo", -6000),
    _pay("rabo", "06-27", "atm_rabo", -3000),
)

PAYMENTS: Final = tuple(
    sorted((*SALES, *PURCHASES_ING, *PURCHASES_RABO, *WITHOUT_BILL), key=lambda payment: payment.day)
)
"""Every bank row, oldest first; rows of one day stand as in the plan."""
