"""The crew's workers: one gathers, one writes, one checks facts and may veto, one files the report.

Nobody sees the question but the manager; each sees what its message has.
"""

from typing import Final

from casework.actors import Agent, CallRefused, Work, skill
from casework.protocols.wire import FailureKind, RiskTier
from examples.research.checking import check
from examples.research.library import pointers, sentences
from examples.research.messages import (
    Claim,
    Claims,
    Gathered,
    Hits,
    Page,
    PageRef,
    Query,
    Quote,
    ReportFile,
    Topic,
    Verdicts,
)
from examples.research.model import Script, Writer

#: Who writes claims; another writer may stand here.
WRITER: Final[Writer] = Script()


@skill
async def gather(inputs: Topic, work: Work) -> Gathered:
    """Find the pages about a topic and take down what they say."""
    hits = await work.call("search_library", Query(inputs.topic), returns=Hits)
    quotes: list[Quote] = []
    further: list[str] = []
    for name in hits.pages:
        page = await work.call("read_page", PageRef(name), returns=Page)
        quotes += [Quote(name, sentence) for sentence in sentences(page.text)]
        further += pointers(page.text)
    return Gathered(tuple(quotes), tuple(dict.fromkeys(further)))


@skill
async def write(inputs: Gathered, work: Work) -> Claims:
    """Put sentences into claims."""
    claims = [Claim(await WRITER.write(quote.sentence), quote) for quote in inputs.quotes]
    return Claims(tuple(claims), inputs.further)


@skill
async def check_facts(inputs: Claims, work: Work) -> Verdicts:
    """Read each claim's source again and say whether the claim stands."""
    pages: dict[str, Page | None] = {}
    for claim in inputs.claims:
        name = claim.quote.page
        if name not in pages:
            pages[name] = await _page(work, name)
    return Verdicts(tuple(check(claim, pages[claim.quote.page]) for claim in inputs.claims), inputs.further)


async def _page(work: Work, name: str) -> Page | None:
    """Read a page; None if there surely is none, which is not the same as one that nobody could read just now."""
    try:
        return await work.call("read_page", PageRef(name), returns=Page)
    except CallRefused as error:
        if error.kind is not FailureKind.ERROR:
            raise
        return None


@skill
async def file_report(inputs: ReportFile, work: Work) -> str:
    """File the report; where a person had to say that it was filed, its hash is not known."""
    found = await work.call("write_report", inputs, returns=object)
    return found if isinstance(found, str) else ""


AGENTS: Final = (
    Agent("gatherer", {"gather": gather}, tools=("search_library", "read_page")),
    Agent("synthesiser", {"write": write}),
    Agent("fact_checker", {"check_facts": check_facts}, tools=("read_page",)),
    Agent("registrar", {"file_report": file_report}, tools=("write_report",), tier_max=RiskTier.REVERSIBLE),
)
