"""How far the warehouse is, asked from its tables while a run fills them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from sqlalchemy import Engine, func, select

from onchain_agg.metrics.due import is_due
from onchain_agg.warehouse.tables.chain import BLOCK
from onchain_agg.warehouse.tables.ops import DIRTY, WINDOW

Windows = dict[tuple[str, str, date], datetime]


@dataclass(frozen=True)
class Snapshot:
    """The warehouse at one moment.

    Attributes:
        blocks: Blocks in ``chain.block`` of the chains that are read.
        windows: When each window's rows last changed, by the publish clock.
        dirty: Days that wait to be computed, over all data sets; not those of data sets that wait
            for a chain's open day to end.
    """

    blocks: int
    windows: Windows
    dirty: int

    def written_since(self, before: "Snapshot") -> int:
        """Return how many windows hold other rows than *before*."""
        return sum(before.windows.get(key) != at for key, at in self.windows.items())


def snapshot(engine: Engine, chains: Sequence[str]) -> Snapshot:
    """Return the warehouse as it is now, counting the blocks of *chains*."""
    window = WINDOW.c
    dirty = select(DIRTY.c.dataset, DIRTY.c.scope, DIRTY.c.day)
    days = dirty.where(is_due()).distinct().subquery()
    with engine.connect() as connection:
        blocks = connection.execute(
            select(func.count()).select_from(BLOCK).where(BLOCK.c.chain.in_(chains))
        ).scalar_one()
        rows = connection.execute(
            select(window.dataset, window.scope, window.day, window.changed_at)
        )
        windows = {(row.dataset, row.scope, row.day): row.changed_at for row in rows}
        waiting = connection.execute(select(func.count()).select_from(days)).scalar_one()
    return Snapshot(blocks, windows, waiting)


@dataclass(frozen=True)
class Bars:
    """Two bars on the terminal: blocks loaded, windows published."""

    progress: Progress
    blocks: TaskID
    windows: TaskID

    def show(self, before: Snapshot, now: Snapshot, asked: int | None, reading: bool) -> None:  # noqa: FBT001 - one caller
        """Move the bars; *asked* is the number of blocks to read where that is known."""
        loaded = now.blocks - before.blocks
        total = loaded if not reading else asked
        self.progress.update(self.blocks, completed=loaded, total=total)
        written = now.written_since(before)
        # Without a total the bar pulses: nothing is known to be waiting yet.
        waiting = written + now.dirty or (None if reading else 0)
        self.progress.update(self.windows, completed=written, total=waiting)

    def say(self, text: str) -> None:
        """Print *text* above the bars."""
        self.progress.console.print(text, highlight=False, markup=False)


@contextmanager
def bars(console: Console) -> Iterator[Bars]:
    """Draw the bars on *console* until the block ends; where it is no terminal, once."""
    columns = (
        TextColumn("{task.description:<18}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, refresh_per_second=4) as progress:
        yield Bars(
            progress,
            progress.add_task("blocks loaded", total=None),
            progress.add_task("windows published", total=None),
        )
