"""A seed has one run: the same digest in every process, whatever hashes and debugging do there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from casework.runtime.simulation import draw_plan, simulate
from tests.support.simulated_service import bank_run

HOME = Path(__file__).resolve().parents[3]
SEED = 5
CODE = """
from casework.runtime.simulation import draw_plan, simulate
from tests.support.simulated_service import bank_run
print(simulate(bank_run, seed={seed}, plan=draw_plan({seed})).digest)
"""


@pytest.fixture(scope="module")
def digest() -> str:
    return simulate(bank_run, seed=SEED, plan=draw_plan(SEED)).digest


@pytest.mark.parametrize("flags", [*([()] * 6), ("-X", "dev"), ("-X", "dev", "-X", "tracemalloc")])
def test_a_seed_has_the_same_digest_in_every_process(flags: tuple[str, ...], digest: str) -> None:
    command = [sys.executable, *flags, "-c", CODE.format(seed=SEED)]
    environment = {**os.environ, "PYTHONHASHSEED": "random"}
    run = subprocess.run(command, cwd=HOME, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert run.stdout.strip() == digest, run.stderr


def test_a_seed_has_the_same_digest_again_in_one_process(digest: str) -> None:
    assert simulate(bank_run, seed=SEED, plan=draw_plan(SEED)).digest == digest


def test_another_seed_has_another_digest(digest: str) -> None:
    assert simulate(bank_run, seed=SEED + 1, plan=draw_plan(SEED + 1)).digest != digest
