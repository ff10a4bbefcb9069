"""Ethereum's real genesis allocation through the whole pipeline."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from onchain_agg.chains import chain_named
from onchain_agg.metrics.definitions import sync
from onchain_agg.sources.opening import read_genesis
from tests.fakes.chain import FakeNode, Transfer, block
from tests.fakes.warehouse import bring_up_to_date

pytestmark = [pytest.mark.data, pytest.mark.few_data_sets]

CHAIN = chain_named("ethereum")
# The header's own time; the chain began in 2015.
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ALLOCATED = 72_009_990_499_480_000_000_000_000  # wei


def test_the_genesis_file_becomes_the_published_concentration(engine, real_data):
    alloc = read_genesis(real_data / "ethereum" / "genesis_mainnet.json")
    moves = [Transfer(None, None, to, wei, "genesis") for to, wei in sorted(alloc.items())]
    sync(engine)

    first = block(None, transfers=moves, at=EPOCH)
    # Holders are counted once the day is over.
    second = block(first, at=EPOCH + timedelta(days=1))
    bring_up_to_date(engine, CHAIN, FakeNode(CHAIN, [first, second]))

    query = text("SELECT * FROM serving.holder_distribution_daily WHERE asset = 'native'")
    top = text(
        "SELECT sum(balance) FROM serving.top_holders_daily WHERE asset = 'native' AND rank <= 10"
    )
    with engine.connect() as connection:
        row = connection.execute(query).mappings().one()
        ten = connection.scalar(top)
    assert (row["holders"], row["supply"]) == (8_891, ALLOCATED)
    assert row["hhi"] == pytest.approx(0.0292987160615, abs=5e-14)
    assert (round(100 * row["top_10_share"], 4), round(100 * row["top_100_share"], 4)) == (
        25.3988,
        50.4626,
    )
    assert round(100 * float(ten / ALLOCATED), 4) == 25.3988
    # The published Gini counts the two of the 8,893 listed accounts that are empty: ADR 8.
    assert (8_891 * row["gini"] + 2) / 8_893 == pytest.approx(0.857906580602, abs=5e-13)
