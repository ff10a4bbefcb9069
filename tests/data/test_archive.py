"""Days go to the archive, leave their tables, and come back: nothing that readers see changes."""

from dataclasses import replace
from datetime import date

import pytest
from sqlalchemy import select, text

from onchain_agg.chains import chain_named
from onchain_agg.errors import ConfigError, DataSetError, SourceError
from onchain_agg.metrics.compute import compute
from onchain_agg.metrics.definitions import sync
from onchain_agg.metrics.registry import dataset_named
from onchain_agg.warehouse import archiving
from onchain_agg.warehouse.apply import rebuild_state
from onchain_agg.warehouse.archiving import (
    archive_day,
    archive_days,
    archived_tables,
    restore_day,
    verify_day,
)
from onchain_agg.warehouse.locks import share_archived_days
from onchain_agg.warehouse.parquet_store import ParquetStore
from onchain_agg.warehouse.rebuild.replacing import rebuild_all
from onchain_agg.warehouse.retention import drop_cold_days
from onchain_agg.warehouse.tables.ops import ARCHIVED_DAY
from tests.fakes.archived import DAYS, EVM, UTXO, filled, recompute, rows_by_day
from tests.fakes.scenes import branch, scalar
from tests.fakes.warehouse import contents

pytestmark = [pytest.mark.data, pytest.mark.few_data_sets]

_CORRECT = text(
    "UPDATE chain.token_transfer SET amount = amount + 7 WHERE day = '2026-03-02'"
    " AND height = 5 AND log_index = 0"
)
SECOND = "chain.token_transfer/chain=anvil/day=2026-03-02/v{}.parquet"


@pytest.fixture(params=[EVM, UTXO], ids=["evm", "utxo"])
def family(request):
    return request.param


@pytest.fixture
def store(tmp_path):
    return ParquetStore(str(tmp_path / "archive"))


def archive_rows(engine):
    """Return the rows of `ops.archived_day`."""
    with engine.connect() as connection:
        return connection.execute(
            select(ARCHIVED_DAY).order_by(ARCHIVED_DAY.c.day, ARCHIVED_DAY.c.table_name)
        ).all()


def correct(engine, store):
    """Restore the second day where it left, and let a transfer of it be by 7 larger."""
    restore_day(engine, store, EVM, DAYS[1])
    with engine.begin() as connection:
        connection.execute(_CORRECT)


def publish_dirty(engine, store):
    """Compute what a correction made dirty in `whale_transfer`; return the rows that changed."""
    whales = dataset_named("whale_transfer")
    return sum(window.changed for window in compute(engine, whales, EVM.name, archive=store))


def amounts_in(store, location):
    """Return the amounts of a file."""
    batches = store.read(location, ["amount"])
    return sorted(
        int.from_bytes(raw) for batch in batches for raw in batch.column("amount").to_pylist()
    )


def test_cold_days_leave_and_every_data_set_is_computed_as_before(warehouse, family, store):
    filled(warehouse, family)
    published = recompute(warehouse, family)
    before, hot = contents(warehouse), rows_by_day(warehouse, family)

    archived = archive_days(warehouse, store, family)
    dropped = drop_cold_days(warehouse, store, family, hot_days=1)
    cold = rows_by_day(warehouse, family)

    assert tuple(one.day for one in archived) == dropped.days == DAYS
    assert cold < hot / 2
    assert published > 0
    assert recompute(warehouse, family, store) == 0
    assert rows_by_day(warehouse, family) == cold
    assert [restore_day(warehouse, store, family, day) for day in DAYS] == [
        one.rows for one in archived
    ]
    assert contents(warehouse) == before


def test_a_day_is_archived_once_and_keeps_its_rows(warehouse, family, store):
    filled(warehouse, family)
    before = contents(warehouse)

    first = archive_days(warehouse, store, family)
    again = archive_days(warehouse, store, family)
    same = archive_day(warehouse, store, family, DAYS[0])

    every = {table.fullname: 1 for table in archived_tables(family)}
    assert [one.written for one in first] == [every, every, every]
    assert (again, same.written) == ([], {})
    assert contents(warehouse) == before
    for row in archive_rows(warehouse):
        verify_day(store, row)


