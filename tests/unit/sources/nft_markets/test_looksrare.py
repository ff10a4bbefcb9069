"""LooksRare: parts of the price that logs tell, bundles, and what is no trade of its."""

import csv
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onchain_agg.sources.evm_json import Log
from onchain_agg.sources.looksrare_royalties import ROYALTY_PAYMENT
from onchain_agg.sources.nft_markets.looksrare import (
    MARKET,
    TAKER_ASK_1,
    TAKER_ASK_2,
    TAKER_BID_1,
    TAKER_BID_2,
)
from tests.fakes.looksrare_events import (
    ROYALTY_SIGNATURE,
    SIGNATURES_1,
    SIGNATURES_2,
    V1,
    V2,
    payments_1,
    royalty_1,
    taken_1,
    taken_2,
)
from tests.fakes.nft_events import (
    NATIVE,
    WETH,
    erc20,
    erc721,
    erc1155,
    erc1155_batch,
    logs_of,
    topic_of,
)
from tests.unit.sources.nft_markets.made_logs import (
    ALICE,
    APES,
    BLOCK,
    BOB,
    CAROL,
    DAVE,
    MOST,
    reasons,
    tables,
    trades,
)

ETHER = 10**18
APE = (APES, 8198)
PARTS = (2 * 10**16, 10**16, 97 * 10**16)  # fee, royalty, the seller's


def _of(*transactions):
    return logs_of(*transactions, block_hash=BLOCK)


def _row(**given):
    """Return a row of ALICE's sale of APE to BOB for an ether, in version 1."""
    row = {
        "log_index": 0,
        "item_index": 0,
        "market": "looksrare",
        "version": "1",
        "contract": V1,
        "side": "listing",
        "standard": 721,
        "collection": APES,
        "token_id": 8198,
        "quantity": 1,
        "bundle_size": 1,
        "seller": ALICE,
        "buyer": BOB,
        "currency": WETH,
        "price": ETHER,
        "platform_fee": 2 * 10**16,
        "royalty": 10**16,
        "unpriced": None,
    }
    return row | given


def _second(**given):
    return _row(version="2", contract=V2, currency=NATIVE, **given)


@pytest.mark.parametrize(
    ("signature", "topic"),
    [
        (SIGNATURES_1[0], TAKER_BID_1),
        (SIGNATURES_1[1], TAKER_ASK_1),
        (SIGNATURES_2[0], TAKER_BID_2),
        (SIGNATURES_2[1], TAKER_ASK_2),
        (ROYALTY_SIGNATURE, ROYALTY_PAYMENT),
    ],
)
def test_a_topic_is_the_hash_of_its_signature(signature, topic):
    assert topic_of(signature) == topic
    assert topic in MARKET.topics + MARKET.context


def test_real_trades_of_version_1_with_all_their_payments_are_read(real_data):
    with (real_data / "ethereum/logs_block_14210867_sample.csv").open() as file:
        found = trades(*[_log_of(row) for row in csv.DictReader(file)])

    # Both strategies take 2 %; only the second collection has a royalty.
    bought, accepted = (row for row in found if row["market"] == "looksrare")
    assert bought == _row(
        log_index=bought["log_index"],
        collection="0x9eeaecbe2884aa7e82f450e3fc174f30fc2a8de3",
        token_id=4347,
        seller="0xe09539e178d0f8419d758c148b61f9b0c08e10ec",
        buyer="0xb47ca486f61532cb40630eaee136582154007cf3",
        price=880 * 10**15,
        platform_fee=176 * 10**14,
        royalty=0,
    )
    assert accepted == _row(
        log_index=accepted["log_index"],
        side="offer",
        collection="0xcf514faa49cb3133275eb4c9420e4161970ee806",
        token_id=1745,
        seller="0xdbfe9d32daaaa5d2d94af2a666c8bdda08ebd640",
        buyer="0xe2993904204ab04e9579a5bf0a847fc6dca1a830",
        price=0x18AB4DC828BC000,
        platform_fee=0x18AB4DC828BC000 * 2 // 100,
        royalty=0x18AB4DC828BC000 * 6 // 100,
    )


