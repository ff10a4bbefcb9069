"""What readers see of NFT floors between trades, and after a wash flag that comes late.

Trades and flags are put where `nft_trade` and `nft_wash_trade` serve them; blocks are empty.
"""

from datetime import date, timedelta

import pytest
from sqlalchemy import text

from onchain_agg.metrics import reading
from onchain_agg.metrics.compute import backfill, compute
from onchain_agg.metrics.registry import dataset_named
from onchain_agg.warehouse import versions
from tests.fakes.warehouse import T0, Ticking

pytestmark = pytest.mark.data

# It tracks no collection, of which every day has a row.
CHAIN = "polygon"
FIRST = date(2024, 1, 1)
C1, C2 = "0x" + "0c" * 20, "0x" + "0d" * 20
DAILY = dataset_named("nft_collection_daily")


def test_a_day_without_a_floor_shows_the_last_one_with_its_age_for_a_year(warehouse):
    add_blocks(warehouse, [0, 1, 2, 365, 366])
    add_trades(warehouse, [(0, C1, 100), (2, C2, 70)])
    # Days with a trade that has no price: the collections have a row and no floor.
    add_trades(warehouse, [(1, C1, None), (365, C1, None), (366, C1, None), (1, C2, None)])

    publish(warehouse)

    assert floors(warehouse) == {
        (0, C1): (100, 100, 0),
        (1, C1): (None, 100, 1),
        (1, C2): (None, None, None),
        (2, C2): (70, 70, 0),
        (365, C1): (None, 100, 365),
        (366, C1): (None, None, None),
    }


def test_a_late_wash_flag_rewrites_its_day_alone_and_every_later_floor_follows(warehouse):
    add_blocks(warehouse, [0, 1, 2])
    add_trades(warehouse, [(0, C1, 100), (1, C1, 90), (2, C1, None)])
    publish(warehouse)
    before = floors(warehouse)

    flag(warehouse, 1)
    windows = publish(warehouse, Ticking(T0 + timedelta(days=1)))

    assert before == {
        (0, C1): (100, 100, 0),
        (1, C1): (90, 90, 0),
        (2, C1): (None, 90, 1),
    }
    assert floors(warehouse) == {
        (0, C1): (100, 100, 0),
        (1, C1): (None, 100, 1),
        (2, C1): (None, 100, 2),
    }
    assert [window.changed for window in windows] == [0, 1, 0]
    assert volumes(warehouse, T0 + timedelta(hours=1)) == {
        0: (100, 100),
        1: (90, 90),
        2: (None,) * 2,
    }
    assert volumes(warehouse, T0 + timedelta(days=2)) == {
        0: (100, 100),
        1: (90, None),
        2: (None, None),
    }


def test_the_newest_rows_come_in_the_order_of_their_key_whatever_the_view_derives(warehouse):
    add_blocks(warehouse, [0])
    add_trades(warehouse, [(0, C2, 5), (0, C1, 100)])
    publish(warehouse)

    with warehouse.connect() as connection:
        rows = reading.newest(connection, DAILY, scope=CHAIN, limit=2)

    shown = [dict(zip(rows.names, row, strict=True)) for row in rows.rows]
    assert [(row["collection"], row["floor_ffill"]) for row in shown] == [(C1, 100), (C2, 5)]


def test_a_mint_is_looked_up_by_its_token(warehouse):
    mint = versions.twins(dataset_named("nft_mint").table).serving

    with warehouse.connect() as connection:
        found = connection.scalar(
            text("SELECT indexdef FROM pg_indexes WHERE tablename = :name AND indexname = :index"),
            {"name": mint.name, "index": f"ix_{mint.name}_token"},
        )

    assert found == (
        "CREATE INDEX ix_nft_mint_v1_token ON serving.nft_mint_v1"
        " USING btree (chain, collection, token_id)"
    )


def add_blocks(engine, days):
    """Add an applied block on each of *days*, counted from the first."""
    with engine.begin() as connection:
        for height, day in enumerate(days):
            connection.execute(
                text(
                    "INSERT INTO chain.block (chain, height, day, block_hash, parent_hash,"
                    " header_at, block_at, tx_count, traced) VALUES (:chain, :height, :day, :hash,"
                    " :parent, :day, :day, 1, true)"
                ),
                {
                    "chain": CHAIN,
                    "height": height,
                    "day": FIRST + timedelta(days=day),
                    "hash": bytes([height + 1]),
                    "parent": bytes([height]),
                },
            )
        connection.execute(
            text(
                "INSERT INTO state.tip (chain, from_height, height, block_hash, day, final_height,"
                " undo_from) SELECT chain, 0, height, block_hash, day, height, 0 FROM chain.block"
                " ORDER BY height DESC LIMIT 1"
            )
        )


def add_trades(engine, trades):
    """Serve trades, each of a day, a collection and a price or None; the key tells the day."""
    with engine.begin() as connection:
        for day, collection, price in trades:
            connection.execute(
                text(
                    "INSERT INTO serving.nft_trade_v1 (chain, day, block_hash, log_index,"
                    " item_index, height, block_at, tx_index, tx_hash, market, version, side,"
                    " collection, contract, standard, token_id, quantity, bundle_size, seller,"
                    " buyer, currency, price, price_native, flash_loan, known_from)"
                    " VALUES (:chain, :day, :collection, 0, 0, 0, :day, 0, '0x01', 'seaport',"
                    " '1.6', 'listing', :collection, :collection, 721, 1, 1, 1, '0x51', '0xb1',"
                    " 'native', :price, :price, false, :day)"
                ),
                {
                    "chain": CHAIN,
                    "day": FIRST + timedelta(days=day),
                    "collection": collection,
                    "price": price,
                },
            )


def flag(engine, day):
    """Serve a wash flag of every trade of *day*."""
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO serving.nft_wash_trade_v1 (chain, day, block_hash, log_index,"
                " item_index, collection, token_id, market, seller, buyer, flags, price_native,"
                " known_from) SELECT chain, day, block_hash, log_index, item_index, collection,"
                " token_id, market, seller, buyer, 1, price_native, known_from"
                " FROM serving.nft_trade_v1 WHERE day = :day"
            ),
            {"day": FIRST + timedelta(days=day)},
        )


def publish(engine, clock=None):
    """Compute every day; return the windows looked at."""
    backfill(engine, DAILY, CHAIN, force=True)
    return compute(engine, DAILY, CHAIN, clock=clock or Ticking())


def floors(engine):
    """Return the floor, the last one and its age, by days from the first and collection."""
    query = text(
        "SELECT day, collection, floor_p5, floor_ffill, floor_age_days"
        " FROM serving.nft_collection_daily"
    )
    with engine.connect() as connection:
        return {
            ((row.day - FIRST).days, row.collection): tuple(row[2:])
            for row in connection.execute(query)
        }


def volumes(engine, moment):
    """Return the volumes, gross and without wash trades, that readers saw at *moment*, by day."""
    with engine.connect() as connection:
        seen = reading.as_of(connection, DAILY, moment)
    rows = [dict(zip(seen.names, row, strict=True)) for row in seen.rows]
    return {
        (row["day"] - FIRST).days: (
            row["volume_native"],
            row["volume_native_ex_wash"],
        )
        for row in rows
    }
