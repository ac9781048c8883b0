"""An error of somebody else's that raises again when it is asked what it says."""


class Mute(Exception):
    def __str__(self) -> str:
        raise self
