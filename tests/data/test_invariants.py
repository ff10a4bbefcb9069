"""What is made from balances is held against them before readers see it."""

from dataclasses import replace
from datetime import date

import pytest
from sqlalchemy import func, literal_column, select, text

from onchain_agg.errors import DataSetError
from onchain_agg.metrics import balances
from onchain_agg.metrics.compute import backfill, compute
from onchain_agg.metrics.registry import dataset_named
from onchain_agg.warehouse.apply import apply_blocks
from tests.fakes.chain import FakeNode
from tests.fakes.scenes import EVM, KRILL, PEOPLE, UTXO, WHALE, branch, scalar
from tests.fakes.warehouse import Ticking, load_all

pytestmark = pytest.mark.data

TOKEN = "0x" + KRILL.hex()
HELD = 3 * WHALE + 3  # KRILL on the first day: blocks 0 to 2
HOLDERS, COHORTS, TOP = map(
    dataset_named, ("holder_distribution_daily", "whale_cohort_daily", "top_holders_daily")
)


@pytest.fixture
def filled(warehouse):
    """Return a warehouse in which a day of both kinds of chain is over and published."""
    for chain in (EVM, UTXO):
        load_all(warehouse, chain, FakeNode(chain, branch(chain, 5)))
        apply_blocks(warehouse, chain, final_height=-1)
        for dataset in (HOLDERS, COHORTS, TOP):
            compute(warehouse, dataset, chain.name, clock=Ticking())
    return warehouse


def rows(engine, dataset):
    """Return every row of the data set, and what its history holds."""
    with engine.connect() as connection:
        return [
            connection.execute(text(f"SELECT * FROM {schema}.{dataset.table.name}")).all()
            for schema in ("serving", "history")
        ]


def refused(engine, dataset, chain):
    """Return the message with which the data set refuses to be computed again."""
    backfill(engine, dataset, chain.name, force=True)
    with pytest.raises(DataSetError) as error:
        compute(engine, dataset, chain.name, clock=Ticking())
    return str(error.value)


def change(engine, statement, **values):
    with engine.begin() as connection:
        connection.execute(text(statement), values)


def owe(engine):
    """Let somebody have sent more than it had, in the balances and in their changes alike."""
    where = "WHERE address = :who AND asset_id ="
    where += " (SELECT asset_id FROM ops.asset WHERE chain = 'anvil' AND address = :token)"
    values = {"who": PEOPLE[0], "token": KRILL, "sent": 2 * WHALE}
    change(engine, f"UPDATE state.balance SET balance = balance - :sent {where}", **values)
    of_day = f"{where} AND day = '2026-03-01'"
    change(engine, f"UPDATE state.balance_delta SET delta = delta - :sent {of_day}", **values)


def test_a_balance_below_zero_stops_the_publish_until_the_asset_may_have_one(filled):
    before = rows(filled, HOLDERS)
    owe(filled)

    assert refused(filled, HOLDERS, EVM) == (
        "holder_distribution_daily: anvil 2026-03-01 was not published: no balance is below zero,"
        f" unless its asset is marked noncompliant: (asset {TOKEN}, symbol KRILL,"
        " addresses_below_zero 1). Correct what it is made from; the day is computed again then."
    )
    assert rows(filled, HOLDERS) == before
    change(filled, "UPDATE ops.asset SET noncompliant = true WHERE address = :token", token=KRILL)
    compute(filled, HOLDERS, EVM.name, clock=Ticking())
    query = (
        "SELECT addresses_below_zero FROM serving.holder_distribution_daily WHERE asset = :token"
    )
    assert scalar(filled, query, token=TOKEN) == 1


def test_a_debt_stops_the_largest_holders_too(filled):
    before = rows(filled, TOP)
    owe(filled)

    assert refused(filled, TOP, EVM) == (
        "top_holders_daily: anvil 2026-03-01 was not published: no balance is below zero, unless"
        f" its asset is marked noncompliant: (asset {TOKEN}, symbol KRILL, addresses_below_zero"
        " 1). Correct what it is made from; the day is computed again then."
    )
    assert rows(filled, TOP) == before


@pytest.mark.parametrize(
    ("dataset", "anew"),
    [(HOLDERS, False), (COHORTS, False), (TOP, False), (TOP, True)],
    ids=["holders", "cohorts", "largest", "first day"],
)
def test_balances_that_their_daily_changes_do_not_explain_stop_the_publish(filled, dataset, anew):
    load_all(filled, EVM, FakeNode(EVM, branch(EVM, 8)))
    apply_blocks(filled, EVM, final_height=-1)
    if anew:
        change(filled, f"DELETE FROM {HOLDERS.table.fullname}")
    before = rows(filled, dataset)
    change(filled, "UPDATE state.balance SET balance = balance + 1000")

    with pytest.raises(DataSetError) as error:
        compute(filled, dataset, EVM.name, clock=Ticking())

    held = 7 * WHALE + 21  # blocks 0 to 6
    told = f"(asset {TOKEN}, symbol KRILL, balances {held + 3000}, changes {held})"
    assert "2026-03-02 was not published: balances = sum of their daily" in str(error.value)
    assert told in str(error.value)
    assert rows(filled, dataset) == before


