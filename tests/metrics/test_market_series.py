"""The market's data sets against candles, premiums and figures that others published."""

import csv
import gzip
import json
import os
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pytest
from pyarrow import feather
from sqlalchemy import insert, select

from onchain_agg.metrics.dataset import Window
from onchain_agg.metrics.market import (
    market_ohlcv_1d,
    market_ohlcv_1m,
    market_premium_daily,
    market_price_1m,
    market_price_daily,
    market_return_daily,
    market_valuation_daily,
)
from onchain_agg.metrics.network import bitcoin_network_daily
from onchain_agg.warehouse.tables.market import (
    ASSET_DAILY,
    FX_RATE,
    TRADE,
)

pytestmark = pytest.mark.data

# So that a run takes seconds, a part of the days is looked at: every weekday among them. All of
# them with HYPOTHESIS_PROFILE=thorough.
THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
KNOWN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def served(connection):
    """Create the tables of every data set that the ones here read."""
    for dataset in (
        market_ohlcv_1m,
        market_ohlcv_1d,
        market_price_1m,
        market_price_daily,
        market_valuation_daily,
        market_return_daily,
        market_premium_daily,
        bitcoin_network_daily,
    ):
        dataset.TABLE.create(connection)
    return connection


def test_candles_from_trades_are_the_published_ones(served, real_data):
    published = feather.read_table(real_data / "market" / "XRP_ETH-1m.feather").to_pylist()
    packed = (real_data / "market" / "XRP_ETH-trades.json.gz").read_bytes()
    trades = json.loads(gzip.decompress(packed), parse_float=Decimal)
    served.execute(insert(TRADE), [trade("binance", "XRP/ETH", *fields) for fields in trades])

    for day in sorted({row["date"].date() for row in published}):
        publish(served, market_ohlcv_1m, day, "binance")

    candle = market_ohlcv_1m.TABLE.c
    columns = (candle.open_at, candle.open, candle.high, candle.low, candle.close, candle.volume)
    found = served.execute(select(*columns).order_by(candle.open_at)).all()
    expected = [tuple(row.values()) for row in published]
    assert len(expected) == 2469
    assert [(at, *map(float, numbers)) for at, *numbers in found] == expected


def test_returns_and_volatility_are_those_of_coin_metrics(served, real_data):
    days = coin_metrics(real_data, "eth")
    load_asset(served, "ETH", days)
    wanted = {
        "roi_30d": ("ROI30d", 100, 1e-9, 0),
        "roi_1y": ("ROI1yr", 100, 1e-9, 0),
        "vol_30d": ("VtyDayRet30d", 1, 1e-9, 0),
        "vol_60d": ("VtyDayRet60d", 1, 1e-9, 0),
        "vol_180d": ("VtyDayRet180d", 1, 1e-9, 0),
    }

    compared, surplus = compare(served, market_return_daily, {"ETH": days}, wanted, every=8)

    assert surplus == set()
    assert min(compared.values()) >= 140


def test_market_caps_and_their_ratios_are_those_of_coin_metrics(served, real_data):
    assets = {name: coin_metrics(real_data, name.lower()) for name in ("ETH", "UNI", "COMP", "MKR")}
    for name, days in assets.items():
        load_asset(served, name, days)
    wanted = {
        "market_cap": ("CapMrktCurUSD", 1, 1e-9, 0),
        # Printed with eight decimals.
        "nvt": ("NVTAdj", 1, 1e-9, 5.1e-9),
        "nvt_90d": ("NVTAdj90", 1, 1e-9, 5.1e-9),
        "mvrv": ("CapMVRVCur", 1, 2e-8, 0),
    }

    compared, surplus = compare(served, market_valuation_daily, assets, wanted, every=25)

    # Its mean of 90 days begins with the 91st day; those of the other assets with the 90th.
    assert surplus <= {("UNI", date(2020, 12, 16), "NVTAdj90")}
    assert min(compared.values()) >= 90


def test_premium_is_the_published_one_with_exchange_rates_of_banking_days_only(served, real_data):
    path = real_data / "market" / "kimchi_premium_daily_2017-09_2020-12.json"
    published = {date.fromisoformat(row["date"]): row for row in json.loads(path.read_text())}
    served.execute(insert(market_ohlcv_1d.TABLE), [won_candle(*one) for one in published.items()])
    served.execute(
        insert(market_price_daily.TABLE),
        [price("BTC", day, row["foreignUsd"]) for day, row in published.items()],
    )
    fixings = {day: row for day, row in published.items() if day.weekday() < 5}
    served.execute(insert(FX_RATE), [fixing(day, row["fx_rate"]) for day, row in fixings.items()])

    far_off = {}
    for day, row in list(published.items())[:: 1 if THOROUGH else 4]:
        query = rows_of(market_premium_daily, day).subquery().c
        of_venue = select(query.fraction).where(query.premium == "kimchi_upbit")
        percent = 100 * served.scalars(of_venue).one()
        if abs(percent - row["btc_premium_pct"]) > 0.005:
            far_off[day] = (percent, row["btc_premium_pct"])

    assert len(published) == 1194
    assert far_off == {}


