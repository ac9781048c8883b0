"""Casework as users have it: the wheel, unpacked into a folder of its own, in a process of its own."""

import atexit
import functools
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

HOME = Path(__file__).resolve().parents[2]
#: Seconds until a process that hangs is given up.
PATIENCE_SECONDS = 120


@functools.cache
def unpacked() -> Path:
    """Build the wheel of the tree as it is, once in a run, and unpack it."""
    folder = Path(tempfile.mkdtemp(prefix="casework-wheel-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    program = f"import hatchling.build as build; print(build.build_wheel({str(folder)!r}))"
    built = subprocess.run(
        [sys.executable, "-c", program], cwd=HOME, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=True
    )
    site = folder / "site"
    with zipfile.ZipFile(folder / built.stdout.split()[-1]) as wheel:
        wheel.extractall(site)
    return site


def pytest_there(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest on a user's project, with warnings as errors and nothing of this project's own settings."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV_CORE"))}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "error", "--strict-markers", *arguments]
    return subprocess.run(
        command,
        cwd=folder,
        env={**environment, "PYTHONPATH": str(unpacked())},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
