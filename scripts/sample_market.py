"""Writes the market of the packaged sample: ``python -m scripts.sample_market [folder]``.

Nobody trades the sample's assets, so every price is made up: a walk from a fixed seed, which gives
the same bytes each time.
"""

import csv
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path
from random import Random

from onchain_agg import sample

_SEED = 20260301
_FIRST_DAY = datetime(2026, 3, 1, tzinfo=UTC)
_DAYS = 8
_APART = timedelta(minutes=30)
_STEPS = _DAYS * timedelta(days=1) // _APART
# Of each asset: the first price in US dollar, the finest step of a price, and a usual amount. The
# sample's token with 38 digits before the point has to cost as little as it does.
_MARKETS = {
    "CUSD": (Decimal("0.9998"), Decimal("0.0001"), 50_000),
    "KRILL": (Decimal("0.0000000000000125"), Decimal("0.0000000000000001"), 10**18),
    "RTC": (Decimal("2410.50"), Decimal("4.25"), 40),
}
_TRADE = ("market", "trade_id", "traded_at", "price", "amount", "side")
_ASSET = ("day", "asset", "supply", "transfer_value")
_TOKENS = ("CUSD", "KRILL")


def main() -> None:
    """Write the files into the folder that is named, else into the package."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else sample.market_file("trades").parent
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in market_files().items():
        (folder / name).write_text(text, encoding="utf-8")


def market_files() -> dict[str, str]:
    """Return the text of each file by its name."""
    return {
        "trades.csv": _csv(_TRADE, _trades()),
        "assets.csv": _csv(_ASSET, _assets()),
    }


def _trades() -> Iterator[tuple[object, ...]]:
    for asset, (price, step, usual) in _MARKETS.items():
        random = Random(f"{_SEED} {asset}")  # noqa: S311 - made-up prices
        for number in range(_STEPS):
            price = max(step, price + step * random.randint(-3, 3))  # noqa: PLW2901 - a walk
            # Off the full half hour, so that no trade is on an edge of its minute.
            at = _FIRST_DAY + number * _APART + timedelta(seconds=random.randint(1, 1700))
            amount = Decimal(usual * random.randint(1, 400)) / 100
            side = random.choice(("buy", "sell"))
            yield f"{asset}/USD", number + 1, at.isoformat(), f"{price:f}", f"{amount:f}", side


def _assets() -> Iterator[tuple[object, ...]]:
    tokens = sample.expected()["anvil"]["erc20"]
    for symbol in _TOKENS:
        random = Random(f"{_SEED} {symbol} moved")  # noqa: S311 - as above
        supply = Decimal(tokens[symbol]["total_supply"]).scaleb(-tokens[symbol]["decimals"])
        for number in range(_DAYS):
            day: date = (_FIRST_DAY + timedelta(days=number)).date()
            moved = int(supply) * random.randint(5, 30) // 1000
            yield day.isoformat(), symbol, f"{supply:f}", moved


def _csv(names: tuple[str, ...], rows: Iterator[tuple[object, ...]]) -> str:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    return text.getvalue()


if __name__ == "__main__":
    main()
