"""As `xoscar_ask_local.py`, on uvloop, which xoscar installs and uses in its own processes."""
# mypy: ignore-errors
# xoscar is installed in its own environment only: nothing of it is known to our checker.

import common
import uvloop
import xoscar_ask

if __name__ == "__main__":
    common.run(lambda operations: uvloop.run(xoscar_ask.ask_all(operations, local=True)))
