"""One sort of all balances ranks those of each asset as a sort of its own would."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Integer, Numeric, column, func, select, values

from onchain_agg.metrics.holder_ranks import TOP_COUNTS, TOP_PERCENTS, ranked_sums

pytestmark = pytest.mark.data

# Few values, so that balances are equal within an asset and between assets.
BALANCES = st.lists(
    st.one_of(st.integers(-2, 4), st.integers(2**256 - 3, 2**256 - 1)), max_size=150
)
ASSETS = st.dictionaries(st.integers(1, 9), BALANCES, min_size=1, max_size=4)


def expected(balances):
    ranked = sorted((one for one in balances if one > 0), reverse=True)
    firsts = {f"top_{k}": k for k in TOP_COUNTS}
    firsts |= {f"top_{p}pct": max(1, len(ranked) * p // 100) for p in TOP_PERCENTS}
    return {
        "ranked": sum(rank * one for rank, one in enumerate(ranked, start=1)),
        **{name: sum(ranked[:count]) for name, count in firsts.items()},
    }


def found(connection, assets):
    rows = [(asset, one) for asset, balances in assets.items() for one in balances]
    given_rows = values(column("asset_id", Integer), column("balance", Numeric), name="given")
    held = select(given_rows.data(rows)).cte("held")
    above = held.c.balance > 0
    totals = (
        select(
            held.c.asset_id,
            func.count().filter(above).label("holders"),
            func.max(held.c.balance).filter(above).label("largest"),
        )
        .group_by(held.c.asset_id)
        .cte("totals")
    )
    query = select(ranked_sums(held, totals))
    return {row.pop("asset_id"): row for row in map(dict, connection.execute(query).mappings())}


def test_each_asset_is_ranked_by_itself(warehouse):
    @given(assets=ASSETS)
    def check(assets):
        if not any(assets.values()):
            return
        with warehouse.connect() as connection:
            assert found(connection, assets) == {
                asset: expected(balances)
                for asset, balances in assets.items()
                if any(one > 0 for one in balances)
            }

    check()
