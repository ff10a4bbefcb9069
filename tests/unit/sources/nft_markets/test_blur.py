"""Blur: whose side is logged, who is paid by whom, and what is no trade of its."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onchain_agg.sources.blur_fills import EXECUTION, MAKER_FEE_PACKED, PACKED, TAKER_FEE_PACKED
from onchain_agg.sources.blur_orders import ORDERS_MATCHED
from onchain_agg.sources.nft_markets.blur import MARKET
from tests.fakes.blur_events import (
    EXECUTION_SIGNATURE,
    MATCH_SIGNATURE,
    POOL,
    V1,
    V2,
    execution,
    matched,
    order,
    packed,
)
from tests.fakes.nft_events import WETH, erc721, erc1155, logs_of, topic_of
from tests.unit.sources.nft_markets.made_logs import (
    ALICE,
    APES,
    BLOCK,
    BOB,
    MOST,
    NATIVE,
    reasons,
    tables,
    trades,
)

ETHER = 10**18
APE = (APES, 8198)
UINT256 = st.integers(0, MOST)


def _of(*transactions):
    return logs_of(*transactions, block_hash=BLOCK)


def _row(**given):
    """Return a row of ALICE's sale of APE to BOB for an ether."""
    row = {
        "log_index": 1,
        "item_index": 0,
        "market": "blur",
        "version": "2",
        "contract": V2,
        "side": "listing",
        "standard": 721,
        "collection": APES,
        "token_id": 8198,
        "quantity": 1,
        "bundle_size": 1,
        "seller": ALICE,
        "buyer": BOB,
        "currency": NATIVE,
        "price": ETHER,
        "platform_fee": 0,
        "royalty": 0,
        "unpriced": None,
    }
    return row | given


def _first(**given):
    return _row(version="1", contract=V1, **given)


@pytest.mark.parametrize(
    ("signature", "topic"),
    [
        (MATCH_SIGNATURE, ORDERS_MATCHED),
        (EXECUTION_SIGNATURE, EXECUTION),
        ("Execution721Packed(bytes32,uint256,uint256)", PACKED),
        ("Execution721TakerFeePacked(bytes32,uint256,uint256,uint256)", TAKER_FEE_PACKED),
        ("Execution721MakerFeePacked(bytes32,uint256,uint256,uint256)", MAKER_FEE_PACKED),
    ],
)
def test_a_topic_is_the_hash_of_its_signature(signature, topic):
    assert topic_of(signature) == topic
    assert topic in MARKET.topics


def test_a_real_packed_sale_of_version_2_is_read():
    # Mainnet, transaction 0xc199fd41…; the taker is the transaction's sender.
    maker, taker = (
        "0x83fa03a1747aafe4e0f0ec3880740f49d74f1158",
        "0xf770e42fd25d745e9f25ab57cca3e96f7fe62d14",
    )
    collection = "0x789e35a999c443fe6089544056f728239b8ffee7"
    sale = packed(maker, (collection, 8198), 15 * 10**15, is_bid=False).with_data(
        bytes.fromhex(
            "21b7d4ae06f010118c4c4e976182504160a6ad111f471ea8df38ad045ff7fa40"
            "00000000000000000020060083fa03a1747aafe4e0f0ec3880740f49d74f1158"
            "0000000000354a6ba7a18000789e35a999c443fe6089544056f728239b8ffee7"
        )
    )

    found = trades(*_of([erc721(collection, maker, taker, 8198), sale]))

    assert found == [_row(collection=collection, seller=maker, buyer=taker, price=15 * 10**15)]


@pytest.mark.parametrize(
    ("fee", "paid", "royalty"),
    [
        pytest.param(None, ETHER, 0, id="no fee"),
        pytest.param(("Maker", 50), ETHER, 5 * 10**15, id="out of the seller's part"),
        pytest.param(("Taker", 50), ETHER + 5 * 10**15, 5 * 10**15, id="on top of the price"),
    ],
)
def test_the_maker_of_a_packed_ask_sells(fee, paid, royalty):
    sale = packed(ALICE, APE, ETHER, is_bid=False, fee=fee)

    found = trades(*_of([erc721(APES, ALICE, BOB, 8198), sale]))

    assert found == [_row(price=paid, royalty=royalty)]


@pytest.mark.parametrize(
    ("fee", "paid", "royalty"),
    [
        pytest.param(None, ETHER, 0, id="no fee"),
        pytest.param(("Taker", 50), ETHER, 5 * 10**15, id="out of the seller's part"),
        pytest.param(("Maker", 50), ETHER + 5 * 10**15, 5 * 10**15, id="on top of the price"),
    ],
)
def test_the_maker_of_a_packed_bid_buys(fee, paid, royalty):
    sale = packed(BOB, APE, ETHER, is_bid=True, fee=fee)

    found = trades(*_of([erc721(APES, ALICE, BOB, 8198), sale]))

    assert found == [_row(side="offer", price=paid, royalty=royalty)]


