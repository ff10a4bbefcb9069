"""Who holds what, from five million archived transfers: DuckDB against the same in PostgreSQL.

Both sides start from the transfers, one from Parquet files, one from its own table, and make what a
rebuild makes: daily changes and balances of a million holders, the thousand largest, ten bands and
the Gini coefficient, exact up to a holder of 2**256 - 1. They must agree on every figure, or there
is no result. A third side is PostgreSQL that sums balances alone and spares the daily changes.
"""
# ruff: noqa: INP001 - run from the repository, never installed.

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from fractions import Fraction

from sqlalchemy import Connection, Engine, TextClause, select, text

from benchmarks.measuring import Result, interleaved, median, peak_megabytes, running_server, track
from onchain_agg.chains import chain_named
from onchain_agg.warehouse.archiving import archive_days
from onchain_agg.warehouse.engine import engine_for
from onchain_agg.warehouse.parquet_store import ParquetStore
from onchain_agg.warehouse.partitions import ensure_partitions
from onchain_agg.warehouse.rebuild.balances import collect_changes
from onchain_agg.warehouse.rebuild.facts import Facts, pin
from onchain_agg.warehouse.rebuild.holders import Holders, holders_at
from onchain_agg.warehouse.rebuild.scratch import Limits, scratch
from onchain_agg.warehouse.tables import METADATA, is_partitioned
from onchain_agg.warehouse.tables.ops import ARCHIVED_DAY

CHAIN = chain_named("ethereum")
TOKEN = "0x" + "ee" * 20
TRANSFERS, DAYS, HOLDERS = 5_000_000, 10, 1_000_000
NEWEST = date(2026, 3, 31)
THRESHOLDS = tuple(10 ** (18 + power) for power in range(10))
_LARGEST = 2**256 - 1
_ROUNDS = 3
_TARGET = 6.0

_FILL = text(
    "INSERT INTO chain.token_transfer (chain, day, height, block_hash, tx_index, tx_hash,"
    " log_index, item_index, standard, token, sender, recipient, token_id, amount)"
    " SELECT :chain, CAST(:day AS date), CAST(:height AS bigint), sha256(CAST('b' || :height AS"
    " bytea)), CAST(n / 10 AS int), sha256(CAST(:height || '.' || n / 10 AS bytea)),"
    " CAST(n AS int), 0, 20, :token,"
    # A tenth of the transfers mint, so that most holders stay above zero; 99 bits of amount.
    " CASE WHEN n % 10 = 0 THEN decode(repeat('00', 20), 'hex')"
    "  ELSE substring(sha256(CAST('h' || (n * 7919 + :height) % 1000000 AS bytea)) FOR 20) END,"
    " substring(sha256(CAST('h' || (n * 104729 + :height * 31) % 1000000 AS bytea)) FOR 20), NULL,"
    " (CASE WHEN n % 10 = 0 THEN 1000 ELSE 1 END) * (CAST(('x' || substr(md5(n || '.' || :height),"
    " 1, 15))::bit(60)::bigint AS numeric) * 549755813888 + n)"
    " FROM generate_series(0, CAST(:count AS bigint) - 1) n"
)
_WHALE = text(
    "INSERT INTO chain.token_transfer (chain, day, height, block_hash, tx_index, tx_hash,"
    " log_index, item_index, standard, token, sender, recipient, token_id, amount)"
    " SELECT chain, day, height, block_hash, 2147483647, tx_hash, 2147483647, 0, 20, token, sender,"
    " decode(repeat('77', 20), 'hex'), NULL, :amount FROM chain.token_transfer"
    " WHERE log_index = 0 AND height = 0"
)
_CHANGES = text(
    "CREATE TEMP TABLE change ON COMMIT DROP AS SELECT day, address, sum(amount) AS delta,"
    " sum(debits) AS debits FROM (SELECT t.day, side.address, side.amount, side.debits"
    " FROM chain.token_transfer t CROSS JOIN LATERAL (VALUES (t.recipient, t.amount, 0),"
    " (t.sender, -t.amount, CAST(t.sender <> t.recipient AND t.amount <> 0 AS int)))"
    " side(address, amount, debits)"
    " WHERE t.chain = :chain AND t.token = :token AND t.standard IN (20, 721)"
    ") moved WHERE address <> decode(repeat('00', 20), 'hex') GROUP BY day, address"
)
_TOTALS = text(
    "CREATE TEMP TABLE held ON COMMIT DROP AS SELECT address, sum(delta) AS balance FROM change"
    " GROUP BY address HAVING sum(delta) > 0"
)
_BALANCES = text(
    "CREATE TEMP TABLE held ON COMMIT DROP AS SELECT address, sum(amount) AS balance FROM ("
    " SELECT side.address, side.amount FROM chain.token_transfer t CROSS JOIN LATERAL"
    " (VALUES (t.recipient, t.amount), (t.sender, -t.amount)) side(address, amount)"
    " WHERE t.chain = :chain AND t.token = :token AND t.standard IN (20, 721)"
    ") moved WHERE address <> decode(repeat('00', 20), 'hex')"
    " GROUP BY address HAVING sum(amount) > 0"
)
_TOP = text("SELECT address, balance FROM held ORDER BY balance DESC, address LIMIT 1000")
_RANKED = text(
    "SELECT count(*), sum(balance), sum(place * balance) FROM ("
    " SELECT balance, row_number() OVER (ORDER BY balance) AS place FROM held) ranked"
)


