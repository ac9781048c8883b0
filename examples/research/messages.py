"""What the research crew's agents and tools say to each other."""

from msgspec import Struct


class Question(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question, as it stands in the folder; also the inputs of its case."""

    id: str
    text: str
    topics: tuple[str, ...]
    """Where to begin: words of the library's titles."""


class Topic(Struct, frozen=True):
    """A thing to find out about."""

    topic: str


class Query(Struct, frozen=True):
    """Words that pages are looked for by."""

    words: str


class PageRef(Struct, frozen=True):
    """A page by its name."""

    page: str


class Page(Struct, frozen=True):
    """A page of the library."""

    page: str
    text: str


class Hits(Struct, frozen=True):
    """Pages that fit a query, the best first."""

    pages: tuple[str, ...]


class Quote(Struct, frozen=True):
    """A sentence as it stands on a page."""

    page: str
    sentence: str


class Gathered(Struct, frozen=True):
    """What one gatherer found; the same pages under another topic are the same finding."""

    quotes: tuple[Quote, ...] = ()
    further: tuple[str, ...] = ()
    """Topics that the pages point to."""


class Claim(Struct, frozen=True):
    """A statement of the answer, with the sentence that it rests on."""

    text: str
    quote: Quote


class Claims(Struct, frozen=True):
    """Statements about one topic."""

    claims: tuple[Claim, ...] = ()
    further: tuple[str, ...] = ()


class Checked(Struct, frozen=True):
    """What the fact checker says of a claim."""

    claim: Claim
    stands: bool
    why: str = ""


class Verdicts(Struct, frozen=True):
    """What the fact checker says of the claims about one topic."""

    checked: tuple[Checked, ...] = ()
    further: tuple[str, ...] = ()


class Brief(Struct, frozen=True):
    """What the manager plans by: where to begin, what was found out, and what was asked for already."""

    topics: tuple[str, ...]
    found: tuple[Verdicts, ...] = ()


class Agenda(Struct, frozen=True):
    """What is to be found out next."""

    topics: tuple[str, ...] = ()


class Notes(Struct, frozen=True):
    """All that was found out about a question."""

    question: str
    found: tuple[Verdicts, ...] = ()


class Report(Struct, frozen=True, kw_only=True):
    """An answer: what stands, and what the fact checker threw out."""

    question: str
    claims: tuple[Claim, ...]
    vetoed: tuple[Checked, ...]


class ReportFile(Struct, frozen=True):
    """A report that is to be written; `id` names the file."""

    id: str
    report: Report


class ReportTaken(Struct, frozen=True):
    """A report that is to be removed again."""

    id: str
