"""The real command on the bookkeeping crew, in processes of its own."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HOME: Final = Path(__file__).parents[2]
#: The command as it is installed beside this interpreter.
COMMAND: Final = Path(sys.executable).with_name("casework")
CREW: Final = "examples.bookkeeping.crew:crew"
#: Seconds until a command that hangs is given up.
PATIENCE_SECONDS: Final = 60.0


@dataclass(slots=True, frozen=True)
class Books:
    """A store and an output folder of their own, and the command to work on them."""

    folder: Path

    @property
    def store(self) -> str:
        """The store's URL."""
        return f"sqlite:///{self.folder}/cases.db"

    @property
    def out(self) -> Path:
        """Where the overview is."""
        return self.folder / "out"

    def command(self, *arguments: str | Path) -> list[str]:
        """Give the whole command line."""
        return [str(COMMAND), *map(str, arguments), "--store", self.store]

    def run_command(self, input_: Path, crew: str = CREW) -> list[str]:
        """Give the command line of `casework run`."""
        return self.command("run", crew, input_, "--out", self.out)

    def call(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            command,
            cwd=HOME,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def start(self, command: list[str]) -> subprocess.Popen[bytes]:
        """Start a command and leave it running."""
        quiet = subprocess.DEVNULL
        return subprocess.Popen(command, cwd=HOME, env=self._environment(), stdin=quiet, stdout=quiet, stderr=quiet)

    def _environment(self) -> dict[str, str]:
        """Have the reader of photos not installed, whether it is or not: the answers are known for that."""
        hidden = self.folder / "hidden"
        hidden.mkdir(parents=True, exist_ok=True)
        (hidden / "rapidocr_onnxruntime.py").write_text("raise ImportError('hidden by a test')\n", encoding="utf-8")
        return os.environ | {"PYTHONPATH": str(hidden), "CASEWORK_DEBUG": ""}
