"""A library for simulation: pages drawn anew for each seed, which point to each other, and some questions about them.

What the crew's writer slips on is drawn as well. It does not know what goes wrong in a run.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from casework.actors import OpenCase, ToolContext
from casework.actors.simulation import Finished, Scenario, invariant, stub_in_simulation
from casework.protocols.codec import unpack
from casework.protocols.records import Call, Closed, Done
from casework.runtime.seams import Randomness
from examples.research.checking import check
from examples.research.flows import SHARE_MICROS, SHARES
from examples.research.library import SEE, page_of, search
from examples.research.messages import Hits, Page, PageRef, Query, Question, Report, ReportFile, ReportTaken
from examples.research.model import SLIPS
from examples.research.tools import HITS_MAX

PAGES: Final = (4, 9)
QUESTIONS: Final = (1, 3)
#: Chance that a page holds a sentence that the writer gets wrong, and that it points to another page.
SLIP: Final = 0.3
POINT: Final = 0.6


class Library(Scenario):
    """The pages, the questions, and the folder of reports in one run."""

    def __init__(self, randomness: Randomness) -> None:
        """Draw pages and questions."""
        super().__init__(randomness)
        draw = randomness.stream("library")
        names = [f"page-{number}" for number in range(draw.randint(*PAGES))]
        self.pages = {name: self._page(name, names) for name in names}
        self.questions = [
            Question(id=f"q-{number}", text="What is known?", topics=(draw.choice(names).replace("-", " "),))
            for number in range(draw.randint(*QUESTIONS))
        ]
        self.reports: dict[str, list[Report]] = {}

    def cases(self) -> Iterator[OpenCase]:
        """Open a case for each question."""
        for each in self.questions:
            yield OpenCase("answer", each.id, each)

    # What the tools reach.

    @stub_in_simulation("search_library")
    async def search_library(self, arguments: Query, context: ToolContext) -> Hits:
        """Look for pages."""
        return search(self.pages, arguments.words, HITS_MAX)

    @stub_in_simulation("read_page")
    async def read_page(self, arguments: PageRef, context: ToolContext) -> Page:
        """Read a page."""
        return page_of(self.pages, arguments.page)

    @stub_in_simulation("write_report")
    async def write_report(self, arguments: ReportFile, context: ToolContext) -> str:
        """File a report."""
        self.reports.setdefault(arguments.id, []).append(arguments.report)
        return hashlib.sha256(msgspec.json.encode(arguments.report)).hexdigest()

    @stub_in_simulation("remove_report")
    async def remove_report(self, arguments: ReportTaken, context: ToolContext) -> str:
        """Remove a report."""
        self.reports.pop(arguments.id, None)
        return arguments.id

    # What must hold.

    @invariant("no report holds a claim that its source does not")
    def claims_stand(self, finished: Finished) -> Iterable[tuple[str, str]]:
        """Hold each claim of each report against the page that it names."""
        for case_id, reports in self.reports.items():
            for claim in (claim for report in reports for claim in report.claims):
                name = claim.quote.page
                checked = check(claim, Page(name, self.pages[name]))
                if not checked.stands:
                    yield case_id, checked.why

    @invariant("what is vetoed deserves it")
    def vetoes_are_right(self, finished: Finished) -> Iterable[tuple[str, str]]:
        """See that only what the writer gets wrong is thrown out."""
        for case_id, reports in self.reports.items():
            for vetoed in (vetoed for report in reports for vetoed in report.vetoed):
                if vetoed.claim.text not in SLIPS.values():
                    yield case_id, f"{vetoed.claim.text!r} was thrown out"

    @invariant("each report is filed once, as its case says")
    def filed_once(self, finished: Finished) -> Iterable[tuple[str, str]]:
        """Compare the folder with what closed cases gave."""
        for case_id, row in finished.rows.items():
            last = finished.lines[case_id][-1].entry
            if row.result == "completed" and isinstance(last, Closed):
                report = unpack(last.value, Report)
                if self.reports.get(case_id) != [report]:
                    yield case_id, f"{len(self.reports.get(case_id, []))} reports are filed"

    @invariant("no question costs more than its flow allows")
    def within_money(self, finished: Finished) -> Iterable[tuple[str, str]]:
        """Add up what each case's calls cost."""
        for case_id, lines in finished.lines.items():
            micros = sum(line.entry.cost.micros for line in lines if isinstance(line.entry, Call | Done))
            if micros > SHARES * SHARE_MICROS:
                yield case_id, f"it cost {micros} micros, and {SHARES * SHARE_MICROS} were allowed"

    def _page(self, name: str, names: list[str]) -> str:
        draw = self.randomness.stream(name)
        sentences = [f"{name} was measured {draw.randrange(1, 100)} times.", *self._slips(name)]
        pointers = [f"{SEE}{draw.choice(names).replace('-', ' ')}"] if draw.random() < POINT else []
        return "\n".join((*sentences, *pointers)) + "\n"

    def _slips(self, name: str) -> list[str]:
        draw = self.randomness.stream(f"{name}/slips")
        return [sentence for sentence in SLIPS if draw.random() < SLIP]
