"""Matched orders of Seaport: one of each pair tells the trade."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.nft_events import logs_of
from tests.fakes.seaport_events import V1_1, V1_6, fulfilled, matched
from tests.unit.sources.nft_markets.made_logs import (
    ALICE,
    APES,
    BLOCK,
    BOB,
    CAROL,
    DAVE,
    NATIVE,
    WETH,
    tables,
)
from tests.unit.sources.nft_markets.made_seaport import (
    APE,
    COIN,
    ERC20,
    ERC721,
    FEES,
    eth,
    listing,
    matches,
    sale,
    sold,
    weth,
)

VERSIONS = pytest.mark.parametrize(("contract", "version"), [(V1_1, "1.1"), (V1_6, "1.6")])


@VERSIONS
def test_a_matched_listing_is_one_trade(contract, version):
    pair = matches(
        contract,
        (ALICE, [APE], [eth(900, ALICE), eth(25, FEES), eth(75, DAVE)]),
        (BOB, [(COIN, NATIVE, 0, 1000)], [(*APE, BOB)]),
    )

    assert sold(*pair) == [sale(contract=contract, version=version)]


@VERSIONS
@pytest.mark.parametrize("net", [[], [weth(975, ALICE)]])
def test_a_matched_offer_is_one_trade_at_what_the_buyer_paid(contract, version, net):
    pair = matches(
        contract,
        (BOB, [(ERC20, WETH, 0, 1000)], [(*APE, CAROL), weth(25, FEES)]),
        (ALICE, [APE], net),
    )

    assert sold(*pair) == [
        sale(
            contract=contract, version=version, side="offer", buyer=CAROL, currency=WETH, royalty=0
        )
    ]


@VERSIONS
def test_a_private_sale_goes_to_the_buyer_that_the_order_names(contract, version):
    pair = matches(
        contract,
        (ALICE, [APE], [eth(975, ALICE), eth(25, FEES), (*APE, CAROL)]),
        (CAROL, [(COIN, NATIVE, 0, 1000)], []),
    )

    assert sold(*pair) == [sale(contract=contract, version=version, buyer=CAROL, royalty=0)]


def test_several_offers_that_one_order_accepts_have_each_its_price():
    crown = (ERC721, APES, 9, 1)
    accepted = matches(
        V1_6,
        (BOB, [(ERC20, WETH, 0, 1000)], [(*APE, BOB)]),
        (CAROL, [(ERC20, WETH, 0, 300)], [(*crown, CAROL)]),
        (ALICE, [APE, crown], [weth(1300, ALICE)]),
    )

    told = [(r["log_index"], r["token_id"], r["buyer"], r["price"]) for r in sold(*accepted)]
    assert told == [(0, 8, BOB, 1000), (1, 9, CAROL, 300)]


def test_several_listings_that_one_order_buys_have_each_its_price():
    crown = (ERC721, APES, 9, 1)
    swept = matches(
        V1_6,
        (ALICE, [APE], [eth(1000, ALICE)]),
        (CAROL, [crown], [eth(300, CAROL)]),
        (BOB, [(COIN, NATIVE, 0, 1300)], [(*APE, BOB), (*crown, BOB)]),
    )

    told = [(r["log_index"], r["seller"], r["buyer"], r["price"]) for r in sold(*swept)]
    assert told == [(0, ALICE, BOB, 1000), (1, CAROL, BOB, 300)]


def test_matched_orders_that_swap_nfts_tell_each_its_own():
    crown = (ERC721, APES, 9, 1)
    swapped = matches(V1_6, (ALICE, [APE], [(*crown, ALICE)]), (BOB, [crown], [(*APE, BOB)]))

    told = [(r["token_id"], r["seller"], r["buyer"], r["unpriced"]) for r in sold(*swapped)]
    assert told == [(8, ALICE, BOB, "NFTs for NFTs"), (9, BOB, ALICE, "NFTs for NFTs")]


def test_what_nobody_asks_for_goes_to_the_recipient_since_1_2_and_stays_before():
    alone = (ALICE, [APE], [eth(1000, ALICE)])
    coins = (BOB, [(COIN, NATIVE, 0, 1000)], [])

    assert sold(*matches(V1_1, alone, coins)) == []
    (row,) = sold(*matches(V1_6, alone, coins))
    assert (row["buyer"], row["price"]) == (ALICE, 1000)


def test_what_is_left_beside_an_accepted_offer_has_no_price_of_its_own():
    crown = (ERC721, APES, 9, 1)
    accepted = matches(
        V1_6,
        (BOB, [(ERC20, WETH, 0, 1000)], [(*APE, BOB), weth(25, FEES)]),
        (ALICE, [APE, crown], [weth(975, ALICE)]),
    )

    assert [(r["token_id"], r["price"], r["unpriced"]) for r in sold(*accepted)] == [
        (8, 1000, None),
        (9, None, "sold together with what another order tells"),
    ]


def test_two_matches_in_a_row_of_one_transaction_stay_apart():
    first = (ALICE, [APE], [eth(1000, ALICE)]), (BOB, [(COIN, NATIVE, 0, 1000)], [(*APE, BOB)])
    second = (BOB, [APE], [eth(2000, BOB)]), (CAROL, [(COIN, NATIVE, 0, 2000)], [(*APE, CAROL)])

    for contract in (V1_1, V1_6):
        told = sold(*matches(contract, *first), *matches(contract, *second))
        assert [(r["seller"], r["buyer"], r["price"]) for r in told] == [
            (ALICE, BOB, 1000),
            (BOB, CAROL, 2000),
        ]


@pytest.mark.parametrize("net", [[], [eth(900, ALICE), eth(25, FEES)]])
@pytest.mark.parametrize("fee", [[], [eth(50, FEES)]])
def test_a_third_order_without_nfts_changes_nothing_of_a_pair(net, fee):
    seller = (ALICE, [APE], net)
    buyer = (BOB, [(COIN, NATIVE, 0, 1000)], [(*APE, CAROL), *fee])
    third = (DAVE, [(COIN, NATIVE, 0, 5)], [])

    (alone,) = sold(*matches(V1_6, seller, buyer))

    assert sold(*matches(V1_6, seller, buyer, third)) == [alone]
    assert alone["buyer"] == CAROL
    assert alone["price"] == (1000 if fee or not net else 925)


def test_a_match_reaches_no_order_of_another_transaction_or_another_match():
    ask, pay = [eth(1000, ALICE)], [(COIN, NATIVE, 0, 1000)]
    alone = fulfilled(ALICE, BOB, [APE], ask, contract=V1_6)
    mirror = fulfilled(CAROL, CAROL, pay, [(*APE, CAROL)], contract=V1_6, number=2)
    told = matched(1, 2, contract=V1_6)

    logs = logs_of([alone], [mirror, told], [told, mirror, told], block_hash=BLOCK)

    assert [(r["log_index"], r["buyer"]) for r in tables(*logs)["nft_trade"]] == [(0, BOB)]


def test_an_order_that_a_match_lists_is_not_matched_again_for_having_no_recipient():
    pair = [
        fulfilled(ALICE, NATIVE, [APE], [eth(1000, ALICE)], contract=V1_6, number=1),
        fulfilled(BOB, NATIVE, [(COIN, NATIVE, 0, 1000)], [(*APE, BOB)], contract=V1_6, number=2),
    ]

    (trade,) = sold(*pair, matched(1, 2, contract=V1_6))

    assert (trade["buyer"], trade["price"]) == (BOB, 1000)


TRANSACTIONS = (
    [listing(1)],
    matches(V1_1, (ALICE, [APE], [eth(9, ALICE)]), (BOB, [(COIN, NATIVE, 0, 9)], [(*APE, BOB)])),
    matches(V1_6, (BOB, [(ERC20, WETH, 0, 9)], [(*APE, BOB)]), (ALICE, [APE], [])),
    [listing(5, offer=[APE, (ERC721, APES, 9, 1)]), listing(6, asked=[weth(7, ALICE)])],
    [listing().with_word(5, 6)],
)


@given(st.lists(st.sampled_from(range(len(TRANSACTIONS))), max_size=8), st.sets(st.integers(1, 7)))
def test_any_split_between_transactions_gives_the_same_trades(numbers, cuts):
    logs = logs_of(*(TRANSACTIONS[n] for n in numbers), block_hash=BLOCK)
    of_transaction = [[x for x in logs if x.transaction_index == hex(n + 1)] for n in range(8)]
    pieces = [[]]
    for n, members in enumerate(of_transaction):
        if n in cuts:
            pieces.append([])
        pieces[-1] += members

    def told(some):
        rows = tables(*some)["nft_trade"]
        return [{k: v for k, v in row.items() if k != "log_index"} for row in rows]

    assert [row for piece in pieces for row in told(piece)] == told(logs)