def test_the_largest_packed_fields_are_read_to_the_last_bit():
    largest = 2**88 - 1
    sale = packed(ALICE, (APES, largest), largest, is_bid=False)

    (found,) = trades(*_of([erc721(APES, ALICE, BOB, largest), sale]))

    assert (found["token_id"], found["price"]) == (largest, largest)


@pytest.mark.parametrize(("rate", "royalty"), [(333, 333), (10_000, 10_001)])
def test_fees_are_rounded_down_and_at_most_the_price(rate, royalty):
    sale = packed(ALICE, APE, 10_001, is_bid=False, fee=("Maker", rate))

    (found,) = trades(*_of([erc721(APES, ALICE, BOB, 8198), sale]))

    assert found["royalty"] == royalty


def test_a_part_of_an_erc1155_listing_names_amount_and_all_fees():
    sale = execution(ALICE, APE, ETHER, is_bid=False, amount=3, rates=(100, 250, 50))

    found = trades(*_of([erc1155(APES, ALICE, BOB, 8198, 3), sale]))

    assert found == [
        _row(
            standard=1155,
            quantity=3,
            price=ETHER + 5 * 10**15,
            royalty=15 * 10**15,
            platform_fee=25 * 10**15,
        )
    ]


def test_an_unpacked_erc721_bid_is_of_one_token():
    largest = (APES, MOST)
    sale = execution(BOB, largest, ETHER, is_bid=True, rates=(100, 0, 50))

    found = trades(*_of([erc721(APES, ALICE, BOB, MOST), sale]))

    assert found == [
        _row(side="offer", token_id=MOST, price=ETHER + 10**16, royalty=15 * 10**15),
    ]


def test_a_listing_of_version_1_is_the_older_order():
    sell = order(ALICE, APE, ETHER, side=1, rates=(50, 25), listed=100)
    buy = order(BOB, APE, ETHER, listed=101, extra=b"\1")
    sale = matched(sell, buy, ALICE, BOB)

    found = trades(*_of([erc721(APES, ALICE, BOB, 8198), sale]))

    assert found == [_first(royalty=75 * 10**14)]


def test_orders_of_one_second_are_a_listing():
    sale = matched(order(ALICE, APE, ETHER), order(BOB, APE, ETHER), ALICE, BOB)

    assert trades(*_of([erc721(APES, ALICE, BOB, 8198), sale])) == [_first()]


def test_an_offer_of_version_1_on_a_collection_has_the_sellers_token():
    sell = order(ALICE, APE, ETHER, listed=200, currency=POOL)
    buy = order(BOB, (APES, 0), ETHER, listed=100, currency=POOL)
    sale = matched(sell, buy, BOB, ALICE)

    found = trades(*_of([erc721(APES, ALICE, BOB, 8198), sale]))

    assert found == [_first(side="offer")]


def test_the_buyers_fee_of_version_1_comes_on_top():
    sell = order(ALICE, APE, ETHER, rates=(50,), currency=WETH)
    buy = order(BOB, APE, ETHER, rates=(10, 20, 30), currency=WETH, listed=101)
    sale = matched(sell, buy, ALICE, BOB)

    found = trades(*_of([erc721(APES, ALICE, BOB, 8198), sale]))

    assert found == [_first(price=ETHER + 6 * 10**15, royalty=11 * 10**15, currency=WETH)]


def test_the_amount_of_version_1_counts_for_erc1155_only():
    sale = matched(order(ALICE, APE, 9, amount=5), order(BOB, APE, 9, amount=5), ALICE, BOB)
    pieces = [erc1155(APES, ALICE, BOB, 8198, 5), sale]
    token = [erc721(APES, ALICE, BOB, 8198), sale]

    assert trades(*_of(pieces)) == [_first(price=9, quantity=5, standard=1155)]
    assert trades(*_of(token)) == [_first(price=9)]
    assert trades(*_of([sale])) == [_first(price=9, standard=None, log_index=0)]


def test_orders_of_different_length_in_one_block_are_all_read():
    sales = [
        matched(order(ALICE, (APES, k), k, rates=(50,) * k), order(BOB, (APES, k), k), ALICE, BOB)
        for k in range(4)
    ]

    found = trades(*_of(sales))

    assert [(row["token_id"], row["price"]) for row in found] == [(0, 0), (1, 1), (2, 2), (3, 3)]


