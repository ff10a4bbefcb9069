"""A day that contradicts its chain is not published, whichever gate of the network's says so.

Each damage is made good afterwards, and then the same day is published.
"""

from dataclasses import replace
from datetime import date

import pytest
from sqlalchemy import select, text

from onchain_agg.errors import DataSetError
from onchain_agg.metrics.compute import backfill, compute
from onchain_agg.metrics.definitions import sync
from onchain_agg.metrics.registry import dataset_named
from onchain_agg.warehouse.apply import apply_blocks
from onchain_agg.warehouse.partitions import ensure_partitions
from onchain_agg.warehouse.tables.chain import EVM_TRANSACTION
from tests.fakes.chain import FakeNode
from tests.fakes.scenes import EVM, UTXO, branch
from tests.fakes.warehouse import Ticking, load_all

pytestmark = pytest.mark.data

DAY = date(2026, 3, 2)
NEWEST = date(2026, 3, 4)
NETWORK, BANDS = "bitcoin_network_daily", "bitcoin_coin_age_band_daily"

COINBASE_OF_4 = "height = 4 AND tx_index = 0 AND vout = 0"

# What is broken, how it is made good, and what is said of which day of which data set.
DAMAGES = {
    "a coinbase that takes too much": (
        f"UPDATE chain.utxo_output SET value = value + 100 WHERE {COINBASE_OF_4}",
        f"UPDATE chain.utxo_output SET value = value - 100 WHERE {COINBASE_OF_4}",
        NETWORK,
        DAY,
        (
            "subsidy + fees >= coinbase output: (height 4, coinbase 5000000100, subsidy 5000000000,"
            " fees 1)"
        ),
    ),
    "a matrix that created what no block did": (
        "UPDATE state.created_output_daily SET value = value + 1 WHERE coinbase AND day = :day",
        "UPDATE state.created_output_daily SET value = value - 1 WHERE coinbase AND day = :day",
        NETWORK,
        DAY,
        (
            "supply grows by what blocks made less what they spent: (supply 1029999999995,"
            " before 1009999999998, created 4089999999926, spent 4069999999930)"
        ),
    ),
    "a UTXO set that lost a coin": (
        "UPDATE state.utxo SET value = value - 7 WHERE created_height = 11 AND coinbase",
        "UPDATE state.utxo SET value = value + 7 WHERE created_height = 11 AND coinbase",
        NETWORK,
        NEWEST,
        (
            "what the newest day left unspent is in the UTXO set:"
            " (unspent_of_the_day 1054999999953, utxo_of_the_day 1054999999946)"
        ),
    ),
    "a supply that is served otherwise": (
        f"UPDATE serving.{NETWORK}_v1 SET supply = supply + 1 WHERE day = :day",
        f"UPDATE serving.{NETWORK}_v1 SET supply = supply - 1 WHERE day = :day",
        "bitcoin_valuation_daily",
        DAY,
        (
            "supply = supply of bitcoin_network_daily: (chain regtest, day 2026-03-02,"
            " supply 1029999999994, network_supply 1029999999995)"
        ),
    ),
    "coins that were spent twice": (
        (
            "UPDATE state.created_output_daily SET value = value + CASE day WHEN :day THEN 10^12"
            " ELSE -(10^12) END WHERE coinbase AND day BETWEEN '2026-03-01' AND :day"
        ),
        (
            "UPDATE state.created_output_daily SET value = value - CASE day WHEN :day THEN 10^12"
            " ELSE -(10^12) END WHERE coinbase AND day BETWEEN '2026-03-01' AND :day"
        ),
        BANDS,
        DAY,
        (
            "of no day more is spent than was created:"
            " (created_day 2026-03-01, value -999999999992, outputs 2)"
        ),
    ),
}


@pytest.fixture(scope="module")
def bitcoin(new_database):
    with new_database() as engine:
        sync(engine)
        load_all(engine, UTXO, FakeNode(UTXO, branch(UTXO, 12)))
        apply_blocks(engine, UTXO, final_height=-1)
        for name in (NETWORK, "bitcoin_valuation_daily", BANDS):
            publish(engine, name, UTXO.name)
        yield engine


