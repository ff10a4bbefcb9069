"""CryptoPunks: sales, bids and owners out of events that no standard has."""

import csv
import gzip
from decimal import Decimal

import pytest

from onchain_agg.sources.evm_logs import TRANSFER
from onchain_agg.sources.nft_markets.cryptopunks import (
    ASSIGNED,
    BID_ENTERED,
    BID_WITHDRAWN,
    BOUGHT,
    CONTRACT,
    MARKET,
    TRANSFERRED,
)
from tests.fakes import cryptopunks_events
from tests.fakes.nft_events import topic_of
from tests.unit.sources.nft_markets.made_logs import (
    ALICE,
    BOB,
    CAROL,
    MOST,
    NATIVE,
    log,
    logged,
    reasons,
    tables,
    trades,
)

SIGNATURES = {
    BOUGHT: "PunkBought(uint256,uint256,address,address)",
    BID_ENTERED: "PunkBidEntered(uint256,uint256,address)",
    BID_WITHDRAWN: "PunkBidWithdrawn(uint256,uint256,address)",
    TRANSFERRED: "PunkTransfer(address,address,uint256)",
    ASSIGNED: "Assign(address,uint256)",
}
ETHER = 10**18


def bought(punk, price, seller, buyer, tx=1):
    return logged(cryptopunks_events.bought(punk, price, seller, buyer), tx=tx)


def moved(sender, recipient, tx=1):
    return logged(cryptopunks_events.moved(sender, recipient), tx=tx)


def test_the_topics_are_the_hashes_of_the_signatures():
    assert [topic_of(SIGNATURES[topic]) for topic in MARKET.topics] == [*MARKET.topics]


def test_a_sale_is_a_trade_and_a_change_of_owner():
    made = tables(moved(ALICE, BOB), bought(3100, 7 * ETHER, ALICE, BOB))

    assert made["nft_trade"] == [
        {
            "log_index": 1,
            "item_index": 0,
            "market": "cryptopunks",
            "version": "2",
            "contract": CONTRACT,
            "side": "listing",
            "standard": None,
            "collection": CONTRACT,
            "token_id": 3100,
            "quantity": 1,
            "bundle_size": 1,
            "seller": ALICE,
            "buyer": BOB,
            "currency": NATIVE,
            "price": 7 * ETHER,
            "platform_fee": 0,
            "royalty": 0,
            "unpriced": None,
        }
    ]
    assert made["token_transfer"] == [
        {
            "log_index": 1,
            "item_index": 0,
            "standard": 721,
            "token": CONTRACT,
            "sender": ALICE,
            "recipient": BOB,
            "token_id": 3100,
            "amount": 1,
        }
    ]
    assert made["malformed_log"] == []


def test_the_buyer_of_an_accepted_bid_is_who_the_punk_went_to():
    made = tables(
        moved(ALICE, CAROL, tx=1),  # an earlier transaction's
        moved(ALICE, BOB, tx=2),
        moved(CAROL, ALICE, tx=2),  # another seller's
        bought(5, 0, ALICE, NATIVE, tx=2),
    )

    (trade,) = made["nft_trade"]
    assert (trade["seller"], trade["buyer"], trade["side"]) == (ALICE, BOB, "offer")
    assert (trade["price"], trade["unpriced"]) == (None, "accepted bid")
    assert trade["currency"] == NATIVE
    (move,) = made["token_transfer"]
    assert (move["sender"], move["recipient"], move["token_id"]) == (ALICE, BOB, 5)


def test_two_bids_accepted_in_one_transaction_have_each_its_buyer():
    sold = trades(
        moved(ALICE, BOB),
        bought(1, 0, ALICE, NATIVE),
        moved(ALICE, CAROL),
        bought(2, 0, ALICE, NATIVE),
    )

    assert [(trade["token_id"], trade["buyer"]) for trade in sold] == [(1, BOB), (2, CAROL)]


def test_a_punk_given_away_for_nothing_is_priced_at_nothing():
    (trade,) = trades(moved(ALICE, BOB), bought(5, 0, ALICE, BOB))

    assert (trade["buyer"], trade["price"], trade["unpriced"]) == (BOB, 0, None)


