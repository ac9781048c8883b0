"""Decides what goes into one transaction: the pure half of group commit.

Whatever is queued goes in, up to `BATCH_MAX`; nobody lingers for more, because waiting costs more than it saves. The
appends of one case that follow each other become one, which is applied once and answered to each of them: all of it
holds or none, for what comes later in a case rests on what comes before. Nothing is refused on behalf of another.
It does not know how a step is carried out, nor by which thread.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from casework.runtime.store.base import Append, CaseKey, CaseStatus

#: Calls in one transaction at most; more of them would make the first wait for the last without being cheaper.
BATCH_MAX: Final = 512


class Group(Struct, frozen=True):
    """One append and the places in the queue that wait for its answer."""

    append: Append
    places: tuple[int, ...]


def coalesce(queued: Sequence[Append | None]) -> list[Group | int]:
    """Order a queue's calls for one transaction; None stands for a call that is no append.

    Gives groups of appends, and the places of all other calls, each in the order of its first appearance.
    """
    steps: list[Group | int] = []
    latest: dict[CaseKey, int] = {}
    for place, append in enumerate(queued):
        if append is None:
            steps.append(place)
            continue
        index = latest.get(append.key)
        if index is not None:
            group = steps[index]
            assert isinstance(group, Group), "only groups are remembered"
            if follows(group.append, append):
                steps[index] = Group(joined(group.append, append), (*group.places, place))
                continue
        latest[append.key] = len(steps)
        steps.append(Group(append, (place,)))
    return steps


def follows(earlier: Append, later: Append) -> bool:
    """Say whether two appends of one case are the same as one: the later goes on where the earlier ends.

    Not so once the case was given back or closed, nor where the later opens a case that the earlier wrote to, or
    withdraws a review whose decision the earlier may have consumed.
    """
    return (
        later.key == earlier.key
        and later.epoch == earlier.epoch
        and later.next_seq == earlier.next_seq + len(earlier.records)
        and not earlier.release
        and earlier.status is not CaseStatus.CLOSED
        and not (earlier.sends and later.opens)
        and not (earlier.consumed and later.reviews_withdrawn)
    )


def joined(earlier: Append, later: Append) -> Append:
    """Make one append of two of which one follows the other."""
    return msgspec.structs.replace(
        later,
        next_seq=earlier.next_seq,
        records=earlier.records + later.records,
        waits=earlier.waits if later.waits is None else later.waits,
        chapter=earlier.chapter if later.chapter is None else later.chapter,
        pinned=earlier.pinned if later.pinned is None else later.pinned,
        consumed=earlier.consumed + later.consumed,
        sends=earlier.sends + later.sends,
        opens=earlier.opens + later.opens,
        reviews_opened=earlier.reviews_opened + later.reviews_opened,
        reviews_withdrawn=earlier.reviews_withdrawn + later.reviews_withdrawn,
        settles=earlier.settles + later.settles,
    )
