"""Says whether the bytes of a frame nest deeper than a limit, before anything is made of them.

Three steps, for most bytes need only the first. Each level of nesting takes a byte that opens an array or a map;
deleting these and comparing lengths counts them at the speed of C. Where there are more of them than the limit, in a
long table or in text beyond ASCII, whose letters share those bytes, the value is split into its parts, which the
decoder finds without making anything of them; parts together that have few enough need no more. The rest is walked: the
walk follows the headers of MessagePack without recursion. A string of any length is one step, no more counters are kept
than the limit allows, and how deep the caller's own stack is does not matter. It ends early once so many containers
have closed that those which could still follow are too few. A `Raw` field stands in its frame as the MessagePack that
it is, so it counts at its place; extension types are leaves.

Cost: 0.2 us for 100 bytes, 0.6 us for 500; 25 us for a table of 100 rows in 7,000 bytes, which is about what encoding
it costs; and 0.1 us for each value that is walked, so that the worst megabyte takes a quarter of a second. Counting
takes a copy of the bytes, splitting up to four more, walking nothing.
The alternative was to let the decoder find out. It follows nesting by recursion and stops where the interpreter's stack
ends: somewhere else in every version, and under every caller.

It does not know whether the bytes are valid: that is for the decoder, who can name the place.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Raw

#: Bytes that are counted at most. What is larger carries an artifact: a few values, one of them long and one step.
_COUNTED_BYTES_MAX: Final = 1 << 20
#: How often parts are split again: a table, the table in a message, and a list in each row of it. Each time goes over
#: all the bytes, so this bounds what a hostile frame costs beyond the walk.
_SPLITS_MAX: Final = 3
#: Bytes that the parts of a value have at least, on average, where it is split: a part costs about twice that in memory
#: and as much time as the walk of a few values.
_PART_BYTES_MIN: Final = 32
_ARRAY: Final = msgspec.msgpack.Decoder(list[Raw])
_MAP: Final = msgspec.msgpack.Decoder(dict[str, Raw])

#: Every byte that can open a container: the small maps and arrays, then array 16, array 32, map 16, map 32.
_OPENERS: Final = bytes([*range(0x80, 0xA0), *range(0xDC, 0xE0)])

#: Those of them that open an array.
_ARRAYS: Final = frozenset([*range(0x90, 0xA0), 0xDC, 0xDD])

#: What `_STEPS` says of an array or map without values.
_EMPTY: Final = -1
#: Stands in `_STEPS` for a string, binary or extension whose length follows.
_SIZED: Final = 0
#: Stands in `_STEPS` for an array or map whose count follows; lower than any that tells its count itself.
_COUNTED: Final = -32
#: What a value's first byte says: over 0, a leaf of so many bytes; under 0, a container of -1 - n values.
_STEPS: Final = (
    *[1] * 0x80,  # small integers
    *(-1 - 2 * pairs for pairs in range(16)),  # small maps
    *(-1 - values for values in range(16)),  # small arrays
    *(1 + length for length in range(32)),  # short strings
    *(1, 1, 1, 1),  # nil, a byte that is never used (the decoder refuses it), false, true
    *[_SIZED] * 6,  # binaries, extensions
    *(5, 9),  # floats
    *(2, 3, 5, 9, 2, 3, 5, 9),  # integers
    *(3, 4, 6, 10, 18),  # extensions of fixed size
    *[_SIZED] * 3,  # strings
    *[_COUNTED] * 4,  # arrays, maps
    *[1] * 0x20,  # small negative integers
)
#: Leaves whose length follows: bytes of that length, and bytes of the type between it and the payload.
_LENGTHS: Final[dict[int, tuple[int, int]]] = {
    0xC4: (1, 0),  # binaries
    0xC5: (2, 0),
    0xC6: (4, 0),
    0xC7: (1, 1),  # extensions
    0xC8: (2, 1),
    0xC9: (4, 1),
    0xD9: (1, 0),  # strings
    0xDA: (2, 0),
    0xDB: (4, 0),
}
#: Containers whose count follows: bytes of that count, and values for each of it.
_COUNTS: Final[dict[int, tuple[int, int]]] = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}


def deeper_than(frame: bytes, depth_max: int) -> bool:
    """Say whether a frame has a container inside `depth_max` others; what holds none, such as a text, has depth 0.

    Takes time in proportion to the values in it. It never raises: of bytes that are cut short or break the
    format, those up to that place are judged.
    """
    if len(frame) > _COUNTED_BYTES_MAX:
        return _walk(frame, depth_max, len(frame))
    return _deeper(frame, depth_max, _SPLITS_MAX)


def _deeper(data: bytes, depth_max: int, splits: int) -> bool:
    if len(data) <= depth_max or _STEPS[data[0]] >= 0:  # each level takes a byte, and a leaf has none
        return False
    openers = _openers(data)
    if openers <= depth_max:
        return False
    parts = _parts(data) if splits and depth_max else ()
    if not parts:
        return _walk(data, depth_max, openers - depth_max)
    together = max(1, depth_max * len(parts) // (2 * openers))  # should have half of the openers that are harmless
    for first in range(0, len(parts), together):
        some = parts[first : first + together]
        if together > 1 and _openers(b"".join(some)) < depth_max:
            continue
        if any(_deeper(bytes(part), depth_max - 1, splits - 1) for part in some):
            return True
    return False


def _openers(data: bytes) -> int:
    return len(data) - len(data.translate(None, _OPENERS))  # faster than deleting the many others


def _parts(data: bytes) -> Sequence[Raw]:
    """Give the values in an array, or in a map with texts as keys; none where there are many small ones, or a fault."""
    head = data[0]
    step = _STEPS[head]
    if step >= 0:
        return ()
    count, start = _counted(data, 0) if step == _COUNTED else (-1 - step, 1)
    if count * _PART_BYTES_MIN > len(data) - start:
        return ()
    try:
        if head in _ARRAYS:
            return _ARRAY.decode(data)
        values = _MAP.decode(data)
    except (RecursionError, ValueError):  # for the walk to judge
        return ()
    # A key that comes twice hides a value.
    return tuple(values.values()) if 2 * len(values) == count else ()


def _walk(frame: bytes, depth_max: int, spare: int) -> bool:
    """Say it exactly; `spare` is how many openers there are beyond the limit: once as many closed, it cannot be."""
    steps = _STEPS
    above: list[int] = []  # values still missing in each open container around the innermost
    missing, position = 1, 0  # values still missing in the innermost, at first in the frame itself
    try:
        while True:
            step = steps[frame[position]]
            if step > 0:
                position += step
                missing -= 1
            elif step == _SIZED:
                position = _behind(frame, position)
                missing -= 1
            elif len(above) == depth_max:
                return True
            elif step == _EMPTY:  # closed at once
                position += 1
                missing -= 1
                spare -= 1
            else:
                above.append(missing - 1)
                missing, position = _counted(frame, position) if step == _COUNTED else (-1 - step, position + 1)
            while not missing:
                spare -= 1
                if not above or spare <= 0:
                    return False
                missing = above.pop()
    except IndexError:  # cut short
        return False


def _behind(frame: bytes, position: int) -> int:
    wide, typed = _LENGTHS[frame[position]]
    start = position + 1 + wide
    return start + typed + int.from_bytes(frame[position + 1 : start])


def _counted(frame: bytes, position: int) -> tuple[int, int]:
    wide, values = _COUNTS[frame[position]]
    start = position + 1 + wide
    return values * int.from_bytes(frame[position + 1 : start]), start
