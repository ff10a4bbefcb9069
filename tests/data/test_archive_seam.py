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
from onchain_agg.warehouse.archived_rows import fingerprint_of_day
from onchain_agg.warehouse.tables.chain import TOKEN_TRANSFER
from onchain_agg.warehouse.tables.ops import ARCHIVED_DAY
from tests.fakes.chain import FakeNode, Transfer, batch_of, block
from tests.fakes.warehouse import bring_up_to_date, contents

pytestmark = [pytest.mark.data, pytest.mark.few_data_sets]

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
        found = fingerprint_of_day(connection, TOKEN_TRANSFER, CHAIN.name, OLD)
        connection.execute(delete(TOKEN_TRANSFER).where(TOKEN_TRANSFER.c.day == OLD))
        connection.execute(
            ARCHIVED_DAY.insert().values(
                table_name="chain.token_transfer",
                chain=CHAIN.name,
                day=OLD,
                version=1,
                location="memory://old",
                rows=len(old),
                checksum=found.checksum,
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


def tripled(batch):
    """Return *batch* with the amount of its first row times three."""
    amounts = [amount.as_py() for amount in batch.column("amount")]
    amounts[0] = (3 * int.from_bytes(amounts[0])).to_bytes(32)
    place = batch.schema.get_field_index("amount")
    return batch.set_column(place, "amount", pa.array(amounts, pa.binary(32)))


@pytest.mark.parametrize(
    ("damage", "rows"),
    [
        pytest.param(lambda batch: batch.slice(0, 1), 1, id="lost rows"),
        pytest.param(tripled, 3, id="another amount"),
    ],
)
def test_an_archive_that_was_altered_publishes_nothing(archived, damage, rows):
    engine, store = archived
    before = contents(engine)
    backfill(engine, WHALES, CHAIN.name, OLD, OLD, force=True)

    with pytest.raises(DataSetError) as told:
        compute(engine, WHALES, CHAIN.name, archive=Memory(damage(store.batch)))

    with engine.connect() as connection:
        stated = connection.scalar(select(ARCHIVED_DAY.c.checksum))
    words = str(told.value)
    was = f"memory://old was archived with 3 rows with checksum {stated}, but {rows} rows with"
    assert words.startswith(f"{was} checksum ")
    assert words.endswith(" are in it now. Restore that file from its backup.")
    assert contents(engine) == before
