"""Rows of NFT data sets that contradict themselves or their trades never reach a reader."""

from datetime import date
from decimal import Decimal

import pytest

from onchain_agg.errors import DataSetError
from onchain_agg.metrics.dataset import Window
from onchain_agg.metrics.invariants import check_invariants
from onchain_agg.metrics.registry import dataset_named
from onchain_agg.metrics.wiring import upstream_of
from onchain_agg.warehouse.tables.chain import EVM_TRANSACTION

pytestmark = pytest.mark.data

DAY = date(2024, 1, 2)
WINDOW = Window("ethereum", DAY, 100, 199, 50)
C1 = "0x" + "0c" * 20

COUNTS = {
    "trades": 1,
    "items": 1,
    "unpriced_trades": 0,
    "native_trades": 1,
    "usd_trades": 0,
    "wash_trades": 0,
    "volume_native": 5,
    "buyers": 1,
    "sellers": 1,
    "traders": 2,
}
HOLDING = {"sales": 2, "known_sales": 2, "share_under_1h": 0.0}
PROFIT = {"sales": 1, "sold": 3, "known": 2, "profitable": 1, "proceeds": 9, "cost": 4, "profit": 5}
TRADERS = {
    "trades_7d": 2,
    "buyers_7d": 1,
    "sellers_7d": 1,
    "traders_7d": 2,
    "trades_30d": 2,
    "buyers_30d": 2,
    "sellers_30d": 1,
    "traders_30d": 3,
}


@pytest.mark.parametrize(
    ("name", "row", "wrong"),
    [
        ("nft_collection_hourly", COUNTS, {"volume_native_ex_wash": 6}),
        ("nft_collection_hourly", COUNTS, {"volume_native_ex_royalty": 6}),
        ("nft_collection_hourly", COUNTS, {"volume_usd": 1, "volume_usd_ex_wash": 2}),
        ("nft_collection_hourly", COUNTS, {"volume_usd": 1, "volume_usd_ex_royalty": 2}),
        ("nft_collection_hourly", COUNTS, {"traders": 3}),
        ("nft_collection_hourly", COUNTS, {"traders": 0}),
        ("nft_collection_hourly", COUNTS, {"unpriced_trades": 1}),
        ("nft_collection_hourly", COUNTS, {"floor_min_ex_wash": 0}),
        ("nft_collection_hourly", COUNTS, {"floor_min_ex_wash": 2, "floor_p5": Decimal("1.9")}),
        ("nft_holding_period_daily", HOLDING, {"known_sales": 3}),
        ("nft_holding_period_daily", HOLDING, {"mean_seconds": -1.0}),
        ("nft_holding_period_daily", HOLDING, {"share_under_1h": 0.6, "share_under_365d": 0.5}),
        ("nft_holding_period_daily", HOLDING, {"share_under_365d": 0.5, "share_older": 0.4}),
        ("nft_realised_profit_daily", PROFIT, {"known": 4}),
        ("nft_realised_profit_daily", PROFIT, {"profitable": 3}),
        ("nft_realised_profit_daily", PROFIT, {"cost": -1, "profit": 10}),
        ("nft_realised_profit_daily", PROFIT, {"profit": 4}),
        ("nft_realised_profit_daily", PROFIT, {"known": 0, "profitable": 0}),
        ("nft_trader_daily", TRADERS, {"trades_7d": 3}),
        ("nft_trader_daily", TRADERS, {"buyers_7d": 3, "traders_7d": 3}),
        ("nft_trader_daily", TRADERS, {"sellers_7d": 0}),
        ("nft_trader_daily", TRADERS, {"traders_7d": 3}),
    ],
)
def test_a_row_that_contradicts_itself_is_refused_and_one_that_does_not_passes(
    connection, name, row, wrong
):
    dataset = dataset_named(name)
    soundness = dataset.invariants[0]
    dataset.table.create(connection)
    key = {"chain": "ethereum", "day": DAY, "collection": C1}
    if "hour_at" in dataset.table.c:
        key["hour_at"] = WINDOW.start

    connection.execute(dataset.table.insert(), {**key, **row})
    assert connection.execute(soundness.broken(dataset.table, WINDOW)).all() == []

    connection.execute(dataset.table.update().values(wrong))
    assert len(connection.execute(soundness.broken(dataset.table, WINDOW)).all()) == 1


