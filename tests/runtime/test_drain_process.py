"""A real process under load gets SIGTERM: what it accepted is done, however impatient the operator is."""

import json
import signal
import subprocess
import sys

import pytest

from tests.support import busy_service


@pytest.mark.promise("KERNEL-10")
@pytest.mark.parametrize("signals", [1, 2, 5], ids=["once", "twice", "five times"])
def test_sigterm_under_load_loses_nothing_that_was_accepted(signals: int) -> None:
    with subprocess.Popen([sys.executable, busy_service.__file__], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "busy\n"
            for _ in range(signals):
                process.send_signal(signal.SIGTERM)
            told, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    seen = json.loads(told)
    assert process.returncode == 0
    assert seen.pop("accepted") >= 200
    assert seen == {"lost": [], "twice": 0, "never accepted": [], "dead letters": 0, "in time": True}
