"""What can be read off a pattern without running it: its leaves, how much harm it can do, whose types fit whose.

It does not know what is wrong with any of that: patterns say so in `flaws`.
"""

from collections.abc import Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from casework.actors.patterns.base import Assignment, Pattern
from casework.actors.patterns.walk import walk
from casework.protocols.wire import OnStop, RiskTier


def below(pattern: Pattern) -> list[Pattern]:
    """Give a pattern and all it is made of, each once, from the top down."""
    return [place.pattern for place in walk(pattern).places]


def tier_of(pattern: Pattern) -> RiskTier:
    """Give the riskiest tier that anything in it declares; a pattern that declares none only reads."""
    # A leaf, such as each voter of most votes, need not be walked over: that takes 30 us.
    found = below(pattern) if pattern.parts else [pattern]
    tiers = [getattr(each, "tier", RiskTier.READ_ONLY) for each in found]
    return max(tiers, key=lambda tier: tier.rank)


def writes(pattern: Pattern) -> bool:
    """Tell whether anything in it may write."""
    return tier_of(pattern) is not RiskTier.READ_ONLY


def unheard(pattern: Pattern) -> tuple[str, ...]:
    """Name the tasks in it whose failure nobody hears: they wait for an operator or a person instead."""
    tasks = [each for each in below(pattern) if isinstance(each, Assignment)]
    return tuple(dict.fromkeys(task.name for task in tasks if task.on_stop is not OnStop.FAIL))


def fits(given: Any, taken: Any) -> bool:
    """Tell whether every value of type `given` may stand where `taken` is wanted; what cannot be told may."""
    given, taken = _bare(given), _bare(taken)
    if taken is object or taken is Any or given is Any or given == taken:
        return True
    if _is_union(given):
        return all(fits(each, taken) for each in get_args(given))
    if _is_union(taken):
        return any(fits(given, each) for each in get_args(taken))
    if isinstance(given, type) and isinstance(taken, type) and not get_args(given) and not get_args(taken):
        return issubclass(given, taken)
    return _same_container(given, taken)


def _same_container(given: Any, taken: Any) -> bool:
    """Compare two generics: the same one, of things that fit; one that says nothing of its things takes any."""
    if (get_origin(given) or given) != (get_origin(taken) or taken):
        return False
    ours, theirs = get_args(given), get_args(taken)
    if not ours or not theirs:
        return True
    return len(ours) == len(theirs) and all(fits(one, other) for one, other in zip(ours, theirs, strict=True))


def _bare(type_: Any) -> Any:
    """Give a type without what is said of it, such as that it is personal: what returns it may leave that out."""
    return get_args(type_)[0] if get_origin(type_) is Annotated else type_


def _is_union(type_: Any) -> bool:
    return get_origin(type_) in (Union, UnionType)


def twice(names: Sequence[str]) -> tuple[str, ...]:
    """Give the names that occur more than once, each once."""
    return tuple(dict.fromkeys(name for name in names if names.count(name) > 1))
