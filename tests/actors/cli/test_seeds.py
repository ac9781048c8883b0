"""Worker processes: one that hangs is ended and told of, and what it was to do besides goes on."""

from pathlib import Path

import anyio
import pytest

from casework.actors.cli import seeds
from casework.actors.cli.seed_worker import Ask
from casework.actors.cli.seeds import Crowd, Worker
from casework.actors.simulation.report import SeedReport
from casework.runtime.simulation import FaultPlan
from tests.support.command_desk import SUPPORT

HANGS = "        signal.pause()\n        self.books: Counter"
DEAF = "        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])\n" + HANGS


def crew_that(how: str, folder: Path) -> str:
    source = (SUPPORT / "hasty_shop.py").read_text()
    source = source.replace("hasty_shop:", "hanging:").replace("        self.books: Counter", how)
    (folder / "hanging.py").write_text(f"import signal\n{source}")
    return "hanging:crew"


@pytest.mark.parametrize(
    ("how", "where"), [(HANGS, "hanging.py:"), (DEAF, "nobody knows where it was")], ids=["hangs", "is deaf"]
)
async def test_a_seed_that_takes_too_long_is_ended_and_says_where_it_was(
    how: str, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seeds, "PATIENCE_SECONDS", 5.0)
    heard: list[SeedReport] = []
    worker = Worker(crew_that(how, tmp_path), tmp_path)
    with anyio.fail_after(30):
        done = await worker.run(Ask(first=7, count=3, seconds_max=1), lambda report, _: heard.append(report))
        await worker.aclose()
    (report,) = heard
    (violation,) = report.violations
    assert (done, report.seed, violation.invariant) == (1, 7, "process_ended")
    assert "the seed took more than 1 s" in violation.sentence
    assert where in violation.sentence


async def test_every_seed_is_run_once_whoever_runs_it() -> None:
    heard: list[int] = []
    with anyio.fail_after(30):
        asked = Ask(first=5, count=5, plan=FaultPlan())
        assert await Crowd("hasty_shop:crew", SUPPORT, 2).run(asked, lambda report, _: heard.append(report.seed))
    assert sorted(heard) == list(range(5, 10))


async def test_workers_end_with_whoever_asked_them() -> None:
    worker = Worker("hasty_shop:crew", SUPPORT)
    heard: list[SeedReport] = []
    with anyio.fail_after(30), anyio.CancelScope() as scope:

        def hear(report: SeedReport, _: float) -> None:
            heard.append(report)
            scope.cancel()

        await worker.run(Ask(first=0, count=1_000), hear)
    assert scope.cancelled_caught
    assert worker._process is None
    await worker.aclose()
