"""What looks like personal data: the names that people give to fields of it, in English and Dutch.

A guess by name, no more: `note` may hold anything. So a field or a type can also be said to be personal, and a field
that has to hold it can say why it may.
It does not know where a field stands.
"""

import re
from typing import Final, NamedTuple

from msgspec import Meta

#: Where in a field's type stands what is said by `personal` and by `kept`.
PERSONAL: Final = "casework.personal"
KEPT: Final = "casework.kept"

#: What a value is, as far as it matters here.
TEXT: Final = "text"
NUMBER: Final = "number"
DAY: Final = "day"


class Kind(NamedTuple):
    """One kind of personal data, and how its fields are called."""

    what: str
    held: tuple[str, ...]
    """What its values can be."""
    english: str
    """Words of a field's name, with a space where they may be written in two; also in the plural, or with a number,
    and with `no` or `nr` for `number`."""
    dutch: str


#: Words for somebody: a name beside one of them is a person's, and so is the name of what is called so.
_PEOPLE: Final = (
    "person customer client contact employee user member patient applicant candidate student guest holder cardholder "
    "owner sender recipient payee payer debtor creditor partner "
    "persoon klant medewerker werknemer gebruiker lid sollicitant leerling gast huurder houder eigenaar afzender "
    "ontvanger begunstigde betaler"
)

#: The first kind that fits counts.
KINDS: Final = (
    Kind("an IP address", (TEXT,), "ip, ipv 4, ipv 6, ip address, remote addr", "ip adres"),
    Kind("an e-mail address", (TEXT,), "email, e mail, email address, mail address", "email adres, mail adres"),
    Kind(
        "a telephone number",
        (TEXT, NUMBER),
        "phone, telephone, cellphone, phone number, mobile, mobile number, fax, fax number, tel",
        "telefoon, telefoon nummer, mobiel, mobiel nummer, gsm, gsm nummer",
    ),
    Kind(
        "a bank account or card",
        (TEXT, NUMBER),
        "iban, bban, bank account, account number, sort code, card number, credit card",
        "iban nummer, bank rekening, bank rekening nummer, rekening nummer, tegen rekening, tegen rekening nummer, "
        "kaart nummer, credit card nummer, pas nummer",
    ),
    Kind(
        "a birth",
        (TEXT, NUMBER, DAY),
        "birth, birthday, birth date, birth day, birth year, birth place, dob, born",
        "geboren, geboorte, geboorte datum, geboorte dag, geboorte jaar, geboorte plaats, verjaardag",
    ),
    Kind(
        "a social security number",
        (TEXT, NUMBER),
        "ssn, social security, social security number, national insurance, national id",
        "bsn, bsn nummer, burger service nummer, sofi nummer, rijksregister nummer",
    ),
    Kind(
        "a paper of identity",
        (TEXT, NUMBER),
        "passport, passport number, identity card, id card, driving licence, driving license, drivers license",
        "paspoort, paspoort nummer, identiteits kaart, identiteits bewijs, id kaart, rijbewijs, rijbewijs nummer",
    ),
    Kind(
        "the name of a person",
        (TEXT,),
        "first name, last name, given name, family name, middle name, maiden name, full name, surname, initials, "
        "account holder, contact person, " + ", ".join(f"{somebody} name" for somebody in _PEOPLE.split()),
        "voornaam, voornamen, achternaam, achternamen, familie naam, meisjes naam, tussenvoegsel, voorletter, "
        "roepnaam, tenaamstelling, rekening houder, contact persoon, "
        + ", ".join(f"{somebody} naam" for somebody in _PEOPLE.split()),
    ),
    Kind(
        "an address",
        (TEXT, NUMBER),
        "address, street, street name, house number, postcode, post code, postal code, zip, zip code",
        "adres, straat, straat naam, huis nummer, woon plaats, woon adres, huis adres, thuis adres, post adres, "
        "bezoek adres, factuur adres, lever adres, aflever adres, verzend adres",
    ),
)
#: A name of what is called like a person.
_NAME: Final = Kind("the name of a person", (TEXT,), "name", "naam")
#: Last words of fields that hold something about such data: `email_id`, `phone_kind`.
_ABOUT: Final = frozenset(
    {"id", "ids", "kind", "type", "status", "template", "count", "version", "subject", "file", "path", "url"}
)


def personal(what: str) -> Meta:
    """Say that a field, or every field of a type, is personal data: `Email = Annotated[str, personal("an e-mail")]`."""
    return Meta(extra={PERSONAL: what})


def kept(why: str) -> Meta:
    """Say why a field may hold personal data all the same: `street: Annotated[str, kept("it is on the label")]`.

    Raises:
        ValueError: no reason is given.
    """
    if not why.strip():
        raise ValueError("say why the field may hold personal data")
    return Meta(extra={KEPT: why})


def looks_like(field: str, owner: str, held: str) -> str:
    """Say what a field of a type `owner` looks like by its name, if `held` could be that; else nothing."""
    words = _words(field)
    kinds = (*KINDS, _NAME) if {*_words(owner)} & {*_PEOPLE.split()} else KINDS
    return next((kind.what for kind in kinds if held in kind.held and _says(words, _PATTERNS[kind])), "")


def _words(name: str) -> list[str]:
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return [word for word in re.split(r"[^a-z0-9]+", apart.lower()) if word]


def _says(words: list[str], pattern: re.Pattern[str]) -> bool:
    if words[-1:] and words[-1] in _ABOUT and pattern.search("_".join(words[:-1])):
        return False
    return pattern.search("_".join(words)) is not None


def _pattern(kind: Kind) -> re.Pattern[str]:
    names = f"{kind.english}, {kind.dutch}".replace("number", "(?:number|no|nr)").replace("nummer", "(?:nummer|nr)")
    called = "|".join(name.replace(" ", "_?") for name in names.split(", "))
    return re.compile(rf"(?:^|_)(?:{called})(?:s|es|en|sen)?\d*(?:_|$)")


_PATTERNS: Final = {kind: _pattern(kind) for kind in (*KINDS, _NAME)}