def test_rows_that_lack_a_trade_are_refused_with_both_counts(connection):
    dataset = dataset_named("nft_market_daily")
    for upstream in upstream_of(dataset):
        upstream.table.create(connection)
    (trades,) = [one.table for one in upstream_of(dataset) if one.name == "nft_trade"]
    dataset.table.create(connection)
    connection.execute(trades.insert(), [trade(n) for n in range(2)])
    rows = [("seaport", "market", 2, 10), ("none", "aggregator", 1, 5), ("all", "all", 2, 9)]
    connection.execute(
        dataset.table.insert(),
        [
            {"chain": "ethereum", "day": DAY, "name": name, "kind": kind, **COUNTS}
            | {"trades": count, "native_trades": count, "volume_native": volume}
            for name, kind, count, volume in rows
        ],
    )

    with pytest.raises(DataSetError) as refused:
        check_invariants(connection, dataset, WINDOW, dataset.table)

    assert str(refused.value) == (
        "nft_market_daily: ethereum 2024-01-02 was not published: the rows add up to the trades of"
        " the day: (trades 1, sold 2, volume_native 5, paid 10); the rows add up to the trades of"
        " the day: (trades 2, sold 2, volume_native 9, paid 10). Correct what it is made from; the"
        " day is computed again then."
    )


def test_mints_that_cost_more_than_their_transaction_paid_are_refused(connection):
    dataset = dataset_named("nft_mint")
    dataset.table.create(connection)
    tx_hash, block_hash = b"\xcc" * 32, b"\x01" * 32
    of_block = {"chain": "ethereum", "day": DAY, "height": 100, "tx_index": 0}
    connection.execute(
        EVM_TRANSACTION.insert(),
        {
            **of_block,
            "block_hash": block_hash,
            "tx_hash": tx_hash,
            "sender": b"\x02" * 20,
            "value": 10,
            "gas_used": 1,
            "gas_price": 1,
            "succeeded": True,
        },
    )
    minted = {
        **of_block,
        "block_hash": f"0x{block_hash.hex()}",
        "tx_hash": f"0x{tx_hash.hex()}",
        "item_index": 0,
        "collection": C1,
        "standard": 721,
        "quantity": 1,
        "recipient": C1,
        "minter": C1,
    }
    connection.execute(
        dataset.table.insert(),
        [{**minted, "log_index": n, "token_id": n, "paid": 6} for n in range(2)],
    )

    with pytest.raises(DataSetError) as refused:
        check_invariants(connection, dataset, WINDOW, dataset.table)

    assert str(refused.value) == (
        "nft_mint: ethereum 2024-01-02 was not published: mints cost no more than their"
        f" transaction paid: (tx_hash 0x{tx_hash.hex()}, paid 12, value 10). Correct what it is"
        " made from; the day is computed again then."
    )


def trade(number):
    return {
        "chain": "ethereum",
        "day": DAY,
        "block_hash": "0x01",
        "log_index": number,
        "item_index": 0,
        "height": 100,
        "block_at": WINDOW.start,
        "tx_index": 0,
        "tx_hash": "0x02",
        "market": "seaport",
        "version": "1.6",
        "side": "listing",
        "collection": C1,
        "contract": C1,
        "token_id": number,
        "quantity": 1,
        "bundle_size": 1,
        "seller": "0x51",
        "buyer": "0xb1",
        "price": 5,
        "price_native": 5,
        "flash_loan": False,
    }
