"""The programs in docs/ do what the pages say, and their links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from casework.actors.simulation.builtin import BUILT_IN
from casework.runtime.simulation import FaultPlan
from tests.support.command_desk import COMMAND
from tests.support.installed import pytest_there

DOCS = Path(__file__).parents[1] / "docs"


def programs(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), flags=re.DOTALL)


def said(source: str, folder: Path) -> list[str]:
    path = folder / "program.py"
    path.write_text(source, encoding="utf-8")
    run = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


def test_the_page_on_actors_shows_a_counter_that_goes_on_after_its_failure(tmp_path: Path) -> None:
    first, failure, last = said(programs("actors.md")[0], tmp_path)
    assert (first, last) == ("b'42'", "b'1'")
    assert failure.startswith("'counter' did not answer: ValueError")


def test_the_page_on_actors_shows_an_account_that_saves_itself_when_it_ends(tmp_path: Path) -> None:
    assert said(programs("actors.md")[2], tmp_path) == ["b'100'", "{'4711': 100}"]


def test_the_page_on_flows_shows_one_that_waits_for_what_comes_or_for_the_calendar(tmp_path: Path) -> None:
    assert said(programs("flows.md")[0], tmp_path) == ["closed completed"]


def test_the_page_on_personal_data_shows_what_becomes_of_a_payment_to_somebody_who_was_erased(tmp_path: Path) -> None:
    paid, gone = ["paying Anna de Vries", "one closed completed"], ["Payee 'p-17' is not there any more"]
    assert said(programs("personal.md")[0], tmp_path) == [*paid, *gone, "two closed completed"]
    lint = [*COMMAND, "lint", "program:crew"]
    run = subprocess.run(lint, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, run.stdout.strip()) == (0, "payouts: nothing looks like raw personal data")


def test_the_page_on_tasks_shows_one_that_is_not_done_although_its_agent_says_so(tmp_path: Path) -> None:
    assert said(programs("tasks.md")[0], tmp_path) == ["task 'post' failed (criterion): criterion 'stands' is not met"]


def test_the_page_on_stores_shows_the_suite_as_whoever_writes_a_store_has_it(tmp_path: Path) -> None:
    (tmp_path / "test_my_store.py").write_text(programs("stores.md")[0], encoding="utf-8")
    run = pytest_there(tmp_path, "-q", "-k", "asyncio")
    assert run.returncode == 0, run.stdout + run.stderr
    assert int(re.findall(r"(\d+) passed", run.stdout)[0]) >= 60


def test_the_page_on_testing_shows_tests_that_pass_as_users_have_them(tmp_path: Path) -> None:
    (tmp_path / "test_refunds.py").write_text(programs("testing.md")[0], encoding="utf-8")
    run = pytest_there(tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "8 passed" in run.stdout, "each of the four on asyncio and on trio"


def test_the_page_on_sagas_shows_tests_that_pass_as_users_have_them(tmp_path: Path) -> None:
    (tmp_path / "test_refunds.py").write_text(programs("sagas.md")[0], encoding="utf-8")
    run = pytest_there(tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "4 passed" in run.stdout, "each of the two on asyncio and on trio"


def test_each_pattern_of_the_page_on_patterns_does_what_it_says(tmp_path: Path) -> None:
    shop, *examples = programs("patterns.md")
    (tmp_path / "shop.py").write_text(shop, encoding="utf-8")
    assert len(examples) >= 5
    for example in examples:
        assert said(example, tmp_path) == re.findall(r"^ *print\(.*\)  # (.*)$", example, flags=re.MULTILINE)


def simulated(program: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "shop.py").write_text(program, encoding="utf-8")
    command = [*COMMAND, "simulate", "shop:crew", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_the_page_on_simulation_shows_a_mistake_that_is_found_and_how_to_mend_it(tmp_path: Path) -> None:
    program, mended = programs("simulation.md")
    mistake = "        except TaskFailed:\n            continue  # it did not work: once more\n"
    assert mistake in program
    found = simulated(program, tmp_path, "--seed", "41")
    assert found.returncode == 5, found.stdout + found.stderr
    assert "paid_once: nobody is paid twice: " in found.stdout
    held = simulated(program.replace(mistake, mended), tmp_path, "--seeds", "12", "--jobs", "1")
    assert held.returncode == 0, held.stdout + held.stderr


def test_the_page_on_simulation_has_every_fault_and_every_invariant() -> None:
    page = (DOCS / "simulation.md").read_text(encoding="utf-8")
    rows = [
        row for name in re.findall(r"^\| (`.*?) \|", page, flags=re.MULTILINE) for row in re.findall("`(.*?)`", name)
    ]
    faults = rows[rows.index("heal_seconds") :]
    assert faults == list(FaultPlan.__struct_fields__)
    assert {each.name for each in BUILT_IN} <= set(rows)


def test_every_other_program_of_the_page_on_actors_can_be_loaded(tmp_path: Path) -> None:
    _, watcher, _, serve = programs("actors.md")
    for source in (watcher, serve):
        assert said(source, tmp_path) == []


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_every_file_that_a_page_links_to_exists(page: str) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", (DOCS / page).read_text(encoding="utf-8"))
    assert not [link for link in links if "://" not in link and not (DOCS / link).exists()]