def test_a_query_that_loses_a_holder_is_held_against_what_is_stored(filled, monkeypatch):
    before, whole = rows(filled, HOLDERS), balances.balances_at_day_end

    def fewer(window, assets):
        held = whole(window, assets)
        least = select(func.min(held.c.address)).scalar_subquery()
        return select(held).where(held.c.address != least).cte("fewer")

    monkeypatch.setattr(balances, "balances_at_day_end", fewer)

    assert "supply = sum of the stored balances: (asset" in refused(filled, HOLDERS, EVM)
    assert rows(filled, HOLDERS) == before


def test_a_day_before_that_is_out_of_date_refuses_nothing(filled):
    load_all(filled, EVM, FakeNode(EVM, branch(EVM, 8)))
    apply_blocks(filled, EVM, final_height=-1)
    change(filled, f"UPDATE {HOLDERS.table.fullname} SET supply = supply + 1")

    compute(filled, TOP, EVM.name, clock=Ticking())

    query = "SELECT sum(balance) FROM serving.top_holders_daily WHERE asset = :token AND day = :day"
    found = scalar(filled, query, token=TOKEN, day=date(2026, 3, 2))
    assert found == 7 * WHALE + 21


def test_more_coins_than_a_chain_has_unspent_stop_the_publish(filled):
    before = rows(filled, HOLDERS)
    change(filled, "UPDATE state.created_output_daily SET value = value - 10")

    message = refused(filled, HOLDERS, UTXO)

    assert message == (
        "holder_distribution_daily: regtest 2026-03-01 was not published: supply <= what is"
        " unspent: (asset native, symbol RTC, supply 1009999999998, unspent 1009999999978)."
        " Correct what it is made from; the day is computed again then."
    )
    assert rows(filled, HOLDERS) == before


IN_ONE_BAND = "(band_kind = 'native' AND band = '1')::integer"


@pytest.mark.parametrize(
    ("dataset", "column", "spoilt", "broken"),
    [
        (
            HOLDERS,
            "supply",
            "supply + 1",
            (
                f"supply = sum of the stored balances: (asset {TOKEN}, symbol KRILL,"
                f" supply {HELD + 1}, balances {HELD})"
            ),
        ),
        (
            HOLDERS,
            "holders_ge_1",
            "holders_ge_0_1 + 1",
            (
                "bands = what balances of at least their bound add up to:"
                f" (asset {TOKEN}, symbol KRILL, holders_ge_1 4, supply_ge_1 {HELD},"
                f" holders_ge_1_in_10k 3, supply_ge_1_in_10k {HELD})"
            ),
        ),
        (
            COHORTS,
            "supply",
            f"supply + {IN_ONE_BAND}",
            (
                f"in each kind supply = sum of the stored balances: (asset {TOKEN},"
                f" band_kind native, supply {HELD + 1}, balances {HELD})"
            ),
        ),
        (
            COHORTS,
            "net_flow",
            f"net_flow + {IN_ONE_BAND}",
            (
                f"in each kind net flows = change of the balances: (asset {TOKEN},"
                f" band_kind native, net_flow {HELD + 1}, change {HELD})"
            ),
        ),
        (
            COHORTS,
            "holders",
            f"holders + {IN_ONE_BAND}",
            f"every kind has the same holders: (asset {TOKEN}, fewest 3, most 4)",
        ),
    ],
    ids=["supply", "bands", "supply of a band", "flow of a band", "holders of a band"],
)
def test_rows_that_do_not_add_up_are_named_and_not_published(
    filled, dataset, column, spoilt, broken
):
    before = rows(filled, dataset)

    def wrong(window):
        right = dataset.rows(window).subquery()
        others = [c for c in right.c if c.name != column]
        other = literal_column(spoilt).label(column)
        return select(*others, other).where(right.c.asset == TOKEN)

    message = refused(filled, replace(dataset, rows=wrong), EVM)

    assert message == (
        f"{dataset.name}: anvil 2026-03-01 was not published: {broken}. Correct what it is made"
        " from; the day is computed again then."
    )
    assert rows(filled, dataset) == before


def test_days_that_break_a_gate_stay_dirty_and_the_others_are_published(warehouse):
    # Three days are over, the fourth is open.
    load_all(warehouse, EVM, FakeNode(EVM, branch(EVM, 13)))
    apply_blocks(warehouse, EVM, final_height=12)
    bad = [date(2026, 3, 1), date(2026, 3, 3)]

    def wrong(window):
        right = HOLDERS.rows(window).subquery()
        spoilt = literal_column("supply + 1" if window.day in bad else "supply").label("supply")
        others = [c for c in right.c if c.name != "supply"]
        return select(*others, spoilt).where(right.c.asset == TOKEN)

    with pytest.raises(DataSetError) as error:
        compute(warehouse, replace(HOLDERS, rows=wrong), EVM.name, clock=Ticking())

    first, *days = str(error.value).split("\n")
    assert first == "holder_distribution_daily: 2 days of anvil were not published."
    assert [line.split(" was not published: ")[0] for line in days] == [
        f"holder_distribution_daily: anvil {day}" for day in bad
    ]
    query = "SELECT array_agg(DISTINCT day ORDER BY day) FROM serving.holder_distribution_daily"
    assert scalar(warehouse, query) == [date(2026, 3, 2)]
    final = "SELECT count(*) FROM ops.window WHERE status = 'final'"
    assert scalar(warehouse, final) == 0
    compute(warehouse, HOLDERS, EVM.name, clock=Ticking())
    assert scalar(warehouse, query) == [date(2026, 3, day) for day in (1, 2, 3)]
