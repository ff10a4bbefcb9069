"""Rows as aligned text: as wide as they need, so that no name is cut and `grep` finds a line."""

from collections.abc import Sequence

Row = tuple[str, ...]


def aligned(heads: Row, rows: Sequence[Row]) -> str:
    """Return *heads* and *rows*, a line each, every column as wide as its longest cell."""
    lines = [tuple(head.upper() for head in heads), *rows]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
