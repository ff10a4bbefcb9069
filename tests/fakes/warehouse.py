"""A warehouse in a test: filling it from a fake node, and looking at all of it."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, text

from onchain_agg.metrics.compute import compute, dirty_scopes
from onchain_agg.metrics.definitions import sync
from onchain_agg.metrics.registry import all_datasets
from onchain_agg.warehouse import ingest
from onchain_agg.warehouse.apply import apply_blocks
from onchain_agg.warehouse.tables import METADATA
from onchain_agg.warehouse.tables.chain import LABEL
from onchain_agg.warehouse.versions import twins

T0 = datetime(2026, 4, 1, tzinfo=UTC)


class Ticking:
    """A publish clock that moves on by a second each time it is read."""

    def __init__(self, start=T0):
        self.now = start

    def __call__(self):
        self.now += timedelta(seconds=1)
        return self.now


def load_all(engine: Engine, chain, node) -> int:
    """Load every block that the node has and the warehouse lacks; return the rows written."""
    ranges = ingest.plan(engine, chain, node)
    return sum(ingest.load(engine, chain, node, first, last) for first, last in ranges)


# A few of each kind, for tests that are about none of them; see the mark `few_data_sets`.
FEW_DATA_SETS = (
    "bitcoin_network_daily",
    "evm_network_daily",
    "holder_distribution_daily",
    "top_holders_daily",
    "whale_transfer",
)
PUBLISHED = tuple(all_datasets())
# Those that run in the Airflow of tests; one of them reads what another data set serves.
RUNNING = {*FEW_DATA_SETS, "whale_transfer_usd", "whale_activity_daily"}


def publish_all(engine: Engine, clock=None):
    """Compute whatever is dirty; return the windows looked at."""
    clock = clock or Ticking()
    return [
        window
        for name, dataset in all_datasets().items()
        if name in PUBLISHED
        for _, scope in dirty_scopes(engine, name)
        for window in compute(engine, dataset, scope, clock=clock)
    ]


def bring_up_to_date(engine: Engine, chain, node, clock=None):
    """Load, apply and publish everything the node has; return the windows looked at."""
    load_all(engine, chain, node)
    apply_blocks(engine, chain, final_height=node.final_height())
    return publish_all(engine, clock)


def wipe(engine: Engine) -> None:
    """Empty every table but those of the definitions, which are brought back to what they are."""
    kept = {"ops.dataset", "ops.reader", "ops.asset", "ops.address_format"}
    names = [t.fullname for t in METADATA.tables.values() if t.fullname not in kept]
    with engine.begin() as connection:
        served = connection.scalars(
            text(
                "SELECT schemaname||'.'||tablename FROM pg_tables"
                " WHERE schemaname IN ('serving', 'history')"
            )
        )
        emptying = [f"DELETE FROM {name}" for name in [*names, *served]]
        connection.exec_driver_sql("; ".join(emptying))
    sync(engine)


def contents(engine: Engine) -> dict[str, list[tuple]]:
    """Return the sorted rows of every table of chain, state and serving; `known_from` left out."""
    tables = [t for t in METADATA.tables.values() if t.schema in {"chain", "state"}]
    # Labels are told, not computed, and keep what was believed before.
    tables.remove(LABEL)
    tables += [twins(dataset.table).serving for dataset in all_datasets().values()]
    found = {}
    with engine.connect() as connection:
        for table in tables:
            columns = [c for c in table.columns if c.name != "known_from"]
            # What a rebuild cannot know again: how deep an undo would reach.
            columns = [c for c in columns if c.name not in {"undo_from", "final_height"}]
            names = ", ".join(c.name for c in columns)
            rows = connection.execute(text(f"SELECT {names} FROM {table.fullname}")).all()
            found[table.fullname] = sorted((tuple(row) for row in rows), key=repr)
    return found


def differences(one, other):
    """Return, for each table that differs, a few of the rows that only *one* or *other* has."""
    return {
        name: (_only(rows, other[name]), _only(other[name], rows))
        for name, rows in one.items()
        if rows != other[name]
    }


def _only(rows, others):
    known = {repr(row) for row in others}
    return [row for row in rows if repr(row) not in known][:3]
