"""`python -m tests.e2e.drill`: runs the drill, prints what it found, and ends with 1 on a fault."""

import signal
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

import click
from rich.console import Console

from tests.e2e.binaries import MissingProgramError
from tests.e2e.drill.drilling import Drill, drilled


@click.command()
@click.option("--tasks", default=50, show_default=True, help="Tasks in pods.")
@click.option("--interruptions", default=30, show_default=True, help="Of their pods.")
@click.option(
    "--worker-tasks", default=None, type=int, help="On Celery; default: a quarter as many."
)
@click.option(
    "--worker-interruptions",
    default=None,
    type=int,
    help="Of Celery workers; default: a fifth of --interruptions, at least 1.",
)
@click.option("--parts", default=20, show_default=True, help="Of each task, a second each.")
@click.option("--seed", default=1, show_default=True, help="Same seed, same kinds and moments.")
@click.option("--without-spot-safe", is_flag=True, help="Also run tasks that are not spot-safe.")
def main(
    *,
    tasks: int,
    interruptions: int,
    worker_tasks: int | None,
    worker_interruptions: int | None,
    parts: int,
    seed: int,
    without_spot_safe: bool,
) -> NoReturn:
    """Interrupt tasks at random, and tell what became of them and of their tables."""
    drill = Drill(
        tasks=tasks,
        interruptions=interruptions,
        worker_tasks=max(1, tasks // 4) if worker_tasks is None else worker_tasks,
        worker_interruptions=(
            max(1, interruptions // 5) if worker_interruptions is None else worker_interruptions
        ),
        parts=parts,
        seed=seed,
        with_plain=without_spot_safe,
    )
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    signal.signal(signal.SIGTERM, _stop_on_signal)
    with tempfile.TemporaryDirectory(prefix="drill-") as folder:
        try:
            wrong = drilled(drill, Path(folder), console)
        except MissingProgramError as error:
            console.print(f"No drill: {error}.", soft_wrap=True, markup=False)
            sys.exit(0)
    for line in wrong:
        console.print(f"DIFFERS  {line}", soft_wrap=True, markup=False)
    if not wrong:
        console.print("Every task was done once in effect, and the tables are equal.")
    sys.exit(1 if wrong else 0)


def _stop_on_signal(number: int, _frame: object) -> NoReturn:
    # As an exception, so that what was started is stopped on the way out.
    raise SystemExit(128 + number)


if __name__ == "__main__":
    main()