def test_hot_days_are_counted_from_the_last_block(warehouse, store):
    filled(warehouse, EVM)  # up to 2026-03-04
    archive_days(warehouse, store, EVM)

    assert drop_cold_days(warehouse, store, EVM, hot_days=3).days == DAYS[:1]
    assert drop_cold_days(warehouse, store, EVM, hot_days=3).days == ()
    assert drop_cold_days(warehouse, store, EVM, hot_days=2).days == DAYS[1:2]


def test_what_a_fork_may_undo_stays(warehouse, store):
    deep = replace(UTXO, undo_blocks=8)
    filled(warehouse, deep)
    archive_days(warehouse, store, deep)

    # Blocks 6 to 13 can be undone; block 6 is of the second day.
    assert drop_cold_days(warehouse, store, deep, hot_days=1).days == DAYS[:1]


def test_an_open_day_is_not_archived(warehouse, store):
    filled(warehouse, EVM)

    with pytest.raises(ConfigError) as told:
        archive_day(warehouse, store, EVM, date(2026, 3, 4))

    assert str(told.value) == (
        "anvil 2026-03-04 cannot be archived: it is not closed and final, or lacks blocks."
        " Archive it when a final block lies past it and every block before is applied."
    )
    assert archive_rows(warehouse) == []


def test_the_day_of_the_first_block_may_grow_and_is_not_archived(warehouse, store):
    blocks = branch(EVM, 14)[2:]
    filled(warehouse, EVM, blocks)

    assert [one.day for one in archive_days(warehouse, store, EVM)] == list(DAYS[1:])


def test_a_partition_stays_for_a_chain_that_is_not_archived(warehouse, store):
    # Of the same tables; any EVM chain would do.
    other = replace(chain_named("polygon"), tracked_assets=())
    for chain in (EVM, other):
        filled(warehouse, chain, branch(EVM, 14))
    archive_days(warehouse, store, EVM)

    waiting = drop_cold_days(warehouse, store, EVM, hot_days=1)
    archive_days(warehouse, store, other)
    dropped = drop_cold_days(warehouse, store, EVM, hot_days=1)

    assert (waiting.days, waiting.waiting) == ((), dict.fromkeys(DAYS, (other.name,)))
    assert (dropped.days, dropped.waiting) == (DAYS, {})
    assert all(row.dropped for row in archive_rows(warehouse))


def test_a_correction_of_a_day_that_left_becomes_a_second_version(new_database, store):
    with new_database() as plain, new_database() as engine:
        for one in (plain, engine):
            sync(one)
            filled(one, EVM)
            recompute(one, EVM)
        correct(plain, store)
        rebuild_state(plain, EVM)
        recompute(plain, EVM)

        archive_days(engine, store, EVM)
        drop_cold_days(engine, store, EVM, hot_days=1)
        correct(engine, store)
        dropped = drop_cold_days(engine, store, EVM, hot_days=1)
        rebuild_all(engine, EVM, store)
        changed = publish_dirty(engine, store)

        assert dropped.days == (DAYS[1],)
        rows = [row for row in archive_rows(engine) if row.location == SECOND.format(2)]
        assert [(row.version, row.dropped) for row in rows] == [(2, True)]
        old, new = (amounts_in(store, SECOND.format(version)) for version in (1, 2))
        assert (len(new), sum(new) - sum(old)) == (len(old), 7)
        assert changed > 0
        recompute(engine, EVM, store)
        for day in DAYS:
            restore_day(engine, store, EVM, day)
        assert contents(engine) == contents(plain)