def _log_of(row):
    return Log(
        address=row["address"],
        topics=tuple(row["topics"].split(",")),
        data=row["data"],
        block_hash=BLOCK,
        transaction_hash=row["transaction_hash"],
        transaction_index=hex(int(row["transaction_index"])),
        log_index=hex(int(row["log_index"])),
    )


def test_real_events_of_version_1_without_their_payments_are_read(real_data):
    file = json.loads((real_data / "nft/marketplace_logs.json").read_text())
    entries = [entry for entry in file if entry["marketplace"] == "looksrare_v1"]
    logs = _of([taken_1("TakerBid", BOB, ALICE, APE, ETHER)] * len(entries))
    for log, entry in zip(logs, entries, strict=True):
        log.topics, log.data = tuple(entry["topics"]), entry["data"]

    unknown = {"standard": None, "platform_fee": None, "royalty": 0}
    rinkeby = {
        "currency": "0xc778417e063141139fce010982780140aa0cd5ab",
        "collection": "0x0fa6a99c66085b25552930be7961d8928061a842",
        "token_id": 0x47921676A46CCFE3D80B161C7B4DDC8ED9E716B6000000000000000000000001,
    }
    one, other = (
        "0x47921676a46ccfe3d80b161c7b4ddc8ed9e716b6",
        "0x6c8ba1dafb22eae61e9cd3da724cbc3d164c27b9",
    )
    assert trades(*logs) == [
        _row(**unknown, **rinkeby, seller=other, buyer=one, price=10**16),
        _row(
            **unknown,
            log_index=1,
            seller="0x9b5ac41ebd9f079cda878f41d4d7ad32c22ac486",
            # An aggregator's contract, as logged.
            buyer="0x83c8f28c26bf6aaca652df1dbbe0e1b56f8baba2",
            collection="0x8dcb8b2d721c022552d826f8bcf2995747248d31",
            token_id=0x816,
            price=0x11DFE52D06B4000,
        ),
        _row(
            **unknown,
            **rinkeby,
            log_index=2,
            side="offer",
            seller=one,
            buyer=other,
            price=0x470DE4DF820000,
        ),
    ]


@pytest.mark.parametrize("payer", [pytest.param(BOB, id="the buyer"), pytest.param(V1, id="ether")])
def test_a_listing_of_version_1_is_paid_by_the_buyer_or_the_exchange(payer):
    sale = taken_1("TakerBid", BOB, ALICE, APE, ETHER)
    moved = erc721(APES, ALICE, BOB, 8198)

    found = trades(*_of([*payments_1(payer, APE, ALICE, PARTS), moved, sale]))

    assert found == [_row(log_index=5)]


def test_an_offer_of_version_1_moves_the_token_first():
    sale = taken_1("TakerAsk", ALICE, BOB, APE, ETHER)
    moved = erc721(APES, ALICE, BOB, 8198)

    found = trades(*_of([moved, *payments_1(BOB, APE, ALICE, PARTS), sale]))

    assert found == [_row(log_index=5, side="offer")]


def test_a_strategy_without_fee_and_a_collection_without_royalty_leave_zero():
    sale = taken_1("TakerBid", BOB, ALICE, APE, ETHER)

    found = trades(*_of([*payments_1(BOB, APE, ALICE, (0, 0, ETHER)), sale]))

    assert found == [_row(log_index=1, standard=None, platform_fee=0, royalty=0)]


def test_a_creator_that_sells_is_paid_twice():
    sale = taken_1("TakerBid", BOB, ALICE, APE, ETHER)
    paid = [erc20(WETH, BOB, ALICE, 10**16), royalty_1(APE, 10**16)]
    rest = erc20(WETH, BOB, ALICE, 97 * 10**16)

    found = trades(*_of([*paid, rest, erc721(APES, ALICE, BOB, 8198), sale]))

    assert found == [_row(log_index=4)]


def test_an_erc1155_trade_of_version_1_has_its_amount():
    sale = taken_1("TakerBid", BOB, ALICE, APE, ETHER, amount=12)
    moved = erc1155(APES, ALICE, BOB, 8198, 12)

    found = trades(*_of([*payments_1(BOB, APE, ALICE, PARTS), moved, sale]))

    assert found == [_row(log_index=5, standard=1155, quantity=12)]


