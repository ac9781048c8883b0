"""The output folder: the overview as JSON and as a page, every revision of it, and copies of delivered evidence.

The first quarter to write into a folder has it; each other one gets a folder inside, called after itself. An overview
replaces only one of the same quarter, so that nothing closed is ever lost. It does not know who asks.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec

from casework.actors import KnownFailure
from examples.bookkeeping.business import quarter_dates
from examples.bookkeeping.overview import Overview, overview_json
from examples.bookkeeping.render import render_overview


class _Named(msgspec.Struct, frozen=True, kw_only=True):
    """Whose overview a file is; all else in it is left alone."""

    quarter: str


def home_of(out: Path, quarter: str) -> Path:
    """Give the folder of a quarter's overview: `out` itself, or one inside if `out` is another quarter's.

    Raises:
        KnownFailure: it is no quarter, or the folder that it would get holds something else.
    """
    try:
        quarter_dates(quarter)
    except ValueError as error:
        raise KnownFailure(str(error)) from error
    own = out / quarter
    inside = _holder(own)
    if inside == quarter:
        return own
    if _holder(out) in (None, quarter):
        return out
    if inside is not None:
        raise KnownFailure(f"{own / 'overview.json'} is no overview of {quarter}; move it away, then run again")
    return own


def write(out: Path, overview: Overview, evidence: dict[str, bytes], folder: Path) -> str:
    """Write a revision as the newest; gives the SHA-256 of overview.json. `folder` is the input that links lead to."""
    home = home_of(out, overview.quarter)
    data = overview_json(overview)
    (home / "revisions").mkdir(parents=True, exist_ok=True)
    for ref, content in evidence.items():
        (home / "evidence").mkdir(exist_ok=True)
        _replace(home / _copied(ref), content)
    _replace(_revision(home, overview.quarter, overview.revision), data)
    _replace(home / "overview.html", _page(home, overview, folder))
    _replace(home / "overview.json", data)
    return hashlib.sha256(data).hexdigest()


def restore(out: Path, quarter: str, revision: int, folder: Path) -> int:
    """Take a revision back: the one before it is shown again; gives its number, 0 if there is none."""
    home = home_of(out, quarter)
    _revision(home, quarter, revision).unlink(missing_ok=True)
    before = _revision(home, quarter, revision - 1)
    if not before.exists():
        (home / "overview.json").unlink(missing_ok=True)
        (home / "overview.html").unlink(missing_ok=True)
        return 0
    data = before.read_bytes()
    _replace(home / "overview.html", _page(home, msgspec.json.decode(data, type=Overview), folder))
    _replace(home / "overview.json", data)
    return revision - 1


def is_kept(out: Path, overview: Overview) -> bool:
    """Say whether exactly this revision is there."""
    path = _revision(home_of(out, overview.quarter), overview.quarter, overview.revision)
    return _read_or_empty(path) == overview_json(overview)


def is_shown(out: Path, overview: Overview) -> bool:
    """Say whether exactly this overview is the newest."""
    return _read_or_empty(home_of(out, overview.quarter) / "overview.json") == overview_json(overview)


def is_gone(out: Path, overview: Overview) -> bool:
    """Say whether no such revision is there."""
    return not _revision(home_of(out, overview.quarter), overview.quarter, overview.revision).exists()


def _holder(folder: Path) -> str | None:
    """Name the quarter whose overview a folder shows; None if it shows none, empty if that is something else."""
    try:
        return msgspec.json.decode((folder / "overview.json").read_bytes(), type=_Named).quarter
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return ""


def _page(home: Path, overview: Overview, folder: Path) -> bytes:
    """Render the page; links to delivered evidence lead to its copy beside the page."""
    way = Path(os.path.relpath(folder, home)).as_posix() + "/"
    here = os.path.relpath(home, home / way)

    def linked(path: str) -> str:
        return f"{here}/{_copied(path)}" if path.startswith("artifact:") else path

    flags = tuple(
        msgspec.structs.replace(flag, evidence=tuple(linked(path) for path in flag.evidence))
        for flag in overview.exceptions
    )
    return render_overview(msgspec.structs.replace(overview, exceptions=flags), way).encode()


def _copied(ref: str) -> str:
    return f"evidence/{ref.partition(':')[2]}"


def _revision(home: Path, quarter: str, revision: int) -> Path:
    return home / "revisions" / f"{quarter}-{revision:04d}.json"


def _replace(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, never half of it."""
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _read_or_empty(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""
