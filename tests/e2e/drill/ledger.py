"""What the drill's tasks wrote down in the warehouse, and what of it must not be.

Rows of `drill.result` are a task's effect. `drill.start` and `drill.work` only record: a line for
each start of a task's process and for each part that it began.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, text

_TABLES = """
    CREATE SCHEMA drill;
    CREATE TABLE drill.result (
        run text NOT NULL, task int NOT NULL, part int NOT NULL, line int NOT NULL,
        value text NOT NULL
    );
    CREATE INDEX ON drill.result (run, task, part);
    CREATE TABLE drill.start (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        run text NOT NULL, task int NOT NULL, try int NOT NULL, reschedules int NOT NULL,
        place text NOT NULL, is_alone boolean NOT NULL,
        began timestamptz NOT NULL DEFAULT clock_timestamp(), ended timestamptz
    );
    CREATE TABLE drill.work (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        start_id bigint NOT NULL REFERENCES drill.start,
        run text NOT NULL, task int NOT NULL, part int NOT NULL,
        began timestamptz NOT NULL DEFAULT clock_timestamp(), done timestamptz
    );
"""
_ROWS = "SELECT task, part, line, value FROM drill.result WHERE run = :run ORDER BY 1, 2, 3, 4"
_COUNTS = """
    SELECT count(*) AS starts, count(DISTINCT place) AS places,
           (SELECT count(*) FROM drill.work WHERE run = :run) AS begun,
           (SELECT count(*) FROM drill.work WHERE run = :run AND done IS NOT NULL) AS done,
           (SELECT coalesce(sum(extract(epoch FROM ended - began)), 0)
            FROM (SELECT min(began) AS began, max(ended) AS ended
                  FROM drill.start WHERE run = :run GROUP BY task) AS tasks) AS task_s,
           (SELECT coalesce(sum(reschedules), 0)
            FROM (SELECT max(reschedules) AS reschedules
                  FROM drill.start WHERE run = :run GROUP BY task, try) AS tries) AS reschedules
    FROM drill.start WHERE run = :run
"""
_BESIDE = "SELECT DISTINCT task FROM drill.start WHERE run = :run AND NOT is_alone ORDER BY 1"


@dataclass(frozen=True)
class Counts:
    """How much work a run was.

    Attributes:
        starts: Processes that began a task.
        places: Pods, or machines, in which they ran.
        begun: Parts that were begun.
        done: Parts that were done.
        reschedules: Starts that spent no try.
        task_s: From the first start of a task to its end, seconds, summed over the tasks.
    """

    starts: int
    places: int
    begun: int
    done: int
    reschedules: int
    task_s: float


def create_tables(engine: Engine) -> None:
    """Create the tables of the drill."""
    with engine.begin() as connection:
        connection.exec_driver_sql(_TABLES)


def rows_of(engine: Engine, run: str) -> list[tuple[int, int, int, str]]:
    """Return every row that the tasks of *run* left, doubled ones twice."""
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(_ROWS), {"run": run})]


def counts_of(engine: Engine, run: str) -> Counts:
    """Return how much work *run* was."""
    with engine.connect() as connection:
        row = connection.execute(text(_COUNTS), {"run": run}).one()
    return Counts(
        row.starts, row.places, row.begun, row.done, int(row.reschedules), float(row.task_s)
    )


def tasks_at_once(engine: Engine, run: str) -> list[int]:
    """Return the tasks of which two processes ran at the same time."""
    with engine.connect() as connection:
        return list(connection.scalars(text(_BESIDE), {"run": run}))


def differences(
    expected: Sequence[tuple[int, int, int, str]], found: Sequence[tuple[int, int, int, str]]
) -> list[str]:
    """Return a line for each task whose rows are not the *expected* ones."""
    wrong = []
    for number in sorted({row[0] for row in (*expected, *found)}):
        right = [row[1:] for row in expected if row[0] == number]
        got = [row[1:] for row in found if row[0] == number]
        if right == got:
            continue
        lost = sorted({part for part, *_ in set(right) - set(got)})
        foreign = sorted({part for part, *_ in set(got) - set(right)})
        doubled = sorted({row[0] for row in got if got.count(row) > 1})
        wrong.append(f"task {number}: parts lost {lost}, doubled {doubled}, foreign {foreign}")
    return wrong
