"""Fees of LooksRare's first version, whose trades do not name them.

Its exchange pays the fee, the royalty and the seller in that order, in an ERC-20 token, before it
logs the trade: ``_transferFeesAndFunds`` of ``LooksRareExchange.sol``. A royalty has an event of
its own; the platform's fee is what the price leaves after the royalty and the seller's part.
"""

from collections.abc import Sequence
from typing import NamedTuple

from onchain_agg.sources.evm_columns import number
from onchain_agg.sources.evm_json import Log
from onchain_agg.sources.evm_logs import TRANSFER

# RoyaltyPayment(address indexed collection, uint256 indexed tokenId,
#                address indexed royaltyRecipient, address currency, uint256 amount)
ROYALTY_PAYMENT = "0x27c4f0403323142b599832f26acd21c74a9e5b809f2215726e244a4ac588cd7d"


class Sale(NamedTuple):
    """What a trade's log says, addresses and the token id as words of 64 characters."""

    log: int
    collection: str
    token_id: str
    seller: str
    buyer: str
    currency: str
    price: int


def fees_paid(logs: Sequence[Log], sale: Sale, after: int) -> tuple[int, int | None]:
    """Return the royalty of a trade, and the platform's fee, None where the logs do not tell it.

    Args:
        logs: The logs of the range.
        sale: The trade.
        after: Position of the market's trade before it; what paid for the trade lies between.
    """
    own = logs[sale.log]
    transaction = own.transaction_hash
    payers = {sale.buyer, _word(own.address)}  # the exchange pays where it was sent ether
    royalty, received = 0, None
    for i in range(sale.log - 1, after, -1):
        log = logs[i]
        if log.transaction_hash != transaction or (royalty and received is not None):
            break
        topics = log.topics
        signature = topics[0] if topics else ""
        if signature == TRANSFER:
            # Of a coin; that of a token has four topics.
            if len(topics) == 3 and received is None and _is_payment(log, sale, payers):
                received = number(log.data)
        elif signature == ROYALTY_PAYMENT and royalty == 0 and _is_royalty(log, own, sale):
            royalty = number(log.data[66:])
    if received is None or royalty + received > sale.price:
        return min(royalty, sale.price), None
    return royalty, sale.price - royalty - received


def _is_payment(log: Log, sale: Sale, payers: set[str]) -> bool:
    _, payer, payee = log.topics
    return (
        len(log.data) == 66
        and payee[2:].lower() == sale.seller
        and payer[2:].lower() in payers
        and _word(log.address) == sale.currency
    )


def _is_royalty(log: Log, own: Log, sale: Sale) -> bool:
    topics = log.topics
    return (
        len(topics) == 4
        and log.address == own.address
        and len(log.data) == 130
        and topics[1][2:].lower() == sale.collection
        and topics[2][2:].lower() == sale.token_id
    )


def _word(address: str) -> str:
    return 24 * "0" + address[2:].lower()
