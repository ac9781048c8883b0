"""What the peers' scripts share: the message that all of them send, and how a script tells its figures.

It is read by each peer's own interpreter and imports nothing but the standard library. It does not know any peer.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass

#: A script does a tenth of its operations before the clock starts.
WARM_UP_SHARE = 10
#: Actors, and asks at once, of the question of fan-out.
ACTORS = 100
JOBS = 1_000


@dataclass(frozen=True)
class Question:
    """Twelve fields, as a task of middling size has: the same as our own benchmarks send."""

    a: str = "case-1"
    b: str = "categorise"
    c: str = "one sentence of goal"
    d: int = 1
    e: int = 2
    f: float = 3.0
    g: tuple[str, ...] = ("read_receipt", "look_up")
    h: str = "read_only"
    i: int = 1_750_000_000_000_000
    j: str = "tenant"
    k: str = "sender"
    m: str = "purpose"


QUESTION = Question()


def operations() -> int:
    """Read how many operations are wanted."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--operations", type=int, required=True)
    return int(parser.parse_args().operations)


def warm_up(wanted: int) -> int:
    """Say how many operations to do before the clock starts."""
    return max(wanted // WARM_UP_SHARE, 1)


def rounds(wanted: int) -> list[int]:
    """Split operations into rounds of as many as are asked at once."""
    whole, rest = divmod(wanted, JOBS)
    return [JOBS] * whole + ([rest] if rest else [])


def tell(seconds: float, wanted: int) -> None:
    """Print the figures as the harness reads them."""
    print(json.dumps({"seconds": seconds, "operations": wanted}))


def run(measure: Callable[[int], float]) -> None:
    """Read the size, measure, tell."""
    wanted = operations()
    tell(measure(wanted), wanted)
