"""Supervision as the full matrix: strategy by restart type by way to end, for the middle one of three children."""

import itertools
from collections.abc import Iterator

import anyio
import pytest

from casework.runtime.actorsystem import ActorSystem
from casework.runtime.lifecycle import Exit
from casework.runtime.supervision import Restart, RestartLimit, Strategy, Supervision
from tests.support.family import LONG, Diary, Gate, Kin, found, parent_of, settle, tell

#: How the subject ends, and what its parent hears if it is not started again.
WAYS = {
    "leaves": Exit.NORMAL,
    "raises": Exit.FAILED,
    "killed": Exit.KILLED,
    "stopped": Exit.SHUTDOWN,
    "job_raises": Exit.FAILED,
    "child_escalates": Exit.FAILED,
    "start_raises": Exit.FAILED,
}

#: Who is started again, by the first letter of elder, subject, younger; "gone": nobody, and the subject lives no more.
TABLE = """
                        leaves  raises  killed  stopped  job_raises  child_escalates  start_raises
one_for_one  permanent  s       s       s       gone     s           s                s
one_for_one  transient  gone    s       s       gone     s           s                s
one_for_one  temporary  gone    gone    gone    gone     gone        gone             gone
rest_for_one permanent  sy      sy      sy      gone     sy          sy               sy
rest_for_one transient  gone    sy      sy      gone     sy          sy               sy
rest_for_one temporary  gone    gone    gone    gone     gone        gone             gone
one_for_all  permanent  esy     esy     esy     gone     esy         esy              esy
one_for_all  transient  gone    esy     esy     gone     esy         esy              esy
one_for_all  temporary  gone    gone    gone    gone     gone        gone             gone
"""

NAMES = ("elder", "subject", "younger")
Case = tuple[Strategy, Restart, str]


def rows() -> Iterator[tuple[Case, list[str]]]:
    head, *lines = TABLE.strip().splitlines()
    for line in lines:
        strategy, restart, *cells = line.split()
        for way, cell in zip(head.split(), cells, strict=True):
            again = [] if cell == "gone" else [name for name in NAMES if name[0] in cell]
            yield (Strategy(strategy), Restart(restart), way), again


MATRIX = dict(rows())


def named(case: Case) -> str:
    strategy, restart, way = case
    return f"{strategy.value}-{restart.value}-{way}"


def test_the_table_has_no_hole() -> None:
    assert set(MATRIX) == set(itertools.product(Strategy, Restart, WAYS))
    assert len(list(rows())) == len(MATRIX)


def family(strategy: Strategy, restart: Restart) -> Kin:
    """Give three children of one parent; a child of the subject escalates with its first failure."""
    brittle = Supervision(limit=RestartLimit(intensity=0), grace_seconds=LONG)
    return parent_of(
        Kin("elder"), Kin("subject", restart=restart, supervision=brittle), Kin("younger"), strategy=strategy
    )


async def begin(system: ActorSystem, kin: Kin, diary: Diary, way: str) -> Gate:
    """Start the family and its watcher; where its start is to fail, the subject waits at its gate just before."""
    gate = Gate()
    if way == "start_raises":
        diary.start_gates["subject"] = gate
        diary.start_faults["subject"] = 1
    settle(system, kin, diary)
    await anyio.wait_all_tasks_blocked()
    tell(system, settle(system, Kin("watcher"), diary).address, " ".join(f"watch:p/{name}" for name in NAMES))
    await anyio.wait_all_tasks_blocked()
    assert sorted(diary.began) == ["elder", "p", "subject", "watcher", "younger"]
    diary.entries.clear()
    return gate


def end(system: ActorSystem, way: str, gate: Gate) -> None:
    """Make the subject end in this way."""
    subject = found(system, "p/subject")
    match way:
        case "killed":
            subject.kill()
        case "stopped":
            subject.stop()
        case "start_raises":
            gate.open.set()
        case _:
            words = {"leaves": b"leave", "raises": b"boom", "job_raises": b"job", "child_escalates": b"ruin:pupil"}
            subject.tell_nowait(words[way])


@pytest.mark.promise("KERNEL-8", "KERNEL-9", "KERNEL-8")
@pytest.mark.parametrize("case", MATRIX, ids=named)
async def test_who_is_started_again_in_which_order_and_who_is_told(case: Case) -> None:
    (strategy, restart, way), again, diary = case, MATRIX[case], Diary()
    siblings = [name for name in again if name != "subject"]
    with anyio.fail_after(5):
        async with ActorSystem() as system:
            gate = await begin(system, family(strategy, restart), diary, way)
            end(system, way, gate)
            await system.wait_quiet()

            assert [name for name in diary.ended if name in ("elder", "younger")] == siblings[::-1]
            assert diary.ended.count("subject") == (way != "killed")
            assert [name for name in diary.began if name != "pupil"] == again
            assert {name: diary.made[name] for name in NAMES} == {name: 1 + (name in again) for name in NAMES}
            if again:
                marks = [entry[0] for entry in diary.entries if "pupil" not in entry]
                assert marks == sorted(marks, reverse=True), "all have ended before the first starts again"

            alive = {f"p/{name}" for name in NAMES if again or name != "subject"}
            assert set(system.addresses) == {"p", "watcher", *alive}
            for name in alive:
                answer = await found(system, name).ask(b"hello", timeout_seconds=5)
                assert answer.decode() == f"{name[2:]} {diary.made[name[2:]]}"

            gone = [] if again else [f"p/subject {WAYS[way].value}"]
            assert sorted(diary.heard) == sorted(
                [f"p: ChildEnded {told}" for told in gone] + [f"watcher: Down {told}" for told in gone]
            )
