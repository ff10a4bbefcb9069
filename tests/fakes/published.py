"""Coin Metrics' daily series of Bitcoin's first days, in the units of `bitcoin_network_daily`."""

import csv
from datetime import date
from decimal import Decimal

BLOCK_FILE = "bitcoin/mainnet_blk00000_first1MB.dat"
_SERIES = "reference/coinmetrics_btc_daily_2009-01-09_2009-02-13.csv"

# Our column, the published one, and what one of the published units is in ours.
_COLUMNS = (
    ("blocks", "BlkCnt", 1),
    ("size_bytes", "BlkSizeByte", 1),
    ("transactions", "TxCnt", 1),
    ("active_addresses", "AdrActCnt", 1),
    ("transfers", "TxTfrCnt", 1),
    ("transfer_value", "TxTfrValNtv", 10**8),
    ("addresses_with_balance", "AdrBalCnt", 1),
)
NAMES = tuple(name for name, _, _ in _COLUMNS)


def published_days(real_data) -> dict[date, dict[str, Decimal]]:
    """Return the published values of each day under our columns' names."""
    with (real_data / _SERIES).open() as file:
        return {
            date.fromisoformat(row["date"]): {
                ours: Decimal(row[theirs]) * unit for ours, theirs, unit in _COLUMNS
            }
            for row in csv.DictReader(file)
        }
