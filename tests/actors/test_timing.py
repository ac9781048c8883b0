"""Where a case's time went, told from its log: the parts of each step, and the chain of steps that took so long."""

import pytest

from casework.actors.times import CANCELLED, MOVED, OWN, CaseTimes, Gap, Spent
from casework.actors.timing import timing
from casework.protocols.records import Cancel, Chapter, Decision, Done, Unparked, Won
from casework.protocols.wire import FailureKind, OnStop
from casework.runtime.store.base import Record
from tests.support.timed_logs import (
    ARRIVED,
    CLOSED,
    DECIDED,
    FIRED,
    INTENT,
    OPENED,
    PARKED,
    RETRY,
    REVIEW,
    ROUTE,
    TASK,
    TIMER,
    call,
    completed,
    failed,
    log,
)


def spent(times: CaseTimes, step: str) -> Spent:
    (found,) = (each.spent for each in times.steps if each.step == step)
    return found


def path(times: CaseTimes) -> list[str]:
    return [each.step for each in times.path]


def test_a_task_waits_in_the_queue_is_worked_on_and_calls_tools() -> None:
    times = timing(
        log(
            (0, "case", OPENED),
            (10, "book", TASK),
            (70, "book:look", call(took=20)),
            (100, "book:(route)#1", ROUTE),
            (100, "book", completed(queued=30, worked=60)),
            (100, "case", CLOSED),
        )
    )
    assert spent(times, "book") == Spent(queue=30, working=40, tools=20)
    assert times.gaps == (Gap("", "book", 10, OWN),)


def test_the_pause_before_another_attempt_is_waiting_and_an_attempt_nobody_took_is_queue() -> None:
    times = timing(
        log(
            (0, "case", OPENED),
            (0, "book", TASK),
            (40, "book:(attempt)#1", failed()),
            (40, "book:(retry)#1", RETRY),
            (100, "book", completed(queued=10, worked=20)),
        )
    )
    assert spent(times, "book") == Spent(queue=50, waiting=30, working=20)


def test_an_attempt_that_got_no_answer_in_time_was_worked_on_by_whoever_had_it() -> None:
    times = timing(
        log(
            (0, "case", OPENED),
            (0, "book", TASK),
            (30, "book:(route)#1", ROUTE),
            (30, "book", failed(FailureKind.TIMEOUT)),
        )
    )
    assert spent(times, "book") == Spent(working=30)


def test_a_tasks_time_stands_still_while_any_call_of_it_is_held_and_not_while_it_is_stopped() -> None:
    held = Decision(subject="budget:a", options=tuple(OnStop), chosen=OnStop.PARK, rule="budget.tenant")
    stop = Decision(subject="on_stop", options=tuple(OnStop), chosen=OnStop.PARK, rule="contract.on_stop")
    times = timing(
        log(
            (0, "case", OPENED),
            (0, "book", TASK),
            (10, "book:pay:(approval)", REVIEW),
            (20, "book:look:(budget)", held),
            (40, "book:pay:(approval)", DECIDED),
            (50, "book:look:(budget)", Unparked(key="budget:a")),
            (60, "book:(on_stop)#1", stop),
            (80, "book:(resumed)", ARRIVED),
            (90, "book:pay:(unknown)", REVIEW),
            (99, "case", CLOSED),
        )
    )
    assert [each.held for each in times.steps] == [40 + 9]


def test_what_an_agent_of_an_earlier_version_did_counts_as_work() -> None:
    times = timing(log((0, "case", OPENED), (0, "book", TASK), (25, "book", completed())))
    assert spent(times, "book") == Spent(working=25)


def test_a_call_that_a_person_must_approve_waits_for_people_and_nobody_works_meanwhile() -> None:
    times = timing(
        log(
            (0, "case", OPENED),
            (0, "book", TASK),
            (20, "book:pay:(approval)", REVIEW),
            (520, "book:pay:(approval)", DECIDED),
            (550, "book:pay", INTENT),
            (580, "book:pay", Done(tool="pay")),
            (600, "book", completed(queued=10, worked=70)),
        )
    )
    assert spent(times, "book") == Spent(working=60, people=500, queue=10, tools=30)


