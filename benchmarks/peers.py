"""Other frameworks, each in its own virtual environment and its own process; the project depends on none of them.

`make bench-peers` makes `.cache/peers/<peer>/` from the pinned table below. A peer answers a question by the script
`benchmarks/peers/<peer>_<question>.py`, started by the peer's own interpreter with `--operations N`; it prints one JSON
object, `{"seconds": ..., "operations": ..., ...}`, measured inside, start-up and warm-up left out; whatever else is a
number in it becomes a figure. It does not know how a peer is used well: its script does.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import harness

HOME = Path(__file__).resolve().parent.parent
#: Where the environments stand, not under version control; another folder can be named.
ENVIRONMENTS = Path(os.environ.get("CASEWORK_PEERS") or HOME / ".cache" / "peers")
SCRIPTS = Path(__file__).resolve().parent / "peers"
#: How long one run of a peer may take: the slowest of them need some seconds.
RUN_SECONDS_MAX = 300

#: What is installed for each peer: pinned, so that figures of two days are of the same thing.
PINNED: dict[str, tuple[str, ...]] = {
    "pykka": ("pykka==4.5.0",),
    "thespian": ("thespian==4.0.1",),
    "autogen-core": ("autogen-core==0.7.5",),
    "xoscar": ("xoscar==0.12.2",),
    "langgraph": (
        "langgraph==1.2.22",
        "langgraph-checkpoint-sqlite==3.1.2",
        "langgraph-checkpoint-postgres==3.2.0",
        "psycopg[binary]==3.3.9",
    ),
    "dbos": ("dbos==3.4.0",),
}


class PeerFailed(RuntimeError):
    """A peer's script ended badly, or printed something else than its figures."""


def interpreter(peer: str, environments: Path = ENVIRONMENTS) -> Path:
    """Say where a peer's Python is, or would be."""
    return environments / peer / "bin" / "python"


def installed(peer: str, environments: Path = ENVIRONMENTS) -> bool:
    """Say whether `make bench-peers` has been run for a peer, with what is pinned now."""
    stamp = environments / peer / "installed"
    return interpreter(peer, environments).exists() and stamp.exists() and stamp.read_text() == digest(peer)


def contender(
    peer: str, question: str, *, share: float = 1.0, environments: Path = ENVIRONMENTS, scripts: Path = SCRIPTS
) -> harness.External | None:
    """Make a contender of a peer, or None when it is not installed.

    Args:
        share: part of the operations that it does, for one so slow that it would hold up the others.
    """
    if not installed(peer, environments):
        return None
    command = [str(interpreter(peer, environments)), str(scripts / f"{peer}_{question}.py")]
    return harness.External(lambda operations: run(command, max(int(operations * share), 1)))


def run(command: list[str], operations: int) -> harness.Run:
    """Run a peer's script once.

    Raises:
        PeerFailed: it ended badly, or printed no figures.
    """
    # What our own interpreter is told must not reach another's.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    ended = subprocess.run(
        [*command, "--operations", str(operations)],
        cwd=HOME,
        env=environment,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS_MAX,
        check=False,
    )
    if ended.returncode:
        raise PeerFailed(f"{command[-1]} ended with {ended.returncode}: {ended.stderr}")
    try:
        told: dict[str, object] = json.loads(ended.stdout.strip().splitlines()[-1])
        figures = {name: float(value) for name, value in told.items() if isinstance(value, int | float)}
        return harness.Run(seconds=figures.pop("seconds"), operations=int(figures.pop("operations")), figures=figures)
    except (AttributeError, IndexError, KeyError, json.JSONDecodeError):
        raise PeerFailed(f"{command[-1]} printed no figures: {ended.stdout}{ended.stderr}") from None


def install(peer: str, environments: Path = ENVIRONMENTS) -> None:
    """Make a peer's environment; nothing happens when it is there with what is pinned."""
    if installed(peer, environments):
        return
    folder = environments / peer
    venv.create(folder, with_pip=True, clear=True)
    pip = [str(interpreter(peer, environments)), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, *PINNED[peer]], check=True)
    (folder / "installed").write_text(digest(peer))


def main() -> int:
    """Make the environments of the peers named, or of all; return how many could not be made."""
    parser = argparse.ArgumentParser()
    parser.add_argument("peers", nargs="*", metavar="PEER", help=f"any of {', '.join(PINNED)}; all if none is named")
    failed: list[str] = []
    for peer in parser.parse_args().peers or PINNED:
        print(f"   {peer}: {', '.join(PINNED[peer])}", flush=True)
        try:
            install(peer)
        except subprocess.CalledProcessError:
            failed.append(peer)
    if failed:
        print(f"not installed: {', '.join(failed)}")
    return len(failed)


def digest(peer: str) -> str:
    """Tell one set of pinned versions from another."""
    return hashlib.sha256("\n".join(PINNED[peer]).encode()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
