"""The audit holds the holders that readers see against holders counted from all facts."""

import math
from datetime import date

import pytest
from sqlalchemy import text

from onchain_agg.errors import DataSetError
from onchain_agg.metrics.compute import backfill, compute
from onchain_agg.metrics.holder_audit import audit_chain
from onchain_agg.metrics.registry import dataset_named
from onchain_agg.warehouse.archiving import archive_days
from onchain_agg.warehouse.parquet_store import ParquetStore
from onchain_agg.warehouse.rebuild.audit import Difference
from onchain_agg.warehouse.retention import drop_cold_days
from tests.fakes.archived import EVM, UTXO, filled
from tests.fakes.scenes import KRILL, PEOPLE, scalar
from tests.fakes.warehouse import wipe

pytestmark = pytest.mark.data

NEWEST = date(2026, 3, 3)  # the last day of `filled` that is over
TOKEN = f"0x{KRILL.hex()}"
FIRST = f"0x{PEOPLE[0].hex()}"
DISTRIBUTION, TOP = (
    f"serving.{name}_v1" for name in ("holder_distribution_daily", "top_holders_daily")
)


@pytest.fixture(scope="module")
def shared(new_database):
    """Yield one warehouse for the whole module; `empty` wipes it for each test."""
    with new_database() as engine:
        yield engine


@pytest.fixture
def empty(shared):
    wipe(shared)
    return shared


@pytest.fixture
def store(tmp_path):
    return ParquetStore(str(tmp_path / "archive"))


def published(engine, store, chain):
    """Fill the warehouse, publish its holders, and let the cold days leave."""
    filled(engine, chain)
    for name in ("holder_distribution_daily", "top_holders_daily"):
        compute(engine, dataset_named(name), chain.name)
    archive_days(engine, store, chain)
    drop_cold_days(engine, store, chain, hot_days=1)


def served(report):
    """Return what an audit compared of the serving tables: rows and differences, by name."""
    return {
        one.table: (one.rows, one.first) for one in report.tables if one.table.startswith("serving")
    }


def change(engine, statement, **values):
    with engine.begin() as connection:
        connection.execute(text(statement), values)


@pytest.mark.parametrize("chain", [EVM, UTXO], ids=["evm", "utxo"])
def test_served_holders_are_those_of_the_archive(empty, store, chain):
    published(empty, store, chain)

    report = audit_chain(empty, chain, store)

    report.check()
    rows = {
        name: scalar(empty, f"SELECT count(*) FROM {name} WHERE day = :day", day=NEWEST)
        for name in (DISTRIBUTION, TOP)
    }
    assert served(report) == {name: (count, ()) for name, count in rows.items()}
    assert all(rows.values())


def test_a_figure_and_a_balance_that_are_served_wrong_are_named(empty, store):
    published(empty, store, EVM)
    of_token = f"FROM {DISTRIBUTION} WHERE asset = :a AND day = :day"
    gini = scalar(empty, f"SELECT gini {of_token}", a=TOKEN, day=NEWEST)
    held = int(
        scalar(
            empty,
            f"SELECT balance::text FROM {TOP} WHERE day = :day AND asset = :a AND address = :who",
            day=NEWEST,
            a=TOKEN,
            who=FIRST,
        )
    )
    change(
        empty,
        f"UPDATE {DISTRIBUTION} SET gini = gini + 1e-9, holders_ge_1m = 0 WHERE asset = :a",
        a=TOKEN,
    )
    change(
        empty,
        f"UPDATE {TOP} SET balance = balance - 7 WHERE asset = :a AND address = :who",
        a=TOKEN,
        who=FIRST,
    )
    change(
        empty,
        f"UPDATE {TOP} SET address = '0x99' WHERE asset = :a AND address = :who",
        a=TOKEN,
        who=f"0x{PEOPLE[1].hex()}",
    )

    report = audit_chain(empty, EVM, store)

    figures, balances = (served(report)[name][1] for name in (DISTRIBUTION, TOP))
    (wrong,) = figures
    assert wrong.key == {"day": NEWEST, "asset": TOKEN}
    assert (wrong.stored["holders_ge_1m"], wrong.computed["holders_ge_1m"]) == (0, 3)
    assert math.isclose(wrong.computed["gini"], gini, rel_tol=0, abs_tol=1e-12)
    assert wrong.stored.keys() == wrong.computed.keys() == {"holders_ge_1m", "gini"}
    key = {"day": NEWEST, "asset": TOKEN}
    first, missing, unknown = balances
    assert first == Difference({**key, "address": FIRST}, {"balance": held - 7}, {"balance": held})
    assert (missing.key["address"], missing.stored) == (f"0x{PEOPLE[1].hex()}", None)
    assert (unknown.key["address"], unknown.computed) == ("0x99", None)
    with pytest.raises(DataSetError) as told:
        report.check()
    assert f"{TOP} differs in 3 of " in str(told.value)
    assert (
        f"first at day 2026-03-03, asset {TOKEN}, address {FIRST}: stored balance {held - 7},"
        f" computed balance {held}. Run `onchain-agg rebuild --chain anvil`."
    ) in str(told.value)


def test_a_difference_too_small_for_two_divisions_to_agree_on_is_none(empty, store):
    published(empty, store, EVM)
    change(empty, f"UPDATE {DISTRIBUTION} SET gini = gini + 1e-13 WHERE asset = :a", a=TOKEN)

    audit_chain(empty, EVM, store).check()


def test_a_day_that_waits_to_be_published_again_is_not_compared(empty, store):
    published(empty, store, EVM)
    change(empty, f"UPDATE {TOP} SET balance = balance - 7 WHERE day = :day", day=NEWEST)
    change(empty, f"UPDATE {DISTRIBUTION} SET holders = 9 WHERE day = :day", day=NEWEST)
    backfill(empty, dataset_named("top_holders_daily"), EVM.name, NEWEST, NEWEST, force=True)
    # As after a new release: what was published is of another definition.
    change(
        empty,
        'UPDATE ops.window SET inputs = inputs || \'{"definition": "old"}\''
        " WHERE dataset = 'holder_distribution_daily'",
    )

    report = audit_chain(empty, EVM, store)

    # The day before is up to date.
    before = scalar(empty, f"SELECT count(*) FROM {TOP} WHERE day = '2026-03-02'")
    assert served(report) == {TOP: (before, ())}