def trade(venue, market, ms, trade_id, _, side, price, amount, __):
    """Return a row of the fact table from one of freqtrade's trades."""
    at = datetime.fromtimestamp(ms // 1000, UTC) + timedelta(milliseconds=ms % 1000)
    return {
        "venue": venue,
        "day": at.date(),
        "market": market,
        "trade_id": trade_id,
        "traded_at": at,
        "price": price,
        "amount": amount,
        "side": side,
        "known_from": KNOWN,
    }


def coin_metrics(real_data, asset):
    """Return the days of Coin Metrics' file of *asset*, the figures as text."""
    (path,) = (real_data / "reference").glob(f"coinmetrics_{asset}_daily*")
    packed = path.read_bytes()
    text = (gzip.decompress(packed) if path.suffix == ".gz" else packed).decode()
    rows = csv.DictReader(text.splitlines())
    return {date.fromisoformat(row.get("date") or row["time"]): row for row in rows}


def load_asset(connection, asset, days):
    """Insert prices as served, and supply, transfers and realised cap of *days* as imported."""
    prices = [price(asset, day, row["PriceUSD"]) for day, row in days.items() if row["PriceUSD"]]
    facts = [
        {
            "source": "coinmetrics",
            "day": day,
            "asset": asset,
            "supply": decimal(row["SplyCur"]),
            "transfer_value": decimal(row["TxTfrValAdjNtv"]),
            "realized_cap_usd": decimal(row.get("CapRealUSD")),
            "known_from": KNOWN,
        }
        for day, row in days.items()
        if row["SplyCur"]
    ]
    connection.execute(insert(market_price_daily.TABLE), prices)
    connection.execute(insert(ASSET_DAILY), facts)


def price(asset, day, usd):
    midnight = datetime.combine(day, time(), UTC)
    close = {"close_usd": float(usd), "basis": "reference", "priced_at": midnight}
    return {"day": day, "asset": asset, **close}


def won_candle(day, row):
    """Return a day's candle of BTC in won; the file tells its low and its close."""
    prices = dict.fromkeys(("open", "high", "close"), row["btc_krw_price"])
    prices["low"] = row["btc_krw_low"]
    of = {"venue": "upbit", "day": day, "market": "BTC/KRW", "volume": 1, "from_candle": True}
    return {**of, **prices}


def fixing(day, rate):
    pair = {"source": "bank", "base": "USD", "quote": "KRW"}
    return {**pair, "day": day, "rate": rate, "known_from": KNOWN}


def decimal(field):
    return Decimal(field) if field else None


def publish(connection, module, day, scope="global"):
    """Compute a day into the data set's own table."""
    query = module.rows(Window(scope, day))
    names = [column.name for column in query.selected_columns]
    connection.execute(insert(module.TABLE).from_select(names, query))


def compare(connection, module, assets, wanted, every):
    """Compare what is computed with what is published, on some days.

    Looks at one day of *every*, and at the first and the last that have each figure; a published
    figure that is not computed, or another one, fails.

    Returns:
        How many of each figure were compared, and those that were computed but not published.
    """
    compared, surplus = dict.fromkeys(wanted, 0), set()
    for day in sample(assets, wanted, 1 if THOROUGH else every):
        computed = {row.asset: row for row in connection.execute(rows_of(module, day))}
        for asset, days in assets.items():
            for column, (name, factor, *tolerance) in wanted.items():
                published = days.get(day, {}).get(name)
                value = getattr(computed.get(asset), column, None)
                if published:
                    agreed = pytest.approx(float(published), *tolerance)
                    assert value is not None, (asset, day, name)
                    assert value * factor == agreed, (asset, day, name)
                    compared[column] += 1
                elif published == "" and value is not None:
                    surplus.add((asset, day, name))
    return compared, surplus


def sample(assets, wanted, every):
    found = {day for days in assets.values() for day in list(days)[::every]}
    for days in assets.values():
        for name, *_ in wanted.values():
            having = [day for day, row in days.items() if row.get(name)]
            found |= {*having[:1], *having[-1:]}
    return sorted(found)


def rows_of(module, day):
    return module.rows(Window("global", day))
