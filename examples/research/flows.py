"""How a question is worked on: one case each, run by a manager within four bounds, then filed.

The manager plans topics; for each a gatherer reads, the synthesiser puts what was read into claims, and the fact
checker lets pass what its source says. What the pages point to is the next round's plan.
"""

from collections.abc import Sequence
from typing import Any, Final

from casework.actors.patterns import Assignment, Bounds, Code, Manager, Pipeline, Subtask, Terms, declaring
from casework.protocols.wire import OnStop, RiskTier
from casework.runtime import Case, Flow
from casework.runtime.flow.case import Result
from casework.runtime.seams import MICROS
from examples.research.messages import (
    Agenda,
    Brief,
    Claims,
    Gathered,
    Notes,
    Question,
    Report,
    ReportFile,
    Topic,
    Verdicts,
)
from examples.research.tools import HITS_MAX, PAGE_MICROS, SEARCH_MICROS

#: Attempts at a task; what a lost one has spent is gone.
ATTEMPTS: Final = 3
#: What one topic may cost: a search and the pages to gather, the pages once more to check; writing costs nothing.
GATHER_MICROS: Final = ATTEMPTS * (SEARCH_MICROS + HITS_MAX * PAGE_MICROS)
CHECK_MICROS: Final = ATTEMPTS * HITS_MAX * PAGE_MICROS
WRITE_MICROS: Final = 500
SHARE_MICROS: Final = GATHER_MICROS + WRITE_MICROS + CHECK_MICROS
#: Equal shares of the money: one for each plan, each topic, and the report.
SHARES: Final = 16
ROUNDS: Final = 6
SECONDS: Final = 1_800
CALLS_OF_SHARE: Final = 40
READS: Final = ("search_library", "read_page")


async def plan(case: Case, brief: Brief, terms: Terms) -> Agenda:
    """Begin with the question's topics; then take what the pages of the last findings point to."""
    if not brief.found:
        return Agenda(brief.topics)
    pointed = [topic for each in brief.found for topic in each.further]
    return Agenda(tuple(topic for topic in dict.fromkeys(pointed) if not _read(topic, brief)))


async def combine(case: Case, notes: Notes, terms: Terms) -> Report:
    """Keep what stands, once; name what was thrown out."""
    checked = [each for found in notes.found for each in found.checked]
    return Report(
        question=notes.question,
        claims=tuple(dict.fromkeys(each.claim for each in checked if each.stands)),
        vetoed=tuple(dict.fromkeys(each for each in checked if not each.stands)),
    )


def _read(topic: str, brief: Brief) -> bool:
    """Tell whether a page of that title was read already."""
    pages = {each.claim.quote.page for found in brief.found for each in found.checked}
    return topic.replace(" ", "-") in pages or topic in brief.topics


def _brief(question: Question, findings: Sequence[Result[Verdicts]]) -> Brief:
    return Brief(question.topics, tuple(each.value for each in findings))


def _split(agenda: Agenda) -> list[Subtask]:
    return [Subtask("topic", Topic(topic)) for topic in agenda.topics]


def _collect(question: Question, findings: Sequence[Result[Verdicts]]) -> Notes:
    return Notes(question.text, tuple(each.value for each in findings))


def _task(name: str, takes: Any, gives: Any, goal: str, *, tools: tuple[str, ...] = (), micros: int = 0) -> Assignment:
    return Assignment(name, takes, gives, goal, tools=tools, micros=micros, attempts=ATTEMPTS, on_stop=OnStop.PARK)


TOPIC: Final = Pipeline(
    "topic",
    (
        _task("gather", Topic, Gathered, "Find what the library says", tools=READS, micros=GATHER_MICROS),
        _task("write", Gathered, Claims, "Put it into claims"),
        _task("check_facts", Claims, Verdicts, "Let pass what its source says", tools=READS[1:], micros=CHECK_MICROS),
    ),
    weights=(GATHER_MICROS, WRITE_MICROS, CHECK_MICROS),
)

MANAGER: Final = Manager(
    "research",
    takes=Question,
    gives=Report,
    planner=Code("plan", Brief, Agenda, plan),
    workers={"topic": TOPIC},
    combiner=Code("combine", Notes, Report, combine),
    brief=_brief,
    split=_split,
    collect=_collect,
    bounds=Bounds(rounds=ROUNDS, seconds=SECONDS, shares=SHARES, quiet=1),
)

FILE: Final = Assignment(
    "file_report", ReportFile, str, "File the report", tools=("write_report",), tier=RiskTier.REVERSIBLE
)


async def answer(case: Case, question: Question) -> Report:
    """Answer one question."""
    terms = Terms(
        deadline=await case.now() + 2 * SECONDS * MICROS,
        calls=SHARES * CALLS_OF_SHARE,
        micros=SHARES * SHARE_MICROS,
        tools=(*READS, "write_report"),
        tier=RiskTier.REVERSIBLE,
    )
    report: Report = (await MANAGER(case, question, terms)).value
    await FILE(case, ReportFile(question.id, report), terms)
    return report


FLOW: Final = declaring(Flow.of(answer, inputs=Question), MANAGER, FILE)
