"""How the command line reads days and times: ISO 8601, in UTC unless it says otherwise."""

from datetime import UTC, date, datetime

import click


def day(_context: click.Context, _parameter: click.Parameter, value: str | None) -> date | None:
    """Return the day that an option names, or None where it is left out."""
    if value is None:
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a day; write it as 2026-03-01.") from None


def moment(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> datetime | None:
    """Return the aware time that an option or argument names, or None where it is left out."""
    if value is None:
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is not a time; write it as 2026-03-01T12:00:00Z."
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
