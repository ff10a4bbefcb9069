"""Holding periods of random sales, by way of staking, escrow and resales within a transaction."""

import random
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from itertools import groupby
from typing import NamedTuple

import pytest

from onchain_agg.metrics.dataset import Window
from onchain_agg.metrics.nft.nft_trade import TABLE as TRADE
from onchain_agg.metrics.registry import dataset_named
from onchain_agg.warehouse.tables.chain import BLOCK, LABEL, TOKEN_TRANSFER
from onchain_agg.warehouse.tables.ops import ASSET
from onchain_agg.warehouse.tables.state import NFT_OWNER_DAY

pytestmark = pytest.mark.data

LAST = date(2024, 3, 31)
FIRST_AT = datetime(2024, 3, 21, tzinfo=UTC)
COLLECTION = b"\x0c" * 20
PEOPLE = [bytes([n]) * 20 for n in range(0xA0, 0xA5)]
KEEPERS = {b"\x5a" * 20: "staking", b"\x5e" * 20: "escrow"}
SPANS = {"1h": 3600, "1d": 86_400, "7d": 604_800}


class Step(NamedTuple):
    """A token's transfer; *place* is of its transaction, *log* of its log, both in the chain."""

    token: int
    at: datetime
    height: int
    place: tuple[int, int]
    log: tuple[int, int]
    sender: bytes
    recipient: bytes
    seller: bytes | None  # of a sale in the transaction


def made(seed, blocks=264, tokens=24):
    """Return the transfers of a chain of a block an hour, in order, each with its sale if any."""
    rng = random.Random(seed)  # noqa: S311 - no secret
    steps: list[Step] = []
    owner = {token: rng.choice(PEOPLE) for token in range(tokens)}
    keeps_for = dict(owner)
    for height in range(blocks):
        at = FIRST_AT + timedelta(hours=height)
        log = 0
        for tx_index, token in enumerate(rng.sample(range(tokens), 3)):
            for _ in range(rng.choice([1, 1, 2])):
                sender = owner[token]
                everybody = PEOPLE if sender in KEEPERS else [*PEOPLE, *KEEPERS]
                recipient = rng.choice([one for one in everybody if one != sender])
                is_sale = recipient in PEOPLE and recipient != keeps_for[token]
                seller = keeps_for[token] if is_sale and rng.random() < 0.7 else None
                places = (height, tx_index), (height, log)
                steps.append(Step(token, at, height, *places, sender, recipient, seller))
                owner[token] = recipient
                keeps_for[token] = keeps_for[token] if recipient in KEEPERS else recipient
                log += 10
    return steps


def held(steps, sale):
    """Return for how many seconds the seller had had the token, or None.

    Of earlier days the last owner counts alone.
    """
    own = [one for one in steps if one.token == sale.token]
    earlier = [[*of][-1] for _, of in groupby(own, key=lambda one: one.at.date())]
    known = [one for one in earlier if one.at.date() < LAST]
    known += [one for one in own if one.at.date() == LAST]
    since = None
    for one in known:
        if one.place > sale.place:
            break
        if one.recipient == sale.seller:
            since = since or one.at
        elif one.place < sale.place and one.recipient not in KEEPERS:
            since = None
    return None if since is None else int((sale.at - since).total_seconds())


def load(connection, steps):
    connection.execute(
        ASSET.insert(),
        {
            "asset_id": 1,
            "chain": "ethereum",
            "address": COLLECTION,
            "symbol": "C",
            "decimals": 0,
            "start_block": 0,
            "whale_threshold": 1,
            "tracked": True,
            "noncompliant": False,
            "standard": 721,
            "bluechip": False,
        },
    )
    labels = [
        {
            "chain": "ethereum",
            "address": address,
            "category": category,
            "entity": "x",
            "valid_from": date(2020, 1, 1),
            "known_from": FIRST_AT,
            "source": "test",
        }
        for address, category in KEEPERS.items()
    ]
    connection.execute(LABEL.insert(), labels)
    blocks = {one.height: one.at for one in steps}
    connection.execute(BLOCK.insert(), [_block(height, at) for height, at in blocks.items()])
    days = groupby(
        sorted(steps, key=lambda one: (one.token, one.log)),
        key=lambda one: (one.token, one.at.date()),
    )
    connection.execute(NFT_OWNER_DAY.insert(), [_owner([*of][-1]) for _, of in days])
    connection.execute(TOKEN_TRANSFER.insert(), [_transfer(one) for one in steps])
    TRADE.create(connection)
    connection.execute(TRADE.insert(), [_trade(one) for one in steps if one.seller])


def _block(height, at):
    return {
        "chain": "ethereum",
        "height": height,
        "day": at.date(),
        "tx_count": 4,
        "block_hash": height.to_bytes(2),
        "parent_hash": (height + 1).to_bytes(2),
        "header_at": at,
        "block_at": at,
        "traced": True,
    }


def _owner(one):
    return {
        "asset_id": 1,
        "token_id": one.token,
        "day": one.at.date(),
        "owner": one.recipient,
        "height": one.height,
        "log_index": one.log[1],
        "received_at": one.at,
    }


def _transfer(one):
    return {
        "chain": "ethereum",
        "day": one.at.date(),
        "height": one.height,
        "item_index": 0,
        "block_hash": one.height.to_bytes(2),
        "tx_index": one.place[1],
        "tx_hash": b"\1",
        "log_index": one.log[1],
        "standard": 721,
        "token": COLLECTION,
        "amount": 1,
        "sender": one.sender,
        "recipient": one.recipient,
        "token_id": one.token,
    }


def _trade(one):
    contract = f"0x{COLLECTION.hex()}"
    return {
        "chain": "ethereum",
        "day": one.at.date(),
        "block_hash": f"0x{one.height:04x}",
        "log_index": one.log[1] + 1,
        "item_index": 0,
        "height": one.height,
        "block_at": one.at,
        "tx_index": one.place[1],
        "tx_hash": "0x01",
        "market": "seaport",
        "version": "1.6",
        "side": "listing",
        "collection": contract,
        "contract": contract,
        "standard": 721,
        "token_id": one.token,
        "quantity": 1,
        "bundle_size": 1,
        "seller": f"0x{one.seller.hex()}",
        "buyer": f"0x{one.recipient.hex()}",
        "flash_loan": False,
    }


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_seller_had_the_token_since_nobody_else_did(connection, computed, seed):
    steps = made(seed)
    load(connection, steps)
    sales = [one for one in steps if one.seller and one.at.date() == LAST]
    periods = [held(steps, one) for one in sales]
    known = sorted(one for one in periods if one is not None)

    heights = [one.height for one in steps if one.at.date() == LAST]
    window = Window("ethereum", LAST, min(heights), max(heights), 0)
    (row,) = computed(dataset_named("nft_holding_period_daily"), window)

    assert (row["sales"], row["known_sales"]) == (len(sales), len(known))
    assert row["mean_seconds"] == pytest.approx(sum(known) / len(known), rel=1e-12)
    middle = Fraction(len(known) - 1, 2)
    assert row["median_seconds"] == (known[int(middle)] + known[-int(-middle // 1)]) / 2
    for name, seconds in SPANS.items():
        share = sum(one < seconds for one in known) / len(known)
        assert row[f"share_under_{name}"] == pytest.approx(share, rel=1e-12)
    assert known[0] == 0
    assert known[-1] > SPANS["1d"]
