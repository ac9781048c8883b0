"""The kernel's own tests of mailboxes, cells, addresses and supervision, run once more on the simulation's loop.

They are the functions of those files, collected here with another backend, in the order of one seed.
"""

from functools import partial
from importlib import import_module
from typing import Final

import pytest

from casework.runtime.simulation.loop import SimulationLoop

FILES: Final = (
    "test_actorsystem",
    "test_cell",
    "test_homes",
    "test_mailbox",
    "test_monitors",
    "test_names",
    "supervision.test_ends",
    "supervision.test_intensity",
    "supervision.test_matrix",
    "supervision.test_messages",
    "supervision.test_rounds",
)
SEED: Final = 3


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "asyncio", {"loop_factory": partial(SimulationLoop, SEED)}


for _file in FILES:
    for _name, _test in vars(import_module(f"tests.runtime.{_file}")).items():
        if _name.startswith("test_"):
            globals()[f"{_name}__{_file.rpartition('.')[2]}"] = _test
