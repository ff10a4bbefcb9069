"""Signs of a wash trade that a sale carries by itself or with its parties: all but the graph's.

Bits of a sale's flags; `metrics.trade_graph` has those that the sales of a token decide together.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Double,
    FromClause,
    LargeBinary,
    Select,
    and_,
    cast,
    func,
    literal,
    or_,
    select,
)

from onchain_agg.metrics.dataset import Reach, Window
from onchain_agg.metrics.nft.nft_trade import TABLE as TRADE
from onchain_agg.metrics.trade_graph import flag
from onchain_agg.warehouse.tables.chain import LABEL
from onchain_agg.warehouse.tables.state import FIRST_FUNDING

SELF_TRADE, COMMON_FUNDER, FLASH_LOAN, OVERPRICED = 1, 8, 16, 64
# Who funds strangers.
PUBLIC_FUNDERS = ("exchange", "bridge", "mixer")
# A sale is compared with those of so many days before its own.
_DAYS_BEFORE = 30
REACH = Reach(_DAYS_BEFORE + 1)
_QUANTILE = 0.95
_TIMES = 10


def own_flags(window: Window, columns: Sequence[str]) -> Select[Any]:
    """Return the *columns* of the sales of the window's day, and their ``flags``."""
    sale = TRADE.c
    usual = _usual_prices(window)
    buyer, seller = FIRST_FUNDING.alias("of_buyer"), FIRST_FUNDING.alias("of_seller")
    related = or_(
        and_(buyer.c.funder == seller.c.funder, ~_is_public(window, buyer.c.funder)),
        buyer.c.funder == _address(sale.seller),
        seller.c.funder == _address(sale.buyer),
    )
    flags = (
        flag(sale.buyer == sale.seller, SELF_TRADE)
        + flag(and_(sale.buyer != sale.seller, related), COMMON_FUNDER)
        + flag(sale.flash_loan, FLASH_LOAN)
        + flag(_is_overpriced(usual), OVERPRICED)
    )
    return (
        select(*(sale[name] for name in columns), flags.label("flags"))
        .outerjoin_from(TRADE, buyer, _is_funding(window, buyer, sale.buyer))
        .outerjoin(seller, _is_funding(window, seller, sale.seller))
        .outerjoin(usual, usual.c.collection == sale.collection)
        .where(sale.chain == window.scope, sale.day == window.day)
    )


def _is_funding(
    window: Window, funding: FromClause, party: ColumnElement[str]
) -> ColumnElement[bool]:
    """Return the condition that a row of `FIRST_FUNDING` is the party's, and not after the sale."""
    return and_(
        funding.c.chain == window.scope,
        funding.c.address == _address(party),
        funding.c.height <= TRADE.c.height,
    )


def _usual_prices(window: Window) -> CTE:
    """Return what single pieces of the day's collections cost at most but for one in twenty.

    Columns: ``collection``, ``usual``, wei, the 95th percentile of the days before.
    """
    sale = TRADE.c
    today = TRADE.alias("today").c
    collections = select(today.collection).where(
        today.chain == window.scope, today.day == window.day
    )
    price = cast(sale.price_native, Double)
    return (
        select(
            sale.collection,
            func.percentile_cont(_QUANTILE).within_group(price).label("usual"),
        )
        .where(
            sale.chain == window.scope,
            sale.day >= window.day - timedelta(days=_DAYS_BEFORE),
            sale.day < window.day,
            sale.collection.in_(collections),
            sale.bundle_size == 1,
            sale.quantity == 1,
            sale.price_native > 0,
        )
        .group_by(sale.collection)
        .cte("usual")
        .prefix_with("MATERIALIZED")
    )


def _is_overpriced(usual: CTE) -> ColumnElement[bool]:
    sale = TRADE.c
    limit = usual.c.usual * _TIMES * cast(sale.quantity, Double)
    return and_(cast(sale.price_native, Double) > limit, sale.net_native == 0)


def _is_public(window: Window, address: ColumnElement[bytes]) -> ColumnElement[bool]:
    label = LABEL.c
    return (
        select(label.label_id)
        .where(
            label.chain == window.scope,
            label.address == address,
            label.category.in_(PUBLIC_FUNDERS),
            label.known_to.is_(None),
            label.valid_from <= window.day,
            or_(label.valid_to.is_(None), label.valid_to > window.day),
        )
        .exists()
    )


def _address(text: ColumnElement[str]) -> ColumnElement[Any]:
    """Return the bytes of an address that is ``0x…``."""
    return func.decode(func.substr(text, 3), literal("hex"), type_=LargeBinary)
