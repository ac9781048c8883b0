"""Dead letters: accepted messages that nobody will handle, kept to be looked at and sent again, each at most once.

What goes out again is a new message, counted as one: the next attempt, with the deadline of the first one. A letter
that is sent leaves the list, one that is refused stays on it. An ask is not kept: who asked was told, and
may ask again. The list is bounded by number and by bytes; the oldest leave first, and all are counted.
It does not know why a message became a dead letter, nor whether it is wise to send it again.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple, Protocol, final

from casework.runtime.errors import Expired, LetterUnknown, NotSent
from casework.runtime.mailbox import Envelope
from casework.runtime.ref import Port
from casework.runtime.seams import Clock

#: Dead letters kept for looking at.
DEAD_LETTERS_MAX: Final = 1_000
#: Bytes of their frames, at most.
DEAD_LETTERS_BYTES_MAX: Final = 16 * 1_048_576


class DeadLetter(NamedTuple):
    """An accepted message that nobody will handle."""

    envelope: Envelope
    why: str
    at: int
    """Microseconds since the epoch."""


@final
class DeadLetters:
    """The youngest ones, in the order in which they came up."""

    def __init__(self) -> None:
        self._letters: dict[int, DeadLetter] = {}
        self._bytes = 0

    def __iter__(self) -> Iterator[DeadLetter]:
        """Give those that are kept, the oldest first."""
        return iter(tuple(self._letters.values()))

    def __contains__(self, letter: DeadLetter) -> bool:
        """Say whether this very letter is kept."""
        return self._letters.get(id(letter.envelope)) is letter

    def add(self, letter: DeadLetter) -> None:
        """Keep one more; the oldest make room."""
        self._letters[id(letter.envelope)] = letter
        self._bytes += len(letter.envelope.frame)
        while len(self._letters) > DEAD_LETTERS_MAX or self._bytes > DEAD_LETTERS_BYTES_MAX:
            oldest = self._letters.pop(next(iter(self._letters)))
            self._bytes -= len(oldest.envelope.frame)

    def take(self, letter: DeadLetter) -> int:
        """Take one off the list and give the place where it stood."""
        place = list(self._letters).index(id(letter.envelope))
        del self._letters[id(letter.envelope)]
        self._bytes -= len(letter.envelope.frame)
        return place

    def put_back(self, place: int, letter: DeadLetter) -> None:
        """Keep it again where it stood."""
        letters = list(self._letters.items())
        self._letters = dict(letters[:place])
        self.add(letter)
        self._letters.update(letters[place:])


class Post(Protocol):
    """What sending again needs of a kernel."""

    @property
    def clock(self) -> Clock:
        """The time."""
        ...

    @property
    def dead_letters(self) -> DeadLetters:
        """The list."""
        ...

    def reach(self, envelope: Envelope) -> Port:
        """Find the actor that is to get a message, or refuse it with a `NotSent`."""
        ...

    def refused(self) -> None:
        """Count a message that was sent and refused."""
        ...


class Redriven(NamedTuple):
    """What became of dead letters that were to be sent again."""

    sent: int
    refused: tuple[NotSent, ...]
    """Why each of the others was not; those letters are listed as before."""


def redrive(post: Post, letter: DeadLetter) -> None:
    """Send the message of a dead letter anew and take the letter off the list.

    Raises:
        LetterUnknown: the letter is not listed, or no longer; nothing was sent.
        NotSent: it was refused, as any message may be, or its deadline has passed; it stays listed.
    """
    if letter not in post.dead_letters:
        raise LetterUnknown(letter.envelope)
    # Taken off first: whoever hears of a letter that this message pushes out may want to send letters again as well.
    place = post.dead_letters.take(letter)
    try:
        _send(post, letter.envelope)
    except NotSent:
        post.dead_letters.put_back(place, letter)
        raise


def redrive_all(post: Post) -> Redriven:
    """Send all that are listed now, the oldest first; one that is refused keeps back no other."""
    sent, refused = 0, list[NotSent]()
    for letter in post.dead_letters:
        try:
            redrive(post, letter)
        except NotSent as error:
            refused.append(error)
        except LetterUnknown:
            continue  # pushed off the list by letters that came up meanwhile; it is counted all the same
        else:
            sent += 1
    return Redriven(sent, tuple(refused))


def _send(post: Post, dead: Envelope) -> None:
    again = Envelope(
        dead.receiver, dead.frame, dead.sender, dead.attempt + 1, dead.deadline, dead.trace, local=dead.local
    )
    if dead.deadline and post.clock.monotonic() >= dead.deadline:
        # To be accepted only to be dropped unread would look like success.
        post.refused()
        raise Expired(again)
    post.reach(again).post_nowait(again)
