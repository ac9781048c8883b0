"""What only a fresh process shows: how a house is imported, and what comes along."""

import subprocess
import sys

import pytest
from sources import HOME, HOUSES

#: Heavy, and needed by few: imported on first use.
LAZY = ("cyclopts", "opentelemetry.sdk", "prometheus_client", "pypdfium2", "rich", "starlette", "uvicorn", "uvloop")


def python(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter that stands in the project's root."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=HOME, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("house", HOUSES)
def test_a_house_cannot_be_imported_by_its_bare_name(house: str) -> None:
    run = python(f"import {house}")
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1].startswith("ImportError: ")
    assert f"write 'import casework.{house}'" in run.stderr


@pytest.mark.parametrize("house", HOUSES)
def test_a_house_is_imported_within_its_namespace(house: str) -> None:
    run = python(f"import casework.{house} as house; print(house.__name__)")
    assert (run.returncode, run.stdout.strip()) == (0, f"casework.{house}"), run.stderr


@pytest.mark.parametrize("house", HOUSES)
def test_heavy_packages_are_not_imported_with_a_house(house: str) -> None:
    run = python(f"import casework.{house}, sys; print(*[name for name in {LAZY!r} if name in sys.modules])")
    assert (run.returncode, run.stdout.strip()) == (0, ""), run.stderr
