"""Fees of LooksRare's first version: which payments count as a trade's, and which do not."""

import pytest

from tests.fakes.looksrare_events import payments_1, royalty_1, taken_1
from tests.fakes.nft_events import WETH, erc20, logs_of
from tests.unit.sources.nft_markets.made_logs import ALICE, APES, BLOCK, BOB, CAROL, trades

ETHER = 10**18
APE = (APES, 8198)


def _of(*transactions):
    return logs_of(*transactions, block_hash=BLOCK)


@pytest.mark.parametrize(
    ("beside", "royalty"),
    [
        pytest.param([], 0, id="nothing"),
        pytest.param([royalty_1(APE, 5)], 5, id="no payment"),
        pytest.param([royalty_1((APES, 1), 5)], 0, id="a royalty of another token"),
        pytest.param([royalty_1((WETH, 8198), 5)], 0, id="a royalty of another collection"),
        pytest.param([royalty_1(APE, 5, exchange=CAROL)], 0, id="a royalty of another market"),
        pytest.param([royalty_1(APE, 5).with_data(bytes(32))], 0, id="a royalty of one word"),
        pytest.param([royalty_1(APE, 2 * ETHER)], ETHER, id="a royalty above the price"),
        pytest.param([erc20(WETH, BOB, CAROL, ETHER)], 0, id="a payment to another"),
        pytest.param([erc20(WETH, CAROL, ALICE, ETHER)], 0, id="a payment by another"),
        pytest.param([erc20(APES, BOB, ALICE, ETHER)], 0, id="a payment in another token"),
        pytest.param([erc20(WETH, BOB, ALICE, ETHER + 1)], 0, id="a payment above the price"),
        pytest.param([erc20(WETH, BOB, ALICE, 1).with_data(b"")], 0, id="a payment of nothing"),
    ],
)
def test_a_fee_that_the_logs_do_not_tell_is_unknown(beside, royalty):
    sale = taken_1("TakerBid", BOB, ALICE, APE, ETHER)

    (found,) = trades(*_of([*beside, sale]))

    assert (found["platform_fee"], found["royalty"]) == (None, royalty)


def test_payments_of_another_transaction_tell_no_fee():
    sale = taken_1("TakerBid", BOB, ALICE, APE, ETHER)

    (found,) = trades(*_of(payments_1(BOB, APE, ALICE, (0, 0, ETHER)), [sale]))

    assert (found["platform_fee"], found["royalty"]) == (None, 0)


def test_payments_of_the_trade_before_tell_no_fee():
    sale = taken_1("TakerBid", BOB, ALICE, APE, ETHER)

    first, second = trades(*_of([*payments_1(BOB, APE, ALICE, (2, 3, ETHER - 5)), sale, sale]))

    assert (first["platform_fee"], first["royalty"]) == (2, 3)
    assert (second["platform_fee"], second["royalty"]) == (None, 0)
