"""What sellers of NFTs earned over what they had paid, first in first out, by collection and day.

``profit`` = ``proceeds`` - ``cost``, in the native coin, gas, fees and royalties not taken off: the
price of a sale minus the price that the same holder had paid for the same token.

* A holder acquires by a trade of `nft_trade` or by a mint of `nft_mint`, which costs what was paid
  for it, 0 if it was free. An ERC-1155 sale uses up the quantities acquired first; an ERC-721 token
  was acquired with the holder's last acquisition before the sale, and once only.
* ``sold`` is the quantity sold for the native coin; ``known`` how much of it was acquired at a
  known price in the native coin. Proceeds, cost and profit are of ``known`` alone: a token that
  came as a gift, or was paid for in another currency, has no cost, and neither 0 nor a guess is
  taken for it. ``profitable`` is the part of ``known`` that was sold above its cost.
* ``return_percent`` = 100 * profit / cost; NULL where all was free.

A part of a purchase or a sale costs its part of the price, rounded down to a wei. Sales to oneself
change nothing and are left out; other wash trades count. A wrapped token is the one that it wraps.

Known gaps: a gift between two addresses of one person loses the cost; ERC-1155 tokens that were
given away still count as held. Trades and mints from before the first applied block are not known.
Edge cases: a collection without a sale for the native coin has no row; a day with sales of which
none has a known cost has NULL proceeds, cost and profit. A day is computed when it is over.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    Column,
    ColumnElement,
    Double,
    Numeric,
    Select,
    Subquery,
    Table,
    and_,
    case,
    false,
    func,
    literal,
    or_,
    select,
    true,
    union_all,
)

from onchain_agg.chains import ERC721, ERC1155
from onchain_agg.metrics.dataset import ALL_LATER, SERVING, DataSet, Invariant, Window
from onchain_agg.metrics.formulas import ratio
from onchain_agg.metrics.nft.nft_mint import TABLE as MINT
from onchain_agg.metrics.nft.nft_trade import TABLE as TRADE
from onchain_agg.warehouse.types import BIG, DAY, NAME

TABLE = Table(
    "nft_realised_profit_daily_v1",
    SERVING,
    Column("chain", NAME, primary_key=True, comment="Name of the chain."),
    Column("day", DAY, primary_key=True, comment="UTC day of the sales."),
    Column("collection", NAME, primary_key=True, comment="0x… of the contract, in lower case."),
    Column("sales", BigInteger, nullable=False, comment="Trades for the native coin."),
    Column("sold", BIG, nullable=False, comment="Their quantity."),
    Column("known", BIG, nullable=False, comment="Of it: acquired at a known native price."),
    Column("profitable", BIG, nullable=False, comment="Of known: sold above its cost."),
    Column("proceeds", BIG, comment="Of known, wei; NULL: none known, as the next two."),
    Column("cost", BIG, comment="Of known, wei."),
    Column("profit", BIG, comment="proceeds - cost, wei; below 0 is a loss."),
    Column("return_percent", Double, comment="100 * profit / cost."),
)

# Whose which token it is.
_HELD = ("collection", "token_id", "holder")
# Several items of one log are at one place of the chain.
_ORDER = ("height", "log_index", "item_index", "bought")


def rows(window: Window) -> Select[Any]:
    """Return the realised profit of the day's sales by collection."""
    moves = _with_stock(_with_net(_moves(window)))
    sale, part = moves.alias("sale"), _parts(moves)
    of_day = and_(~sale.c.bought, sale.c.day == window.day, sale.c.price.is_not(None))
    same = and_(*(part.c[n] == sale.c[n] for n in (*_HELD, *_ORDER)))
    known = func.coalesce(part.c.quantity, 0)
    each = (
        select(
            sale.c.collection,
            sale.c.quantity.label("sold"),
            known.label("known"),
            func.coalesce(part.c.profitable, 0).label("profitable"),
            part.c.proceeds,
            part.c.cost,
        )
        .select_from(sale.outerjoin(part, same))
        .where(of_day)
        .subquery("each")
        .c
    )
    proceeds, cost = func.sum(each.proceeds), func.sum(each.cost)
    return select(
        *window.labels(),
        each.collection,
        func.count().label("sales"),
        func.sum(each.sold).label("sold"),
        func.sum(each.known).label("known"),
        func.sum(each.profitable).label("profitable"),
        proceeds.label("proceeds"),
        cost.label("cost"),
        (proceeds - cost).label("profit"),
        (100 * ratio(proceeds - cost, cost)).label("return_percent"),
    ).group_by(each.collection)


def _moves(window: Window) -> CTE:
    """Return all that the day's sellers ever bought, minted and sold of the tokens they sold.

    Columns: those of `_HELD` and `_ORDER`, ``day``, ``is_alike`` (quantities of one id), ``price``
    in wei of the whole quantity (NULL: not known in the native coin), ``quantity``.
    """
    trade, mint = TRADE.c, MINT.c
    sold = (
        select(trade.collection, trade.token_id, trade.seller.label("holder"))
        .where(
            trade.chain == window.scope,
            trade.day == window.day,
            trade.seller != trade.buyer,
            trade.price_native.is_not(None),
        )
        .distinct()
        .cte("sold")
    )

    def of(table: Table, holder: ColumnElement[str]) -> ColumnElement[bool]:
        columns = table.c
        return and_(
            columns.chain == window.scope,
            columns.day <= window.day,
            columns.collection == sold.c.collection,
            columns.token_id == sold.c.token_id,
            holder == sold.c.holder,
        )

    def traded(holder: ColumnElement[str], *, bought: bool) -> Select[Any]:
        is_move = and_(of(TRADE, holder), trade.seller != trade.buyer)
        return _move(trade, trade.price_native, bought=bought).join_from(sold, TRADE, is_move)

    minted = _move(mint, mint.paid, bought=True).join_from(sold, MINT, of(MINT, mint.minter))
    every = [traded(trade.buyer, bought=True), traded(trade.seller, bought=False), minted]
    return union_all(*(one.add_columns(sold.c.holder) for one in every)).cte("move")


