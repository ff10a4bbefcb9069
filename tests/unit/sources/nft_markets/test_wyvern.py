"""Wyvern: a match names no token, so the transfers before it tell what was sold."""

import csv

import pytest

from onchain_agg.sources.evm_json import Log
from onchain_agg.sources.evm_logs import TRANSFER
from onchain_agg.sources.nft_markets.wyvern import MATCHED
from tests.fakes import wyvern_events
from tests.fakes.nft_events import topic_of
from tests.fakes.wyvern_events import V1, V2
from tests.unit.sources.nft_markets.made_logs import (
    ALICE,
    APES,
    BOB,
    CAROL,
    DAVE,
    MOST,
    NATIVE,
    WETH,
    erc20,
    erc721,
    erc1155,
    log,
    logged,
    reasons,
    trades,
)

ROUTER = DAVE
NO_TOKEN = "wyvern: no token moved before the match"  # noqa: S105 - a reason


def matched(maker, taker, price, *, contract=V2, tx=1):
    return logged(wyvern_events.matched(maker, taker, price, exchange=contract), tx=tx)


def sold(*logs, asked=("token_id", "seller", "buyer", "price", "side")):
    return [tuple(trade[name] for name in asked) for trade in trades(*logs)]


def test_the_topic_is_the_hash_of_the_signature():
    assert topic_of(wyvern_events.SIGNATURE) == MATCHED


def test_a_listing_bought_with_the_native_coin():
    (trade,) = trades(erc721(APES, ALICE, BOB, MOST), matched(ALICE, BOB, 500, contract=V1))

    assert trade == {
        "log_index": 1,
        "item_index": 0,
        "market": "wyvern",
        "version": "1",
        "contract": V1,
        "side": "listing",
        "standard": 721,
        "collection": APES,
        "token_id": MOST,
        "quantity": 1,
        "bundle_size": 1,
        "seller": ALICE,
        "buyer": BOB,
        "currency": NATIVE,
        "price": 500,
        "platform_fee": None,
        "royalty": None,
        "unpriced": None,
    }


def test_an_accepted_offer_is_sold_by_the_taker_for_the_token_that_the_maker_sent():
    (trade,) = trades(
        erc20(WETH, BOB, ALICE, 500),
        erc20(WETH, ALICE, CAROL, 12),  # the fee
        erc721(APES, ALICE, BOB, 1),
        matched(BOB, ALICE, 500),
    )

    assert (trade["seller"], trade["buyer"], trade["side"]) == (ALICE, BOB, "offer")
    assert (trade["currency"], trade["price"], trade["version"]) == (WETH, 500, "2")


@pytest.mark.parametrize(
    "paid",
    [
        pytest.param(erc20(WETH, BOB, ALICE, 499), id="another amount"),
        pytest.param(erc20(WETH, ALICE, BOB, 500), id="the other way"),
        pytest.param(erc20(WETH, CAROL, ALICE, 500), id="by another"),
        pytest.param(erc20(WETH, BOB, ALICE, 500, tx=0), id="in another transaction"),
    ],
)
def test_a_coin_that_is_not_the_price_leaves_the_native_one(paid):
    (trade,) = trades(paid, erc721(APES, ALICE, BOB, 1), matched(ALICE, BOB, 500))

    assert trade["currency"] == NATIVE


def test_a_sale_for_nothing_is_in_the_native_coin():
    (trade,) = trades(
        erc20(WETH, BOB, ALICE, 0), erc721(APES, ALICE, BOB, 1), matched(ALICE, BOB, 0)
    )

    assert (trade["currency"], trade["price"]) == (NATIVE, 0)


def test_a_bundle_splits_the_price_and_the_first_item_gets_the_remainder():
    asked = ("item_index", "bundle_size", "standard", "token_id", "quantity", "price")
    bundle = sold(
        erc721(APES, ALICE, BOB, 8),
        erc1155(CAROL, ALICE, BOB, 3, 40),
        erc721(APES, ALICE, BOB, 2),
        matched(ALICE, BOB, 100),
        asked=asked,
    )

    assert bundle == [
        (0, 3, 721, 8, 1, 34),
        (1, 3, 1155, 3, 40, 33),
        (2, 3, 721, 2, 1, 33),
    ]


def test_each_match_takes_the_transfers_since_the_one_before_it():
    two = sold(
        erc721(APES, ALICE, BOB, 1),
        matched(ALICE, BOB, 10),
        erc721(APES, CAROL, BOB, 2),
        matched(CAROL, BOB, 20),
        erc721(APES, ALICE, BOB, 3, tx=2),
        matched(ALICE, BOB, 30, tx=2),
    )

    assert two == [
        (1, ALICE, BOB, 10, "listing"),
        (2, CAROL, BOB, 20, "listing"),
        (3, ALICE, BOB, 30, "listing"),
    ]


def test_a_token_that_a_router_passes_on_is_not_sold_by_it():
    two = sold(
        erc721(APES, ALICE, ROUTER, 1),
        matched(ALICE, ROUTER, 10),
        erc721(APES, ROUTER, BOB, 1),
        erc721(APES, CAROL, BOB, 2),  # delivered at once
        matched(CAROL, ROUTER, 20),
    )

    assert two == [(1, ALICE, ROUTER, 10, "listing"), (2, CAROL, ROUTER, 20, "listing")]


