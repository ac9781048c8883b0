"""Circuits, on a clock that is only a number: what opens them, who probes them, and what closes them."""

import pytest

from casework.actors.breaker import LEGAL, CircuitBreaker, Circuits, CircuitState, verdict
from casework.actors.policy import Breaking

SETTINGS = Breaking(failures=3, window_seconds=10.0, open_seconds=5.0, probes=1)


def opened(at: float = 0.0) -> CircuitBreaker:
    circuit = CircuitBreaker(SETTINGS)
    for _ in range(3):
        assert circuit.admit(at)
        circuit.failed(at)
    return circuit


@pytest.mark.promise("GUARD-1")
def test_so_many_failures_within_the_window_open_the_circuit() -> None:
    circuit = opened()
    assert circuit.statistics(0.0).state is CircuitState.OPEN
    assert not circuit.admit(4.9)
    assert circuit.statistics(4.9).refused == 1


def test_failures_that_are_spread_out_do_not_open_it() -> None:
    circuit = CircuitBreaker(SETTINGS)
    for now in (0.0, 6.0, 12.0, 18.0, 24.0):
        circuit.failed(now)
    assert circuit.statistics(24.0).state is CircuitState.CLOSED


@pytest.mark.promise("GUARD-1")
def test_after_the_pause_one_probe_goes_through_and_closes_it_when_it_does_well() -> None:
    circuit = opened()
    assert circuit.admit(5.0)
    assert not circuit.admit(5.0)
    circuit.succeeded(5.0)
    assert circuit.statistics(5.0).state is CircuitState.CLOSED
    assert circuit.admit(5.0)


def test_a_probe_that_fails_opens_it_again_for_as_long() -> None:
    circuit = opened()
    assert circuit.admit(5.0)
    circuit.failed(6.0)
    assert not circuit.admit(10.9)
    assert circuit.admit(11.0)
    assert circuit.statistics(11.0).opened == 2


def test_a_probe_that_told_nothing_makes_room_for_the_next() -> None:
    circuit = opened()
    assert circuit.admit(5.0)
    circuit.dropped()
    assert circuit.admit(5.0)


def test_success_of_a_call_from_before_closes_an_open_circuit() -> None:
    circuit = opened()
    circuit.succeeded(0.0)
    assert circuit.statistics(0.0).state is CircuitState.CLOSED


def test_every_state_has_its_moves_written_down() -> None:
    assert set(LEGAL) == set(CircuitState)
    with pytest.raises(AssertionError):
        CircuitBreaker(SETTINGS)._advance(CircuitState.HALF_OPEN)


def test_a_circuit_of_one_name_is_shared() -> None:
    circuits = Circuits(SETTINGS)
    assert circuits.of("a") is circuits.of("a")
    assert circuits.of("a") is not circuits.of("b")


#: calls, failures, slow ones, what they cost, and what is said of them
VERDICTS = [
    (3, 3, 0, 0, "3 of 3 calls failed"),
    (3, 2, 0, 0, ""),
    (6, 3, 0, 0, "3 of 6 calls failed"),
    (7, 3, 0, 0, ""),
    (4, 0, 4, 0, "4 of 4 calls took 2 s or more"),
    (3, 0, 3, 0, ""),
    (8, 0, 4, 0, "4 of 8 calls took 2 s or more"),
    (9, 0, 4, 0, ""),
    (4, 0, 0, 1_001, "4 calls cost 1001 millionths, 1000 are let pass"),
    (4, 0, 0, 1_000, ""),
    (3, 0, 0, 5_000, ""),
]


@pytest.mark.parametrize(("calls", "failures", "slow", "micros", "why"), VERDICTS)
def test_a_window_is_judged_by_failures_slowness_and_cost_once_it_has_calls_enough(
    calls: int, failures: int, slow: int, micros: int, why: str
) -> None:
    settings = Breaking(failures=3, failure_rate=0.5, slow_seconds=2.0, slow_rate=0.5, micros_max=1_000, calls_min=4)
    assert verdict(settings, calls, failures, slow, micros) == why


def test_a_few_failures_among_many_calls_do_not_open_it() -> None:
    circuit = CircuitBreaker(SETTINGS)
    for _ in range(100):
        circuit.succeeded(0.0)
    for _ in range(99):
        circuit.failed(0.0)
    assert circuit.statistics(0.0).state is CircuitState.CLOSED
    circuit.failed(0.0)
    opened = circuit.statistics(0.0)
    assert (opened.state, opened.why) == (CircuitState.OPEN, "100 of 200 calls failed")


def test_calls_that_are_slow_open_it_although_they_do_well_and_so_does_a_slow_probe() -> None:
    circuit = CircuitBreaker(Breaking(slow_seconds=2.0, calls_min=4, open_seconds=5.0))
    for _ in range(4):
        assert circuit.admit(0.0)
        circuit.succeeded(0.0, seconds=2.0)
    assert circuit.statistics(0.0).state is CircuitState.OPEN
    assert circuit.admit(5.0)
    circuit.succeeded(8.0, seconds=3.0)
    assert circuit.statistics(8.0).why == "a probe took 3 s"
    assert circuit.admit(13.0)
    circuit.succeeded(13.0, seconds=0.1)
    assert circuit.statistics(13.0).state is CircuitState.CLOSED


def test_calls_that_cost_too_much_within_the_window_open_it() -> None:
    circuit = CircuitBreaker(Breaking(micros_max=1_000, calls_min=2, window_seconds=10.0))
    circuit.succeeded(0.0, micros=600)
    circuit.succeeded(12.0, micros=600)
    assert circuit.statistics(12.0).state is CircuitState.CLOSED
    circuit.succeeded(13.0, micros=600)
    assert circuit.statistics(13.0).state is CircuitState.OPEN


def test_what_would_be_let_through_can_be_asked_without_taking_a_probe() -> None:
    circuit = opened()
    assert not circuit.lets(4.9)
    assert circuit.lets(5.0)
    assert circuit.admit(5.0)
    assert not circuit.lets(5.0)


def test_a_circuit_may_have_settings_of_its_own() -> None:
    circuits = Circuits(SETTINGS, {"brittle": Breaking(failures=1)})
    for name in ("brittle", "other"):
        circuits.of(name).failed(0.0)
    states = {name: each.state for name, each in circuits.statistics(0.0).items()}
    assert states == {"brittle": CircuitState.OPEN, "other": CircuitState.CLOSED}
