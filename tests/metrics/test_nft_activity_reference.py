"""Random trades against sums, percentiles and lots that plain Python makes of the same rows."""

import random
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest

from onchain_agg.metrics.dataset import Window
from onchain_agg.metrics.nft.nft_mint import TABLE as MINT
from onchain_agg.metrics.nft.nft_trade import TABLE as TRADE
from onchain_agg.metrics.nft.nft_wash_trade import TABLE as WASH
from onchain_agg.metrics.registry import dataset_named

pytestmark = pytest.mark.data

LAST = date(2024, 3, 31)
WINDOW = Window("ethereum", LAST, 0, 10_000, 0)
DAYS = 33
COLLECTIONS = {"0x" + "0c" * 20: 721, "0x" + "0d" * 20: 1155}
TRADERS = ["0x" + f"{n:02x}" * 20 for n in range(0xA0, 0xA6)]
KEY = ("chain", "day", "block_hash", "log_index", "item_index")


def made(seed, count=500):
    """Return trades, the keys of those that are wash trades, and mints; most are of the last day.

    Times are whole hours, a block each; the log index is the number of the trade or mint.
    """
    rng = random.Random(seed)  # noqa: S311 - no secret
    trades = [_trade(rng, number) for number in range(count)]
    washed = [trade for trade in trades if rng.random() < 0.2]
    mints = [_mint(rng, count + number) for number in range(count // 10)]
    return trades, washed, mints


def _place(rng, number):
    age = 0 if rng.random() < 0.6 else rng.randrange(DAYS)
    at = datetime.combine(LAST, datetime.min.time(), UTC) - timedelta(days=age)
    at += timedelta(hours=rng.choice([0, 9, 23]))
    height = 1000 - 24 * age + at.hour
    collection = rng.choice(list(COLLECTIONS))
    standard = COLLECTIONS[collection]
    return {
        "chain": "ethereum",
        "day": at.date(),
        "block_hash": f"0x{height:04x}",
        "log_index": number,
        "item_index": 0,
        "height": height,
        "tx_index": number,
        "tx_hash": f"0x{number:04x}",
        "collection": collection,
        "standard": standard,
        "token_id": rng.randrange(4),
        "quantity": rng.randint(1, 5) if standard == 1155 else 1,
    }, at


def _trade(rng, number):
    place, at = _place(rng, number)
    price = rng.choice([None, 0, 1, rng.randrange(10**20), rng.randrange(10**20), 10**18])
    is_native = price is not None and rng.random() < 0.8
    told = price is not None
    return {
        **place,
        "block_at": at,
        "market": "seaport",
        "version": "1.6",
        "side": "listing",
        "contract": place["collection"],
        "bundle_size": rng.choice([1, 1, 1, 2]),
        "seller": rng.choice(TRADERS),
        "buyer": rng.choice(TRADERS),
        "currency": "native" if is_native else None,
        "price": price,
        "price_native": price if is_native else None,
        "usd_value": Decimal(price) / 4 if told and rng.random() < 0.9 else None,
        "platform_fee": price // 40 if told and rng.random() < 0.7 else None,
        "royalty": price // 16 if told and rng.random() < 0.7 else None,
        "flash_loan": False,
    }


def _mint(rng, number):
    place, _ = _place(rng, number)
    owner = rng.choice(TRADERS)
    paid = rng.choice([None, 0, rng.randrange(10**20)])
    return {**place, "recipient": owner, "minter": owner, "paid": paid}


def loaded(connection, seed):
    """Serve what is made of *seed*; return it."""
    trades, washed, mints = made(seed)
    for table in (TRADE, WASH, MINT):
        table.create(connection)
    connection.execute(TRADE.insert(), trades)
    names = (*KEY, "collection", "token_id", "market", "seller", "buyer")
    connection.execute(WASH.insert(), [{n: one[n] for n in names} | {"flags": 1} for one in washed])
    connection.execute(MINT.insert(), mints)
    return trades, washed, mints


def total(values):
    """Return the sum of those that are known, or None."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def quantile(values, part):
    """Return what lies between the neighbours of the rank, exact, or None."""
    ordered = sorted(values)
    if not ordered:
        return None
    rank = Fraction(part) * (len(ordered) - 1)
    low = ordered[int(rank)]
    high = ordered[min(int(rank) + 1, len(ordered) - 1)]
    found = low + (high - low) * (rank - int(rank))
    return Decimal(found.numerator) / Decimal(found.denominator)


def part_of(one, whole):
    if one is None or not whole:
        return None
    return pytest.approx(float(Fraction(one) / Fraction(whole)), rel=1e-12, abs=0)


def hour(trades, washed):
    """Return what an hour's row of a collection says of its *trades*."""
    clean = [t for t in trades if t not in washed]
    return {
        "trades": len(trades),
        "items": sum(t["quantity"] for t in trades),
        "unpriced_trades": sum(t["price"] is None for t in trades),
        "native_trades": sum(t["price_native"] is not None for t in trades),
        "usd_trades": sum(t["usd_value"] is not None for t in trades),
        "wash_trades": len(trades) - len(clean),
        "buyers": len({t["buyer"] for t in trades}),
        "sellers": len({t["seller"] for t in trades}),
        "traders": len({t[side] for t in trades for side in ("buyer", "seller")}),
        **native(trades, clean),
        **dollars(trades, clean),
        **prices(trades, clean),
    }


def native(trades, clean):
    paid = [t for t in trades if t["price_native"] is not None]
    paid_clean = [t for t in paid if t in clean]
    volume, ex_wash = (total(t["price"] for t in some) for some in (paid, paid_clean))
    fees, royalties = (total(t[name] for t in paid) for name in ("platform_fee", "royalty"))
    with_fee, with_royalty = (
        total(t["price"] for t in paid if t[name] is not None)
        for name in ("platform_fee", "royalty")
    )
    return {
        "volume_native": volume,
        "volume_native_ex_wash": ex_wash,
        "volume_native_ex_royalty": total(t["price"] - (t["royalty"] or 0) for t in paid),
        "wash_share": part_of(volume and volume - (ex_wash or 0), volume),
        "platform_fees": fees,
        "platform_fee_percent": part_of(fees and 100 * fees, with_fee),
        "royalties": royalties,
        "royalty_percent": part_of(royalties and 100 * royalties, with_royalty),
        "average": part_of(volume, sum(t["quantity"] for t in paid)),
        "average_ex_wash": part_of(ex_wash, sum(t["quantity"] for t in paid_clean)),
    }


def dollars(trades, clean):
    worth = [t for t in trades if t["usd_value"] is not None]
    return {
        "volume_usd": total(t["usd_value"] for t in worth),
        "volume_usd_ex_wash": total(t["usd_value"] for t in clean),
        "volume_usd_ex_royalty": total(t["usd_value"] - royalty_usd(t) for t in worth),
    }


def royalty_usd(trade):
    # A dollar is four of its currency's smallest unit.
    return Decimal(trade["royalty"] or 0) / 4


def prices(trades, clean):
    single = [
        t
        for t in trades
        if t["price_native"] is not None and t["bundle_size"] == t["quantity"] == 1 and t["price"]
    ]
    every, unwashed = ([t["price"] for t in single if t in some] for some in (trades, clean))
    return {
        "floor_p5": quantile(unwashed, Fraction(5, 100)),
        "floor_min_ex_wash": min(unwashed, default=None),
        "median": quantile(every, Fraction(1, 2)),
        "median_ex_wash": quantile(unwashed, Fraction(1, 2)),
    }


@pytest.mark.parametrize("seed", [1, 2])
def test_hours_of_random_trades_are_what_python_makes_of_them(connection, computed, seed):
    trades, washed, _ = loaded(connection, seed)
    groups = defaultdict(list)
    for trade in trades:
        if trade["day"] == LAST:
            groups[trade["collection"], trade["block_at"]].append(trade)

    found = computed(dataset_named("nft_collection_hourly"), WINDOW)

    assert len(groups) == 6
    assert {
        (row["collection"], row["hour_at"]): {name: row[name] for name in hour([], [])}
        for row in found
    } == {key: hour(of_hour, washed) for key, of_hour in groups.items()}


@pytest.mark.parametrize("seed", [3, 4])
def test_traders_of_a_week_and_a_month_are_counted_once(connection, computed, seed):
    trades, _, _ = loaded(connection, seed)

    found = computed(dataset_named("nft_trader_daily"), WINDOW)

    for row in found:
        for days in (7, 30):
            since = LAST - timedelta(days=days - 1)
            own = [t for t in trades if t["day"] >= since and t["collection"] == row["collection"]]
            buyers, sellers = ({t[side] for t in own} for side in ("buyer", "seller"))
            told = tuple(row[f"{n}_{days}d"] for n in ("trades", "buyers", "sellers", "traders"))
            assert told == (len(own), len(buyers), len(sellers), len(buyers | sellers))
    assert {row["collection"] for row in found} == set(COLLECTIONS)


@pytest.mark.parametrize("seed", [5, 6, 7])
def test_profit_is_what_first_in_first_out_leaves(connection, computed, seed):
    trades, _, mints = loaded(connection, seed)
    names = ("sales", "sold", "known", "profitable", "proceeds", "cost")
    expected = {collection: dict.fromkeys(names, 0) for collection in COLLECTIONS}
    for (collection, *_), moves in histories(trades, mints).items():
        for sale, parts in lots_used(moves):
            if sale["day"] == LAST and sale["cost"] is not None:
                for name, value in zip(names, earned(sale, parts), strict=True):
                    expected[collection][name] += value

    found = computed(dataset_named("nft_realised_profit_daily"), WINDOW)

    assert {row["collection"]: {n: row[n] for n in names} for row in found} == expected
    assert all(row["known"] > 10 for row in found)


def histories(trades, mints):
    """Return what each holder bought, minted and sold of each token, in order."""
    held = defaultdict(list)
    for trade in trades:
        if trade["seller"] != trade["buyer"]:
            token, cost = (trade["collection"], trade["token_id"]), trade["price_native"]
            held[*token, trade["buyer"]].append(trade | {"bought": True, "cost": cost})
            held[*token, trade["seller"]].append(trade | {"bought": False, "cost": cost})
    for mint in mints:
        token = (mint["collection"], mint["token_id"])
        held[*token, mint["minter"]].append(mint | {"bought": True, "cost": mint["paid"]})
    for moves in held.values():
        moves.sort(key=lambda one: (one["height"], one["log_index"]))
    return held


def lots_used(moves):
    """Yield each sale of one holder's token with the parts of the lots it uses up: size, lot."""
    lots = []
    for move in moves:
        if move["bought"]:
            # A token of its own is had once, whatever was had of it before.
            lots = [*(lots if move["standard"] == 1155 else []), [move["quantity"], move]]
            continue
        left, parts = move["quantity"], []
        while left and lots:
            size = min(left, lots[0][0])
            parts.append((size, lots[0][1]))
            left -= size
            lots[0][0] -= size
            if not lots[0][0]:
                lots.pop(0)
        yield move, parts


def earned(sale, parts):
    """Return what a sale adds to sales, sold, known, profitable, proceeds and cost."""
    told = [(1, sale["quantity"], 0, 0, 0, 0)]
    for size, lot in parts:
        if lot["cost"] is not None:
            got = sale["cost"] * size // sale["quantity"]
            paid = lot["cost"] * size // lot["quantity"]
            told.append((0, 0, size, size * (got > paid), got, paid))
    return tuple(map(sum, zip(*told, strict=True)))
