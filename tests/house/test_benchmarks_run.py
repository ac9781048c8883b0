"""Every benchmark runs at its smallest size, so that none rots."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from sources import HOME, files, shown

BENCHMARKS = [path for path in files("benchmarks") if path.name.startswith("bench_")]


@pytest.mark.parametrize("path", BENCHMARKS, ids=shown)
def test_a_benchmark_runs_and_gives_a_record(path: Path) -> None:
    command = [sys.executable, str(path), "--operations", "20", "--repetitions", "1", "--json"]
    run = subprocess.run(command, cwd=HOME, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    reports = json.loads(run.stdout)
    assert all(measure["micros"] > 0 for report in reports for measure in report["measures"])
    assert reports
