"""Who the other party of a trade is, where only its maker is logged."""

import pytest

from tests.fakes.blur_events import packed
from tests.fakes.nft_events import WETH, erc721, erc1155_batch, logs_of
from tests.unit.sources.nft_markets.made_logs import (
    ALICE,
    APES,
    BLOCK,
    BOB,
    CAROL,
    DAVE,
    reasons,
    trades,
)

APE = (APES, 7)
# ALICE's listing, and CAROL's offer; the takers stand in transfers only.
LISTED, OFFERED = packed(ALICE, APE, 5, is_bid=False), packed(CAROL, APE, 6, is_bid=True)
UNTOLD = "blur: no transfer of the token tells the taker"


def _of(*transactions):
    return logs_of(*transactions, block_hash=BLOCK)


def _parties(events):
    return [(row["log_index"], row["seller"], row["buyer"]) for row in trades(*_of(events))]


def test_a_token_that_is_bought_and_sold_on_has_the_taker_of_each_step():
    events = [erc721(APES, ALICE, BOB, 7), LISTED, erc721(APES, BOB, CAROL, 7), OFFERED]

    assert _parties(events) == [(1, ALICE, BOB), (3, BOB, CAROL)]


def test_a_token_that_came_back_goes_to_its_last_buyer():
    back, again = erc721(APES, BOB, ALICE, 7), erc721(APES, ALICE, DAVE, 7)

    events = [erc721(APES, ALICE, BOB, 7), LISTED, back, again, LISTED]

    assert _parties(events) == [(1, ALICE, BOB), (4, ALICE, DAVE)]


def test_all_transfers_may_stand_before_all_trades():
    other = packed(CAROL, (APES, 9), 5, is_bid=False)

    events = [erc721(APES, ALICE, BOB, 7), erc721(APES, CAROL, DAVE, 9), LISTED, other]

    assert _parties(events) == [(2, ALICE, BOB), (3, CAROL, DAVE)]


def _dirty(moved):
    signature, sender, recipient, token_id = moved.topics
    return type(moved)(APES, (signature, sender, b"\1" + recipient[1:], token_id), b"")


@pytest.mark.parametrize(
    "moved",
    [
        pytest.param([], id="none"),
        pytest.param([erc721(APES, ALICE, BOB, 8)], id="another token"),
        pytest.param([erc721(WETH, ALICE, BOB, 7)], id="another collection"),
        pytest.param([erc721(APES, BOB, ALICE, 7)], id="the other way"),
        pytest.param([_dirty(erc721(APES, ALICE, BOB, 7))], id="no addresses"),
    ],
)
def test_without_a_transfer_of_the_token_there_is_no_taker(moved):
    logs = _of([*moved, LISTED])

    assert trades(*logs) == []
    assert reasons(*logs) == [(len(moved), UNTOLD)]


def test_a_batch_transfer_whose_data_begins_like_the_token_tells_no_taker():
    batch = erc1155_batch(APES, ALICE, BOB, [1], [1])  # its first word, an offset, is 64

    assert reasons(*_of([batch, packed(ALICE, (APES, 64), 5, is_bid=False)])) == [(1, UNTOLD)]


def test_a_transfer_of_another_transaction_or_after_the_trade_tells_no_taker():
    moved = erc721(APES, ALICE, BOB, 7)

    assert reasons(*_of([moved], [LISTED, moved])) == [(1, UNTOLD)]
