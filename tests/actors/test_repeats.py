"""What goes round in circles is told from what learns something on the way."""

from casework.actors import repeats
from casework.actors.repeats import Bounces, Handed, Repeats

WORK, READ = ("default", "c1", "work"), ("read", 1)
CASE = ("default", "c1")


def asked(guard: Repeats, results: list[int]) -> list[int]:
    """Ask for the same call once for each result, and give how often it was counted each time."""
    counted: list[int] = []
    for number, result in enumerate(results):
        counted.append(guard.count(WORK, READ, f"r#{number}"))
        guard.ended(WORK, READ, f"r#{number}", result)
    return counted


def test_asking_again_about_the_same_step_is_no_repetition() -> None:
    guard = Repeats()
    assert [guard.count(WORK, READ, step) for step in ("r", "r", "r#1", "r#2")] == [1, 1, 2, 3]
    assert guard.count(WORK, ("read", 2), "r#3") == 1
    assert guard.count(("default", "c2", "work"), READ, "r") == 1


def test_the_same_call_with_the_same_result_is_counted() -> None:
    assert asked(Repeats(), [7, 7, 7, 7]) == [1, 2, 3, 4]


def test_a_call_that_gives_something_new_begins_the_count_anew() -> None:
    assert asked(Repeats(), [7, 8, 9, 9, 9]) == [1, 2, 2, 2, 3]


def test_what_ends_that_nobody_counted_changes_nothing() -> None:
    guard = Repeats()
    guard.ended(WORK, READ, "r", 7)
    assert guard.count(WORK, READ, "r") == 1


def test_the_scope_that_was_quiet_longest_is_forgotten_first() -> None:
    guard = Repeats()
    for number in range(repeats.SCOPES_MAX + 1):
        guard.count((str(number),), READ, "r")
    assert guard.count(("1",), READ, "r#1") == 2
    assert guard.count(("0",), READ, "r#1") == 1


def handed(guard: Bounces, *trail: str, outcome: int = 0) -> None:
    for skill in trail:
        guard.ended(CASE, Handed(skill, 1, outcome))


def test_two_skills_that_hand_the_same_to_each_other_are_found_out() -> None:
    guard = Bounces(2)
    handed(guard, "a", "b", "a")
    assert guard.partner(CASE, "b", 1) == ""
    handed(guard, "b")
    assert guard.partner(CASE, "a", 1) == "b"
    assert guard.partner(CASE, "c", 1) == ""
    assert guard.partner(CASE, "a", 2) == ""
    assert guard.partner(("default", "c2"), "a", 1) == ""


def test_something_new_on_the_way_makes_it_no_ping_pong() -> None:
    guard = Bounces(2)
    handed(guard, "a", "b", "a")
    handed(guard, "b", outcome=1)
    assert guard.partner(CASE, "a", 1) == ""


def test_one_skill_alone_and_three_in_turn_play_no_ping_pong() -> None:
    alone, three = Bounces(2), Bounces(2)
    handed(alone, "a", "a", "a", "a")
    handed(three, "a", "b", "c", "a", "b", "c")
    assert alone.partner(CASE, "a", 1) == ""
    assert three.partner(CASE, "a", 1) == ""


def test_the_case_that_came_first_is_forgotten_first() -> None:
    guard = Bounces(1)
    for number in range(repeats.SCOPES_MAX + 1):
        for skill in "ab":
            guard.ended(("default", str(number)), Handed(skill, 1, 0))
    assert guard.partner(("default", "0"), "a", 1) == ""
    assert guard.partner(("default", "1"), "a", 1) == "b"
