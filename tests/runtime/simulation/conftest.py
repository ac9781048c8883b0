"""What tests of the simulation share: its loop as a backend of anyio, and killed processes that settle nothing."""

from collections.abc import Iterator
from functools import partial

import pytest

from casework.runtime.simulation.loop import SimulationLoop
from casework.runtime.simulation.order import insertion_order


@pytest.fixture(params=[pytest.param(seed, id=f"seed{seed}") for seed in range(3)])
def anyio_backend(request: pytest.FixtureRequest) -> Iterator[tuple[str, dict[str, object]]]:
    """Run async tests on the simulation's loop, in the order of three seeds."""
    with insertion_order():
        yield "asyncio", {"loop_factory": partial(SimulationLoop, request.param)}


@pytest.fixture(autouse=True)
def conservation() -> None:
    """A killed process accounts for nothing; runs ask those that live at their end."""
