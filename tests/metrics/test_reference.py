"""The data sets against series and figures that others published."""

import json
from datetime import date
from decimal import Decimal

import pytest
from sqlalchemy import create_engine, insert, text

from onchain_agg.chains import chain_named
from onchain_agg.metrics.dataset import Window
from onchain_agg.metrics.inputs import chain_window
from onchain_agg.metrics.network import bitcoin_network_daily
from onchain_agg.metrics.whale import holder_distribution_daily, top_holders_daily
from onchain_agg.sources.bitcoin import BlockFileSource
from onchain_agg.warehouse.apply import apply_blocks
from onchain_agg.warehouse.ingest import load
from onchain_agg.warehouse.schema import migrate
from onchain_agg.warehouse.tables import ops, state
from tests.fakes.published import BLOCK_FILE, NAMES, published_days

pytestmark = pytest.mark.data

BITCOIN = chain_named("bitcoin")
GENESIS_DAY = date(2015, 7, 30)
GENESIS = Window("ethereum", GENESIS_DAY, 0, 0, 0)


@pytest.fixture(scope="module")
def bitcoin(warehouse, real_data):
    """Load blocks 0 to 4312 of Bitcoin into a database of their own."""
    with warehouse.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("CREATE DATABASE bitcoin"))
    url = warehouse.url.set(database="bitcoin")
    engine = create_engine(url, connect_args={"options": "-c timezone=UTC"})
    migrate(engine)
    with engine.begin() as connection:
        connection.execute(insert(ops.ASSET), native_asset(BITCOIN))
    source = BlockFileSource(BITCOIN, real_data / BLOCK_FILE)
    load(engine, BITCOIN, source, 0, 4312)
    apply_blocks(engine, BITCOIN, final_height=4306)
    yield engine
    engine.dispose()


@pytest.fixture
def genesis(connection, real_data):
    """Load the balances of Ethereum's genesis block, as the state after it."""
    connection.execute(insert(ops.ASSET), native_asset(chain_named("ethereum")))
    asset_id = connection.scalar(text("SELECT asset_id FROM ops.asset"))
    accounts = json.loads((real_data / "ethereum" / "genesis_mainnet.json").read_text())["accounts"]
    held = {name: int(account.get("balance", "0x0"), 16) for name, account in accounts.items()}
    rows = [
        {"asset_id": asset_id, "address": bytes.fromhex(name[2:]), "balance": balance}
        for name, balance in held.items()
        if balance > 0
    ]
    connection.execute(insert(state.BALANCE), rows)


def native_asset(chain):
    (coin,) = [asset for asset in chain.tracked_assets if asset.address is None]
    return {
        "chain": chain.name,
        "address": b"",
        "symbol": coin.symbol,
        "decimals": coin.decimals,
        "start_block": 0,
        "whale_threshold": coin.whale_threshold,
        "tracked": True,
        "noncompliant": False,
    }


def test_bitcoins_first_36_days_equal_the_published_series(bitcoin, real_data):
    published = published_days(real_data)

    with bitcoin.connect() as connection:
        found = {day: network_day(connection, day) for day in published}
    assert {day: {name: row[name] for name in NAMES} for day, row in found.items()} == published
    assert len(published) == 36


def test_the_supply_grows_by_the_issuance_from_the_first_spendable_block(bitcoin):
    with bitcoin.connect() as connection:
        genesis, first, second = (network_day(connection, date(2009, 1, day)) for day in (3, 9, 10))

    assert (genesis["issuance"], genesis["supply"], genesis["active_addresses"]) == (0, 0, 0)
    assert (first["issuance"], first["supply"]) == (19 * 50 * 10**8, 19 * 50 * 10**8)
    assert (second["issuance"], second["supply"]) == (61 * 50 * 10**8, 80 * 50 * 10**8)
    assert first["hash_rate_ths"] == pytest.approx(19 * 2**32 / 86_400 / 10**12, rel=1e-15)


def test_bitcoins_holders_are_as_many_as_published_and_hold_the_supply(bitcoin, real_data):
    published = published_days(real_data)

    for day, known in published.items():
        with bitcoin.connect() as connection:
            window = chain_window(connection, "bitcoin", day)
            row = connection.execute(holder_distribution_daily.rows(window)).mappings().one()
            supply = network_day(connection, day)["supply"]
        assert (row["holders"], row["supply"]) == (known["addresses_with_balance"], supply)
        # Among 19 addresses the top 10 % are one, which has the 50 coins of one block.
        if day == date(2009, 1, 9):
            assert row["top_10pct_share"] == 1 / 19


@pytest.mark.usefixtures("genesis")
def test_ethers_genesis_allocation_is_as_concentrated_as_published(computed):
    (row,) = computed(holder_distribution_daily.DATASET, GENESIS)

    assert (row["asset"], row["supply"]) == ("native", 72_009_990_499_480_000_000_000_000)
    assert row["hhi"] == pytest.approx(0.0292987160615, abs=5e-14)
    assert row["top_10_share"] == pytest.approx(0.253988, abs=5e-7)
    assert row["top_100_share"] == pytest.approx(0.504626, abs=5e-7)
    # Two of the 8,893 published accounts are empty. They are no holders, but the published Gini
    # counts them; z empty accounts beside n holders turn a Gini g into (n g + z) / (n + z).
    assert row["holders"] == 8_891
    assert (8_891 * row["gini"] + 2) / 8_893 == pytest.approx(0.857906580602, abs=5e-13)


@pytest.mark.usefixtures("genesis")
def test_the_largest_genesis_accounts_hold_the_published_share(computed):
    rows = computed(top_holders_daily.DATASET, GENESIS)

    top_10 = sum(sorted(row["balance"] for row in rows)[-10:])
    assert len(rows) == 1_000
    assert round(100 * top_10 / 72_009_990_499_480_000_000_000_000, 4) == Decimal("25.3988")


def network_day(connection, day):
    window = chain_window(connection, "bitcoin", day)
    return connection.execute(bitcoin_network_daily.rows(window)).mappings().one()
