"""An export to be changed, and the verifier as somebody runs it who has nothing else; it does not know the changes."""

import base64
import functools
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio

from casework.runtime import verifier
from tests.support.export_scene import exported, finished

VERIFIER = Path(verifier.__file__)


@functools.cache
def export() -> bytes:
    """Export a finished case with the one below it, once."""

    async def made() -> bytes:
        return await exported(await finished(), with_children=True)

    return anyio.run(made)


def document() -> dict[str, Any]:
    """Give that export, to be changed."""
    read: dict[str, Any] = json.loads(export())
    return read


def verified(folder: Path, text: bytes | None, *arguments: str) -> tuple[int, str]:
    """Run the verifier as it stands, in an empty folder, without anything that is installed."""
    shutil.copy(VERIFIER, folder / "verifier.py")
    if text is not None:
        (folder / "case.json").write_bytes(text)
    command = [sys.executable, "-I", "-S", "verifier.py", "case.json", *arguments]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=30, check=False)
    assert "Traceback" not in run.stderr
    return run.returncode, run.stdout + run.stderr


def resealed(made: dict[str, Any]) -> dict[str, Any]:
    """Give a changed export as somebody leaves it who knows of the checksum."""
    return {**made, "checksum": verifier.checksum(made)}


def wrong(made: dict[str, Any]) -> list[str]:
    """Give what is wrong, by the chain and the columns alone."""
    return [str(each) for each in verifier.findings(resealed(made))]


def named_so(case_id: str) -> bytes:
    """Give an export of a case that somebody made up, with an id that nobody could open."""
    made = document()
    made["with_children"], made["cases"] = False, made["cases"][:1]
    (case,) = made["cases"]
    case["case_id"], previous = case_id, verifier.GENESIS
    for each in case["records"]:
        place = (each["seq"], each["epoch"], each["kind"], each["step_id"], each["at"])
        frame_hash = hashlib.sha256(base64.b64decode(each["frame"])).digest()
        previous = verifier.chained(previous, (case["tenant"], case_id), place, frame_hash)
        each["hash"] = case["head"] = previous.hex()
    return json.dumps(resealed(made)).encode()
