"""One thread tells one pykka actor, until all messages are handled."""
# mypy: ignore-errors
# pykka is installed in its own environment only: nothing of it is known to our checker.

import threading
from time import perf_counter

import common
import pykka


class Counter(pykka.ThreadingActor):
    """Counts what it was told, and says when it has had them all."""

    def __init__(self, wanted: int, done: threading.Event) -> None:
        super().__init__()
        self.left = wanted
        self.done = done

    def on_receive(self, message: common.Question) -> None:
        """Count."""
        self.left -= 1
        if not self.left:
            self.done.set()


def tell_all(operations: int) -> float:
    """Give the seconds until all were handled."""
    done = threading.Event()
    ref = Counter.start(operations, done)
    begun = perf_counter()
    for _ in range(operations):
        ref.tell(common.QUESTION)
    done.wait()
    seconds = perf_counter() - begun
    ref.stop()
    return seconds


def measure(operations: int) -> float:
    """Give the seconds that the tells took."""
    tell_all(common.warm_up(operations))
    return tell_all(operations)


if __name__ == "__main__":
    common.run(measure)
