"""The packaged sample's market → the warehouse, for a run without an input."""

from typing import TYPE_CHECKING

import pyarrow as pa
from pyarrow import csv

from onchain_agg import sample
from onchain_agg.markets import GLOBAL
from onchain_agg.warehouse.facts import record
from onchain_agg.warehouse.tables.market import ASSET_DAILY, TRADE

if TYPE_CHECKING:
    from sqlalchemy import Engine

# A venue and a source of its own, so that nobody takes them for a real exchange's.
_VENUE = "sample"
_TYPES = {"traded_at": pa.timestamp("us", tz="UTC"), "day": pa.date32()}


def import_sample_market(engine: "Engine") -> int:
    """Make the warehouse believe the sample's trades and assets; return the days that changed."""
    trades, assets = _read(sample.market_file("trades")), _read(sample.market_file("assets"))
    source = pa.array([_VENUE] * assets.num_rows)
    days = {
        *record(engine, TRADE, _VENUE, trades).days,
        *record(engine, ASSET_DAILY, GLOBAL, assets.append_column("source", source)).days,
    }
    return len(days)


def _read(file: object) -> pa.RecordBatch:
    """Return the rows of a CSV file, numbers as the text they are written in."""
    names = csv.open_csv(file).schema.names
    types = {name: _TYPES.get(name, pa.string()) for name in names}
    table = csv.read_csv(file, convert_options=csv.ConvertOptions(column_types=types))
    return table.combine_chunks().to_batches()[0]
