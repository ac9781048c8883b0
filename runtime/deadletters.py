"""Sending dead letters again: each at most once, to whoever has the receiver's address by then.

What goes out is a new message, counted as one: the next attempt, with the deadline of the first one and nobody who
waits for an answer. A letter that is sent leaves the list, one that is refused keeps its place there.
It does not know why a message became a dead letter, nor whether it is wise to send it again.
"""

from typing import NamedTuple

from casework.runtime.errors import Expired, LetterUnknown, NotSent
from casework.runtime.kernel import DeadLetter, Kernel
from casework.runtime.mailbox import Envelope


class Redriven(NamedTuple):
    """What became of dead letters that were to be sent again."""

    sent: int
    refused: tuple[NotSent, ...]
    """Why each of the others was not; those letters are listed as before."""


def redrive(kernel: Kernel, letter: DeadLetter) -> None:
    """Send the message of a dead letter anew and take the letter off the list.

    Raises:
        LetterUnknown: the letter is not listed, or no longer; nothing was sent.
        NotSent: it was refused, as any message may be, or its deadline has passed; it stays listed.
    """
    letters = kernel.dead_letters
    if letter not in letters:
        raise LetterUnknown(letter.envelope)
    place = letters.index(letter)
    # Taken off first: whoever hears of a letter that this message pushes out may want to send letters again as well.
    del letters[place]
    try:
        _send(kernel, letter.envelope)
    except NotSent:
        letters.insert(place, letter)
        raise


def redrive_all(kernel: Kernel) -> Redriven:
    """Send all that are listed now, the oldest first; one that is refused keeps back no other."""
    sent, refused = 0, list[NotSent]()
    for letter in tuple(kernel.dead_letters):
        try:
            redrive(kernel, letter)
        except NotSent as error:
            refused.append(error)
        except LetterUnknown:
            continue  # pushed off the list by letters that came up meanwhile; it is counted all the same
        else:
            sent += 1
    return Redriven(sent, tuple(refused))


def _send(kernel: Kernel, dead: Envelope) -> None:
    again = Envelope(
        dead.receiver, dead.frame, dead.sender, dead.attempt + 1, dead.deadline, dead.trace, local=dead.local
    )
    if dead.deadline and kernel.clock.monotonic() >= dead.deadline:
        # To be accepted only to be dropped unread would look like success.
        kernel.tally.sent += 1
        kernel.tally.refused += 1
        raise Expired(again)
    kernel.reach(again).post_nowait(again)
