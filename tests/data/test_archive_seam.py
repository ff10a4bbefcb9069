"""Old days come from elsewhere, and no query knows the difference."""

from dataclasses import replace
from datetime import date

import pyarrow as pa
import pytest
from sqlalchemy import delete, func, select

from onchain_agg.chains import chain_named
from onchain_agg.errors import ConfigError, DataSetError
from onchain_agg.metrics.compute import backfill, compute
from onchain_agg.metrics.definitions import sync
from onchain_agg.metrics.registry import dataset_named
from onchain_agg.warehouse.tables.chain import TOKEN_TRANSFER
from onchain_agg.warehouse.tables.ops import ARCHIVED_DAY
from tests.fakes.chain import FakeNode, Transfer, batch_of, block
from tests.fakes.warehouse import bring_up_to_date, contents

pytestmark = pytest.mark.data

CHAIN = replace(chain_named("anvil"), batch_blocks=10)
TOKEN = bytes.fromhex(CHAIN.tracked_assets[1].address[2:])
OLD = date(2026, 3, 1)
WHALES = dataset_named("whale_transfer")


class Memory:
    """A store with one day in it."""

    def __init__(self, batch: pa.RecordBatch):
        self.batch = batch

    def read(self, location):
        assert location == "memory://old"
        return [self.batch]


@pytest.fixture
def archived(engine):
    """Yield a warehouse whose first day of transfers has left, and the store that has it."""
    sync(engine)
    blocks = []
    for amount in (10**38, 10**38 + 1, 5, 10**39):
        transfer = Transfer(TOKEN, bytes(20), b"\x02" * 20, amount)
        blocks.append(block(blocks[-1] if blocks else None, transfers=[transfer]))
    bring_up_to_date(engine, CHAIN, FakeNode(CHAIN, blocks))
    old = [b for b in blocks if b.at.date() == OLD]
    batch = batch_of(CHAIN, old).tables["token_transfer"]
    with engine.begin() as connection:
        connection.execute(delete(TOKEN_TRANSFER).where(TOKEN_TRANSFER.c.day == OLD))
        connection.execute(
            ARCHIVED_DAY.insert().values(
                table_name="chain.token_transfer",
                chain=CHAIN.name,
                day=OLD,
                version=1,
                location="memory://old",
                rows=len(old),
                checksum="",
                bytes=0,
                dropped=True,
            )
        )
    return engine, Memory(batch)


def test_an_archived_day_is_computed_as_before_and_leaves_no_rows_behind(archived):
    engine, store = archived
    before = contents(engine)
    backfill(engine, WHALES, CHAIN.name, OLD, OLD, force=True)

    (window,) = compute(engine, WHALES, CHAIN.name, archive=store)

    assert (window.rows, window.changed) == (2, 0)
    assert contents(engine) == before
    with engine.connect() as connection:
        left = select(func.count()).where(TOKEN_TRANSFER.c.day == OLD)
        assert connection.scalar(left) == 0


def test_without_a_store_the_window_stays_and_the_error_says_where_the_day_is(archived):
    engine, _ = archived
    before = contents(engine)
    backfill(engine, WHALES, CHAIN.name, OLD, OLD, force=True)

    where = r"anvil 2026-03-01 left chain\.token_transfer for memory"
    with pytest.raises(ConfigError, match=where):
        compute(engine, WHALES, CHAIN.name)

    assert contents(engine) == before


def test_an_archive_that_lost_rows_publishes_nothing(archived):
    engine, store = archived
    before = contents(engine)
    backfill(engine, WHALES, CHAIN.name, OLD, OLD, force=True)

    with pytest.raises(DataSetError, match=r"holds 1 rows of chain\.token_transfer, but 3 left"):
        compute(engine, WHALES, CHAIN.name, archive=Memory(store.batch.slice(0, 1)))

    assert contents(engine) == before
