"""The plugin as users have it: installed from the wheel, in projects of their own, not felt where unused."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.installed import pytest_there, unpacked

CREW = """
import time

from msgspec import Struct

from casework.actors import Agent, Crew, Policy, Work, skill
from casework.runtime import Case, Flow


class Refund(Struct, frozen=True):
    euros: int


@skill
async def judge(inputs: Refund, work: Work) -> bool:
    return inputs.euros <= 50


async def resolve(case: Case, inputs: Refund) -> str:
    fine = await case.delegate("judge", inputs, returns=bool, goal="Is it within policy?")
    if not fine.value:
        return (await case.review("Refund?", inputs, rule="above_limit")).action
    await case.sleep(30 * 86_400)
    return "approve"


async def hasty(case: Case, inputs: Refund) -> str:
    await case.note(str(time.perf_counter_ns()))
    await case.sleep(0.5)
    return "approve"


crew = Crew(
    "refunds",
    agents=[Agent("judge", {"judge": judge})],
    flows=[Flow.of(resolve, inputs=Refund), Flow.of(hasty, inputs=Refund)],
    policy=Policy(name="refunds"),
)
"""

TESTS = """
import pytest

from casework.actors.testing import FakePerson
from refunds import Refund, crew

pytestmark = pytest.mark.anyio


async def test_a_small_refund_waits_a_month(case_bench):
    bench = await case_bench(crew)
    await bench.open("resolve", "r-1", Refund(40))
    await bench.forward(days=30)
    assert bench.value("r-1", str) == "approve"


async def test_two_benches_and_an_open_case_at_the_end(case_bench):
    first, second = await case_bench(crew), await case_bench(crew, people=[FakePerson("reject")])
    await first.open("resolve", "r-1", Refund(90))
    await second.open("resolve", "r-1", Refund(90))
    assert len(first.reviews()) == 1
    assert second.value("r-1", str) == "reject"


@pytest.mark.crash_anywhere(crew, "resolve", Refund(40))
async def test_a_refund_survives(crashes):
    whole = await crashes()
    assert whole.value == "approve"


@pytest.mark.crash_anywhere(flow="resolve", inputs=Refund(90), every=2)
async def test_a_large_refund_survives(crashes):
    await crashes(crew, people=[FakePerson()])
"""

FAILING = """
import pytest

from refunds import Refund, crew

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.mark.crash_anywhere(crew, flow="hasty", inputs=Refund(40))
async def test_hasty(crashes):
    await crashes()


async def test_wrong(case_bench):
    bench = await case_bench(crew)
    await bench.open("resolve", "r-1", Refund(40))
    bench.log("r-1").assert_steps("opened*", "closed completed")
"""


MUTE = """
import anyio
import pytest

from refunds import Refund, crew

pytestmark = pytest.mark.anyio
small = pytest.mark.crash_anywhere(crew, flow="resolve", inputs=Refund(40), every=9)


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def handed_on(crashes):
    return crashes


@pytest.fixture
def looked_up(request):
    return request.getfixturevalue("crashes")


@pytest.fixture
async def whole(crashes):
    return await crashes()


@small
async def test_mute_never_called(crashes):
    pass


@small
async def test_mute_never_called_by_another_fixture(handed_on):
    pass


@small
async def test_mute_cut_short(crashes):
    with anyio.move_on_after(0):
        await crashes()


@small
async def test_mute_refused(crashes):
    with pytest.raises(ValueError):
        await crashes(every=0)


@small
@pytest.mark.xfail(strict=False)
async def test_mute_though_it_was_to_fail(crashes):
    pass


@small
def test_mute_not_awaited(crashes):
    crashes().close()


def test_mute_not_awaited_without_a_marker(crashes):
    crashes(crew, "resolve", Refund(40)).close()


@small
async def test_told_by_another_fixture(handed_on):
    await handed_on()


@small
async def test_told_by_a_fixture_that_looks_it_up(looked_up):
    await looked_up()


@small
async def test_told_before_the_test(whole):
    assert whole.value == "approve"


@pytest.mark.crash_anywhere(crew, flow="hasty", inputs=Refund(40))
async def test_told_of_a_difference_that_is_expected(crashes):
    with pytest.raises(AssertionError, match="ends differently"):
        await crashes()


async def test_told_nothing_of_a_fixture_that_it_has_no_use_for(handed_on):
    pass


@small
async def test_other_end_failed(crashes):
    assert False, "for a reason of its own"


@small
async def test_other_end_skipped(crashes):
    pytest.skip("for a reason of its own")
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "refunds.py").write_text(CREW, encoding="utf-8")
    (tmp_path / "conftest.py").write_text("", encoding="utf-8")
    return tmp_path


def test_fixtures_and_marker_work_on_asyncio_and_trio_without_a_warning(project: Path) -> None:
    (project / "test_refunds.py").write_text(TESTS, encoding="utf-8")
    run = pytest_there(project, "-v")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "8 passed" in run.stdout
    assert "test_a_refund_survives[trio] PASSED" in run.stdout


