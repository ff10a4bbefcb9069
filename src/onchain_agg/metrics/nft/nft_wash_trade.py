"""The NFT sales that look as if somebody sold to himself, each with the reasons as bits.

One row is a sale of `nft_trade` with at least one reason; its key is that sale's. ``flags`` adds up
the values of the reasons. "The token" is the collection and id of the sale, whatever the market.

* 1 (W1): the buyer is the seller.
* 2 (W2): the token was sold from A to B and from B to A, any time apart; both sales are flagged.
* 4 (W3): a token that exists once, so no ERC-1155, had this sale's buyer as the buyer of three or
  more sales, or its seller as the seller of three or more; all of these sales are flagged.
* 8 (W4): the first transfer of the native coin to the buyer and to the seller came from one
  address, which no label of the day calls an exchange, a bridge or a mixer; or it came to the one
  from the other. What counts is what was known at the sale: funded in its block or before.
* 16 (W5): the transaction took a flash loan.
* 32 (W6): buyer and seller are neighbours on a directed cycle of three to five different addresses,
  each of which sold the token to the next one, in any order of time.
* 64 (W7): the price of one piece is above 10 times the 95th percentile (``percentile_cont``) of the
  collection's sales of single pieces in the native coin, above 0, on the 30 UTC days before, and
  nothing of the native coin went from buyer to seller in the transaction (``net_native`` is 0).

W1 to W5 follow hildobby's filters for Dune; W6 and W7 are this package's own. W2, W3 and W6 look at
all sales of the token, also later ones: a new sale flags old ones, and one that vanishes with a
reorganisation takes its flags along. The former rows are kept as revisions.

Known gaps: the first funding of an address is unknown where it lies before the first applied block,
or came with an internal transfer of a block without traces. W7 is not set where ``net_native`` is
NULL, nor where the collection had no sale to compare with. W6 is not looked for in a token with
more than 500 different pairs that could be on a cycle: in a large edition chance makes them.
Edge cases: a sale to oneself is no part of a cycle and no W2, W4; a day without a flagged sale has
no row.
"""

from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Integer,
    Select,
    Subquery,
    Table,
    Text,
    cast,
    func,
    select,
)

from onchain_agg.metrics import nft_wash, trade_graph
from onchain_agg.metrics.dataset import SERVING, DataSet, Window
from onchain_agg.metrics.inputs import days_of_less_past
from onchain_agg.metrics.nft.nft_trade import TABLE as TRADE
from onchain_agg.warehouse import versions
from onchain_agg.warehouse.tables.chain import LABEL
from onchain_agg.warehouse.tables.state import FIRST_FUNDING
from onchain_agg.warehouse.types import BIG, DAY, NAME, UINT256

TABLE = Table(
    "nft_wash_trade_v1",
    SERVING,
    Column("chain", NAME, primary_key=True, comment="Name of the chain."),
    Column("day", DAY, primary_key=True, comment="UTC day of the block."),
    Column("block_hash", Text, primary_key=True, comment="As explorers print it."),
    Column("log_index", Integer, primary_key=True, comment="In the block."),
    Column("item_index", Integer, primary_key=True, comment="Position in a bundle; else 0."),
    Column("collection", Text, nullable=False, comment="0x…, the base one of a wrapped token."),
    Column("token_id", UINT256, nullable=False, comment="In its contract."),
    Column("market", NAME, nullable=False, comment="Such as seaport."),
    Column("seller", Text, nullable=False, comment="Address."),
    Column("buyer", Text, nullable=False, comment="Address."),
    Column("flags", Integer, nullable=False, comment="Sum of the reasons: 1, 2, 4, … 64."),
    Column("price_native", UINT256, comment="Wei; NULL: unpriced, or in another currency."),
    Column("usd_value", BIG, comment="US dollar, exact; NULL: unpriced, or no market price."),
    # What is said of a token's other sales.
    info={"indexes": {"token": ("chain", "collection", "token_id")}},
)

_NAME = "nft_wash_trade"
_KEY = ("chain", "day", "block_hash", "log_index", "item_index")
_OF_THE_SALE = (
    *_KEY,
    "collection",
    "token_id",
    "market",
    "seller",
    "buyer",
    "price_native",
    "usd_value",
)


def rows(window: Window) -> Select[Any]:
    """Return the day's sales that have a flag."""
    tokens = _tokens_of(TRADE, window).subquery("traded")
    graph = trade_graph.graph_flags(_sales_of(tokens)).subquery("graph").c
    own = nft_wash.own_flags(window, _OF_THE_SALE)
    together = select(*(graph[name] for name in _OF_THE_SALE), graph.flags).where(
        graph.day == window.day
    )
    # Both have a row for each sale of the day; no flag is in both.
    both = own.union_all(together).subquery("told").c
    sale = [both[name] for name in _OF_THE_SALE]
    flags = cast(func.sum(both.flags), Integer)
    return select(*sale, flags.label("flags")).group_by(*sale).having(flags > 0)


def elsewhere(window: Window) -> Select[Any]:
    """Return the other days on which a flag is served that is not so any more, or is missing.

    The tokens are those traded on the window's day, now or formerly: a sale that vanished flagged
    others. Earlier blocks may tell who funded whom, on any day.
    """
    former = versions.twins(TRADE).history
    tokens = _tokens_of(TRADE, window).union(_tokens_of(former, window)).subquery("traded")
    graph = trade_graph.graph_flags(_sales_of(tokens)).subquery("graph").c
    served = TABLE.c
    # A flag that is so and served cancels out.
    flags = (-served.flags.bitwise_and(trade_graph.OF_THE_GRAPH)).label("flags")
    both = (
        select(*(graph[name] for name in _KEY), graph.flags)
        .union_all(
            select(*(served[name] for name in _KEY), flags).where(
                *_is_one_of(TABLE, tokens), served.chain == window.scope
            )
        )
        .subquery("told")
        .c
    )
    differs = (
        select(both.day)
        .where(both.day != window.day)
        .group_by(*(both[name] for name in _KEY))
        .having(func.sum(both.flags) != 0)
    )
    days = differs.union(days_of_less_past(window, _NAME)).subquery("elsewhere")
    return select(days.c.day)


def _tokens_of(trade: Table, window: Window) -> Select[Any]:
    sale = trade.c
    return (
        select(sale.chain, sale.collection, sale.token_id)
        .where(sale.chain == window.scope, sale.day == window.day)
        .distinct()
    )


def _sales_of(tokens: Subquery) -> Select[Any]:
    """Return all sales of *tokens*, of any day."""
    sale = TRADE.c
    return select(*(sale[name] for name in _OF_THE_SALE), sale.standard).where(
        *_is_one_of(TRADE, tokens)
    )


def _is_one_of(table: Table, tokens: Subquery) -> list[ColumnElement[bool]]:
    return [table.c[name] == tokens.c[name] for name in ("chain", "collection", "token_id")]


DATASET = DataSet(
    name=_NAME,
    table=TABLE,
    family="nft",
    chain_families=("evm",),
    reads=(TRADE, FIRST_FUNDING, LABEL),
    reach=nft_wash.REACH,
    same_day=(LABEL,),
    grain="event",
    workload="nft_worker",
    rows=rows,
    elsewhere=elsewhere,
    highlights=("usd_value", "flags", "collection"),
)
