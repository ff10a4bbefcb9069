"""X2Y2: what an inventory event says was sold, and what it says otherwise."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from onchain_agg.sources.nft_markets.x2y2 import INVENTORY
from tests.fakes import x2y2_events
from tests.fakes.nft_events import topic_of
from tests.fakes.x2y2_events import DELEGATE
from tests.fakes.x2y2_events import EXCHANGE as CONTRACT
from tests.fakes.x2y2_events import FEE_MANAGEMENT as OWN
from tests.unit.sources.nft_markets.made_logs import (
    ALICE,
    APES,
    BOB,
    CAROL,
    MOST,
    NATIVE,
    WETH,
    erc721,
    erc1155,
    log,
    logged,
    reasons,
    tables,
    trades,
    word,
)

FORMER = "0x099ba539cde20ff8b87b18460024a9e3acc9e025"


def inventory(tokens, price, **given):
    """Return the log of ALICE's order, settled by BOB."""
    return logged(x2y2_events.inventory((ALICE, BOB), tokens, price, **given))


def changed(event, place, value):
    """Return the log with one word of its data replaced."""
    start = 2 + 64 * place
    return replace(event, data=event.data[:start] + word(value) + event.data[start + 64 :])


def one(*logs, asked):
    (trade,) = trades(*logs)
    return tuple(trade[name] for name in asked)


def test_the_topic_is_the_hash_of_the_signature():
    assert topic_of(x2y2_events.SIGNATURE) == INVENTORY


def test_a_listing_that_is_bought():
    fees = [(5_000, OWN), (25_000, CAROL)]

    (trade,) = trades(inventory([(APES, MOST)], 10_000, fees=fees))

    assert trade == {
        "log_index": 0,
        "item_index": 0,
        "market": "x2y2",
        "version": "1",
        "contract": CONTRACT,
        "side": "listing",
        "standard": 721,
        "collection": APES,
        "token_id": MOST,
        "quantity": 1,
        "bundle_size": 1,
        "seller": ALICE,
        "buyer": BOB,
        "currency": NATIVE,
        "price": 10_000,
        "platform_fee": 50,
        "royalty": 250,
        "unpriced": None,
    }


def test_an_offer_that_is_accepted_is_sold_by_who_settles_it():
    sale = inventory([(APES, 5)], 700, operation=2, currency=WETH, mask=bytes(96))

    assert one(sale, asked=("seller", "buyer", "side", "currency", "token_id")) == (
        BOB,
        ALICE,
        "offer",
        WETH,
        5,
    )


def test_the_price_is_what_was_paid_not_what_was_asked():
    assert one(inventory([(APES, 5)], 700, asked=600), asked=("price",)) == (700,)


def test_a_bundle_of_erc1155_splits_price_and_fees():
    tokens = [(APES, 1, 40), (WETH, 2, 1), (APES, 3, MOST)]
    bundle = trades(inventory(tokens, 100, kind=2, fees=[(500_000, FORMER), (40_000, ALICE)]))

    asked = ("item_index", "bundle_size", "standard", "collection", "token_id", "quantity")
    assert [tuple(trade[name] for name in asked) for trade in bundle] == [
        (0, 3, 1155, APES, 1, 40),
        (1, 3, 1155, WETH, 2, 1),
        (2, 3, 1155, APES, 3, MOST),
    ]
    paid = [(trade["price"], trade["platform_fee"], trade["royalty"]) for trade in bundle]
    assert paid == [(34, 18, 2), (33, 16, 1), (33, 16, 1)]


def test_sales_of_different_shapes_keep_the_order_of_their_logs():
    logs = [
        inventory([(APES, 1), (APES, 2)], 10),
        inventory([(APES, 3)], 20, fees=[(5_000, OWN)]),
        inventory([(APES, 4, 6)], 30, kind=2),
        inventory([(APES, 5)], 40),
    ]

    sold = [(trade["log_index"], trade["token_id"], trade["price"]) for trade in trades(*logs)]

    assert sold == [(0, 1, 5), (0, 2, 5), (1, 3, 20), (2, 4, 30), (3, 5, 40)]


