"""The command `casework`."""

from casework.actors.cli.app import main as main

__all__ = ["main"]
