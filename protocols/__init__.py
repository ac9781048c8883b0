"""The language: bytes and rules. It knows no actors, no storage and no clock."""

if __name__ != "casework.protocols":
    raise ImportError(
        f"this package is casework.protocols, but was imported as {__name__!r}: write 'import casework.protocols', "
        "and do not put the folder that holds it on sys.path"
    )

__all__: list[str] = []
