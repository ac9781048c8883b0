"""A crew's declared types are gone through, and each field that looks like raw personal data is named, and no other."""

import datetime as dt
import enum
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypedDict, TypeVar

import msgspec
import pytest
from msgspec import Struct

from casework.actors import Agent, Answer, Crew, Policy, SourceContext, ToolContext, Work, skill, source, tool
from casework.actors.linting import Finding, lint_crew
from casework.actors.patterns.base import Assignment
from casework.actors.patterns.flows import pattern_flow
from casework.actors.personal import kept, looks_like, personal
from casework.protocols import Pointer, RiskTier
from casework.runtime import Case, Flow
from examples.bookkeeping.crew import crew as bookkeeping
from examples.refunds.crew import crew as refunds
from examples.research.crew import crew as research

T = TypeVar("T")


def crew(inputs: type, *more: Any, **options: Any) -> Crew:
    """Make a crew with one flow that takes this."""
    return Crew("c", flows=[Flow.of(nothing, inputs=inputs), *more], policy=Policy(name="c"), **options)


async def nothing(case: Case, inputs: Any) -> None:
    """A flow that does not matter."""


def told(findings: tuple[Finding, ...]) -> dict[str, str]:
    return {each.field: each.what for each in findings}


def paths(findings: tuple[Finding, ...]) -> list[str]:
    return [path for each in findings for path in each.places]


class Phone(Struct):
    number: str
    mobile: str


class Kin(NamedTuple):
    surname: str


class Home(TypedDict):
    straat: str


@dataclass
class Papers:
    passport: str


class Box(Struct, Generic[T]):
    inside: T


class Customer(Struct):
    name: str
    emails: list[str]
    phones: dict[str, Phone | None]
    kin: tuple[int, Kin]
    home: Home
    papers: Papers
    born: dt.date | None
    boxed: Box[Papers]
    again: "Customer | None" = None


class Order(Struct):
    customer: Customer
    bsn: int


def test_every_field_is_found_wherever_it_stands_with_its_path() -> None:
    findings = lint_crew(crew(Order))
    assert told(findings) == {
        "Customer.name": "the name of a person",
        "Customer.emails": "an e-mail address",
        "Customer.phones": "a telephone number",
        "Phone.mobile": "a telephone number",
        "Kin.surname": "the name of a person",
        "Home.straat": "an address",
        "Papers.passport": "a paper of identity",
        "Customer.born": "a birth",
        "Order.bsn": "a social security number",
    }
    assert paths(findings) == [
        "flow nothing inputs.customer.name",
        "flow nothing inputs.customer.emails[]",
        "flow nothing inputs.customer.phones{}",
        "flow nothing inputs.customer.phones{}.mobile",
        "flow nothing inputs.customer.kin[].surname",
        "flow nothing inputs.customer.home.straat",
        "flow nothing inputs.customer.papers.passport",
        "flow nothing inputs.customer.born",
        "flow nothing inputs.bsn",
    ]
    assert findings[1].why == "it is called 'emails'"


class Mail(Struct):
    email: str


class Colour(enum.Enum):
    RED = "red"


class Innocent(Struct):
    """What has such names and holds no such data."""

    name: str
    email_id: str
    phone_kind: str
    zip_file: str
    email_subject: str
    address_count: int
    email_verified: bool
    emails: int
    phone: Literal["mobile", "home"]
    iban: Colour
    ip: float
    account: str
    zip: Decimal
    description: str
    hotel: str
    telegram: str
    shipping: str
    receipt: str
    customer: Pointer[Customer]
    email: Pointer[Customer] | None = None


def test_what_only_sounds_alike_or_cannot_hold_it_or_points_is_passed_over() -> None:
    assert lint_crew(crew(Innocent)) == ()


@skill
async def reads(inputs: Mail, work: Work) -> list[Mail]:
    return [inputs]


@tool(tier=RiskTier.READ_ONLY)
async def looks(arguments: Mail, context: ToolContext) -> dict[str, Mail]:
    return {"": arguments}


async def gives(case: Case, inputs: Innocent) -> Mail | None:
    """Return what is personal."""


def test_flows_agents_tools_and_patterns_are_all_gone_through_and_a_field_is_named_once() -> None:
    pattern = pattern_flow(Assignment("read", Mail, list[Mail], "read it"), inputs=Mail, calls=100)
    agents, own = [Agent("clerk", {"read": reads})], Flow.of(gives, inputs=Innocent)
    (found,) = lint_crew(crew(Innocent, own, pattern, agents=agents, tools=[looks]))
    assert found.field == "Mail.email"
    assert found.places == (
        "flow gives returns.email",
        "flow read inputs.email",
        "flow read (read) takes.email",
        "flow read (read) gives[].email",
        "agent clerk (read) inputs.email",
        "agent clerk (read) returns[].email",
        "tool looks arguments.email",
        "tool looks returns{}.email",
    )


def test_a_copy_of_what_the_crew_has_a_source_of_is_found_whatever_it_is_called() -> None:
    @source
    async def people(number: str, context: SourceContext) -> Customer | None:
        return None

    class Parcel(Struct):
        what: list[Customer]

    class Two(Struct):
        to: Parcel
        whom: Pointer[Customer]

    (found,) = lint_crew(crew(Two, sources=[people]))
    assert (found.field, found.what, found.why) == (
        "Parcel.what",
        "a copy of Customer",
        "the crew has a source of it",
    )
    assert found.places == ("flow nothing inputs.to.what[]",)


