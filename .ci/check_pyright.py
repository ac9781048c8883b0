"""Run pyright and fail too when it read fewer files than there are.

Given links, hidden folders or a wrong path, pyright checks nothing and says "0 errors". It does not know which rules
apply: those stand in pyproject.toml.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent


def files_expected() -> int:
    """Count the Python files under the folders that pyright is told to read."""
    config = tomllib.loads((HOME / "pyproject.toml").read_text(encoding="utf-8"))
    folders = [HOME / name for name in config["tool"]["pyright"]["include"]]
    return sum(1 for folder in folders for _ in folder.resolve().rglob("*.py"))


def main() -> int:
    """Print what pyright found, and return the exit code of the check."""
    command = [str(HOME / ".venv/bin/pyright"), "--outputjson"]
    run = subprocess.run(command, cwd=HOME, capture_output=True, text=True, check=False)
    try:
        report = json.loads(run.stdout)
    except json.JSONDecodeError:
        sys.stderr.write(run.stdout + run.stderr)
        return 2
    for found in report["generalDiagnostics"]:
        start = found["range"]["start"]
        print(f"{found['file']}:{start['line'] + 1}: {found['severity']}: {found['message']} [{found.get('rule', '')}]")
    read, expected = report["summary"]["filesAnalyzed"], files_expected()
    print(f"pyright: {report['summary']['errorCount']} errors, {read} of {expected} files read")
    if read != expected:
        print("pyright did not read what it was told to: see [tool.pyright] include in pyproject.toml")
        return 2
    return 1 if report["summary"]["errorCount"] or run.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