def results() -> Iterator[Result]:
    """Yield the ratio, and the memory of the heavy side."""
    with (
        running_server() as server,
        server.fresh() as engine,
        tempfile.TemporaryDirectory(prefix="oagg-") as folder,
    ):
        fill(engine, TRANSFERS)
        store = ParquetStore(folder)
        archive_days(engine, store, CHAIN)
        held = in_duckdb(engine, store)
        if not held == in_postgresql(engine) == in_postgresql(engine, (_BALANCES,)):
            raise RuntimeError("DuckDB and PostgreSQL disagree about who holds what.")
        found = interleaved(
            {
                "duckdb": lambda: server.measure(lambda: in_duckdb(engine, store)),
                "postgresql": lambda: server.measure(lambda: in_postgresql(engine)),
                "balances": lambda: server.measure(lambda: in_postgresql(engine, (_BALANCES,))),
            },
            _ROUNDS,
        )
        peak = peak_megabytes(
            holders_in_duckdb, engine.url.render_as_string(hide_password=False), folder
        )
    heavy, light, alone = (median(found[side]) for side in ("duckdb", "postgresql", "balances"))
    ratio = light.wall / heavy.wall
    yield Result(
        f"daily changes, balances, top 1,000, bands and Gini from {TRANSFERS:,} transfers",
        f"≥ {_TARGET:.0f} times faster in DuckDB, exact for 2^256 - 1",
        f"{ratio:.1f} times: {heavy.wall:.1f} s from Parquet against {light.wall:.1f} s in"
        f" PostgreSQL (CPU {heavy.cpu:.1f} s against {light.cpu:.1f} s; peak {peak:,.0f} MB);"
        " every figure equal, the largest holder has 2^256 - 1; PostgreSQL takes"
        f" {alone.wall:.1f} s without daily changes, {alone.wall / heavy.wall:.1f} times DuckDB",
        ratio >= _TARGET,
    )


def in_duckdb(engine: Engine, store: ParquetStore) -> Holders:
    """Return the holders, from the archive's files."""
    with engine.connect() as connection:
        pinned = pin(connection, CHAIN)
        archived = connection.execute(select(ARCHIVED_DAY)).all()
        # The partitions stay for the other side; this one is to read the files.
        left = {(row.table_name, row.day): row for row in archived}
        facts = Facts(connection, replace(pinned, left=left), store)
        with scratch(Limits()) as duck:
            collect_changes(duck, facts)
            return holders_at(duck, _asset(connection), NEWEST, THRESHOLDS)


def in_postgresql(
    engine: Engine, statements: Sequence[TextClause] = (_CHANGES, _TOTALS)
) -> Holders:
    """Return the holders, from the table of transfers by *statements* that make the table held."""
    bands = ", ".join(
        f"count(*) FILTER (WHERE balance >= {one}),"
        f" coalesce(sum(balance) FILTER (WHERE balance >= {one}), 0)"
        for one in THRESHOLDS
    )
    with engine.begin() as connection:
        values = {"chain": CHAIN.name, "token": bytes.fromhex(TOKEN[2:])}
        for statement in statements:
            connection.execute(statement, values)
        connection.execute(text("ANALYZE held"))
        # The thresholds are this module's whole numbers.
        figures = list(connection.execute(text(f"SELECT {bands} FROM held")).one())  # noqa: S608
        count, supply, weighted = map(int, connection.execute(_RANKED).one())
        top = connection.execute(_TOP).all()
    pairs = zip(figures[::2], figures[1::2], strict=True)
    return Holders(
        holders=count,
        supply=supply,
        at_least=tuple((int(number), int(sum_)) for number, sum_ in pairs),
        gini=float(Fraction(2 * weighted, count * supply) - Fraction(count + 1, count)),
        top=tuple((bytes(address), int(balance)) for address, balance in top),
    )


def holders_in_duckdb(url: str, folder: str) -> None:
    """Do what `in_duckdb` does, in a process that knows nothing yet."""
    in_duckdb(engine_for(url), ParquetStore(folder))


def _asset(connection: Connection) -> int:
    found: int = connection.scalars(
        text("SELECT asset_id FROM ops.asset WHERE address = :token"),
        {"token": bytes.fromhex(TOKEN[2:])},
    ).one()
    return found


def fill(engine: Engine, transfers: int) -> None:
    """Make that many transfers of one token on ten final days, and one to the largest holder."""
    days = [NEWEST - timedelta(days=n) for n in reversed(range(DAYS))]
    for table in METADATA.tables.values():
        if is_partitioned(table):
            ensure_partitions(engine, table, [*days, NEWEST + timedelta(days=1)])
    with engine.begin() as connection:
        connection.execute(text("UPDATE ops.asset SET tracked = false"))
        track(connection, CHAIN.name, [TOKEN])
        for height, day in enumerate([*days, NEWEST + timedelta(days=1)]):
            connection.execute(
                text(
                    "INSERT INTO chain.block (chain, height, day, block_hash, parent_hash,"
                    " header_at, block_at, tx_count, traced) SELECT :chain, :height, :day,"
                    " sha256(CAST('b' || :height AS bytea)),"
                    " sha256(CAST('b' || (:height - 1) AS bytea)), :day, :day, 1, false"
                ),
                {"chain": CHAIN.name, "height": height, "day": day},
            )
        connection.execute(
            text(
                "INSERT INTO state.tip (chain, from_height, height, block_hash, day, final_height,"
                " undo_from) SELECT chain, 0, height, block_hash, day, height, 0 FROM chain.block"
                " ORDER BY height DESC LIMIT 1"
            )
        )
        for height, day in enumerate(days):
            values = {"chain": CHAIN.name, "day": day, "height": height}
            more = {"token": bytes.fromhex(TOKEN[2:]), "count": transfers // DAYS}
            connection.execute(_FILL, values | more)
        connection.execute(_WHALE, {"amount": _LARGEST})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE chain.token_transfer"))
