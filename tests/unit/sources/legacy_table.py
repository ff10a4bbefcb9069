"""Somebody else's table, here in SQLite, and its declaration as a source."""

from contextlib import contextmanager

from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from onchain_agg.sources.sql import SqlSource
from onchain_agg.sources.sql_read import read_pages, reading_of

FILLS = (
    "CREATE TABLE fills (id INTEGER PRIMARY KEY, venue TEXT, done_at TEXT, price NUMERIC,"
    " size TEXT, way TEXT, seen INTEGER)"
)
FILL = (1, "kraken", "2026-03-01 12:00:00+00:00", 0.1, "2.5", "B", 7)
COLUMNS = {
    "venue": "venue",
    "market": {"constant": "BTC/USD"},
    "trade_id": "id",
    "traded_at": "done_at",
    "price": "price",
    "amount": "size",
    "side": {"column": "way", "values": {"B": "buy", "S": "sell"}},
}


@contextmanager
def fills(*rows, table=FILLS):
    """Yield an engine on a database with these rows."""
    # One connection, because each has a memory of its own.
    engine = create_engine("sqlite://", poolclass=StaticPool)
    with engine.begin() as connection:
        connection.exec_driver_sql(table)
        for row in rows:
            marks = ", ".join("?" * len(row))
            connection.exec_driver_sql(f"INSERT INTO fills VALUES ({marks})", row)
    yield engine
    engine.dispose()


def declared(**changes):
    told = {
        "name": "legacy",
        "url": "sqlite://",
        "table": "fills",
        "target": "trades",
        "columns": COLUMNS,
        "watermark": "seen",
        **changes,
    }
    return SqlSource.model_validate({k: v for k, v in told.items() if v is not None})


def read(engine, source, since=None):
    return list(read_pages(engine, reading_of(engine, source), since))