def test_a_token_bought_and_sold_on_in_one_transaction_is_sold_twice():
    two = sold(
        erc721(APES, ALICE, BOB, 1),
        matched(ALICE, BOB, 10),
        erc721(APES, BOB, CAROL, 1),
        matched(CAROL, BOB, 20),
    )

    assert two == [(1, ALICE, BOB, 10, "listing"), (1, BOB, CAROL, 20, "offer")]


@pytest.mark.parametrize(
    "moves",
    [
        pytest.param([erc721(APES, ALICE, CAROL, 1)], id="delivered to another"),
        pytest.param([erc721(APES, NATIVE, BOB, 1)], id="minted for the buyer"),
        pytest.param([erc721(APES, CAROL, BOB, 1)], id="out of a vault"),
        pytest.param(
            [erc721(APES, ALICE, CAROL, 1), erc721(APES, CAROL, BOB, 1)], id="through a vault"
        ),
        pytest.param(
            [erc721(APES, NATIVE, ALICE, 1), erc721(APES, ALICE, BOB, 1)], id="minted before"
        ),
        pytest.param(
            [erc721(APES, NATIVE, ALICE, 1), erc721(APES, ALICE, CAROL, 1)], id="minted, delivered"
        ),
        pytest.param([erc721(APES, CAROL, DAVE, 7), erc721(APES, ALICE, BOB, 1)], id="others'"),
    ],
)
def test_the_parties_of_a_sale_are_the_match_s_however_the_token_went(moves):
    assert sold(*moves, matched(ALICE, BOB, 5)) == [(1, ALICE, BOB, 5, "listing")]


def test_a_sale_to_oneself_is_a_listing():
    assert sold(erc721(APES, ALICE, ALICE, 1), matched(ALICE, ALICE, 5)) == [
        (1, ALICE, ALICE, 5, "listing")
    ]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ([matched(ALICE, BOB, 1)], NO_TOKEN),
        ([erc20(WETH, BOB, ALICE, 1), matched(ALICE, BOB, 1)], NO_TOKEN),
        ([erc721(APES, CAROL, DAVE, 1), matched(ALICE, BOB, 1)], NO_TOKEN),
        # CryptoKitties indexes nothing.
        ([log(APES, [TRANSFER], [ALICE, BOB, 1]), matched(ALICE, BOB, 1)], NO_TOKEN),
        (
            [erc721(APES, ALICE, BOB, 1), erc721(APES, BOB, ALICE, 2), matched(ALICE, BOB, 1)],
            "wyvern: tokens moved both ways",
        ),
        (
            [erc721(APES, ALICE, BOB, 1), log(V2, [MATCHED, ALICE, MOST, 0], [0, 1, 1])],
            "wyvern: no address",
        ),
        ([log(V1, [MATCHED, ALICE, BOB], [0, 1, 2])], "wyvern: 3 topics, not 4"),
        (
            [log(V1, [MATCHED, ALICE, BOB, 0], [0, 1, 2, 3])],
            "wyvern: more than 96 bytes of data",
        ),
        (
            [log(V1, [MATCHED, ALICE, BOB, 0], [0, 1])],
            "wyvern: 64 bytes, not whole words, 3 or more",
        ),
        (
            [erc721(APES, ALICE, BOB, 1), matched(ALICE, BOB, 1, contract=CAROL)],
            "wyvern: event of an unknown contract",
        ),
    ],
)
def test_a_match_that_tells_no_sale_is_kept_with_a_reason(bad, reason):
    good = [erc721(APES, ALICE, BOB, 1, tx=9), matched(ALICE, BOB, 1, tx=9)]

    assert reasons(*bad, *good) == [(len(bad) - 1, reason)]
    assert sold(*bad, *good) == [(1, ALICE, BOB, 1, "listing")]


def test_real_matches_are_the_sales_that_their_block_shows(real_data):
    with (real_data / "ethereum/logs_block_14210867_sample.csv").open() as lines:
        logs = [
            Log(
                address=row["address"],
                topics=tuple(row["topics"].split(",")),
                data=row["data"],
                block_hash="0x" + 64 * "7",
                transaction_hash=row["transaction_hash"],
                transaction_index=hex(int(row["transaction_index"])),
                log_index=hex(int(row["log_index"])),
            )
            for row in csv.DictReader(lines)
        ]

    made = [trade for trade in trades(*logs) if trade["market"] == "wyvern"]

    asked = ("standard", "token_id", "quantity", "price", "side")
    assert [tuple(trade[name] for name in asked) for trade in made] == [
        (721, 0x1B27, 1, 0x5698EEF06670000, "listing"),
        (721, 0x2662, 1, 0x354A6BA7A18000, "listing"),
        (1155, 1, 3, 0x1DF9DC8E4AD8000, "listing"),
        (721, 0x1E3A, 1, 0x5D423C655AA0000, "listing"),
        (721, 0x1800, 1, 0x15181FF25A98000, "listing"),
        (721, 0x17BE, 1, 0x354A6BA7A18000, "listing"),
    ]
    assert {(trade["version"], trade["currency"]) for trade in made} == {("1", NATIVE)}
    assert (made[2]["seller"], made[2]["buyer"]) == (
        "0xe29c92b9b14621489df948bd136a2515bb7af954",
        "0x93a51ca37da14a2706ab4d316a70cdb092242ea5",
    )