def test_bids_are_kept_as_entered_and_as_withdrawn():
    made = tables(
        logged(cryptopunks_events.bid(9, MOST, BOB)),
        logged(cryptopunks_events.bid(9, 4, BOB, withdrawn=True)),
    )

    bid = {"market": "cryptopunks", "collection": CONTRACT, "token_id": 9, "bidder": BOB}
    assert made["nft_bid"] == [
        bid | {"log_index": 0, "price": MOST, "withdrawn": False},
        bid | {"log_index": 1, "price": 4, "withdrawn": True},
    ]
    assert made["nft_trade"] == made["token_transfer"] == made["malformed_log"] == []


def test_an_assigned_and_a_given_punk_change_their_owner():
    made = tables(
        logged(cryptopunks_events.assigned(0, ALICE)),
        logged(cryptopunks_events.given(0, ALICE, BOB)),
    )

    owners = [(row["sender"], row["recipient"], row["token_id"]) for row in made["token_transfer"]]
    assert owners == [(NATIVE, ALICE, 0), (ALICE, BOB, 0)]
    assert made["nft_trade"] == []


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (bought(1, 0, ALICE, NATIVE), "cryptopunks: a bid was accepted without a transfer"),
        (bought(1, 5, ALICE, NATIVE), "cryptopunks: a bid was accepted without a transfer"),
        (log(CONTRACT, [BOUGHT, 1, ALICE], [5]), "cryptopunks: 3 topics, not 4"),
        (log(CONTRACT, [BOUGHT, 1, MOST, BOB], [5]), "cryptopunks: no address"),
        (log(CONTRACT, [ASSIGNED, ALICE], [1, 2]), "cryptopunks: more than 32 bytes of data"),
        (
            log(CONTRACT, [ASSIGNED, ALICE], "0x12"),
            "cryptopunks: 1 bytes, not whole words, 1 or more",
        ),
        (
            log("0x6ba6f2207e343923ba692e5cae646fb0f566db8d", [BOUGHT, 1, ALICE, BOB], [5]),
            "cryptopunks: event of an unknown contract",
        ),
    ],
)
def test_what_is_no_sale_of_a_punk_is_kept_with_a_reason(bad, reason):
    good = bought(2, 5, ALICE, BOB)

    made = tables(bad, good)

    assert [row["reason"] for row in made["malformed_log"]] == [reason]
    assert [row["token_id"] for row in made["nft_trade"]] == [2]


def test_a_transfer_with_a_topic_missing_names_no_buyer():
    short = log(CONTRACT, [TRANSFER, ALICE], [1])

    assert reasons(short, bought(1, 0, ALICE, NATIVE)) == [
        (1, "cryptopunks: a bid was accepted without a transfer")
    ]


def test_every_real_sale_without_a_buyer_gets_the_one_of_its_transfer(real_data):
    sales, owners = _rows(real_data, "sales"), _rows(real_data, "transfers")
    of_transaction = {row["hash"]: (row["sender"], row["receiver"]) for row in owners}
    logs, expected = [], []
    for number, sale in enumerate(sales):
        seller, buyer = of_transaction[sale["transaction_hash"]]
        price = int(Decimal(sale["eth_price"]) * ETHER)
        punk = int(sale["token_id"])
        # The file has no addresses for most sales; those of an accepted bid were logged as 0.
        logged = sale["buyer_address"] or (buyer if price else NATIVE)
        seen = bought(punk, price, sale["seller_address"] or seller, logged, tx=number)
        logs += [moved(seller, buyer, tx=number), seen]
        unpriced = None if price else "accepted bid"
        expected.append((punk, seller, buyer, None if unpriced else price, unpriced))

    made = tables(*logs)

    asked = ("token_id", "seller", "buyer", "price", "unpriced")
    assert made["malformed_log"] == []
    assert [tuple(row[name] for name in asked) for row in made["nft_trade"]] == expected
    assert len(expected) == 2183
    assert sum(row[-1] is not None for row in expected) == 576


def _rows(folder, name):
    with gzip.open(folder / "nft" / f"cryptopunks_{name}.csv.gz", "rt") as lines:
        return list(csv.DictReader(lines))