Diagnosis = Annotated[str, personal("a diagnosis")]


class Label(Struct):
    street: Annotated[str, kept("the courier prints it")]
    about: Diagnosis | None
    mail: Annotated[Mail, kept("all that is inside")]
    other: Mail
    agreed: Annotated[Diagnosis, kept("the doctor asks for it")]


def test_what_is_said_to_be_personal_is_found_and_a_reason_holds_for_all_that_is_inside() -> None:
    findings = lint_crew(crew(Label))
    assert [(each.field, each.what, each.kept, each.places[0].rpartition(" ")[2]) for each in findings] == [
        ("Label.street", "an address", "the courier prints it", "inputs.street"),
        ("Label.about", "a diagnosis", "", "inputs.about"),
        ("Mail.email", "an e-mail address", "all that is inside", "inputs.mail.email"),
        ("Mail.email", "an e-mail address", "", "inputs.other.email"),
        ("Label.agreed", "a diagnosis", "the doctor asks for it", "inputs.agreed"),
    ]


@skill
async def diagnoses(inputs: Innocent, work: Work) -> Answer[list[Diagnosis]]:
    return Answer([])


@tool(tier=RiskTier.READ_ONLY)
async def prints(arguments: Innocent, context: ToolContext) -> Annotated[Mail, kept("it is printed")]:
    return Mail("")


async def says(case: Case, inputs: Innocent) -> "Diagnosis | None":
    """Return what is said to be personal."""


async def unread(case: "Absent", inputs: Innocent) -> "Mail":  # type: ignore[name-defined]  # noqa: F821  # it is
    """Take what only a type checker can read."""
    return Mail("")


async def either(case: Case, inputs: Innocent) -> Mail | list[Phone | Mail]:
    """Return what nobody could read back as one type: none of them has a tag."""
    return Mail("")


def test_a_flow_that_returns_one_of_several_types_is_found_by_each() -> None:
    found = lint_crew(Crew("c", flows=[Flow.of(either, inputs=Innocent)], policy=Policy(name="c")))
    assert told(found) == {"Mail.email": "an e-mail address", "Phone.mobile": "a telephone number"}


def test_what_is_said_of_all_that_is_returned_is_heeded_too() -> None:
    flows = [Flow.of(each, inputs=Innocent) for each in (says, unread)]
    agents = [Agent("doctor", {"diagnose": diagnoses})]
    found = lint_crew(Crew("c", flows=flows, agents=agents, tools=[prints], policy=Policy(name="c")))
    assert [(each.field, each.what, each.kept) for each in found] == [
        ("flow says returns", "a diagnosis", ""),
        ("Mail.email", "an e-mail address", ""),
        ("agent doctor (diagnose) returns[]", "a diagnosis", ""),
        ("Mail.email", "an e-mail address", "it is printed"),
    ]
    assert found[1].places == ("flow unread returns.email",)


def test_a_reason_that_says_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="say why"):
        kept(" ")


def test_the_name_that_a_field_has_in_a_frame_counts_as_well() -> None:
    class Odd(Struct):
        m: str = msgspec.field(name="emailAddress")

    (found,) = lint_crew(crew(Odd))
    assert (found.field, found.why) == ("Odd.m", "it is called 'emailAddress'")


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("an e-mail address", "email e_mail emails emailAddress emailadres mail_address contact_email EMail email2"),
        (
            "a telephone number",
            "phone phoneNumber telefoon telefoonnummer mobiel tel fax gsm home_phone telefoonnr tel_nr mobile_no",
        ),
        (
            "a bank account or card",
            "iban counter_iban ibans accountNumber bank_account rekeningnummer card_number bankrekeningnummer",
        ),
        ("a bank account or card", "bankrekeningnr account_nr cardNo tegenrekeningnummer ibannummer creditcardnummer"),
        ("a birth", "birth_date dateOfBirth birthday dob geboortedatum geboren"),
        (
            "the name of a person",
            "first_name lastName surname voornaam achternaam customer_name klantnaam fullname voornamen",
        ),
        ("the name of a person", "achternamen tenaamstelling rekeninghouder account_holder contactpersoon initials"),
        (
            "an address",
            "address adressen street straat huisnummer postcode zip zip_code address_line_1 street2 woonadres",
        ),
        ("an address", "postadressen factuuradres house_no huisnr"),
        ("a social security number", "bsn ssn social_security_number burgerservicenummer national_id bsnnummer"),
        ("a paper of identity", "passport passport_number paspoort rijbewijs id_card rijbewijsnr"),
        ("an IP address", "ip ip_address ipAddress ipv4 client_ip remote_addr"),
    ],
)
def test_names_are_known_in_english_and_dutch_however_they_are_written(what: str, names: str) -> None:
    assert {name: looks_like(name, "Thing", "text") for name in names.split()} == dict.fromkeys(names.split(), what)


def test_no_example_hands_on_personal_data_without_a_reason() -> None:
    raw = {each.name: [each for each in lint_crew(each) if not each.kept] for each in (bookkeeping, refunds, research)}
    assert not any(raw.values()), raw
    assert {each.field for each in lint_crew(bookkeeping)} == {"Transaction.name", "Transaction.counter_iban"}
