"""Safeguards taken away one by one: runs by seeds find out about each of them.

A run that never fails proves little; these show that it looks where it hurts. With everything in its place the same
seeds pass. What is found must be what the safeguard is there against: that a patch does not fit any more is no finding.
How many seeds each needed stands in the report of the run: `pytest -rP`, or the tests' properties.
"""

import re
from collections.abc import Callable

import pytest

from casework.runtime.simulation import loop, simulate
from tests.support.simulated_mutants import MUTANTS, Mutant

#: Seeds within which each is to be found.
SEEDS_MAX = 200
#: Seeds that may fail by other words before: on a day when nothing runs at all, every one does.
OTHERWISE_MAX = 20
#: Steps while no time passes, after which none ever will: nodes that take each other's cases go on for ever.
STILL_MAX = 20_000


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "STILL_MAX", STILL_MAX)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_missing_safeguard_is_found_out(
    mutant: Mutant, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    mutant.take_away(monkeypatch)
    otherwise: list[str] = []
    for seed in range(SEEDS_MAX):
        try:
            simulate(mutant.scenario, seed=seed, plan=mutant.plan(seed))
        except Exception as error:  # noqa: BLE001 - a lost case, money paid twice, a log that broke, a run without end
            said = _said(error)
            if not re.search(mutant.because, said):
                # What is missing has other consequences as well; what it is there against must be seen all the same.
                otherwise.append(f"seed {seed}: {said.splitlines()[0]}")
                assert len(otherwise) <= OTHERWISE_MAX, f"it fails, but not for that: {otherwise}"
                continue
            record_property("seeds", seed + 1)
            print(f"{mutant.name}: found by seed {seed}, {said.splitlines()[0]}")
            return
    pytest.fail(f"{mutant.name}: nobody noticed in {SEEDS_MAX} seeds; {otherwise}")


def _said(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"
