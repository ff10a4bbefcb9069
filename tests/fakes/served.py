"""Whether examples reached every data set: a property of empty tables says nothing."""

from sqlalchemy import Engine, text

from onchain_agg.metrics.registry import all_datasets

# Where a row alone does not show that the data set met what it is about.
_TELLING = {
    "bitcoin_coin_age_daily": "liveliness > 0",
    "bitcoin_valuation_daily": "sopr IS NOT NULL",
    "exchange_flow_daily": "inflow > 0 AND outflow > 0",
    "exchange_reserve_daily": "relabelled <> 0",
    "market_premium_daily": "fraction IS NOT NULL",
    "market_return_daily": "ret_1d IS NOT NULL",
    "market_stablecoin_ratio_daily": "ssr IS NOT NULL",
    "market_valuation_daily": "nvt IS NOT NULL",
    "nft_collection_daily": "volume_native > 0",
    "nft_holding_period_daily": "known_sales > 0",
    "nft_realised_profit_daily": "known > 0",
    "nft_trade": "usd_value IS NOT NULL",
    # Sold forth and back.
    "nft_wash_trade": "flags & 2 > 0",
    "whale_transfer_usd": "price_usd IS NOT NULL",
}


class Unserved:
    """The data sets that no example has served a telling row of yet.

    Attributes:
        names: What is left of the data sets that were asked for.
    """

    def __init__(self, wanted):
        self.names = {name for name, dataset in all_datasets().items() if wanted(dataset)}

    def look(self, engine: Engine) -> None:
        """Strike out what *engine* serves now."""
        if not self.names:
            return
        found = " UNION ALL ".join(
            f"SELECT '{name}' WHERE EXISTS (SELECT FROM serving.{name}"
            f" WHERE {_TELLING.get(name, 'true')})"
            for name in sorted(self.names)
        )
        with engine.connect() as connection:
            self.names -= set(connection.scalars(text(found)))