def test_rows_that_changed_after_archiving_do_not_leave_unarchived(warehouse, store, monkeypatch):
    filled(warehouse, EVM)
    archive_days(warehouse, store, EVM)
    stored = archive_rows(warehouse)
    correct(warehouse, store)
    # As if the correction came between the comparison and the drop.
    monkeypatch.setattr("onchain_agg.warehouse.retention.archive_day", lambda *_: None)

    with pytest.raises(DataSetError) as told:
        drop_cold_days(warehouse, store, EVM, hot_days=1)

    was = next(row for row in stored if row.location == SECOND.format(1))
    now = scalar(warehouse, "SELECT count(*) FROM chain.token_transfer WHERE day = '2026-03-02'")
    assert str(told.value).startswith(
        f"{SECOND.format(1)} was archived with {was.rows} rows with checksum {was.checksum},"
        f" but {was.rows} rows with checksum "
    )
    assert str(told.value).endswith(" were found. Nothing left chain.token_transfer.")
    assert now == was.rows
    assert [row.dropped for row in archive_rows(warehouse) if row.day == DAYS[1]] == [False] * 6


def test_a_file_that_lost_a_row_on_its_way_archives_nothing(warehouse, store, monkeypatch):
    filled(warehouse, EVM)
    whole = archiving.stored_rows

    def short(*arguments):
        for batch in whole(*arguments):
            yield batch.slice(1)

    monkeypatch.setattr(archiving, "stored_rows", short)

    with pytest.raises(DataSetError, match=r"v1\.parquet was read back with \d+ rows with check"):
        archive_days(warehouse, store, EVM)

    assert archive_rows(warehouse) == []


def test_a_day_does_not_leave_while_it_is_read(warehouse, store, monkeypatch):
    filled(warehouse, EVM)
    archive_days(warehouse, store, EVM)
    before = contents(warehouse)
    monkeypatch.setattr("onchain_agg.warehouse.retention._PATIENCE", "50ms")

    with warehouse.begin() as reader:
        share_archived_days(reader, EVM.name, DAYS)
        with pytest.raises(SourceError) as told:
            drop_cold_days(warehouse, store, EVM, hot_days=1)

    assert str(told.value) == (
        "anvil 2026-03-01 stays in its tables: a reader has held one of them for 50ms."
        " Drop it later."
    )
    assert contents(warehouse) == before


def test_an_altered_file_is_told_by_its_hash(warehouse, store, tmp_path):
    filled(warehouse, EVM)
    archive_days(warehouse, store, EVM)
    row = next(row for row in archive_rows(warehouse) if row.location == SECOND.format(1))
    path = tmp_path / "archive" / row.location
    stated = store.manifest(row.location)["sha256"]
    path.write_bytes(path.read_bytes() + b"\0")

    with pytest.raises(DataSetError) as told:
        verify_day(store, row)

    assert str(told.value) == (
        f"{row.location} has SHA-256 {store.sha256(row.location)}, but its manifest says {stated}."
        " Restore it from its backup."
    )


def test_without_an_archive_a_window_of_a_day_that_left_stays_as_it_is(warehouse, store):
    filled(warehouse, EVM)
    archive_days(warehouse, store, EVM)
    drop_cold_days(warehouse, store, EVM, hot_days=1)

    with pytest.raises(ConfigError) as told:
        recompute(warehouse, EVM, None)

    assert str(told.value).endswith(" Set archive_url to the archive to read it.")


def test_a_state_is_not_built_from_what_is_left(warehouse, store):
    filled(warehouse, EVM)
    archive_days(warehouse, store, EVM)
    drop_cold_days(warehouse, store, EVM, hot_days=1)

    with pytest.raises(ConfigError) as told:
        rebuild_state(warehouse, EVM)

    assert str(told.value) == (
        "Building the state again needs the facts of anvil in the fact tables, but"
        " chain.native_transfer of 2026-03-01 and perhaps later days left for"
        " chain.native_transfer/chain=anvil/day=2026-03-01/v1.parquet. Run"
        " `onchain-agg archive restore anvil --from 2026-03-01` first."
    )
