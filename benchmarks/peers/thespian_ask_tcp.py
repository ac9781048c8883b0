"""One caller asks one thespian actor over the TCP base: a process per actor, the base recommended for production."""
# mypy: ignore-errors
# thespian is installed in its own environment only: nothing of it is known to our checker.

import common
import thespian_ask

if __name__ == "__main__":
    common.run(lambda operations: thespian_ask.measure(operations, "multiprocTCPBase"))
