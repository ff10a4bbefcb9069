"""The packaged sample through the whole pipeline, against what the nodes themselves said."""

from dataclasses import replace

import pytest
from sqlalchemy import text

from onchain_agg import sample
from onchain_agg.chains import chain_named
from onchain_agg.local.sample_market import import_sample_market
from onchain_agg.metrics.compute import compute
from onchain_agg.metrics.definitions import sync
from onchain_agg.metrics.registry import dataset_named
from onchain_agg.sources.bitcoin import BlockFileSource
from onchain_agg.sources.evm import EvmSource
from scripts.sample_market import market_files
from tests.fakes.warehouse import bring_up_to_date, publish_all

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def anvil(new_database):
    """Yield the warehouse with the recorded EVM chain in it."""
    chain = chain_named("anvil")
    with new_database() as engine, sample.running_replay() as url:
        sync(engine)
        source = EvmSource(chain, [url], genesis_alloc=sample.genesis_alloc())
        bring_up_to_date(engine, chain, source)
        yield engine


@pytest.fixture(scope="module")
def regtest(new_database):
    """Yield the warehouse with the recorded Bitcoin-family chain in it."""
    chain = chain_named("regtest")
    with new_database() as engine:
        sync(engine)
        bring_up_to_date(engine, chain, BlockFileSource(chain, sample.block_dir()))
        yield engine


def balances(engine, symbol):
    query = text(
        "SELECT '0x' || encode(b.address, 'hex'), b.balance FROM state.balance b"
        " JOIN ops.asset a USING (asset_id) WHERE a.chain = 'anvil' AND a.symbol = :symbol"
    )
    with engine.connect() as connection:
        return {address: int(n) for address, n in connection.execute(query, {"symbol": symbol})}


@pytest.mark.parametrize("symbol", ["KRILL", "CUSD"])
def test_every_token_balance_is_what_the_contract_says(anvil, symbol):
    told = sample.expected()["anvil"]["erc20"][symbol]["balances"]

    assert balances(anvil, symbol) == {a.lower(): int(n) for a, n in told.items() if int(n)}


def test_every_native_balance_is_what_the_node_says(anvil):
    told = sample.expected()["anvil"]["native_balances"]

    found = balances(anvil, "ETH")

    assert {a: found.get(a.lower(), 0) for a in told} == {a: int(n) for a, n in told.items()}


def test_supply_in_the_distribution_is_the_contracts_total_supply(anvil):
    told = sample.expected()["anvil"]["erc20"]
    # The recording ends within a day, which is otherwise computed once it is over.
    dataset = replace(dataset_named("holder_distribution_daily"), at_close=False)
    compute(anvil, dataset, "anvil")
    query = text(
        "SELECT symbol, supply, holders FROM serving.holder_distribution_daily"
        " WHERE day = (SELECT max(day) FROM serving.holder_distribution_daily)"
    )
    with anvil.connect() as connection:
        rows = {row.symbol: (int(row.supply), row.holders) for row in connection.execute(query)}

    for symbol in ("KRILL", "CUSD"):
        holders = sum(1 for n in told[symbol]["balances"].values() if int(n))
        assert rows[symbol] == (int(told[symbol]["total_supply"]), holders)


def test_an_amount_above_2_128_is_served_in_all_its_digits(anvil):
    with anvil.connect() as connection:
        largest = connection.scalar(text("SELECT max(amount) FROM serving.whale_transfer"))

    assert largest > 2**128
    assert largest == int(largest)


def test_malformed_transfers_are_counted_with_their_reason(anvil):
    with anvil.connect() as connection:
        reasons = connection.execute(
            text("SELECT reason, count(*) FROM chain.malformed_log GROUP BY reason")
        ).all()

    assert sum(count for _, count in reasons) == 4


def test_the_utxo_set_is_the_nodes(regtest):
    told = sample.expected()["regtest"]["unspent"]
    with regtest.connect() as connection:
        count, total = connection.execute(
            text("SELECT count(*), sum(value) FROM state.utxo WHERE chain = 'regtest'")
        ).one()

    assert (count, int(total)) == (told["outputs"], told["amount"])


def test_the_days_fees_issuance_and_transactions_are_the_nodes(regtest):
    blocks = sample.expected()["regtest"]["blocks"]
    query = text(
        "SELECT b.day, n.fees_total, n.issuance, n.transactions, n.size_bytes,"
        " array_agg(b.height) AS heights FROM serving.bitcoin_network_daily n"
        " JOIN chain.block b ON b.chain = n.chain AND b.day = n.day"
        " WHERE n.chain = 'regtest' GROUP BY 1, 2, 3, 4, 5"
    )
    with regtest.connect() as connection:
        days = connection.execute(query).all()

    assert len(days) == 9
    for day in days:
        its = [blocks[height] for height in day.heights]
        assert day.fees_total == sum(b.get("totalfee", 0) for b in its)
        assert day.transactions == sum(b.get("txs", 1) - 1 for b in its)
        assert day.size_bytes == sum(b["size"] for b in its)


def test_supply_is_the_sum_of_unspent_outputs_on_the_last_day(regtest):
    told = sample.expected()["regtest"]["unspent"]["amount"]
    with regtest.connect() as connection:
        supply = connection.scalar(
            text("SELECT supply FROM serving.bitcoin_network_daily ORDER BY day DESC LIMIT 1")
        )

    assert supply == told


def test_the_market_files_are_what_their_script_writes():
    for name, written in market_files().items():
        assert sample.market_file(name.removesuffix(".csv")).read_text() == written


def test_the_samples_market_prices_its_whales(anvil):
    days = import_sample_market(anvil)
    again = import_sample_market(anvil)
    publish_all(anvil)

    with anvil.connect() as connection:
        trades = connection.scalar(text("SELECT count(*) FROM market.trade WHERE venue = 'sample'"))
        candles = connection.scalar(text("SELECT sum(trades) FROM serving.market_ohlcv_1d"))
        priced = connection.execute(
            text(
                "SELECT count(*), min(usd_value) FROM serving.whale_transfer_usd"
                " WHERE usd_class <> 'unpriced'"
            )
        ).one()
        valued = connection.scalar(
            text("SELECT count(*) FROM serving.market_valuation_daily WHERE market_cap > 0")
        )
    assert (days, again) == (8, 0)
    assert (trades, candles) == (3 * 8 * 48, 3 * 8 * 48)
    assert priced.count > 0
    assert priced.min >= 100_000
    # Two tokens on eight days.
    assert valued == 16
