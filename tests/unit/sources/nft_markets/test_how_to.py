"""The market of the how-to decodes its event as it stands in the document."""

import re
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
from eth_utils import keccak

from onchain_agg.sources.nft_markets.definition import NftMarket
from tests.unit.sources.nft_markets.made_logs import ALICE, APES, BOB, log

PAGE = Path(__file__).parents[4] / "docs" / "how-to" / "add-an-nft-market.md"
SIGNATURE = "Sold(address,uint256,address,address,uint256,uint256)"


@pytest.fixture(scope="module")
def market() -> NftMarket:
    (code,) = re.findall(r"^ *```python\n(.*?)^ *```", PAGE.read_text(), re.S | re.M)
    names: dict = {}
    exec(dedent(code), names)  # noqa: S102 - the document is the project's own
    return names["MARKET"]


def test_a_sale_is_one_row_with_what_the_event_says(market):
    (contract,) = market.contracts
    sale = log(contract, (market.topics[0], APES, 7), (ALICE, BOB, 100, 5))

    decoded = market.decode([sale], [0])

    (trades,) = decoded.trades
    assert market.topics == ("0x" + keccak(text=SIGNATURE).hex(),)
    assert decoded.malformed == []
    assert [bytes(row[0]).hex() for row in (trades.collection, trades.seller, trades.buyer)] == [
        address[2:] for address in (APES, ALICE, BOB)
    ]
    numbers = (trades.token_id, trades.quantity, trades.price, trades.platform_fee)
    assert [int.from_bytes(bytes(row[0])) for row in numbers] == [7, 1, 100, 5]
    assert np.array_equal(trades.currency, np.zeros((1, 20)))
    assert (trades.knows_fee.tolist(), trades.knows_royalty.tolist()) == ([True], [False])


def test_a_party_that_is_no_address_is_malformed_with_the_markets_name(market):
    (contract,) = market.contracts
    broken = log(contract, (market.topics[0], APES, 7), (2**160, BOB, 100, 5))

    decoded = market.decode([broken], [0])

    assert [(one.log, one.reason) for one in decoded.malformed] == [(0, "bazaar: no address")]
    assert [len(piece.log) for piece in decoded.trades] == [0]
