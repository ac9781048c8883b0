"""How long calls were held: as a fold of moments, against counting each moment by itself."""

from hypothesis import given
from hypothesis import strategies as st

from casework.protocols.wire import DEADLINE_MAX
from casework.runtime.flow.holding import Holds, deferred, union

MOMENTS = st.integers(0, 40)
#: What happens to calls of two tasks, each after so many moments: whether one is held from then on.
EVENTS = st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["a:x", "a@2:x", "a:y", "ab:x"]), st.booleans()))
BELOW = ("a:", "a@")


@given(EVENTS, MOMENTS)
def test_a_task_was_held_at_each_moment_at_which_a_call_of_it_was_that_goes_on_again(
    events: list[tuple[int, str, bool]], after: int
) -> None:
    holds, held = Holds(), dict[str, int]()
    moments: set[int] = set()
    now = 0
    for passed, step, waits in events:
        now += passed
        holds.hear(step, now, held=waits)
        if waits:
            held.setdefault(step, now)
        elif step in held and step.startswith(BELOW):
            moments |= set(range(held.pop(step), now))
        else:
            held.pop(step, None)
    assert holds.micros(BELOW, after) == len([moment for moment in moments if moment >= after])
    assert holds.open == held


@given(st.lists(st.tuples(MOMENTS, MOMENTS)))
def test_spans_that_overlap_count_once_and_one_that_ends_before_it_begins_not_at_all(
    spans: list[tuple[int, int]],
) -> None:
    assert union(spans) == len({moment for since, until in spans for moment in range(since, until)})


@given(st.integers(1, 100), st.integers(0, 100), st.integers(0, 300))
def test_a_deadline_is_never_brought_forward_and_never_put_off_beyond_the_limit_nor_for_longer_than_held(
    deadline: int, held: int, limit: int
) -> None:
    later = deferred(deadline, held, limit)
    assert deadline <= later <= deadline + held
    if limit and later > deadline:
        assert later <= limit
    if not limit:
        assert later == deadline + held


def test_no_deadline_is_put_off_beyond_the_last_moment_that_there_is() -> None:
    assert deferred(DEADLINE_MAX - 1, 5, 0) == DEADLINE_MAX
