"""The message that our own contenders send, and the actor that answers it; the peers' twin is `peers/common.py`.

It does not know how it is sent.
"""

import msgspec
from msgspec import Struct

from casework.runtime.behavior import Context
from casework.runtime.mailbox import Envelope


class Question(Struct, frozen=True, tag="question"):
    """Twelve fields, as a task of middling size has."""

    a: str = "case-1"
    b: str = "categorise"
    c: str = "one sentence of goal"
    d: int = 1
    e: int = 2
    f: float = 3.0
    g: tuple[str, ...] = ("read_receipt", "look_up")
    h: str = "read_only"
    i: int = 1_750_000_000_000_000
    j: str = "tenant"
    k: str = "sender"
    m: str = "purpose"


ENCODER = msgspec.msgpack.Encoder(order="deterministic")
DECODER = msgspec.msgpack.Decoder(Question)
QUESTION = Question()


class Echo:
    """Decodes, encodes, answers."""

    async def receive(self, context: Context, envelope: Envelope) -> None:
        """Answer with what was asked."""
        context.reply(ENCODER.encode(DECODER.decode(envelope.frame)))
