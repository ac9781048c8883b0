"""Circuit breakers: what fails, is slow or costs too much is left alone for a while, by all cases at once.

    CLOSED     every call goes; its end is counted in a window of time. Too many failures, too many slow calls or too
               much money within the window open it.
    OPEN       no call goes; after a pause it is half open.
    HALF_OPEN  a bounded number of probes go. One that does well closes it, one that does not opens it anew.

Plain objects, not actors to wait for: every method is sync, and time is passed in, so a test needs no clock. After the
circuit breaker of Nygard's "Release It!". The window is a ring of slices, so a call costs the same however many there
are; a slice leaves as a whole, up to a tenth of the window late.
It does not know what is behind a circuit.
"""

import enum
from collections.abc import Mapping
from typing import Final, NamedTuple, final

from casework.actors.policy import Breaking

#: Slices of the window.
SLICES: Final = 10


class CircuitState(enum.StrEnum):
    """Whether calls go through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


# Every legal move of a circuit. Nothing outside `_advance` assigns a state.
LEGAL: Final[dict[CircuitState, frozenset[CircuitState]]] = {
    CircuitState.CLOSED: frozenset({CircuitState.OPEN}),
    CircuitState.OPEN: frozenset({CircuitState.HALF_OPEN, CircuitState.CLOSED}),
    CircuitState.HALF_OPEN: frozenset({CircuitState.OPEN, CircuitState.CLOSED}),
}


class CircuitStatistics(NamedTuple):
    """A circuit as it stands."""

    state: CircuitState
    calls: int
    """Calls that ended within the window, while closed."""
    failures: int
    slow: int
    micros: int
    """What they cost, in millionths."""
    refused: int
    """Calls that were not let through since it was made."""
    opened: int
    """How often it opened."""
    why: str
    """Why it opened last; empty while it is closed."""


class Slice:
    """What ended within one part of the window."""

    __slots__ = ("calls", "failures", "micros", "number", "slow")

    def __init__(self) -> None:
        self.number = -1
        self.calls = self.failures = self.slow = self.micros = 0


def verdict(settings: Breaking, calls: int, failures: int, slow: int, micros: int) -> str:
    """Say why what ended within a window opens a circuit; nothing if it does not. Pure."""
    if failures >= settings.failures and failures >= settings.failure_rate * calls:
        return f"{failures} of {calls} calls failed"
    if settings.slow_seconds and calls >= settings.calls_min and slow >= settings.slow_rate * calls:
        return f"{slow} of {calls} calls took {settings.slow_seconds:g} s or more"
    if settings.micros_max and calls >= settings.calls_min and micros > settings.micros_max:
        return f"{calls} calls cost {micros} millionths, {settings.micros_max} are let pass"
    return ""


@final
class CircuitBreaker:
    """One circuit; times are monotonic seconds."""

    __slots__ = (
        "_opened", "_probes", "_refused", "_reopens_at", "_ring", "_settings", "_slice_seconds", "_why", "state",
    )  # fmt: skip

    def __init__(self, settings: Breaking) -> None:
        self._settings = settings
        self.state = CircuitState.CLOSED  #: only `_advance` changes it
        self._slice_seconds = settings.window_seconds / SLICES
        # One slice more than the window has: the oldest leaves only when all of it is older than the window.
        self._ring = tuple(Slice() for _ in range(SLICES + 1))
        self._reopens_at = 0.0
        self._probes = 0
        self._refused = 0
        self._opened = 0
        self._why = ""

    @property
    def timed(self) -> bool:
        """Tell whether it wants to be told how long a call took."""
        return self._settings.slow_seconds > 0

    def lets(self, now: float) -> bool:
        """Tell whether a call would be let through now; takes nothing."""
        if self.state is CircuitState.CLOSED:
            return True
        if self.state is CircuitState.OPEN:
            return now >= self._reopens_at
        return self._probes < self._settings.probes

    def admit(self, now: float) -> bool:
        """Tell whether one call may go now; whoever is told yes reports `succeeded`, `failed` or `dropped`."""
        if self.state is CircuitState.CLOSED:
            return True
        if self.state is CircuitState.OPEN and now >= self._reopens_at:
            self._advance(CircuitState.HALF_OPEN)
        if self.state is CircuitState.HALF_OPEN and self._probes < self._settings.probes:
            self._probes += 1
            return True
        self._refused += 1
        return False

    def succeeded(self, now: float, seconds: float = 0.0, micros: int = 0) -> None:
        """Hear that an admitted call did well; one that began before the circuit opened closes it too."""
        slow = 0 < self._settings.slow_seconds <= seconds
        if self.state is CircuitState.CLOSED:
            self._count(now, failed=False, slow=slow, micros=micros)
        elif not slow:
            self._advance(CircuitState.CLOSED)
            self._why = ""
        elif self.state is CircuitState.HALF_OPEN:
            self._open(now, f"a probe took {seconds:g} s")

    def failed(self, now: float, seconds: float = 0.0, micros: int = 0) -> None:
        """Hear that an admitted call failed in a way that speaks against what is behind the circuit."""
        if self.state is CircuitState.HALF_OPEN:
            self._open(now, "a probe failed")
        elif self.state is CircuitState.CLOSED:
            slow = 0 < self._settings.slow_seconds <= seconds
            self._count(now, failed=True, slow=slow, micros=micros)

    def dropped(self) -> None:
        """Hear that an admitted call ended without telling anything."""
        self._probes = max(self._probes - 1, 0)

    def statistics(self, now: float) -> CircuitStatistics:
        """Give the circuit as it stands."""
        calls, failures, slow, micros = self._sum(int(now / self._slice_seconds))
        return CircuitStatistics(
            self.state, calls, failures, slow, micros, self._refused, self._opened, self._why
        )  # fmt: skip

    def _count(self, now: float, *, failed: bool, slow: bool, micros: int) -> None:
        number = int(now / self._slice_seconds)
        part = self._ring[number % (SLICES + 1)]
        if part.number != number:
            part.number = number
            part.calls = part.failures = part.slow = part.micros = 0
        part.calls += 1
        if not (failed or slow or micros):
            return
        part.failures += failed
        part.slow += slow
        part.micros += micros
        why = verdict(self._settings, *self._sum(number))
        if why:
            self._open(now, why)

    def _sum(self, number: int) -> tuple[int, int, int, int]:
        parts = [part for part in self._ring if number - SLICES <= part.number <= number]
        return (
            sum(part.calls for part in parts),
            sum(part.failures for part in parts),
            sum(part.slow for part in parts),
            sum(part.micros for part in parts),
        )

    def _open(self, now: float, why: str) -> None:
        self._advance(CircuitState.OPEN)
        self._reopens_at = now + self._settings.open_seconds
        self._why = why

    def _advance(self, state: CircuitState) -> None:
        assert state in LEGAL[self.state], f"a circuit does not go from {self.state} to {state}"
        self.state = state
        self._probes = 0
        self._opened += state is CircuitState.OPEN
        for part in self._ring:
            part.number = -1


@final
class Circuits:
    """One circuit for each name of a kind, made when it is first asked for."""

    __slots__ = ("_circuits", "_own", "_settings")

    def __init__(self, settings: Breaking, own: Mapping[str, Breaking] | None = None) -> None:
        """Make them with `settings`, but for names that have settings of their `own`."""
        self._settings = settings
        self._own = own or {}
        self._circuits: dict[str, CircuitBreaker] = {}

    def of(self, name: str) -> CircuitBreaker:
        """Give the circuit of that name, always the same object."""
        circuit = self._circuits.get(name)
        if circuit is None:
            circuit = self._circuits[name] = CircuitBreaker(self._own.get(name, self._settings))
        return circuit

    def statistics(self, now: float) -> dict[str, CircuitStatistics]:
        """Give every circuit as it stands, by name."""
        return {name: circuit.statistics(now) for name, circuit in sorted(self._circuits.items())}
