"""How long does a service wait for `import casework.runtime`?

Unit: microseconds for one start of a fresh interpreter, by the wall; `--operations` is divided by a thousand, for a
start is long. Bytecode is written beforehand, as any installation has it. The floor is an interpreter that imports
nothing of ours. What the import adds is the difference.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import harness

HOME = Path(__file__).resolve().parent.parent


def starting(code: str) -> Callable[[int], None]:
    """Make a contender that starts a fresh interpreter on some code, so many times."""

    def start(operations: int) -> None:
        for _ in range(operations):
            subprocess.run([sys.executable, "-c", code], check=True)

    return start


def answer(operations: int, repetitions: int) -> list[harness.Report]:
    """Time the bare interpreter, what the runtime is built on, and the runtime itself."""
    contenders = {
        "nothing": starting("pass"),
        "anyio and msgspec": starting("import anyio, msgspec"),
        "casework.protocols": starting("import casework.protocols"),
        "casework.runtime": starting("import casework.runtime"),
        "casework.actors": starting("import casework.actors"),
    }
    starts = max(operations // 1_000, 1)
    houses = [str(HOME / house) for house in ("protocols", "runtime", "actors")]
    subprocess.run([sys.executable, "-m", "compileall", "-q", *houses], check=True)
    question = "Starting Python with an import"
    return [harness.measure(question, contenders, floor="nothing", operations=starts, repetitions=repetitions)]


if __name__ == "__main__":
    harness.main(answer)