def test_a_failure_says_how_one_crash_alone_is_run_and_that_does_so(project: Path) -> None:
    (project / "test_hasty.py").write_text(FAILING, encoding="utf-8")
    run = pytest_there(project)
    assert run.returncode == 1
    assert "2 failed" in run.stdout, run.stdout
    assert "killed at append 1 of 2, before it was durable, flow 'hasty' ends differently" in run.stdout
    (told,) = {line.partition("this crash alone: ")[2] for line in run.stdout.splitlines() if "alone: " in line}
    assert told == "pytest 'test_hasty.py::test_hasty' --crash-at 1-before"
    again = pytest_there(project, "test_hasty.py::test_hasty", "--crash-at", "1-before")
    assert "1 failed" in again.stdout
    other = pytest_there(project, "test_hasty.py::test_hasty", "--crash-at", "1-after")
    assert "killed at append 1 of 2, after it was durable" in other.stdout, other.stdout


def test_a_test_that_bears_the_marker_without_the_fixture_fails_and_says_what_is_missing(project: Path) -> None:
    alone = '@pytest.mark.crash_anywhere(crew, flow="resolve", inputs=Refund(40))\nclass TestAll:\n'
    alone += "    async def test_other(self):\n        pass\n\n"
    alone += "    @pytest.mark.crash_anywhere(every=2)\n    async def test_alone(self):\n        pass\n"
    (project / "test_refunds.py").write_text(f"{TESTS}\n\n{alone}", encoding="utf-8")
    run = pytest_there(project, "-k", "TestAll and asyncio")
    assert run.returncode == 1
    assert "take the fixture `crashes` and await it" in run.stdout
    assert "1 passed" in run.stdout, "what is declared for a whole class is for those of its tests that use it"


def test_a_test_that_passed_though_nothing_was_killed_to_the_end_fails_and_says_what_to_do(project: Path) -> None:
    (project / "test_mute.py").write_text(MUTE, encoding="utf-8")
    # Without the summary at the end, whose lines are cut off in a terminal and are not elsewhere.
    run = pytest_there(project, "-k", "test_mute_", "--tb=short", "-rN")
    assert "7 failed, 7 deselected" in run.stdout, run.stdout
    assert run.stdout.count("take the fixture `crashes` and await it") == 7


def test_a_test_that_was_told_how_its_crashes_ended_or_ended_otherwise_stays_as_it_is(project: Path) -> None:
    (project / "test_mute.py").write_text(MUTE, encoding="utf-8")
    told = pytest_there(project, "-k", "test_told_")
    assert "5 passed, 9 deselected" in told.stdout, told.stdout
    other = pytest_there(project, "-k", "test_other_end_")
    assert "1 failed, 1 skipped, 12 deselected" in other.stdout, other.stdout
    assert "await it" not in other.stdout
    alone = pytest_there(project, "test_mute.py::test_told_by_another_fixture", "--crash-at", "1-after")
    assert "1 passed" in alone.stdout, "one crash alone is a run to its end as well"


def test_a_failed_assertion_is_shown_as_it_is_and_in_no_group(project: Path) -> None:
    (project / "test_hasty.py").write_text(FAILING, encoding="utf-8")
    run = pytest_there(project, "-k", "test_wrong")
    assert "AssertionError: the log of case r-1 does not have exactly the expected steps" in run.stdout
    assert "Group" not in run.stdout


def test_an_event_loop_of_the_users_own_is_left_alone(project: Path) -> None:
    tests = """
    import asyncio

    from casework.actors.testing import CaseBench, crash_anywhere
    from refunds import Refund, crew


    def test_with_a_loop_of_its_own():
        async def work():
            async with CaseBench(crew) as bench:
                await bench.open("resolve", "r-1", Refund(40))
                await bench.forward(days=30)
                return bench.value("r-1", str)

        with asyncio.Runner() as runner:
            assert runner.run(work()) == "approve"
            assert runner.run(crash_anywhere(crew, "resolve", Refund(40), every=5)).value == "approve"
    """
    source = "\n".join(line.removeprefix("    ") for line in tests.splitlines())
    (project / "test_loop.py").write_text(source, encoding="utf-8")
    run = pytest_there(project)
    assert run.returncode == 0, run.stdout + run.stderr


def test_a_project_that_does_not_use_it_imports_nothing_of_it(tmp_path: Path) -> None:
    (tmp_path / "test_unrelated.py").write_text("def test_nothing() -> None:\n    pass\n", encoding="utf-8")
    source = """
import sys

def pytest_sessionfinish(session):
    loaded = sorted(name for name in sys.modules if name.startswith(("casework", "msgspec", "opentelemetry")))
    print("loaded:", loaded)
"""
    (tmp_path / "conftest.py").write_text(source, encoding="utf-8")
    run = pytest_there(tmp_path, "--co", "-s")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "loaded: ['casework', 'casework.pytest_plugin']" in run.stdout
    shown = pytest_there(tmp_path, "--markers", "--fixtures")
    assert "@pytest.mark.crash_anywhere(crew, flow, inputs, **options)" in shown.stdout


def test_its_one_module_imports_only_pytest_and_what_pytest_has_imported() -> None:
    program = """
import sys
import pytest, _pytest.config, typing, collections.abc
before = set(sys.modules)
import casework.pytest_plugin
print(sorted(set(sys.modules) - before))
"""
    run = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(unpacked())},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert run.stdout.strip() == "['casework', 'casework.pytest_plugin']"
