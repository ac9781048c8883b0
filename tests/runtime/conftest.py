"""A clock that a test moves by hand."""

from dataclasses import replace

import anyio
import pytest

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
