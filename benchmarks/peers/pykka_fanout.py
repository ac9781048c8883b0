"""1,000 asks at once to 100 pykka actors (threads): all are sent, then all futures are read."""
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


def ask_all(refs: list[pykka.ActorRef], operations: int) -> None:
    """Ask in rounds."""
    for size in common.rounds(operations):
        futures = [refs[number % len(refs)].ask(common.QUESTION, block=False) for number in range(size)]
        pykka.get_all(futures)


def measure(operations: int) -> float:
    """Give the seconds that the asks took."""
    refs = [Echo.start() for _ in range(common.ACTORS)]
    ask_all(refs, common.warm_up(operations))
    begun = perf_counter()
    ask_all(refs, operations)
    seconds = perf_counter() - begun
    pykka.ActorRegistry.stop_all()
    return seconds


if __name__ == "__main__":
    common.run(measure)