def _move(row: Any, price: ColumnElement[Any], *, bought: bool) -> Select[Any]:
    return select(
        row.collection,
        row.token_id,
        row.height,
        row.log_index,
        row.item_index,
        (true() if bought else false()).label("bought"),
        row.day,
        (func.coalesce(row.standard, ERC721) == literal(ERC1155)).label("is_alike"),
        price.label("price"),
        row.quantity,
    )


def _with_net(moves: CTE) -> Subquery:
    """Return the moves with ``lot`` and ``net``.

    A token of its own begins a ``lot`` with each acquisition, so what was given away in between is
    forgotten; what is alike is one lot. ``net`` is what was acquired less what was sold up to and
    with the move, within the lot: below zero where a sale was not covered.
    """
    lot_of = func.count().filter(moves.c.bought).over(**_so_far(moves.c, _HELD))
    lots = select(*moves.c, case((moves.c.is_alike, 0), else_=lot_of).label("lot")).subquery("lots")
    change = case((lots.c.bought, lots.c.quantity), else_=-lots.c.quantity)
    net = func.sum(change).over(**_so_far(lots.c, (*_HELD, "lot")))
    return select(*lots.c, net.label("net")).subquery("netted")


def _with_stock(moves: Subquery) -> CTE:
    """Return the moves with ``used``: the quantity of a sale that acquisitions cover.

    What they do not cover is how far the sale pushes the net below where it ever was.
    """
    so_far = _so_far(moves.c, (*_HELD, "lot"))
    lowest = func.least(func.min(moves.c.net).over(**so_far), 0, type_=Numeric)
    deep = select(*moves.c, lowest.label("lowest")).subquery("deep")
    before = func.lag(deep.c.lowest, 1, 0, type_=Numeric).over(**_order(deep.c, (*_HELD, "lot")))
    covered = deep.c.quantity - (before - deep.c.lowest)
    return select(*deep.c, case((~deep.c.bought, covered)).label("used")).cte("stocked")


def _parts(moves: CTE) -> Subquery:
    """Return of each sale the quantity, proceeds and cost of what has a known cost."""
    bought, sold = _spans(moves, "quantity", bought=True), _spans(moves, "used", bought=False)
    overlap = func.least(bought.c.upto, sold.c.upto) - func.greatest(bought.c.since, sold.c.since)
    same = [bought.c[name] == sold.c[name] for name in (*_HELD, "lot")]
    cost = func.div(bought.c.price * overlap, bought.c.quantity, type_=Numeric)
    proceeds = func.div(sold.c.price * overlap, sold.c.quantity, type_=Numeric)
    key = [sold.c[name] for name in (*_HELD, *_ORDER)]
    return (
        select(
            *key,
            func.sum(overlap).label("quantity"),
            func.sum(case((proceeds > cost, overlap), else_=0)).label("profitable"),
            func.sum(proceeds).label("proceeds"),
            func.sum(cost).label("cost"),
        )
        .join_from(bought, sold, and_(*same, overlap > 0))
        .where(bought.c.price.is_not(None), sold.c.price.is_not(None))
        .group_by(*key)
        .subquery("part")
    )


def _spans(moves: CTE, amount: str, *, bought: bool) -> Subquery:
    """Return the acquisitions or sales, each with the span of the running sum that is its own."""
    chosen = select(moves).where(moves.c.bought if bought else ~moves.c.bought).subquery()
    upto = func.sum(chosen.c[amount]).over(**_so_far(chosen.c, (*_HELD, "lot")))
    spans = select(*chosen.c, upto.label("upto")).subquery()
    return select(*spans.c, (spans.c.upto - spans.c[amount]).label("since")).subquery()


def _so_far(row: Any, partition: Sequence[str]) -> dict[str, Any]:
    return {**_order(row, partition), "rows": (None, 0)}


def _order(row: Any, partition: Sequence[str]) -> dict[str, Any]:
    return {
        "partition_by": [row[name] for name in partition],
        "order_by": [row[name].desc() if name == "bought" else row[name] for name in _ORDER],
    }


def _unsound(stage: Table, _window: Window) -> Select[Any]:
    row = stage.c
    rules = or_(
        row.known > row.sold,
        row.profitable > row.known,
        row.cost < 0,
        and_(row.known == 0, row.profit.is_not(None)),
        row.profit != row.proceeds - row.cost,
    )
    return select(row.collection, row.sold, row.known, row.profit).where(rules)


DATASET = DataSet(
    name="nft_realised_profit_daily",
    table=TABLE,
    family="nft",
    chain_families=("evm",),
    reads=(MINT, TRADE),
    reach=ALL_LATER,
    at_close=True,
    grain="day",
    workload="nft_worker",
    rows=rows,
    invariants=(Invariant("no more is sold at a cost than was sold and acquired", _unsound),),
    highlights=("profit", "collection", "return_percent"),
)
