"""The staff: tools, policies, models and people. It knows no sockets and no SQL."""

if __name__ != "casework.actors":
    raise ImportError(
        f"this package is casework.actors, but was imported as {__name__!r}: write 'import casework.actors', "
        "and do not put the folder that holds it on sys.path"
    )

__all__: list[str] = []
