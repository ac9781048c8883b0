"""Every test of the machine proves the conservation law for every actor system that it made."""

from collections.abc import Iterator
from dataclasses import replace

import anyio
import pytest

from casework.runtime.actorsystem import ActorSystem
from casework.runtime.seams import World


class HandClock:
    """A clock that moves only when a test moves it."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self._sleepers: list[tuple[float, anyio.Event]] = []

    def wall_micros(self) -> int:
        return int(self.now * 1_000_000)

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        due = self.now + seconds
        event = anyio.Event()
        self._sleepers.append((due, event))
        if due > self.now:
            await event.wait()

    def forward(self, seconds: float) -> None:
        self.now += seconds
        for due, event in self._sleepers:
            if due <= self.now:
                event.set()


@pytest.fixture
def hand_clock() -> HandClock:
    return HandClock()


@pytest.fixture
def hand_world(hand_clock: HandClock) -> World:
    return replace(World(), clock=hand_clock)


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