@given(
    price=st.integers(0, 2**230),
    fees=st.lists(
        st.tuples(st.integers(0, 300_000), st.sampled_from([OWN, FORMER, ALICE, BOB])), max_size=3
    ),
)
def test_each_fee_is_its_parts_of_the_price_rounded_down(price, fees):
    asked = ("price", "platform_fee", "royalty")

    paid = one(inventory([(APES, 1)], price, fees=fees), asked=asked)

    own = sum(price * parts // 10**6 for parts, to in fees if to in (OWN, FORMER))
    other = sum(price * parts // 10**6 for parts, to in fees if to not in (OWN, FORMER))
    assert paid == (price, own, other)


@pytest.mark.parametrize("operation", [0, 3, 6, 7])
def test_refunds_and_cancelled_orders_are_no_trades_and_no_bids(operation):
    event = inventory([(APES, 1)], 5, operation=operation)

    assert {name: rows for name, rows in tables(event).items() if rows} == {}


def test_an_auction_goes_to_whom_the_delegate_sends_the_token_for_a_bid_told_before():
    moved = [erc721(APES, CAROL, DELEGATE, 7), erc721(APES, DELEGATE, CAROL, 7)]
    ended = inventory([(APES, 7)], 0, operation=5, currency=WETH, fees=[(5_000, OWN)])

    (trade,) = trades(*moved, ended)

    assert trade == {
        "log_index": 2,
        "item_index": 0,
        "market": "x2y2",
        "version": "1",
        "contract": CONTRACT,
        "side": "offer",
        "standard": 721,
        "collection": APES,
        "token_id": 7,
        "quantity": 1,
        "bundle_size": 1,
        "seller": ALICE,
        "buyer": CAROL,
        "currency": WETH,
        "price": None,
        "platform_fee": None,
        "royalty": None,
        "unpriced": "accepted bid",
    }


def test_an_auctioned_bundle_has_no_price_that_a_bid_could_tell():
    moved = [erc1155(APES, DELEGATE, CAROL, token_id, 2) for token_id in (1, 2)]
    ended = inventory([(APES, 1, 2), (APES, 2, 2)], 0, operation=5, kind=2)
    sale = inventory([(APES, 3, 1)], 10, kind=2)

    asked = ("token_id", "quantity", "bundle_size", "buyer", "price", "platform_fee", "unpriced")
    assert [tuple(trade[name] for name in asked) for trade in trades(*moved, ended, sale)] == [
        (1, 2, 2, CAROL, None, None, "auction of a bundle"),
        (2, 2, 2, CAROL, None, None, "auction of a bundle"),
        (3, 1, 1, BOB, 10, 0, None),
    ]


def test_bids_are_kept_for_single_tokens_in_the_order_of_their_logs():
    made = tables(
        inventory([(APES, MOST)], 5, operation=4),
        inventory([(APES, 2, 3)], 6, operation=4, kind=2, fees=[(5_000, OWN)]),
        inventory([(APES, 1), (APES, 2)], 7, operation=4),
        inventory([(WETH, 3)], MOST, operation=4),
    )

    asked = ("log_index", "market", "collection", "token_id", "bidder", "price", "withdrawn")
    assert [tuple(bid[name] for name in asked) for bid in made["nft_bid"]] == [
        (0, "x2y2", APES, MOST, BOB, 5, False),
        (1, "x2y2", APES, 2, BOB, 6, False),
        (3, "x2y2", WETH, 3, BOB, MOST, False),
    ]
    assert (made["nft_trade"], made["malformed_log"]) == ([], [])


ASTRAY = "x2y2: tokens or fees lie outside"


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (inventory([(APES, 1)], 5, operation=5), "x2y2: no transfer tells who won an auction"),
        (changed(inventory([(APES, 1)], 5, operation=5), 17, MOST), "x2y2: no address"),
        (changed(inventory([(APES, 1)], 5, operation=4), 17, MOST), "x2y2: no address"),
        (inventory([], 5, operation=4), ASTRAY),
        (
            inventory([(APES, 1)], 5, operation=8),
            "x2y2: the settlement has no known operation",
        ),
        (
            changed(inventory([(APES, 1)], 5), 10, 33),
            "x2y2: the settlement has no known operation",
        ),
        (
            changed(inventory([(APES, 1)], 5), 10, MOST),
            "x2y2: the settlement has no known operation",
        ),
        (inventory([], 5), ASTRAY),
        (inventory([(APES, 1)], 5, kind=3), ASTRAY),
        (inventory([(APES, 1)], 5, kind=0), ASTRAY),
        (changed(inventory([(APES, 1)], 5), 5, 2), ASTRAY),  # said to be ERC-1155
        (changed(inventory([(APES, 1)], 5), 9, 2**40), ASTRAY),
        (changed(inventory([(APES, 1)], 5), 13, 2**30), ASTRAY),  # the item's tokens
        (changed(inventory([(APES, 1)], 5), 16, 2**31 - 1), ASTRAY),  # their number
        (changed(inventory([(APES, 1)], 5), 29, 2**20), ASTRAY),  # the fees
        (changed(inventory([(APES, 1)], 5), 31, 7), ASTRAY),  # their number
        (changed(inventory([(APES, 1)], 5), 0, MOST), "x2y2: no address"),
        (changed(inventory([(APES, 1)], 5), 7, MOST), "x2y2: no address"),
        (changed(inventory([(APES, 1)], 5), 17, MOST), "x2y2: no address"),  # a collection
        (
            inventory([(APES, 1)], 5, fees=[(900_000, OWN), (100_001, BOB)]),
            "x2y2: a fee of more than the price",
        ),
        (inventory([(APES, 1)], 5, fees=[(2**40, OWN)]), "x2y2: a fee of more than the price"),
        (inventory([(APES, 1)], MOST, fees=[(2, OWN)]), "x2y2: a fee of more than the price"),
        (log(CONTRACT, [INVENTORY], [0] * 40), "x2y2: 1 topics, not 2"),
        (
            log(CONTRACT, [INVENTORY, 0], [0] * 10),
            "x2y2: 320 bytes, not whole words, 11 or more",
        ),
        (
            log(CONTRACT, [INVENTORY, 0], "0x" + "00" * 353),
            "x2y2: 353 bytes, not whole words, 11 or more",
        ),
    ],
)
def test_what_cannot_be_read_is_kept_with_a_reason(bad, reason):
    good = inventory([(APES, 9)], 5)

    assert reasons(bad, good) == [(0, reason)]
    assert one(bad, good, asked=("token_id", "price")) == (9, 5)


