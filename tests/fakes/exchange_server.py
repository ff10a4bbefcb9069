"""Exchanges on loopback that page as the real ones do, over what a test says has happened.

Each speaks the part of its exchange's API that ccxt asks for, so the paging, the parsing and the
limits are those of production. Times are milliseconds since 1970.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from onchain_agg.sources.market import ExchangeAccess, open_exchange
from tests.fakes.http_server import Served, serving

DAY_MS = 86_400_000


@dataclass(frozen=True)
class Deal:
    """One trade as the fakes keep it; price and amount are the texts that they hand out."""

    number: int
    at_ms: int
    price: str = "100.5"
    amount: str = "0.1"
    side: str = "buy"


@dataclass
class Exchange:
    """What an exchange knows, and how much of it an answer holds."""

    deals: list[Deal] = field(default_factory=list)
    candles: list[list[Any]] = field(default_factory=list)
    rates: list[tuple[int, str]] = field(default_factory=list)
    interest: list[tuple[int, str]] = field(default_factory=list)
    page: int = 1000
    # Answers instead of the next one: a status and a body, or None for the usual answer.
    instead: list[tuple[int, bytes] | None] = field(default_factory=list)


@contextmanager
def asking(
    name: str, exchange: Exchange, now_ms: int, *, timeout_s: float = 5.0
) -> Iterator[tuple[Any, Served]]:
    """Yield ccxt's client of the exchange *name*, whose clock says *now_ms*, and the server."""
    answers = _EXCHANGES[name]

    def answer(path: str, _body: bytes) -> tuple[int, bytes]:
        parts = urlsplit(path)
        asked = {key: values[0] for key, values in parse_qs(parts.query).items()}
        find = next((found for end, found in answers.items() if parts.path.endswith(end)), None)
        if find is None:
            return 404, json.dumps({"error": f"no {parts.path}"}).encode()
        listing = find in _LISTINGS
        if not listing and exchange.instead and (other := exchange.instead.pop(0)) is not None:
            return other
        return 200, json.dumps(find(exchange, asked)).encode()

    with serving(answer) as served:
        client = open_exchange(
            ExchangeAccess(
                exchange=name, url=served.url, calls_per_second=10_000, timeout_s=timeout_s
            )
        )
        client.milliseconds = lambda: now_ms
        # ccxt waits by the weight that it knows of each call.
        client.enableRateLimit = False
        try:
            yield client, served
        finally:
            client.session.close()


def _listed(symbol: str, base: str, quote: str) -> dict[str, Any]:
    return {
        "symbol": symbol,
        "status": "TRADING",
        "baseAsset": base,
        "quoteAsset": quote,
        "isSpotTradingAllowed": True,
        "permissions": ["SPOT"],
        "filters": [],
    }


def _binance_spot(_exchange: Exchange, _asked: dict[str, str]) -> Any:
    return {"symbols": [_listed("BTCUSDT", "BTC", "USDT"), _listed("XRPETH", "XRP", "ETH")]}


def _binance_linear(_exchange: Exchange, _asked: dict[str, str]) -> Any:
    perpetual = {
        **_listed("BTCUSDT", "BTC", "USDT"),
        "contractType": "PERPETUAL",
        "marginAsset": "USDT",
        "pair": "BTCUSDT",
    }
    return {"symbols": [perpetual]}


def _binance_inverse(_exchange: Exchange, _asked: dict[str, str]) -> Any:
    return {"symbols": []}


def _binance_trades(exchange: Exchange, asked: dict[str, str]) -> Any:
    if "fromId" in asked and "startTime" in asked:
        return {"code": -1128, "msg": "Combination of optional parameters invalid."}
    deals = exchange.deals
    if "fromId" in asked:
        found = [d for d in deals if d.number >= int(asked["fromId"])]
    else:
        first, last = int(asked["startTime"]), int(asked["endTime"])
        found = [d for d in deals if first <= d.at_ms <= last]
    return [
        {
            "a": d.number,
            "p": d.price,
            "q": d.amount,
            "f": d.number,
            "l": d.number,
            "T": d.at_ms,
            "m": d.side == "sell",
            "M": True,
        }
        for d in found[: exchange.page]
    ]


def _binance_candles(exchange: Exchange, asked: dict[str, str]) -> Any:
    found = [c for c in exchange.candles if c[0] >= int(asked["startTime"])]
    return [[*c, c[0] + 1, "0", 1, "0", "0", "0"] for c in found[: exchange.page]]


def _binance_rates(exchange: Exchange, asked: dict[str, str]) -> Any:
    found = [r for r in exchange.rates if r[0] >= int(asked["startTime"])]
    return [
        {"symbol": "BTCUSDT", "fundingRate": rate, "fundingTime": at, "markPrice": "1"}
        for at, rate in found[: int(asked["limit"])]
    ]


def _binance_interest(exchange: Exchange, asked: dict[str, str]) -> Any:
    first, last = int(asked["startTime"]), int(asked["endTime"])
    return [
        {
            "symbol": "BTCUSDT",
            "sumOpenInterest": "1",
            "sumOpenInterestValue": value,
            "timestamp": at,
        }
        for at, value in exchange.interest
        if first <= at <= last
    ]