def test_a_write_of_the_flow_that_nobody_knows_the_end_of_waits_for_people() -> None:
    times = timing(
        log(
            (0, "case", OPENED),
            (5, "pay", INTENT),
            (25, "pay:(unknown)", REVIEW),
            (925, "pay:(unknown)", DECIDED),
            (925, "pay", Done(tool="pay")),
        )
    )
    assert spent(times, "pay") == Spent(tools=20, people=900)


@pytest.mark.parametrize("mark", ["budget", "switch"])
def test_a_call_for_which_too_little_is_left_or_that_is_held_waits_for_whoever_lets_it_go_on(mark: str) -> None:
    short = Decision(subject=f"{mark}:t", options=tuple(OnStop), chosen=OnStop.PARK, rule=mark)
    times = timing(
        log(
            (0, "case", OPENED),
            (0, "book", TASK),
            (20, "book:pay", INTENT),
            (25, f"book:pay:({mark})", short),
            (625, f"book:pay:({mark})", Unparked(key=f"{mark}:t")),
            (660, "book:pay", Done(tool="pay")),
            (660, "book", completed(queued=10, worked=25)),
            (660, "pay", INTENT),
            (670, f"pay:({mark})", short),
            (770, f"pay:({mark})", Unparked(key=f"{mark}:t")),
            (790, "pay", Done(tool="pay")),
        )
    )
    assert spent(times, "book") == Spent(waiting=20, queue=10, working=25, tools=5, people=600)
    assert spent(times, "pay") == Spent(tools=30, people=100)


def test_a_task_that_stopped_waits_for_an_operator() -> None:
    stop = Decision(subject="on_stop", options=tuple(OnStop), chosen=OnStop.PARK, rule="contract.on_stop")
    times = timing(
        log(
            (0, "case", OPENED),
            (0, "book", TASK),
            (30, "book:(on_stop)#1", stop),
            (30, "book:(attempt)#1", failed(agent="reader/1", queued=10, worked=20)),
            (730, "book:(resumed)", ARRIVED),
            (730, "book:(again)#1", TASK),
            (760, "book", completed(worked=30)),
        )
    )
    assert spent(times, "book") == Spent(queue=10, working=50, people=700)


def test_reviews_wait_for_people_and_parks_and_timers_for_what_they_name() -> None:
    times = timing(
        log(
            (0, "case", OPENED),
            (0, "review", REVIEW),
            (10, "review", DECIDED),
            (10, "park", PARKED),
            (30, "park", ARRIVED),
            (30, "timer", TIMER),
            (70, "timer", FIRED),
            (70, "case", CLOSED),
        )
    )
    assert [each.spent for each in times.steps] == [Spent(people=10), Spent(waiting=20), Spent(waiting=40)]
    assert path(times) == ["review", "park", "timer"]
    assert times.gaps == ()


def test_a_call_of_the_flow_began_when_the_step_before_it_in_its_branch_ended() -> None:
    times = timing(
        log(
            (0, "case", OPENED),
            (0, "gather/0/look", call()),
            (40, "gather/1/look", call()),
            (50, "gather/0/look#1", call()),
            (70, "look", call()),
            (70, "case", CLOSED),
        )
    )
    assert [(each.step, each.began, each.ended) for each in times.steps] == [
        ("gather/0/look", 0, 0),
        ("gather/1/look", 0, 40),
        ("gather/0/look#1", 0, 50),
        ("look", 50, 70),
    ]
    assert path(times) == ["gather/0/look", "gather/0/look#1", "look"]


def test_the_critical_path_passes_by_what_ran_beside_it() -> None:
    times = timing(
        log(
            (0, "case", OPENED),
            (0, "gather/0/timer", TIMER),
            (0, "gather/1/park", PARKED),
            (30, "gather/0/timer", FIRED),
            (30, "gather/0/timer#1", TIMER),
            (45, "gather/0/timer#1", FIRED),
            (90, "gather/1/park", ARRIVED),
            (90, "timer", TIMER),
            (100, "timer", FIRED),
            (100, "case", CLOSED),
        )
    )
    assert path(times) == ["gather/1/park", "timer"]


