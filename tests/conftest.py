"""What all tests share: event loops, the way to the conformance suites, and the conservation law.

Every test proves the law for every actor system that it made, whatever else it is about.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from casework.runtime.actorsystem import ActorSystem

#: The suites are importable by their file's name, so that a store made elsewhere can run them as well.
CONFORMANCE = Path(__file__).parent / "conformance"

sys.path.append(str(CONFORMANCE))


@pytest.fixture(
    params=[
        pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
        pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
        pytest.param(("trio", {}), id="trio"),
    ]
)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, object]]:
    backend: tuple[str, dict[str, object]] = request.param
    return backend


@pytest.fixture(autouse=True)
def conservation(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever a test does to its actors, no message may be unaccounted for at its end."""
    entered: list[ActorSystem] = []
    enter = ActorSystem.__aenter__

    async def remembering(self: ActorSystem) -> ActorSystem:
        entered.append(self)
        return await enter(self)

    monkeypatch.setattr(ActorSystem, "__aenter__", remembering)
    yield
    for system in entered:
        system.check_conservation()
        left = system.statistics()
        assert (left.cells, left.waiting, left.running) == (0, 0, 0), f"something is left of a system: {left}"
