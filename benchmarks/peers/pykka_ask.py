"""One caller asks one pykka actor (a thread) and waits for each answer; the message is passed as the object it is."""
# mypy: ignore-errors
# pykka is installed in its own environment only: nothing of it is known to our checker.

from time import perf_counter

import common
import pykka


class Echo(pykka.ThreadingActor):
    """Answers with what was asked."""

    def on_receive(self, message: common.Question) -> common.Question:
        """Answer."""
        return message


def measure(operations: int) -> float:
    """Give the seconds that the asks took."""
    ref = Echo.start()
    for _ in range(common.warm_up(operations)):
        ref.ask(common.QUESTION)
    begun = perf_counter()
    for _ in range(operations):
        ref.ask(common.QUESTION)
    seconds = perf_counter() - begun
    pykka.ActorRegistry.stop_all()
    return seconds


if __name__ == "__main__":
    common.run(measure)