@pytest.fixture(scope="module")
def ethereum(new_database):
    with new_database() as engine:
        sync(engine)
        load_all(engine, EVM, FakeNode(EVM, branch(EVM, 4)))
        apply_blocks(engine, EVM, final_height=-1)
        ensure_partitions(engine, EVM_TRANSACTION, {date(2026, 3, 1), DAY})
        run(
            engine,
            "UPDATE chain.block SET tx_count = 1, gas_used = 21000, base_fee_per_gas = 20",
            "INSERT INTO chain.evm_transaction (chain, day, height, block_hash, tx_index, tx_hash,"
            " sender, recipient, value, gas_used, gas_price, succeeded)"
            " SELECT chain, day, height, block_hash, 0, '', '', '', 0, 21000, 25, true"
            " FROM chain.block",
        )
        publish(engine, "evm_network_daily", EVM.name)
        yield engine


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
def test_what_contradicts_the_chain_is_not_published(bitcoin, damage):
    breaking, mending, name, day, said = damage

    assert_refused(bitcoin, name, UTXO.name, day, said, breaking, mending)


@pytest.mark.parametrize(
    ("breaking", "mending", "said"),
    [
        (
            "UPDATE chain.evm_transaction SET gas_used = 20999 WHERE height = 1",
            "UPDATE chain.evm_transaction SET gas_used = 21000 WHERE height = 1",
            (
                "gas of a block's transactions = gas of the block: (height 1, gas_used 21000,"
                " of_transactions 20999)"
            ),
        ),
        (
            "UPDATE chain.block SET base_fee_per_gas = 30",
            "UPDATE chain.block SET base_fee_per_gas = 20",
            "burned <= fees: (fees_total 1575000, burned 1890000, tips -315000)",
        ),
    ],
    ids=["other gas", "more burned than paid"],
)
def test_fees_that_contradict_the_blocks_are_not_published(ethereum, breaking, mending, said):
    first = date(2026, 3, 1)

    assert_refused(ethereum, "evm_network_daily", EVM.name, first, said, breaking, mending)


def test_bands_that_lack_one_are_not_published(bitcoin):
    dataset = dataset_named(BANDS)

    def without_the_youngest(window):
        whole = dataset.rows(window).subquery()
        return select(whole).where(whole.c.band != "0d-1d")

    broken = replace(dataset, rows=without_the_youngest)
    before = served(bitcoin, BANDS)
    backfill(bitcoin, dataset, UTXO.name, DAY, DAY, force=True)

    with pytest.raises(DataSetError) as refused:
        compute(bitcoin, broken, UTXO.name, clock=Ticking())

    message = str(refused.value)
    assert "value adds up to what is unspent: (value 8, unspent 1029999999994)" in message
    assert "share adds up to 1: (share 7.76" in message
    assert (
        "spent_value adds up to what was spent: (spent_value 1009999999990, spent 4069999999930)"
        in message
    )
    assert "spent_share adds up to 1: (spent_share 0.2" in message
    assert served(bitcoin, BANDS) == before
    publish(bitcoin, BANDS, UTXO.name)


def assert_refused(engine, name, scope, day, said, breaking, mending):
    """Assert that the damage stops the day, is told, and changes nothing until it is made good."""
    dataset, before = dataset_named(name), served(engine, name)
    run(engine, breaking, day=day)
    changed = served(engine, name)
    backfill(engine, dataset, scope, day, day, force=True)

    with pytest.raises(DataSetError) as refused:
        compute(engine, dataset, scope, clock=Ticking())

    assert f"{name}: {scope} {day} was not published: " in str(refused.value)
    assert said in str(refused.value)
    assert served(engine, name) == changed
    assert day in dirty_days(engine, name)
    run(engine, mending, day=day)
    publish(engine, name, scope)
    assert served(engine, name) == before
    assert dirty_days(engine, name) - {NEWEST} == set()


def publish(engine, name, scope):
    compute(engine, dataset_named(name), scope, clock=Ticking())


def run(engine, *statements, **values):
    with engine.begin() as connection:
        for statement in statements:
            given = {k: v for k, v in values.items() if f":{k}" in statement}
            connection.execute(text(statement), given)


def served(engine, name):
    with engine.connect() as connection:
        return sorted(connection.execute(text(f"SELECT * FROM serving.{name}_v1")).all(), key=repr)


def dirty_days(engine, name):
    query = text("SELECT day FROM ops.dirty WHERE dataset = :name")
    with engine.connect() as connection:
        return set(connection.scalars(query, {"name": name}))
