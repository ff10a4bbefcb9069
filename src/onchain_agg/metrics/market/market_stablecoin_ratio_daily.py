"""Stablecoin supply ratio: how much bitcoin there is for the money that waits in stablecoins.

``ssr`` = market cap of BTC / sum of the supplies of the stablecoins, of the UTC day, all from
`market_valuation_daily`. A unit counts as the dollar that it stands for, whatever it is traded at.
A low ratio means much buying power.

Which coins count is part of ``variant``, because it decides the value:

* ``usdt``: USDT.
* ``usdt_usdc``: USDT, USDC.
* ``usdt_usdc_dai``: USDT, USDC, DAI.
* ``usdt_usdc_dai_busd_tusd``: USDT, USDC, DAI, BUSD, TUSD.

Known gaps: supplies are imported, so ``ssr`` is of the chains that the import counts.
Edge cases: NULL where the market cap of BTC or the supply of one of the coins is missing; a coin
that does not exist yet must be imported with supply 0, or its variant begins later. No price of a
coin is needed. A day without any of them has no row.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Numeric,
    Select,
    Table,
    Text,
    case,
    column,
    func,
    or_,
    select,
    values,
)

from onchain_agg.metrics.dataset import SAME_DAY, SERVING, DataSet, Window
from onchain_agg.metrics.formulas import ratio
from onchain_agg.metrics.market import market_valuation_daily
from onchain_agg.warehouse.types import DAY, NAME

_VARIANTS = (
    ("USDT",),
    ("USDT", "USDC"),
    ("USDT", "USDC", "DAI"),
    ("USDT", "USDC", "DAI", "BUSD", "TUSD"),
)

TABLE = Table(
    "market_stablecoin_ratio_daily_v1",
    SERVING,
    Column("day", DAY, primary_key=True, comment="UTC day."),
    Column("variant", NAME, primary_key=True, comment="The stablecoins, joined by _."),
    Column("ssr", Double, comment="Bitcoin's market cap / the stablecoins' supply."),
    Column("btc_market_cap", Double, comment="US dollar."),
    Column("stablecoin_supply", Numeric, comment="Whole units; NULL where one is missing."),
    Column("coins", BigInteger, nullable=False, comment="Stablecoins with a supply."),
)


def rows(window: Window) -> Select[Any]:
    """Return the ratio of each variant."""
    pairs = [("_".join(coins).lower(), coin, len(coins)) for coins in _VARIANTS for coin in coins]
    member = values(
        column("variant", Text), column("coin", Text), column("size", BigInteger), name="member"
    ).data(pairs)
    worth = market_valuation_daily.TABLE.c
    today = (
        select(worth.asset, worth.market_cap, worth.supply)
        .where(worth.day == window.day)
        .cte("today")
    )
    bitcoin = select(today.c.market_cap).where(today.c.asset == "BTC").scalar_subquery()
    found = func.count(today.c.supply)
    coins = case((found == member.c.size, func.sum(today.c.supply)))
    return (
        select(
            window.day_label(),
            member.c.variant,
            ratio(bitcoin, coins).label("ssr"),
            bitcoin.label("btc_market_cap"),
            coins.label("stablecoin_supply"),
            found.label("coins"),
        )
        .outerjoin_from(member, today, today.c.asset == member.c.coin)
        .group_by(member.c.variant, member.c.size)
        .having(or_(found > 0, bitcoin.is_not(None)))
    )


DATASET = DataSet(
    name="market_stablecoin_ratio_daily",
    table=TABLE,
    family="market",
    scope="global",
    reads=(market_valuation_daily.TABLE,),
    reach=SAME_DAY,
    grain="day",
    workload="market_worker",
    rows=rows,
    highlights=("ssr", "variant", "stablecoin_supply"),
)