def test_two_trades_of_one_transaction_have_their_own_payments():
    other = (APES, 9)
    first = [*payments_1(BOB, APE, ALICE, PARTS), taken_1("TakerBid", BOB, ALICE, APE, ETHER)]
    second = [
        *payments_1(BOB, other, ALICE, (1, 0, 99)),
        taken_1("TakerBid", BOB, ALICE, other, 100),
    ]

    found = trades(*_of(first + second))

    assert found == [
        _row(log_index=4, standard=None),
        _row(log_index=7, standard=None, token_id=9, price=100, platform_fee=1, royalty=0),
    ]


def test_a_listing_of_version_2_goes_to_whom_the_token_goes():
    # CAROL, an aggregator, buys for BOB.
    sale = taken_2(
        "TakerBid",
        CAROL,
        BOB,
        (APES, [8198]),
        paid_to=ALICE,
        parts=(97 * 10**16, 10**16, 2 * 10**16),
    )

    found = trades(*_of([erc721(APES, ALICE, BOB, 8198), sale]))

    assert found == [_second(log_index=1)]


def test_an_offer_of_version_2_is_sold_by_its_taker_whoever_is_paid():
    sale = taken_2(
        *("TakerAsk", ALICE, BOB, (APES, [8198])),
        paid_to=DAVE,
        parts=(97 * 10**16, 10**16, 2 * 10**16),
        currency=WETH,
    )

    found = trades(*_of([erc721(APES, ALICE, BOB, 8198), sale]))

    assert found == [_second(log_index=1, side="offer") | {"currency": WETH}]


def test_a_bundle_is_split_to_the_last_unit():
    sale = taken_2(
        *("TakerBid", BOB, BOB, (APES, [1, MOST, 3])),
        amounts=[4, 5, MOST],
        paid_to=ALICE,
        parts=(97, 11, 2),
    )

    found = trades(*_of([erc1155_batch(APES, ALICE, BOB, [1, 3], [4, MOST]), sale]))

    shared = {"log_index": 1, "standard": 1155, "bundle_size": 3}
    assert found == [
        _second(**shared, token_id=1, quantity=4, price=38, royalty=5, platform_fee=2),
        _second(
            **shared, item_index=1, token_id=MOST, quantity=5, price=36, royalty=3, platform_fee=0
        ),
        _second(
            **shared, item_index=2, token_id=3, quantity=MOST, price=36, royalty=3, platform_fee=0
        ),
    ]


def test_bundles_of_one_length_and_other_counts_keep_their_order():
    # Padded, the data of one item is as long as that of two.
    pair = taken_2("TakerBid", BOB, BOB, (APES, [1, 2]), paid_to=ALICE, parts=(10, 0, 0))
    single = taken_2("TakerBid", BOB, BOB, (APES, [5]), paid_to=ALICE, parts=(6, 0, 0))
    padded = single.with_data(single.data + bytes(64))

    found = trades(*_of([pair, padded, pair]))

    assert [(row["log_index"], row["item_index"], row["token_id"]) for row in found] == [
        *((0, 0, 1), (0, 1, 2), (1, 0, 5), (2, 0, 1), (2, 1, 2)),
    ]
    assert [row["price"] for row in found] == [5, 5, 6, 5, 5]


