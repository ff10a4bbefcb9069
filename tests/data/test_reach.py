"""A correction reaches every day that it affects and no other; unchanged inputs write nothing."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import text

from onchain_agg.metrics.compute import backfill, compute
from onchain_agg.metrics.dataset import Reach
from onchain_agg.metrics.registry import all_datasets, dataset_named
from onchain_agg.warehouse import dirty
from onchain_agg.warehouse.apply import apply_blocks
from onchain_agg.warehouse.ingest import store
from onchain_agg.warehouse.reorg import resolve_fork
from tests.fakes.chain import FakeNode
from tests.fakes.scenes import EVM, UTXO, branch, row_versions, scalar
from tests.fakes.warehouse import T0, Ticking, bring_up_to_date, load_all, publish_all

pytestmark = [pytest.mark.data, pytest.mark.few_data_sets]

LATER = T0 + timedelta(days=1)
# Blocks 0-2 lie on the first day, 3-6 on the second, 7-9 on the third, 10-12 on the fourth.
DAYS = [date(2026, 3, 1) + timedelta(days=n) for n in range(4)]
SAME_DAY_SETS = ["whale_transfer"]
# Both are computed at the day's close, so the newest day is not.
ALL_LATER_SETS = ["holder_distribution_daily", "top_holders_daily"]
CLOSED = DAYS[:3]


def versions_by_day(engine):
    """Return, for each data set and day, the versions of its ledger row and its served rows."""
    with engine.connect() as connection:
        found = {}
        for name in all_datasets():
            rows = connection.execute(
                text(
                    "SELECT day, xmin::text FROM ops.window WHERE dataset = :name UNION ALL"
                    f" SELECT day, xmin::text || ' ' || known_from FROM serving.{name}_v1"
                ),
                {"name": name},
            )
            for day, version in rows:
                found.setdefault((name, day), set()).add(version)
    return found


def days_rewritten(before, after, name):
    days = {day for dataset, day in before | after if dataset == name}
    return sorted(d for d in days if before.get((name, d)) != after.get((name, d)))


def written_versions(engine):
    """Return the versions of served, former and ledger rows; what is dirty is left out."""
    return {version for version in row_versions(engine) if version[0] != "ops.dirty"}


@pytest.mark.parametrize(("fork", "first"), [(8, 2), (5, 1), (3, 1), (11, 3)])
def test_a_reorganisation_rewrites_its_days_and_no_earlier_one(warehouse, fork, first):
    blocks = branch(EVM, 13)
    bring_up_to_date(warehouse, EVM, FakeNode(EVM, blocks))
    before = versions_by_day(warehouse)
    other = [*blocks[:fork], *branch(EVM, 13 - fork, blocks[fork - 1], "other")]

    bring_up_to_date(warehouse, EVM, FakeNode(EVM, other), Ticking(LATER))

    after = versions_by_day(warehouse)
    for name in SAME_DAY_SETS:
        assert days_rewritten(before, after, name) == DAYS[first:]
    for name in ALL_LATER_SETS:
        assert days_rewritten(before, after, name) == CLOSED[first:]


def test_earlier_blocks_reach_all_later_balances_but_only_their_own_days_transfers(warehouse):
    blocks = branch(EVM, 13)
    late = FakeNode(EVM, blocks[7:])
    bring_up_to_date(warehouse, EVM, late)
    before = versions_by_day(warehouse)
    assert {day for _, day in before} == set(DAYS[2:])

    load_all(warehouse, EVM, late)
    early = FakeNode(EVM, blocks)
    for first, last in ((3, 6), (0, 2)):
        for batch in early.read(first, last):
            store(warehouse, EVM, batch)
    apply_blocks(warehouse, EVM, final_height=-1)
    windows = publish_all(warehouse, Ticking(LATER))

    after = versions_by_day(warehouse)
    looked_at = {
        name: sorted(w.day for w in windows if w.dataset == name) for name in all_datasets()
    }
    assert looked_at["whale_transfer"] == DAYS[:2]
    assert days_rewritten(before, after, "whale_transfer") == DAYS[:2]
    for name in ALL_LATER_SETS:
        assert looked_at[name] == CLOSED
        assert days_rewritten(before, after, name) == CLOSED


def test_a_clock_that_goes_back_after_a_day_vanished_makes_no_overlap(warehouse):
    long = branch(EVM, 12)
    short = [*long[:9], *branch(EVM, 1, long[8], "other")]
    bring_up_to_date(warehouse, EVM, FakeNode(EVM, long))
    bring_up_to_date(warehouse, EVM, FakeNode(EVM, short), Ticking(LATER))
    assert scalar(warehouse, "SELECT max(day) FROM ops.window") == DAYS[2]

    bring_up_to_date(warehouse, EVM, FakeNode(EVM, long), Ticking(T0))

    for name in all_datasets():
        key = ", ".join(c.name for c in dataset_named(name).table.primary_key)
        overlaps = (
            f"SELECT count(*) FROM serving.{name}_v1 s JOIN history.{name}_v1 h USING ({key})"
            " WHERE s.known_from < h.known_to"
        )
        assert scalar(warehouse, overlaps) == 0
    returned = "SELECT count(*) FROM serving.whale_transfer_v1 WHERE day = :day"
    assert scalar(warehouse, returned, day=DAYS[3]) == 4  # blocks 10 and 11, two assets


def test_on_a_utxo_chain_a_new_block_rewrites_its_day_only(warehouse):
    blocks = branch(UTXO, 12)
    bring_up_to_date(warehouse, UTXO, FakeNode(UTXO, blocks[:9]))
    before = versions_by_day(warehouse)

    bring_up_to_date(warehouse, UTXO, FakeNode(UTXO, blocks[:10]), Ticking(LATER))
    middle = versions_by_day(warehouse)
    bring_up_to_date(warehouse, UTXO, FakeNode(UTXO, blocks), Ticking(LATER + timedelta(days=1)))

    for name in ("bitcoin_network_daily", "whale_transfer"):
        assert days_rewritten(before, middle, name) == [DAYS[2]]
        assert days_rewritten(middle, versions_by_day(warehouse), name) == [DAYS[3]]


@pytest.mark.parametrize(
    ("reach", "reached"),
    [(Reach(1), DAYS[1:2]), (Reach(2), DAYS[1:3]), (Reach(9), DAYS[1:]), (Reach(None), DAYS[1:])],
    ids=["same day", "two days", "beyond the newest day", "all later"],
)
def test_a_dirty_day_is_computed_with_the_days_that_it_reaches(warehouse, reach, reached):
    bring_up_to_date(warehouse, EVM, FakeNode(EVM, branch(EVM, 13)))
    dataset = replace(dataset_named("top_holders_daily"), reach=reach, at_close=False)
    with warehouse.begin() as connection:
        # The open day waits for its close.
        connection.execute(text("DELETE FROM ops.dirty"))
        dirty.mark(connection, dataset.name, EVM.name, [DAYS[1]])

    windows = compute(warehouse, dataset, EVM.name)

    assert [w.day for w in windows] == reached
    left = "SELECT count(*) FROM ops.dirty WHERE dataset = :name AND day = :day"
    assert scalar(warehouse, left, name=dataset.name, day=DAYS[1]) == 0


def test_dirty_days_whose_inputs_are_the_same_write_no_row(warehouse):
    bring_up_to_date(warehouse, EVM, FakeNode(EVM, branch(EVM, 13)))
    before = written_versions(warehouse)
    for name in (*SAME_DAY_SETS, *ALL_LATER_SETS):
        assert backfill(warehouse, dataset_named(name), EVM.name, DAYS[0], DAYS[3]) == 4

    windows = publish_all(warehouse, Ticking(LATER))

    assert [w.changed for w in windows] == [0] * (len(DAYS) + 2 * len(CLOSED))
    assert written_versions(warehouse) == before


def test_a_forced_backfill_computes_again_and_writes_no_served_row(warehouse):
    bring_up_to_date(warehouse, EVM, FakeNode(EVM, branch(EVM, 13)))
    served = [f"serving.{name}_v1" for name in all_datasets()]
    past = [f"history.{name}_v1" for name in all_datasets()]
    before = row_versions(warehouse, *served, *past)
    ledger = (
        "SELECT string_agg(concat(dataset, day, rows, checksum, inputs, changed_at), ';'"
        " ORDER BY dataset, day) FROM ops.window"
    )
    entries = scalar(warehouse, ledger)

    for name in (*SAME_DAY_SETS, *ALL_LATER_SETS):
        backfill(warehouse, dataset_named(name), EVM.name, DAYS[1], DAYS[2], force=True)
    windows = publish_all(warehouse, Ticking(LATER))

    assert [w.changed for w in windows] == [0] * len(windows)
    assert row_versions(warehouse, *served, *past) == before
    assert scalar(warehouse, ledger) == entries
    again = "SELECT count(*) FROM ops.window WHERE computed_at > :since"
    assert scalar(warehouse, again, since=LATER) == 3 * 2  # data sets times days


def test_a_backfill_counts_only_days_that_have_applied_blocks(warehouse):
    bring_up_to_date(warehouse, EVM, FakeNode(EVM, branch(EVM, 4)))
    dataset = dataset_named("whale_transfer")

    assert backfill(warehouse, dataset, EVM.name, date(2020, 1, 1), date(2030, 1, 1)) == 2
    assert backfill(warehouse, dataset, EVM.name, date(2020, 1, 1), date(2021, 1, 1)) == 0


def test_a_day_whose_blocks_wait_stays_dirty_and_keeps_what_is_served(warehouse):
    blocks = branch(EVM, 13)
    bring_up_to_date(warehouse, EVM, FakeNode(EVM, blocks))
    before = row_versions(warehouse, "serving.whale_transfer_v1")
    other = [*blocks[:10], *branch(EVM, 3, blocks[9], "other")]
    node = FakeNode(EVM, other)
    resolve_fork(warehouse, EVM, node)
    (batch,) = node.read(11, 12)
    store(warehouse, EVM, batch)
    apply_blocks(warehouse, EVM, final_height=-1)

    assert publish_all(warehouse, Ticking(LATER)) == []

    assert row_versions(warehouse, "serving.whale_transfer_v1") == before
    dirty_days = "SELECT array_agg(DISTINCT day) FROM ops.dirty WHERE dataset = 'whale_transfer'"
    assert scalar(warehouse, dirty_days) == [DAYS[3]]


def test_the_open_day_waits_until_its_refresh_is_due(warehouse):
    blocks = branch(EVM, 9)
    bring_up_to_date(warehouse, EVM, FakeNode(EVM, blocks[:8]))
    load_all(warehouse, EVM, FakeNode(EVM, blocks))
    apply_blocks(warehouse, EVM, final_height=-1)
    dataset, refresh = dataset_named("whale_transfer"), timedelta(minutes=10)
    computed_at = scalar(
        warehouse, "SELECT max(computed_at) FROM ops.window WHERE dataset = 'whale_transfer'"
    )

    def windows_at(moment):
        clock = lambda: moment  # noqa: E731 - a clock that stands
        return [w.day for w in compute(warehouse, dataset, EVM.name, refresh=refresh, clock=clock)]

    assert windows_at(computed_at + refresh - timedelta(seconds=1)) == []
    assert windows_at(computed_at + refresh) == [DAYS[2]]
    assert windows_at(datetime(2030, 1, 1, tzinfo=UTC)) == []
