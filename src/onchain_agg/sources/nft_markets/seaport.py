"""Seaport, the contract behind OpenSea and others, in its versions 1.1 to 1.6.

The price of a listing is what its order asked for in coins, fees and royalties included; that of an
offer is the coins it offered. A bundle's price is split equally. Tips that a buyer adds stand in
the event like fees.

The event does not say what a recipient is paid for. What OpenSea's own wallets get is the platform
fee. What others beside the seller get is the royalty if the order is OpenSea's (it pays such a
wallet or names one of its zones) and it is at most a tenth of the price, OpenSea's limit; else the
royalty is unknown, unless nobody else was paid.

Unpriced: NFTs for NFTs, coins in several currencies or on both sides, gifts, and offers whose fees
are above what they pay. Of matched orders one tells the trade, see `seaport_sides`; one ERC-1155
item that several sellers or buyers share there is told with the first of them. Where 1.1's orders
are matched without a counterpart that could be read, there is no trade.
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from onchain_agg.sources import uint256
from onchain_agg.sources.event_words import event_words
from onchain_agg.sources.evm_json import Log
from onchain_agg.sources.nft_markets.definition import Decoded, NftMarket, Trades
from onchain_agg.sources.seaport_orders import ORDER_FULFILLED, Orders, read_orders
from onchain_agg.sources.seaport_sides import Sides, fulfilled, match_sides, matches
from onchain_agg.sources.seaport_terms import terms_of

ORDERS_MATCHED = "0x4b9f2d36e1b4c93de62cc077b00b1a91d84b6c31b4a14e012718dcca230689e7"

_T = TypeVar("_T", bound=np.generic)


def decode(logs: Sequence[Log], own: Sequence[int]) -> Decoded:
    """Return the trades of Seaport's logs.

    Raises:
        SourceError: A log's fields are not hex or not of their width.
    """
    filled = [i for i in own if logs[i].topics[0] == ORDER_FULFILLED]
    listed = [i for i in own if logs[i].topics[0] == ORDERS_MATCHED]
    _, malformed = event_words(logs, listed, "seaport", topics=1, at_least=2)
    orders, unread = read_orders(logs, filled)
    layouts = [(one, fulfilled(one)) for one in orders]
    nobody = [one.log[~one.recipient.any(axis=1)] for one in orders]
    unaddressed = np.sort(np.concatenate([np.zeros(0, np.int64), *nobody])).tolist()
    match_sides(layouts, matches(logs, own, ORDERS_MATCHED, unaddressed))
    told = [(one, sides) for one, sides in layouts if sides.gives.any() or sides.takes.any()]
    trades = [_trades(one, sides) for one, sides in told]
    return Decoded(trades=trades, malformed=[*malformed, *unread])


def _trades(orders: Orders, sides: Sides) -> Trades:
    """Return a row for each NFT that the orders are read for, an order's together."""
    chosen = np.concatenate([sides.gives, sides.takes], axis=1)
    size = np.count_nonzero(chosen, axis=1)
    parts = size[size > 0]
    row, item = np.nonzero(chosen)
    terms = terms_of(orders, sides)
    price, place = uint256.shares(terms.price[size > 0], parts)
    offer, asked = orders.offer, orders.asked
    offerer = np.broadcast_to(orders.offerer[:, None], sides.buyer.shape)

    def of_item(offered: npt.NDArray[_T], wanted: npt.NDArray[_T]) -> npt.NDArray[_T]:
        return np.concatenate([offered, wanted], axis=1)[row, item]

    return Trades(
        log=orders.log[row],
        item=place,
        bundle_size=size[row],
        side=np.where(item < offer.kind.shape[1], "listing", "offer").tolist(),
        standard=of_item(offer.standard, asked.standard),
        collection=of_item(offer.token, asked.token),
        token_id=of_item(offer.token_id, asked.token_id),
        quantity=of_item(offer.amount, asked.amount),
        seller=of_item(offerer, sides.seller),
        buyer=of_item(sides.buyer, asked.recipient),
        currency=terms.currency[row],
        price=price,
        platform_fee=uint256.shares(terms.fee[size > 0], parts)[0],
        royalty=uint256.shares(terms.royalty[size > 0], parts)[0],
        unpriced=[terms.unpriced[k] for k in row.tolist()],
        knows_currency=terms.knows_currency[row],
        knows_fee=terms.knows_fee[row],
        knows_royalty=terms.knows_royalty[row],
    )


MARKET = NftMarket(
    name="seaport",
    contracts={
        "0x00000000006c3852cbef3e08e8df289169ede581": "1.1",
        "0x00000000000006c7676171937c444f6bde3d6282": "1.2",
        "0x0000000000000ad24e80fd803c6ac37206a45f15": "1.3",
        "0x00000000000001ad428e4906ae43d8f9852d0dd6": "1.4",
        "0x00000000000000adc04c56bf30ac9d3c0aaf14dc": "1.5",
        "0x0000000000000068f116a894984e2db1123eb395": "1.6",
    },
    topics=(ORDER_FULFILLED, ORDERS_MATCHED),
    decode=decode,
)
