"""A real collection's mints: all of them on its first day, given away in batches."""

import csv
import gzip
from datetime import date

import pytest
from sqlalchemy import select

from onchain_agg.metrics.dataset import Window
from onchain_agg.metrics.nft.nft_mint import rows
from onchain_agg.warehouse.tables.chain import EVM_TRANSACTION, TOKEN_TRANSFER

pytestmark = pytest.mark.data

DAY = date(2023, 4, 6)
COLLECTION = "0x1b41d54b3f8de13d58102c50d7431fd6aa1a2c48"


def test_a_free_mint_is_counted_with_its_minters_and_costs_nothing(connection, real_data):
    moved = transfers(real_data)
    transactions = {one["tx_hash"]: one for one in moved}.values()
    names = ("chain", "day", "height", "block_hash", "tx_index", "tx_hash", "value")
    sent = {"sender": b"\x01" * 20, "gas_used": 1, "gas_price": 1, "succeeded": True}
    connection.execute(
        EVM_TRANSACTION.insert(), [{n: one[n] for n in names} | sent for one in transactions]
    )
    columns = TOKEN_TRANSFER.c.keys()
    connection.execute(TOKEN_TRANSFER.insert(), [{n: one[n] for n in columns} for one in moved])
    heights = [one["height"] for one in moved]

    mint = rows(Window("ethereum", DAY, min(heights), max(heights), 0)).subquery().c
    found = connection.execute(select(mint.token_id, mint.minter, mint.paid, mint.collection)).all()

    assert (len(found), len({row.token_id for row in found})) == (9999, 9999)
    assert len({row.minter for row in found}) == 1358
    assert {(row.paid, row.collection) for row in found} == {(0, COLLECTION)}


def transfers(folder):
    """Return the transfers of the first day as rows of the warehouse, with their payment."""
    with gzip.open(folder / "nft" / "erc721_transfers_0x1b41d54b.csv.gz", "rt") as file:
        told = [row for row in csv.DictReader(file) if row["block_timestamp"] < "2023-04-07"]
    places: dict[str, int] = {}
    return [
        {
            "chain": "ethereum",
            "day": DAY,
            "height": int(row["block_number"]),
            # The file has no block hashes and no places of transactions.
            "block_hash": int(row["block_number"]).to_bytes(32),
            "tx_index": places.setdefault(row["transaction_hash"], len(places)),
            "tx_hash": bytes.fromhex(row["transaction_hash"][2:]),
            "log_index": int(row["log_index"]),
            "item_index": 0,
            "standard": 721,
            "token": bytes.fromhex(row["contract_address"][2:]),
            "sender": bytes.fromhex(row["from_address"][2:]),
            "recipient": bytes.fromhex(row["to_address"][2:]),
            "token_id": int(row["token_id"]),
            "amount": 1,
            "value": int(row["tx_value_wei"]),
        }
        for row in told
    ]
