"""Circuits and repeats, on a clock that is only a number."""

import pytest

from casework.actors.guards import LEGAL, CircuitBreaker, Circuits, CircuitState, Repeats
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
    circuit.succeeded()
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
    circuit.succeeded()
    assert circuit.statistics(0.0).state is CircuitState.CLOSED


def test_every_state_has_its_moves_written_down() -> None:
    assert set(LEGAL) == set(CircuitState)
    with pytest.raises(AssertionError):
        CircuitBreaker(SETTINGS)._advance(CircuitState.HALF_OPEN)


def test_a_circuit_of_one_name_is_shared() -> None:
    circuits = Circuits(SETTINGS)
    assert circuits.of("a") is circuits.of("a")
    assert circuits.of("a") is not circuits.of("b")


def test_asking_again_about_the_same_step_is_no_repetition() -> None:
    repeats = Repeats()
    assert [repeats.count("case/work", "read/1", step) for step in ("r", "r", "r#1", "r#2")] == [1, 1, 2, 3]
    assert repeats.count("case/work", "read/2", "r#3") == 1
    assert repeats.count("other/work", "read/1", "r") == 1
