"""The gate before publishing: rows that break an invariant never reach a reader."""

from sqlalchemy import Connection, Table

from onchain_agg.errors import DataSetError
from onchain_agg.metrics.dataset import DataSet, Invariant, Window

# Enough to see what they have in common.
_SHOWN = 3


def check_invariants(
    connection: Connection, dataset: DataSet, window: Window, stage: Table
) -> None:
    """Return where the staged rows of *window* break no invariant of *dataset*.

    Raises:
        DataSetError: They do; names each broken invariant with its first rows. What is served
            stays as it was, and the day stays dirty.
    """
    broken = [
        message
        for invariant in dataset.invariants
        if (message := _broken(connection, invariant, window, stage))
    ]
    if broken:
        raise DataSetError(
            f"{dataset.name}: {window.scope} {window.day} was not published: {'; '.join(broken)}."
            " Correct what it is made from; the day is computed again then."
        )


def _broken(connection: Connection, invariant: Invariant, window: Window, stage: Table) -> str:
    result = connection.execute(invariant.broken(stage, window).limit(_SHOWN + 1))
    names, rows = list(result.keys()), result.all()
    if not rows:
        return ""
    shown = [
        "(" + ", ".join(f"{n} {v}" for n, v in zip(names, row, strict=True)) + ")"
        for row in rows[:_SHOWN]
    ]
    more = " and more" if len(rows) > _SHOWN else ""
    return f"{invariant.name}: {', '.join(shown)}{more}"