_SALE = matched(order(ALICE, APE, ETHER), order(BOB, APE, ETHER), ALICE, BOB)
_ABOVE = "fees above the price, or a price above 256 bits"
# The sell order stands in words 4 to 18, its fees' length in word 17; the buy order from 19 on.
_MALFORMED = {
    "an offset outside": (_SALE.with_word(0, 32 * 40), "an order lies outside the data"),
    "an offset of odd bytes": (_SALE.with_word(0, 129), "an order lies outside the data"),
    "an offset without end": (_SALE.with_word(2, MOST), "an order lies outside the data"),
    "fees outside": (_SALE.with_word(14, 32 * 31), "an order lies outside the data"),
    "the last field outside": (_SALE.with_word(2, 32 * 22), "an order lies outside the data"),
    "the last fee outside": (_SALE.with_word(32, 1), "an order lies outside the data"),
    "too many fees": (_SALE.with_word(17, 17), "an order lies outside the data"),
    "a dirty trader": (_SALE.with_word(4, 2**160), "a field of an order is not an address"),
    "a dirty collection": (_SALE.with_word(7, 2**160), "a field of an order is not an address"),
    "a dirty currency": (_SALE.with_word(10, 2**160), "a field of an order is not an address"),
    "a dirty topic": (
        type(_SALE)(
            V1, (_SALE.topics[0], b"\1" + _SALE.topics[1][1:], _SALE.topics[2]), _SALE.data
        ),
        "the topics name other traders",
    ),
    "another trader": (_SALE.with_word(4, 5), "the topics name other traders"),
    "a price too large": (
        matched(order(ALICE, APE, MOST), order(BOB, APE, 0, rates=(1,)), ALICE, BOB),
        _ABOVE,
    ),
    "fees above the price": (
        matched(order(ALICE, APE, 1, rates=(9_000, 1_001)), order(BOB, APE, 1), ALICE, BOB),
        _ABOVE,
    ),
    "a buyer's fees above the price": (
        matched(order(ALICE, APE, 1), order(BOB, APE, 1, rates=(10_001,)), ALICE, BOB),
        _ABOVE,
    ),
    "half a word": (_SALE.with_data(_SALE.data[:-16]), "1072 bytes, not whole words, 34 or more"),
    "too short": (_SALE.with_data(_SALE.data[:64]), "64 bytes, not whole words, 34 or more"),
    "a topic missing": (
        type(_SALE)(V1, _SALE.topics[:2], _SALE.data),
        "2 topics, not 3",
    ),
}


@pytest.mark.parametrize(("sale", "reason"), _MALFORMED.values(), ids=_MALFORMED)
def test_a_malformed_match_is_kept_apart(sale, reason):
    logs = _of([_SALE, sale])

    assert trades(*logs) == [_first(log_index=0, standard=None)]
    assert reasons(*logs) == [(1, f"blur: {reason}")]


_PACKED = packed(ALICE, APE, ETHER, is_bid=False)
_TAKER_FEE = packed(ALICE, APE, ETHER, is_bid=False, fee=("Taker", 10_001))
_EXECUTION = execution(ALICE, APE, ETHER, is_bid=False)
_OUT_OF_RANGE = "a field of the execution is out of its range"
_MALFORMED_FILLS = {
    "a word too many": (_PACKED.with_data(_PACKED.data + bytes(32)), "128 bytes, not 96"),
    "a word missing": (_PACKED.with_data(bytes(64)), "64 bytes, not whole words, 3 or more"),
    "an unknown kind": (_PACKED.with_word(2, b"\2" + bytes(31)), _OUT_OF_RANGE),
    "a rate of 3 bytes": (_TAKER_FEE.with_word(3, 2**176), _OUT_OF_RANGE),
    "a rate above the price": (_TAKER_FEE, _ABOVE),
    "a dirty maker": (_EXECUTION.with_word(0, 2**160), _OUT_OF_RANGE),
    "a dirty collection": (_EXECUTION.with_word(3, 2**255), _OUT_OF_RANGE),
    "an unknown token": (_EXECUTION.with_word(4, 2), _OUT_OF_RANGE),
    "a kind without end": (_EXECUTION.with_word(14, MOST), _OUT_OF_RANGE),
    "a maker's rate without end": (_EXECUTION.with_word(9, MOST), _ABOVE),
    "a price too large for its fee": (_EXECUTION.with_word(7, MOST).with_word(9, 2), _ABOVE),
    "a rate without end": (_EXECUTION.with_word(11, MOST), _ABOVE),
    "a price too large": (_EXECUTION.with_word(7, MOST).with_word(13, 1), _ABOVE),
}


@pytest.mark.parametrize(("sale", "reason"), _MALFORMED_FILLS.values(), ids=_MALFORMED_FILLS)
def test_a_malformed_fill_is_kept_apart(sale, reason):
    logs = _of([erc721(APES, ALICE, BOB, 8198), sale, _PACKED])

    assert trades(*logs) == [_row(log_index=2)]
    assert reasons(*logs) == [(1, f"blur: {reason}")]


def test_an_event_of_an_unknown_contract_is_kept_apart():
    copy = type(_PACKED)(APES, _PACKED.topics, _PACKED.data)

    assert reasons(*_of([copy])) == [(0, "blur: event of an unknown contract")]


@given(
    st.sampled_from([_SALE, _PACKED, _TAKER_FEE, _EXECUTION]),
    st.lists(st.tuples(st.integers(0, 36), UINT256), min_size=1, max_size=4),
)
def test_any_words_give_a_trade_or_a_reason(sale, changes):
    for at, value in changes:
        if at < len(sale.data) // 32:
            sale = sale.with_word(at, value)

    kept = tables(*_of([sale]))

    assert len(kept["nft_trade"]) + len(kept["malformed_log"]) == 1
