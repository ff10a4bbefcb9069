"""Seaport: which order of a trade is read, what it cost, and who was paid."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onchain_agg.sources.evm_json import Log
from onchain_agg.sources.nft_markets.seaport import MARKET, ORDERS_MATCHED
from onchain_agg.sources.seaport_orders import ORDER_FULFILLED
from tests.fakes.nft_events import topic_of
from tests.fakes.seaport_events import (
    FULFILLED_SIGNATURE,
    MATCHED_SIGNATURE,
    V1_1,
    fulfilled,
    matched,
)
from tests.unit.sources.nft_markets.made_logs import (
    ALICE,
    APES,
    BLOCK,
    BOB,
    CAROL,
    DAVE,
    MOST,
    NATIVE,
    WETH,
    reasons,
    trades,
)
from tests.unit.sources.nft_markets.made_seaport import (
    APE,
    COIN,
    ERC20,
    ERC721,
    ERC1155,
    FEES,
    OPENSEA_ZONE,
    SOME_721,
    SOME_1155,
    USDC,
    eth,
    listing,
    one_transaction,
    sale,
    sold,
    unpriced,
    weth,
)


def test_the_topics_are_those_of_the_signatures():
    assert (
        topic_of(FULFILLED_SIGNATURE),
        topic_of(MATCHED_SIGNATURE),
    ) == (ORDER_FULFILLED, ORDERS_MATCHED)


@pytest.mark.parametrize(("contract", "version"), MARKET.contracts.items())
def test_a_listing_costs_what_it_asks_for_in_every_version(contract, version):
    assert sold(listing(contract=contract)) == [sale(contract=contract, version=version)]


def test_an_accepted_offer_costs_what_it_offers():
    asked = [(*APE, CAROL), weth(25, FEES), weth(50, DAVE)]
    offer = fulfilled(ALICE, BOB, [(ERC20, WETH, 0, 1000)], asked)

    assert sold(offer) == [sale(side="offer", seller=BOB, buyer=CAROL, currency=WETH, royalty=50)]


@given(st.integers(0, MOST))
def test_a_token_id_and_a_price_survive_exactly(number):
    offer = [(ERC721, APES, number, 1)]

    (row,) = sold(listing(offer=offer, asked=[eth(number, ALICE)]))

    assert row == sale(token_id=number, price=number, platform_fee=0, royalty=0)


@pytest.mark.parametrize(
    ("kind", "standard"), [(ERC721, 721), (ERC1155, 1155), (SOME_721, 721), (SOME_1155, 1155)]
)
def test_the_kind_of_the_item_tells_the_standard(kind, standard):
    (row,) = sold(listing(offer=[(kind, APES, 8, 1)]))

    assert row == sale(standard=standard)


def test_a_partial_fill_has_the_quantity_that_changed_hands():
    (row,) = sold(listing(offer=[(ERC1155, APES, 8, 3)]))

    assert row == sale(standard=1155, quantity=3)


def test_a_bundles_price_and_fees_are_split_and_the_first_item_gets_the_remainder():
    asked = [eth(972, ALICE), eth(28, FEES)]
    bundle = [(ERC721, APES, n, 1) for n in (1, 2, 3)]

    shares = [(1, 0, 334, 10), (2, 1, 333, 9), (3, 2, 333, 9)]
    assert sold(listing(offer=bundle, asked=asked)) == [
        sale(token_id=n, item_index=k, bundle_size=3, price=price, platform_fee=fee, royalty=0)
        for n, k, price, fee in shares
    ]


def test_a_tip_is_part_of_the_price():
    asked = [eth(900, ALICE), eth(25, FEES), eth(75, CAROL), eth(20, DAVE)]

    assert sold(listing(asked=asked)) == [sale(price=1020, royalty=95)]


@pytest.mark.parametrize(
    ("asked", "zone", "fee", "royalty"),
    [
        pytest.param([eth(1000, ALICE)], NATIVE, 0, 0, id="nobody beside the seller"),
        pytest.param([eth(900, ALICE), eth(100, DAVE)], OPENSEA_ZONE, 0, 100, id="a zone's"),
        pytest.param([eth(900, ALICE), eth(100, DAVE)], NATIVE, 0, None, id="unknown market"),
        pytest.param(
            [eth(875, ALICE), eth(25, FEES), eth(100, DAVE)], NATIVE, 25, 100, id="a tenth"
        ),
        pytest.param(
            [eth(874, ALICE), eth(25, FEES), eth(101, DAVE)], NATIVE, 25, None, id="above it"
        ),
        pytest.param([eth(975, DAVE), eth(25, FEES)], NATIVE, 25, None, id="proceeds elsewhere"),
    ],
)
def test_a_royalty_is_known_only_where_opensea_made_the_order(asked, zone, fee, royalty):
    assert sold(listing(asked=asked, zone=zone)) == [sale(platform_fee=fee, royalty=royalty)]


def test_nfts_for_nfts_are_two_trades_without_a_price():
    punk = (ERC721, WETH, 3, 1)

    assert sold(listing(asked=[(*punk, ALICE), eth(5, ALICE)])) == [
        unpriced("NFTs for NFTs", bundle_size=2),
        unpriced(
            "NFTs for NFTs",
            bundle_size=2,
            item_index=1,
            side="offer",
            collection=WETH,
            token_id=3,
            seller=BOB,
            buyer=ALICE,
        ),
    ]


@pytest.mark.parametrize(
    ("offer", "asked", "reason", "currency"),
    [
        ([APE], [eth(9, ALICE), weth(1, DAVE)], "several currencies", None),
        ([APE], [weth(9, ALICE), (ERC20, USDC, 0, 1, DAVE)], "several currencies", None),
        ([APE, (ERC20, WETH, 0, 5)], [eth(9, ALICE)], "coins on both sides", NATIVE),
        ([APE, (COIN, NATIVE, 0, 5)], [eth(9, ALICE)], "coins on both sides", NATIVE),
        ([APE], [eth(MOST, ALICE), eth(1, DAVE)], "the price exceeds 256 bits", NATIVE),
    ],
)
def test_what_has_no_price_says_why(offer, asked, reason, currency):
    assert sold(listing(offer=offer, asked=asked)) == [unpriced(reason, currency=currency)]


def test_an_offer_that_gets_coins_back_or_pays_in_another_has_no_price():
    coins = [(ERC20, WETH, 0, 9)]
    back = fulfilled(ALICE, BOB, coins, [(*APE, ALICE), weth(2, ALICE)])
    other = fulfilled(ALICE, BOB, coins, [(*APE, ALICE), (ERC20, USDC, 0, 2, FEES)], number=2)

    assert [(row["unpriced"], row["currency"]) for row in sold(back, other)] == [
        ("coins on both sides", WETH),
        ("several currencies", None),
    ]


@pytest.mark.parametrize(
    ("fees", "price", "reason"),
    [
        ([weth(9, FEES)], 9, None),
        ([weth(10, FEES)], None, "fees above the price"),
        ([weth(5, FEES), weth(5, DAVE)], None, "fees above the price"),
        ([weth(MOST, FEES), weth(1, DAVE)], None, "fees above the price"),
    ],
)
def test_an_offer_whose_fees_are_above_what_it_pays_has_no_price(fees, price, reason):
    offer = fulfilled(ALICE, BOB, [(ERC20, WETH, 0, 9)], [(*APE, ALICE), *fees])

    (row,) = sold(offer)

    told = (row["currency"], row["price"], row["platform_fee"], row["unpriced"])
    assert told == (WETH, price, price, reason)


def test_a_gift_has_no_price():
    assert sold(fulfilled(ALICE, BOB, [APE], [])) == [unpriced("nothing was paid")]


def test_coins_for_coins_and_empty_orders_are_no_trade():
    assert (
        sold(
            fulfilled(ALICE, BOB, [(ERC20, WETH, 0, 9)], [eth(9, ALICE)]),
            fulfilled(ALICE, BOB, [], [], number=2),
        )
        == []
    )


def _broken(at, value):
    return listing().with_word(at, value)


NOT_CANONICAL = "seaport: items are not where ABI puts them"
ODD_ITEM = "seaport: a kind above 5, or an address of more than 20 bytes"


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        pytest.param(_broken(1, 2**160), ODD_ITEM, id="recipient"),
        pytest.param(_broken(2, 96), NOT_CANONICAL, id="offer's offset"),
        pytest.param(_broken(3, MOST), NOT_CANONICAL, id="consideration's offset"),
        pytest.param(_broken(4, 2), NOT_CANONICAL, id="offered items"),
        pytest.param(_broken(4, MOST), NOT_CANONICAL, id="very many offered items"),
        pytest.param(_broken(9, 4), NOT_CANONICAL, id="items asked for"),
        pytest.param(_broken(5, 6), ODD_ITEM, id="kind"),
        pytest.param(_broken(6, 2**160), ODD_ITEM, id="token"),
        pytest.param(_broken(14, 2**255), ODD_ITEM, id="payee"),
        pytest.param(
            listing().with_data(listing().data[:-1]),
            "seaport: 799 bytes, not whole words, 6 or more",
            id="not whole words",
        ),
        pytest.param(
            listing().with_data(b""), "seaport: 0 bytes, not whole words, 6 or more", id="no data"
        ),
        pytest.param(
            matched().with_data(b""), "seaport: 0 bytes, not whole words, 2 or more", id="no match"
        ),
        pytest.param(
            listing(contract="0x" + 40 * "1"), "seaport: event of an unknown contract", id="fork"
        ),
    ],
)
def test_what_cannot_be_read_is_kept_apart_and_hides_nothing(event, reason):
    logs = one_transaction(event, listing(number=2))

    assert reasons(*logs) == [(0, reason)]
    assert trades(*logs) == [sale(log_index=1)]


def test_an_order_with_another_number_of_topics_is_kept_apart():
    (log,) = one_transaction(listing())
    short = Log(**{f: getattr(log, f) for f in log.__struct_fields__} | {"topics": log.topics[:2]})

    assert reasons(short) == [(0, "seaport: 2 topics, not 3")]


# By case: price, platform fee and quantity.
REAL = {
    "basic erc721 sell OrderFulfilled": (5 * 10**17, 125 * 10**14, 1),
    "basic erc721 bid OrderFulfilled": (12 * 10**16, 3 * 10**15, 1),
    "basic erc1155 full sell OrderFulfilled": (9 * 10**17, 225 * 10**14, 3),
    "basic erc1155 full bid OrderFulfilled": (4 * 10**16, 10**15, 2),
    "basic erc1155 partly sell OrderFulfilled": (3 * 10**16, 75 * 10**13, 1),
}


def test_real_orders_are_read(real_data):
    recorded = json.loads((real_data / "nft/marketplace_logs.json").read_text())
    cases = [entry for entry in recorded if entry["marketplace"] == "seaport"]
    logs = [
        Log(V1_1, tuple(c["topics"]), c["data"], BLOCK, f"0x{n:064x}", hex(n), hex(n))
        for n, c in enumerate(cases)
    ]

    told = trades(*logs)

    assert [(r["price"], r["platform_fee"], r["quantity"]) for r in told] == [
        REAL[c["case"]] for c in cases
    ]
    seller, buyer = (
        "0x6c8ba1dafb22eae61e9cd3da724cbc3d164c27b9",
        "0x47921676a46ccfe3d80b161c7b4ddc8ed9e716b6",
    )
    for case, row in zip(cases, told, strict=True):
        parties = (seller, buyer) if "sell" in case["case"] else (buyer, seller)
        assert (row["seller"], row["buyer"]) == parties
