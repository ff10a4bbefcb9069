"""Blur. Version 1 logs both orders in full; version 2 packs the maker's side into three words.

Price: what the buyer paid, so with a fee that is charged on top of the order's price. The fees that
an order names count as royalties: Blur pays creators with them. Blur's pool token is ether that was
paid in before, and counts as the native coin.

Version 2 does not log the taker: it is the other party of the maker in the token's transfer, and a
log without one is malformed. Its batches round the maker's fee rate down to a basis point before
they log it, so that royalty may read low by that.

Version 1 could take a protocol fee that no event of a trade tells. It counts as zero, as other
indexers have it.
"""

from collections.abc import Sequence

from onchain_agg.sources.blur_fills import (
    EXECUTION,
    FILL_WORDS,
    MAKER_FEE_PACKED,
    PACKED,
    TAKER_FEE_PACKED,
    fills,
)
from onchain_agg.sources.blur_orders import MATCH_WORDS, ORDERS_MATCHED, matches
from onchain_agg.sources.event_words import event_words
from onchain_agg.sources.evm_json import Log
from onchain_agg.sources.evm_logs import TRANSFER_TOPICS
from onchain_agg.sources.malformed import Malformed
from onchain_agg.sources.nft_markets.definition import Decoded, NftMarket, Trades
from onchain_agg.sources.nft_transfers import standards_beside, steps_beside


def _decode(logs: Sequence[Log], chosen: Sequence[int]) -> Decoded:
    first = [i for i in chosen if logs[i].topics[0] == ORDERS_MATCHED]
    standards = standards_beside(logs, first)
    steps = steps_beside(logs, [i for i in chosen if logs[i].topics[0] != ORDERS_MATCHED])
    trades: list[Trades] = []
    malformed: list[Malformed] = []
    for topic, (topics, size) in _SHAPES.items():
        members = [i for i in chosen if logs[i].topics[0] == topic]
        groups, odd = event_words(logs, members, "blur", topics=topics, at_least=size)
        malformed += odd
        for group in groups:
            words = group.words.shape[1]
            if topic == ORDERS_MATCHED:
                found, refused = matches(logs, standards, group)
            elif words == size:
                found, refused = fills(logs, steps, group, topic)
            else:
                reason = f"blur: {32 * words} bytes, not {32 * size}"
                malformed += [Malformed(int(i), reason) for i in group.log]
                continue
            trades.append(found)
            malformed += refused
    return Decoded(trades, malformed)


# Topics and words of each event; a match has words of its own for every fee.
_SHAPES = {ORDERS_MATCHED: (3, MATCH_WORDS)} | {
    topic: (1, words) for topic, words in FILL_WORDS.items()
}

MARKET = NftMarket(
    name="blur",
    contracts={
        "0x000000000000ad05ccc4f10045630fb830b95127": "1",
        "0xb2ecfe4e4d61f8790bbb9de2d1259b9e2410cea5": "2",
    },
    topics=(ORDERS_MATCHED, EXECUTION, PACKED, TAKER_FEE_PACKED, MAKER_FEE_PACKED),
    decode=_decode,
    context=TRANSFER_TOPICS,
)
