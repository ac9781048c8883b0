"""One caller asks one thespian actor, in the simple system base: one process, no concurrency, no serialising.

That is its fastest base, and the one that its documentation has for tests and small programs.
"""
# mypy: ignore-errors
# thespian is installed in its own environment only: nothing of it is known to our checker.

from time import perf_counter

import common
from thespian.actors import Actor, ActorSystem

BASE = "simpleSystemBase"


class Echo(Actor):
    """Answers with what was asked."""

    def receiveMessage(self, message: object, sender: object) -> None:  # noqa: N802 - thespian's name
        """Answer a question; thespian's own messages go by."""
        if isinstance(message, common.Question):
            self.send(sender, message)


def measure(operations: int, base: str = BASE) -> float:
    """Give the seconds that the asks took."""
    system = ActorSystem(base)
    try:
        echo = system.createActor(Echo)
        for _ in range(common.warm_up(operations)):
            system.ask(echo, common.QUESTION, 10)
        begun = perf_counter()
        for _ in range(operations):
            system.ask(echo, common.QUESTION, 10)
        return perf_counter() - begun
    finally:
        system.shutdown()


if __name__ == "__main__":
    common.run(measure)