def test_what_a_winner_closed_is_not_over_and_not_on_the_path() -> None:
    times = timing(
        log(
            (0, "case", OPENED),
            (0, "first/0/book", TASK),
            (0, "first/1/timer", TIMER),
            (20, "first/1/timer", FIRED),
            (20, "first", Won(branch=1)),
            (20, "park", PARKED),
            (50, "park", ARRIVED),
            (50, "case", CLOSED),
        )
    )
    assert [(each.step, each.ended, each.over) for each in times.steps] == [
        ("first/1/timer", 20, True),
        ("first/0/book", 20, False),
        ("park", 50, True),
    ]
    assert path(times) == ["first/1/timer", "park"]


def test_branches_that_an_error_closed_end_where_the_flow_goes_on() -> None:
    times = timing(
        log(
            (0, "case", OPENED),
            (0, "gather/0/book", TASK),
            (0, "gather/1/timer", TIMER),
            (30, "gather/0/book", failed(agent="a/1")),
            (30, "park", PARKED),
        )
    )
    assert [(each.step, each.ended, each.over) for each in times.steps][1] == ("gather/1/timer", 30, False)


def test_a_cancel_ends_what_the_case_waited_for_and_what_follows_is_after_that() -> None:
    cancel = Cancel(message_id="m", by="ann")
    times = timing(
        log(
            (0, "case", OPENED),
            (0, "park", PARKED),
            (400, "case", cancel),
            (400, "timer", TIMER),
            (410, "timer", FIRED),
            (410, "case", CLOSED),
        )
    )
    assert [(each.step, each.ended - each.began, each.over) for each in times.path] == [
        ("park", 400, False),
        ("timer", 10, True),
    ]
    unseen = timing(log((0, "case", OPENED), (60, "case", cancel), (60, "timer", TIMER), (70, "timer", FIRED)))
    assert unseen.gaps == (Gap("", "timer", 60, CANCELLED),)


def test_a_case_that_waits_is_told_up_to_what_it_has_waited_longest_for() -> None:
    times = timing(
        log(
            (0, "case", OPENED),
            (0, "timer", TIMER),
            (5, "timer", FIRED),
            (5, "gather/0/park", PARKED),
            (9, "gather/1/look", call()),
            (9, "gather/1/park", PARKED),
            (30, "case:(late)", RETRY),
        )
    )
    assert path(times) == ["timer", "gather/0/park"]
    assert not times.path[-1].over


def test_time_in_which_another_process_took_the_case_up_is_named() -> None:
    first = log((0, "case", OPENED), (0, "timer", TIMER), (10, "timer", FIRED))
    second = log(*[(0, "case", OPENED)] * 3, (90, "park", PARKED), (95, "park", ARRIVED), epoch=2)
    times = timing([*first, *second[3:]])
    assert times.gaps == (Gap("timer", "park", 80, MOVED),)


def test_steps_of_a_chapter_are_told_apart_from_those_of_the_same_name_before() -> None:
    chapter = Chapter(number=1, identity="i", flow="f", version="1", source_hash="s", crew="w")
    times = timing(
        log(
            (0, "case", OPENED),
            (10, "look", call()),
            (12, "case", chapter),
            (30, "look", call()),
            (30, "case", CLOSED),
        )
    )
    assert [(each.began, each.ended) for each in times.steps] == [(0, 10), (10, 30)]
    assert path(times) == ["look", "look"]


def test_a_clock_that_was_set_back_makes_no_time_negative() -> None:
    times = timing(log((100, "case", OPENED), (100, "park", PARKED), (20, "park", ARRIVED), (130, "case", CLOSED)))
    assert (times.micros, spent(times, "park"), times.gaps) == (30, Spent(), (Gap("park", "", 30, OWN),))


def test_contents_that_were_removed_leave_the_times() -> None:
    whole = log((0, "case", OPENED), (0, "timer", TIMER), (9, "timer", FIRED), (9, "case", CLOSED))
    bare = [Record(each.seq, 1, each.kind, each.step_id, each.at, b"", b"") for each in whole]
    assert timing(bare) == timing(whole)


def test_an_empty_log_took_no_time() -> None:
    assert timing([]) == CaseTimes(0, 0, (), ())
