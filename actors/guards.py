"""Guards that all cases share: circuit breakers, and a count of calls that repeat themselves.

Plain objects, not actors to wait for: every method is sync, and time is passed in, so a test needs no clock. The
circuit breaker is the classic one: failures within a window open it, after a pause a probe is let through, and its
fate decides. It does not know what is behind a circuit.
"""

import enum
from collections import OrderedDict, deque
from typing import Final, NamedTuple

from casework.actors.policy import Breaking

#: Scopes whose calls are counted at a time; the oldest is forgotten first, which only makes the guard milder.
SCOPES_MAX: Final = 10_000


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
    failures: int
    """Failures within the window, while closed."""
    refused: int
    """Calls that were not let through since it was made."""
    opened: int
    """How often it opened."""


class CircuitBreaker:
    """One circuit; times are monotonic seconds."""

    def __init__(self, settings: Breaking) -> None:
        self._settings = settings
        self._state = CircuitState.CLOSED
        self._failures: deque[float] = deque(maxlen=settings.failures)
        self._reopens_at = 0.0
        self._probes = 0
        self._refused = 0
        self._opened = 0

    def admit(self, now: float) -> bool:
        """Tell whether one call may go now; whoever is told yes reports `succeeded`, `failed` or `dropped`."""
        if self._state is CircuitState.CLOSED:
            return True
        if self._state is CircuitState.OPEN and now >= self._reopens_at:
            self._advance(CircuitState.HALF_OPEN)
        if self._state is CircuitState.HALF_OPEN and self._probes < self._settings.probes:
            self._probes += 1
            return True
        self._refused += 1
        return False

    def succeeded(self) -> None:
        """Hear that an admitted call did well; one that began before the circuit opened closes it too."""
        if self._state is not CircuitState.CLOSED:
            self._advance(CircuitState.CLOSED)

    def failed(self, now: float) -> None:
        """Hear that an admitted call failed in a way that speaks against what is behind the circuit."""
        if self._state is CircuitState.HALF_OPEN:
            self._advance(CircuitState.OPEN)
            self._reopens_at = now + self._settings.open_seconds
            return
        if self._state is CircuitState.OPEN:
            return
        self._failures.append(now)
        self._forget(now)
        if len(self._failures) >= self._settings.failures:
            self._advance(CircuitState.OPEN)
            self._reopens_at = now + self._settings.open_seconds

    def dropped(self) -> None:
        """Hear that an admitted call ended without telling anything."""
        self._probes = max(self._probes - 1, 0)

    def statistics(self, now: float) -> CircuitStatistics:
        """Give the circuit as it stands."""
        self._forget(now)
        return CircuitStatistics(self._state, len(self._failures), self._refused, self._opened)

    def _forget(self, now: float) -> None:
        while self._failures and self._failures[0] <= now - self._settings.window_seconds:
            self._failures.popleft()

    def _advance(self, state: CircuitState) -> None:
        assert state in LEGAL[self._state], f"a circuit does not go from {self._state} to {state}"
        self._state = state
        self._probes = 0
        self._failures.clear()
        self._opened += state is CircuitState.OPEN


class Circuits:
    """One circuit for each name, made when it is first asked for."""

    def __init__(self, settings: Breaking) -> None:
        self._settings = settings
        self._circuits: dict[str, CircuitBreaker] = {}

    def of(self, name: str) -> CircuitBreaker:
        """Give the circuit of that name, always the same object."""
        if name not in self._circuits:
            self._circuits[name] = CircuitBreaker(self._settings)
        return self._circuits[name]

    def statistics(self, now: float) -> dict[str, CircuitStatistics]:
        """Give every circuit as it stands, by name."""
        return {name: circuit.statistics(now) for name, circuit in sorted(self._circuits.items())}


class Repeats:
    """How often the same call was asked for within one scope; asking for the same step again does not count."""

    def __init__(self) -> None:
        self._scopes: OrderedDict[str, dict[str, dict[str, None]]] = OrderedDict()

    def count(self, scope: str, call: str, step_id: str) -> int:
        """Count one call of a scope and say how many different steps asked for just that."""
        calls = self._scopes.setdefault(scope, {})
        self._scopes.move_to_end(scope)
        if len(self._scopes) > SCOPES_MAX:
            self._scopes.popitem(last=False)
        steps = calls.setdefault(call, {})
        steps[step_id] = None
        return len(steps)
