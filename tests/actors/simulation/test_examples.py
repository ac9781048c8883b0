"""The smaller examples by some seeds each, whatever goes wrong; `make simulate` runs more of them."""

import pytest

from casework.actors import Crew
from casework.actors.simulation import run_seed
from examples.refunds.crew import crew as refunds
from examples.research.crew import crew as research

#: Seeds of the suite for each.
SEEDS = 8


@pytest.mark.parametrize("crew", [refunds, research], ids=lambda crew: crew.name)
def test_nothing_is_broken_in_an_example_whatever_goes_wrong(crew: Crew) -> None:
    for seed in range(SEEDS):
        report = run_seed(crew, seed)
        told = "\n".join(each.sentence for each in report.violations)
        assert not report.violations, f"again: run_seed(crew, {seed}, keep=True)\n{told}"
        assert report.case_runs >= 1