_PLACES = st.integers(0, 33) | st.sampled_from([5, 9, 10, 13, 14, 15, 16, 19, 29, 31, 32])
_WORDS = st.integers(0, 40).map(lambda k: 32 * k) | st.integers(0, MOST) | st.integers(0, 9)


@given(st.lists(st.tuples(_PLACES, _WORDS), max_size=3), st.sampled_from([1, 2]))
def test_any_words_give_trades_that_add_up_or_a_reason_or_are_no_sale(changes, kind):
    event = inventory([(APES, 1, 3)[: 1 + kind]], 5, kind=kind, fees=[(5_000, OWN)])
    for place, value in changes:
        event = changed(event, place, value)

    made = tables(event)

    rows = made["nft_trade"]
    assert not (rows and made["malformed_log"])
    assert len(made["malformed_log"]) <= 1
    assert [row["item_index"] for row in rows] == list(range(len(rows)))
    assert all(row["bundle_size"] == len(rows) for row in rows)


def test_the_real_sales_are_read_to_the_last_digit(real_data):
    kept = json.loads((real_data / "nft/marketplace_logs.json").read_text())
    real = [entry for entry in kept if entry["marketplace"] == "x2y2"]
    logs = []
    for entry in real:
        made = log(CONTRACT, [INVENTORY, 0], entry["data"])
        made.topics = tuple(entry["topics"])
        logs.append(made)

    sold = trades(*logs)

    asked = ("collection", "token_id", "seller", "buyer", "side", "currency", "price")
    assert [tuple(trade[name] for name in asked) for trade in sold] == [
        (
            "0x22c1f6050e56d2876009903609a2cc3fef83b415",
            0x3964,
            "0xaa1cc5543c558524c3db21d219fcee58af054f2c",
            "0xb6103b35c1dfcfbc66aa6aa59e5dec376b79dd6a",
            "listing",
            NATIVE,
            0x354A6BA7A18000,
        ),
        (
            "0x86c35fa9665002c08801805280ff6a077b23c98a",
            0x187F,
            "0xb67b362b89b83fa1bea4545082968a0fcad7ce5f",
            "0x6a81c10eb6829ee2378ed021920a516f75caa631",
            "listing",
            NATIVE,
            0x7A1FE1602770000,
        ),
        (
            "0x709d30f1f60f03d85a0ef33142ef3259392dc9e1",
            0x2C1,
            "0xbfa30bbe5a9e5d252a92a8cc126691bba0e7a433",
            "0xb2f4fd60e80b5eccbcb8c80e923c31b0aaab8e24",
            "offer",
            "0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2",
            0x2C68AF0BB140000,
        ),
    ]
    assert [trade["platform_fee"] for trade in sold] == [
        0x354A6BA7A18000 // 50,
        0x7A1FE1602770000 // 50,
        0x2C68AF0BB140000 // 200,
    ]
    assert [trade["royalty"] for trade in sold] == [0, 0, 0]