_FIRST = taken_1("TakerBid", BOB, ALICE, APE, ETHER)
_SECOND = taken_2("TakerAsk", ALICE, BOB, (APES, [1, 2]), parts=(1, 2, 3))
_NO_ADDRESS, _OUTSIDE = "a field is not an address", "an array lies outside the data"
_UNEQUAL = "the arrays of ids and amounts are empty or differ in length"
# Ids stand from word 15 on, amounts from word 18 on, each behind its length.
_MALFORMED = {
    "a word too many": (_FIRST.with_data(_FIRST.data + bytes(32)), "256 bytes, not 224"),
    "a word missing": (_FIRST.with_data(bytes(192)), "192 bytes, not whole words, 7 or more"),
    "half a word": (_FIRST.with_data(bytes(240)), "240 bytes, not whole words, 7 or more"),
    "a dirty currency": (_FIRST.with_word(2, 2**160), _NO_ADDRESS),
    "a dirty collection": (_FIRST.with_word(3, 2**255), _NO_ADDRESS),
    "a dirty maker": (
        type(_FIRST)(V1, (*_FIRST.topics[:2], b"\1" * 32, _FIRST.topics[3]), _FIRST.data),
        _NO_ADDRESS,
    ),
    "a topic missing": (type(_FIRST)(V1, _FIRST.topics[:3], _FIRST.data), "3 topics, not 4"),
    "a dirty user": (_SECOND.with_word(3, 2**160), _NO_ADDRESS),
    "a dirty bidder": (_SECOND.with_word(4, 2**160), _NO_ADDRESS),
    "a dirty currency of version 2": (_SECOND.with_word(6, 2**160), _NO_ADDRESS),
    "a dirty collection of version 2": (_SECOND.with_word(7, 2**160), _NO_ADDRESS),
    "a dirty payee": (_SECOND.with_word(10, 2**160), _NO_ADDRESS),
    "ids outside": (_SECOND.with_word(8, 32 * 21), _OUTSIDE),
    "ids at odd bytes": (_SECOND.with_word(8, 481), _OUTSIDE),
    "amounts without end": (_SECOND.with_word(9, MOST), _OUTSIDE),
    "too many ids": (_SECOND.with_word(15, 6), _OUTSIDE),
    "ids without end": (_SECOND.with_word(15, MOST), _OUTSIDE),
    "fewer ids": (_SECOND.with_word(15, 1), _UNEQUAL),
    "no items": (_SECOND.with_word(15, 0).with_word(18, 0), _UNEQUAL),
    "a price too large": (_SECOND.with_word(12, MOST), "a price above 256 bits"),
    "no room for arrays": (_SECOND.with_data(bytes(512)), "512 bytes, not whole words, 17 or more"),
}


@pytest.mark.parametrize(("sale", "reason"), _MALFORMED.values(), ids=_MALFORMED)
def test_a_malformed_trade_is_kept_apart(sale, reason):
    logs = _of([_FIRST, sale, _SECOND])

    assert [row["log_index"] for row in trades(*logs)] == [0, 2, 2]
    assert reasons(*logs) == [(1, f"looksrare: {reason}")]


@pytest.mark.parametrize(("sale", "reason"), _MALFORMED.values(), ids=_MALFORMED)
def test_a_malformed_trade_that_is_alone_is_kept_too(sale, reason):
    made = tables(*_of([sale]))

    assert [row["reason"] for row in made["malformed_log"]] == [f"looksrare: {reason}"]
    assert made["nft_trade"] == []


@given(
    st.sampled_from([_FIRST, _SECOND]),
    st.lists(
        st.tuples(st.integers(0, 20), st.integers(0, MOST) | st.integers(0, 700)),
        min_size=1,
        max_size=4,
    ),
)
def test_any_words_give_trades_or_a_reason(sale, changes):
    for at, value in changes:
        if at < len(sale.data) // 32:
            sale = sale.with_word(at, value)

    kept = tables(*_of([sale]))

    assert bool(kept["nft_trade"]) != bool(kept["malformed_log"])
    assert all(row["bundle_size"] == len(kept["nft_trade"]) for row in kept["nft_trade"])


@given(st.integers(1, 2**200), st.lists(st.integers(0, 2**100), min_size=1, max_size=9), st.data())
def test_a_bundles_shares_add_up_to_what_was_paid(seller_part, ids, data):
    fee, royalty = data.draw(st.tuples(st.integers(0, 2**90), st.integers(0, 2**90)))
    sale = taken_2("TakerAsk", ALICE, BOB, (APES, ids), parts=(seller_part, royalty, fee))

    found = trades(*_of([sale]))

    assert [row["token_id"] for row in found] == ids
    assert sum(row["price"] for row in found) == seller_part + royalty + fee
    assert sum(row["royalty"] for row in found) == royalty
    assert sum(row["platform_fee"] for row in found) == fee