def _kraken_currencies(_exchange: Exchange, _asked: dict[str, str]) -> Any:
    return {"error": [], "result": {}}


def _kraken_markets(_exchange: Exchange, _asked: dict[str, str]) -> Any:
    pair = {
        "altname": "XBTUSD",
        "wsname": "XBT/USD",
        "base": "XXBT",
        "quote": "ZUSD",
        "pair_decimals": 1,
        "lot_decimals": 8,
        "status": "online",
    }
    return {"error": [], "result": {"XXBTZUSD": pair}}


def _kraken_trades(exchange: Exchange, asked: dict[str, str]) -> Any:
    since = int(asked["since"])
    found = [d for d in exchange.deals if d.at_ms * 1_000_000 > since][: exchange.page]
    rows = [
        [d.price, d.amount, d.at_ms / 1000, "b" if d.side == "buy" else "s", "m", "", d.number]
        for d in found
    ]
    last = str(found[-1].at_ms * 1_000_000 if found else since)
    return {"error": [], "result": {"XXBTZUSD": rows, "last": last}}


def _kraken_candles(exchange: Exchange, asked: dict[str, str]) -> Any:
    # Kraken hands out its newest candles, whatever was asked for.
    found = [c for c in exchange.candles if c[0] > int(asked["since"]) * 1000][-exchange.page :]
    rows = [[c[0] // 1000, *c[1:5], "0", c[5], 1] for c in found]
    return {"error": [], "result": {"XXBTZUSD": rows, "last": 0}}


def _coinbase_markets(_exchange: Exchange, _asked: dict[str, str]) -> Any:
    product = {
        "product_id": "BTC-USD",
        "base_currency_id": "BTC",
        "quote_currency_id": "USD",
        "base_increment": "0.00000001",
        "quote_increment": "0.01",
        "price_increment": "0.01",
        "product_type": "SPOT",
        "status": "online",
        "trading_disabled": False,
    }
    return {"products": [product], "num_products": 1}


def _coinbase_nothing(_exchange: Exchange, _asked: dict[str, str]) -> Any:
    return {"data": [], "products": []}


def _coinbase_trades(exchange: Exchange, asked: dict[str, str]) -> Any:
    first, last = int(asked["start"]) * 1000, int(asked["end"]) * 1000
    # The newest of the span, so what an answer has no room for is missing at its beginning.
    found = [d for d in exchange.deals if first <= d.at_ms < last][-exchange.page :]
    return {
        "trades": [
            {
                "trade_id": str(d.number),
                "product_id": "BTC-USD",
                "price": d.price,
                "size": d.amount,
                "time": datetime.fromtimestamp(d.at_ms / 1000, UTC).isoformat(
                    timespec="milliseconds"
                ),
                "side": d.side.upper(),
            }
            for d in reversed(found)
        ]
    }


def _upbit_markets(_exchange: Exchange, _asked: dict[str, str]) -> Any:
    return [{"market": "KRW-BTC", "korean_name": "-", "english_name": "Bitcoin"}]


def _upbit_trades(exchange: Exchange, asked: dict[str, str]) -> Any:
    newest = max(d.at_ms for d in exchange.deals) // DAY_MS
    day = newest - int(asked.get("daysAgo", 0))
    before = int(asked.get("cursor", 2**62))
    found = [d for d in exchange.deals if d.at_ms // DAY_MS == day and d.number < before]
    return [
        {
            "market": "KRW-BTC",
            "timestamp": d.at_ms,
            "trade_price": float(d.price),
            "trade_volume": float(d.amount),
            "ask_bid": "BID" if d.side == "buy" else "ASK",
            "sequential_id": d.number,
        }
        for d in reversed(found[-exchange.page :])
    ]


_Answer = Callable[[Exchange, dict[str, str]], Any]
_EXCHANGES: dict[str, dict[str, _Answer]] = {
    "binance": {
        "/api/v3/exchangeInfo": _binance_spot,
        "/fapi/v1/exchangeInfo": _binance_linear,
        "/dapi/v1/exchangeInfo": _binance_inverse,
        "/aggTrades": _binance_trades,
        "/klines": _binance_candles,
        "/fundingRate": _binance_rates,
        "/openInterestHist": _binance_interest,
    },
    "kraken": {
        "/public/Assets": _kraken_currencies,
        "/public/AssetPairs": _kraken_markets,
        "/public/Trades": _kraken_trades,
        "/public/OHLC": _kraken_candles,
    },
    "coinbase": {
        "/ticker": _coinbase_trades,
        "/market/products": _coinbase_markets,
        "/currencies": _coinbase_nothing,
        "/currencies/crypto": _coinbase_nothing,
        "/exchange-rates": _coinbase_nothing,
    },
    "upbit": {"/market/all": _upbit_markets, "/trades/ticks": _upbit_trades},
    # Its API is a copy of Upbit's.
    "bithumb": {"/market/all": _upbit_markets, "/trades/ticks": _upbit_trades},
}
_LISTINGS = {
    _binance_spot,
    _binance_linear,
    _binance_inverse,
    _kraken_currencies,
    _kraken_markets,
    _coinbase_markets,
    _coinbase_nothing,
    _upbit_markets,
}
