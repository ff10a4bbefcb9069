"""What an import error says, without the frames of its traceback."""

# What a traceback of several exceptions draws around them.
_DRAWN = " |+-"


def message_of(error: str) -> str:
    """Return the message of *error*, a traceback or a message alone, in one line."""
    frames, lines = error.rpartition('  File "')[::2]
    below = lines.splitlines()[1:] if frames else lines.splitlines()
    # Lines of code are indented; a message's own may be too, after its first.
    starts = [at for at, line in enumerate(below) if line.strip() and not line.startswith(" ")]
    if starts:
        return " ".join(line.strip() for line in below[starts[0] :] if line.strip())
    told = [line.strip(_DRAWN) for line in below]
    return next((line for line in reversed(told) if line), error)
