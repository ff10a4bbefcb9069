"""What is made from balances is held against them before readers see it."""

from dataclasses import replace

import pytest
from sqlalchemy import literal_column, select, text

from onchain_agg.errors import DataSetError
from onchain_agg.metrics.compute import backfill, compute
from onchain_agg.metrics.registry import dataset_named
from onchain_agg.warehouse.apply import apply_blocks
from tests.fakes.chain import FakeNode
from tests.fakes.scenes import EVM, KRILL, PEOPLE, UTXO, WHALE, branch, scalar
from tests.fakes.warehouse import Ticking, load_all

pytestmark = pytest.mark.data

TOKEN = "0x" + KRILL.hex()
HELD = 3 * WHALE + 3  # KRILL on the first day: blocks 0 to 2
HOLDERS, COHORTS = dataset_named("holder_distribution_daily"), dataset_named("whale_cohort_daily")


@pytest.fixture
def filled(warehouse):
    """Return a warehouse in which a day of both kinds of chain is over and published."""
    for chain in (EVM, UTXO):
        load_all(warehouse, chain, FakeNode(chain, branch(chain, 5)))
        apply_blocks(warehouse, chain, final_height=-1)
        for dataset in (HOLDERS, COHORTS):
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


def test_a_balance_below_zero_stops_the_publish_until_the_asset_may_have_one(filled):
    before = rows(filled, HOLDERS)
    change(
        filled,
        "UPDATE state.balance SET balance = -7 WHERE address = :who AND asset_id ="
        " (SELECT asset_id FROM ops.asset WHERE chain = 'anvil' AND address = :token)",
        who=PEOPLE[0],
        token=KRILL,
    )

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


def test_more_coins_than_a_chain_has_unspent_stop_the_publish(filled):
    before = rows(filled, HOLDERS)
    change(filled, "UPDATE state.created_output_daily SET value = value - 10")

    message = refused(filled, HOLDERS, UTXO)

    assert message == (
        "holder_distribution_daily: regtest 2026-03-01 was not published: supply <= what is"
        " unspent: (asset native, symbol RTC, supply 89999999998, unspent 89999999978). Correct"
        " what it is made from; the day is computed again then."
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
                f"bands add up to holders and supply: (asset {TOKEN}, symbol KRILL, holders 3,"
                f" supply {HELD})"
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
