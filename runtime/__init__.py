"""The machine: actors, time and durability. It knows no models, no prompts and no business rules."""

if __name__ != "casework.runtime":
    raise ImportError(
        f"this package is casework.runtime, but was imported as {__name__!r}: write 'import casework.runtime', "
        "and do not put the folder that holds it on sys.path"
    )

__all__: list[str] = []
