"""The research crew on its sample: what its reports hold, what they do not, and which bound ended each search."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import anyio
import pytest

from casework.protocols.codec import decode_entry
from casework.protocols.records import CaseResult, Decision
from casework.runtime.runtime import Runtime
from casework.runtime.seams import World
from casework.runtime.store.urls import wait_settled
from casework.runtime.store.verify import verify
from casework.runtime.telemetry import Telemetry
from examples.research.checking import check
from examples.research.crew import crew, intake
from examples.research.library import page_of, read_library
from examples.research.messages import Claim, Page, Quote

SAMPLE: Final = Path(__file__).parents[2] / "examples/research/sample"
EXPECTED: Final[dict[str, Any]] = json.loads((SAMPLE / "expected.json").read_text(encoding="utf-8"))
PATIENCE_SECONDS: Final = 60.0


@asynccontextmanager
async def working(store: str, out: Path) -> AsyncGenerator[Runtime, None]:
    """Answer the sample's questions until nothing can go on."""
    settings = {"input": str(SAMPLE), "out": str(out)}
    async with Runtime(crew, store, settings=settings, telemetry=Telemetry()) as runtime:
        for opening in intake(SAMPLE, settings).openings:
            await runtime.open(opening.flow, opening.case_id, opening.inputs)
        with anyio.fail_after(PATIENCE_SECONDS):
            await wait_settled(runtime.store, runtime.wait_idle, World())
        yield runtime


async def ended(runtime: Runtime) -> dict[str, dict[str, Any]]:
    """Give for each question by which bound its search ended, in which round."""
    found: dict[str, dict[str, Any]] = {}
    for row in await runtime.store.cases():
        assert row.result == CaseResult.COMPLETED, row
        entries = [decode_entry(record.frame) for record in await runtime.store.records(row.key)]
        last = [each for each in entries if isinstance(each, Decision) and each.subject == "research"][-1]
        assert last.chosen == "combine"
        found[row.key.case_id] = {"stopped": last.rule, "rounds": int(last.why.split()[1].rstrip(","))}
    return found


def reports(out: Path) -> dict[str, dict[str, Any]]:
    """Read the reports: the pages that claims rest on, and why claims were thrown out."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(out.glob("*.json")):
        report = json.loads(path.read_text(encoding="utf-8"))
        found[path.stem] = {
            "pages": sorted(claim["quote"]["page"] for claim in report["claims"]),
            "vetoed": {each["claim"]["text"]: each["why"] for each in report["vetoed"]},
        }
    return found


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_each_question_ends_by_its_bound_with_what_stands_and_what_was_vetoed(kind: str, tmp_path: Path) -> None:
    store = "memory:" if kind == "memory" else f"sqlite:///{tmp_path}/cases.db"
    out = tmp_path / "out"
    out.mkdir()
    async with working(store, out) as runtime:
        bounds = await ended(runtime)
        assert await verify(runtime.store) == []
    told = reports(out)
    assert {name: {**bounds[name], **told[name]} for name in bounds} == EXPECTED


PAGE: Final = Page("heat", "In 40 of 100 houses it was warm.\nIt was quiet.\n")


@pytest.mark.parametrize(
    ("text", "sentence", "why"),
    [
        ("It was quiet.", "It was quiet.", ""),
        ("It was warm in 40 houses.", "In 40 of 100 houses it was warm.", ""),
        ("It was warm in 60 houses.", "In 40 of 100 houses it was warm.", "60 is not what the source says"),
        ("It was 4 times as quiet.", "It was quiet.", "4 is not what the source says"),
        ("It was loud.", "It was loud.", "the sentence is not on page heat"),
        ("It was warm.", "In 40 of 100", "the sentence is not on page heat"),
    ],
)
def test_a_claim_stands_if_its_sentence_is_on_the_page_and_its_figures_in_the_sentence(
    text: str, sentence: str, why: str
) -> None:
    checked = check(Claim(text, Quote("heat", sentence)), PAGE)
    assert (checked.stands, checked.why) == (not why, why)


def test_a_claim_of_a_page_that_is_not_there_does_not_stand() -> None:
    assert not check(Claim("It was quiet.", Quote("gone", "It was quiet.")), None).stands


def test_every_page_that_another_points_to_is_in_the_library() -> None:
    pages = read_library(SAMPLE / "library")
    pointed = {line[5:] for text in pages.values() for line in text.splitlines() if line.startswith("See: ")}
    # A barrier has no page of its own: that is what a search that learns nothing finds.
    assert {topic for topic in pointed if topic.replace(" ", "-") not in pages} == {"vapour barrier"}
    assert page_of(pages, "noise").text.startswith("At 5 metres")


def test_a_file_that_is_no_question_is_told_by_name_and_the_others_are_opened(tmp_path: Path) -> None:
    folder = tmp_path / "questions"
    folder.mkdir()
    (folder / "a.json").write_text('{"id": "a", "text": "?", "topics": "none"}')
    (folder / "b.json").write_bytes((SAMPLE / "questions/q-1.json").read_bytes())
    taken = intake(tmp_path, {})
    assert [opening.case_id for opening in taken.openings] == ["q-1"]
    assert [Path(problem.file).name for problem in taken.problems] == ["a.json"]
    assert "topics" in taken.problems[0].text
