"""A desk for tests of the command: a store, an input folder and the command itself, in processes of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.support.command_forks import command_forks

SUPPORT = Path(__file__).parent
#: Seconds until a command that hangs is given up, on a machine that has much else to do.
PATIENCE_SECONDS = 120
COMMAND = (sys.executable, "-c", "import sys; from casework.actors.cli import main; sys.exit(main())")


class Desk:
    """A store, an input folder, and the command to use them with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.input = folder / "input"
        self.input.mkdir()
        self.store = f"sqlite:///{folder / 'cases.db'}"
        self.environ = {**os.environ, "CASEWORK_STORE": self.store, "COLUMNS": "200"}
        self.environ.pop("CASEWORK_DEBUG", None)

    def put(self, **texts: str) -> None:
        for name, text in texts.items():
            (self.input / f"{name}.txt").write_text(text)

    def __call__(self, *arguments: str | Path, cwd: Path = SUPPORT) -> subprocess.CompletedProcess[str]:
        return command_forks().run(list(map(str, arguments)), cwd=cwd, environ=self.environ, timeout=PATIENCE_SECONDS)

    def run(self, *more: str | Path) -> subprocess.CompletedProcess[str]:
        return self("run", "tiny_crew:crew", self.input, "--out", self.folder / "out", *more)

    def json(self, *arguments: str | Path) -> object:
        return json.loads(self(*arguments, "--json").stdout)

    def start(self, *arguments: str | Path, cwd: Path = SUPPORT) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            cwd=cwd,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def until_closed_brace(process: subprocess.Popen[str]) -> str:
    """Read what a process prints up to the end of a JSON value."""
    assert process.stdout is not None
    text = ""
    while not text.endswith("}\n"):
        line = process.stdout.readline()
        assert line, "the process ended before it said where it listens"
        text += line
    return text
