"""How long sellers had held the ERC-721 tokens that they sold, by collection and UTC day.

``holding period`` = time of the sale - time of the acquisition, both of their blocks. A seller
acquired a token with the first transfer to it after the last one to anybody else; a transfer to an
address that a label of category staking, escrow or vault names on the day is to nobody else, and
neither is the way back, so staking a token or putting it up in escrow does not begin a new period.
A mint is an acquisition, and so is a gift. A token that is bought and sold in one transaction was
held for 0 seconds.

``sales`` are the day's trades of a tracked, complete ERC-721 collection, whether priced or not, and
wash trades too; ``known_sales`` those whose acquisition is known. ``share_under_…`` are parts of
``known_sales``: each span includes the shorter ones, and ``share_older`` is what is left.

Owners of earlier days come from the state, which keeps who had a token after each day on which it
moved. Known gaps: who received a token and staked it on the same day holds it from its return on,
unless that was on the day of the sale; wrapping a token begins a new period; a market that takes
the token into a contract of its own, without a label, is somebody else; ERC-1155 tokens of one id
are alike, so nobody can tell which was sold.
Edge cases: a collection without a sale has no row; without a known sale everything but the counts
is NULL; a seller who is not known to have had the token (an ownership gap) is not known.
"""

from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    Column,
    ColumnElement,
    Double,
    Integer,
    LargeBinary,
    Select,
    Subquery,
    Table,
    and_,
    cast,
    false,
    func,
    literal,
    or_,
    select,
    union_all,
)

from onchain_agg.chains import ERC721
from onchain_agg.metrics.dataset import SAME_DAY, SERVING, DataSet, Invariant, Window
from onchain_agg.metrics.formulas import ratio
from onchain_agg.metrics.labels import categories_on
from onchain_agg.metrics.nft.nft_trade import TABLE as TRADE
from onchain_agg.metrics.rendering import address_text
from onchain_agg.warehouse.tables.chain import BLOCK, LABEL, TOKEN_TRANSFER
from onchain_agg.warehouse.tables.ops import ASSET
from onchain_agg.warehouse.tables.state import NFT_OWNER_DAY
from onchain_agg.warehouse.types import DAY, NAME

# Labels of contracts that keep a token for somebody.
KEEPERS = ("staking", "escrow", "vault")
_HOUR, _DAY = 3600, 86_400
_SPANS = {"1h": _HOUR, "1d": _DAY, "7d": 7 * _DAY, "30d": 30 * _DAY, "365d": 365 * _DAY}
# More logs than a block has: height and log index are one number.
_LOGS = 10_000_000
_SALE = ("block_hash", "log_index", "item_index")

TABLE = Table(
    "nft_holding_period_daily_v1",
    SERVING,
    Column("chain", NAME, primary_key=True, comment="Name of the chain."),
    Column("day", DAY, primary_key=True, comment="UTC day of the sales."),
    Column("collection", NAME, primary_key=True, comment="0x… of the contract, in lower case."),
    Column("sales", BigInteger, nullable=False, comment="Tokens sold."),
    Column("known_sales", BigInteger, nullable=False, comment="Of them: acquisition is known."),
    Column("mean_seconds", Double, comment="Of known_sales."),
    Column("median_seconds", Double, comment="Of known_sales; interpolated."),
    *(
        Column(f"share_under_{span}", Double, comment=f"Of known_sales, held less than {span}.")
        for span in _SPANS
    ),
    Column("share_older", Double, comment="Of known_sales, held 365 days or longer."),
)


def rows(window: Window) -> Select[Any]:
    """Return the holding periods of the day's sales by collection."""
    period = _periods(window)
    held = period.c.seconds
    known = func.count(held)
    return select(
        *window.labels(),
        period.c.collection,
        func.count().label("sales"),
        known.label("known_sales"),
        # A sum of whole seconds, so that the order of rows does not show.
        ratio(func.sum(held), known).label("mean_seconds"),
        func.percentile_cont(0.5).within_group(held).label("median_seconds"),
        *(
            ratio(func.count().filter(held < seconds), known).label(f"share_under_{span}")
            for span, seconds in _SPANS.items()
        ),
        ratio(func.count().filter(held >= _SPANS["365d"]), known).label("share_older"),
    ).group_by(period.c.collection)


def _periods(window: Window) -> Subquery:
    """Return each sale's ``collection`` and ``seconds`` held, NULL where that is not known."""
    sale = _sales(window)
    one = _paired(sale, _possessions(window, sale)).c
    own = and_(one.counts, one.position > func.coalesce(one.last_other, literal(-1)))
    acquired = func.min(one.received_at).filter(own)
    seconds = cast(func.extract("epoch", one.block_at - acquired), BigInteger)
    return (
        select(one.collection, seconds.label("seconds"))
        .group_by(*(one[name] for name in _SALE), one.collection, one.block_at)
        .having(func.count(one.block_at) > 0)
        .subquery("period")
    )


def _paired(sale: CTE, owned: Subquery) -> Subquery:
    """Return each sale with everybody who had its token, and a row without a sale for others.

    Columns: those of `_SALE`, ``collection``, ``block_at`` of the sale, ``received_at`` and
    ``position`` of a possession, ``counts`` (it may be the seller's acquisition), ``last_other``
    (position of the last possession before the sale that was somebody else's).
    """
    key = [sale.c[name] for name in _SALE]
    is_seller = owned.c.owner == sale.c.seller
    of_other = and_(owned.c.place < sale.c.place, ~is_seller, ~owned.c.is_kept)
    last_other = func.max(owned.c.position).filter(of_other).over(partition_by=key)
    same = and_(owned.c.asset_id == sale.c.asset_id, owned.c.token_id == sale.c.token_id)
    return (
        select(
            *key,
            sale.c.collection,
            sale.c.block_at,
            owned.c.received_at,
            owned.c.position,
            # What happens in the sale's own transaction is the sale, or brought the token to its
            # seller.
            and_(is_seller, owned.c.place <= sale.c.place).label("counts"),
            last_other.label("last_other"),
        )
        # A full join is never a nested loop, which the planner would choose for a day without
        # statistics. What only *owned* has is of tokens that were not sold.
        .select_from(sale.outerjoin(owned, same, full=True))
        .subquery("paired")
    )


def _sales(window: Window) -> CTE:
    trade, asset = TRADE.c, ASSET.c
    # As bytes: ops.asset has an index of them.
    contract = func.decode(func.substr(trade.contract, 3), "hex", type_=LargeBinary)
    return (
        select(
            *(trade[name] for name in _SALE),
            trade.collection,
            trade.block_at,
            trade.seller,
            trade.token_id,
            asset.asset_id,
            _place(trade.height, trade.tx_index).label("place"),
        )
        .join_from(TRADE, ASSET, asset.address == contract)
        .where(
            trade.chain == window.scope,
            trade.day == window.day,
            asset.chain == window.scope,
            asset.tracked,
            asset.standard == ERC721,
            asset.start_block.between(window.from_height, window.last_height),
        )
        .cte("sale")
    )


def _possessions(window: Window, sale: CTE) -> Subquery:
    """Return who had the sold tokens since when, up to the end of the day.

    Columns: ``asset_id``, ``token_id``, ``place`` of the transaction, ``position`` of the log,
    ``owner``, ``received_at``, ``is_kept`` (by a contract that keeps it for somebody).
    """
    both = union_all(_earlier(window, sale), _today(window, sale)).subquery("both").c
    keeper = categories_on(window, KEEPERS)
    is_kept = or_(*(func.coalesce(keeper.c[name], false()) for name in KEEPERS))
    return (
        select(
            both.asset_id,
            both.token_id,
            both.place,
            both.position,
            address_text(window, both.owner).label("owner"),
            both.received_at,
            is_kept.label("is_kept"),
        )
        .outerjoin_from(both.owner.table, keeper, keeper.c.address == both.owner)
        .subquery("owned")
    )


def _earlier(window: Window, sale: CTE) -> Select[Any]:
    """Return who had the sold tokens after each earlier day on which they moved."""
    past = NFT_OWNER_DAY.c
    sold = select(sale.c.asset_id, sale.c.token_id).distinct().subquery("sold")
    same = and_(sold.c.asset_id == past.asset_id, sold.c.token_id == past.token_id)
    return (
        select(
            past.asset_id,
            past.token_id,
            # Of an earlier day, so before every transaction of this one.
            _place(past.height, literal(0)).label("place"),
            _place(past.height, past.log_index).label("position"),
            past.owner,
            past.received_at,
        )
        .join(sold, same)
        .where(past.day < window.day)
    )


def _today(window: Window, sale: CTE) -> Select[Any]:
    """Return who got a token of the collections that were sold, by the day's transfers."""
    transfer, asset = TOKEN_TRANSFER.c, ASSET.c
    return (
        select(
            asset.asset_id,
            transfer.token_id,
            _place(transfer.height, transfer.tx_index),
            _place(transfer.height, transfer.log_index),
            transfer.recipient,
            BLOCK.c.block_at,
        )
        .join_from(TOKEN_TRANSFER, ASSET, asset.address == transfer.token)
        .join(BLOCK, and_(BLOCK.c.chain == transfer.chain, BLOCK.c.height == transfer.height))
        .where(
            window.of(TOKEN_TRANSFER),
            transfer.standard == ERC721,
            asset.chain == window.scope,
            asset.tracked,
            asset.asset_id.in_(select(sale.c.asset_id)),
        )
    )


def _place(height: ColumnElement[Any], index: ColumnElement[Any]) -> ColumnElement[int]:
    return cast(height, BigInteger) * literal(_LOGS, BigInteger) + cast(index, Integer)


def _unsound(stage: Table, _window: Window) -> Select[Any]:
    row = stage.c
    rules = or_(
        row.known_sales > row.sales,
        row.mean_seconds < 0,
        row.share_under_1h > row.share_under_365d,
        func.abs(row.share_under_365d + row.share_older - 1) > literal(1e-9),
    )
    return select(row.collection, row.sales, row.known_sales, row.mean_seconds).where(rules)


DATASET = DataSet(
    name="nft_holding_period_daily",
    table=TABLE,
    family="nft",
    chain_families=("evm",),
    reads=(ASSET, BLOCK, LABEL, NFT_OWNER_DAY, TOKEN_TRANSFER, TRADE),
    # The state after a day follows from its blocks, which its last block's hash stands for.
    reach=SAME_DAY,
    grain="day",
    workload="nft_worker",
    rows=rows,
    invariants=(Invariant("nobody sells before having, and shares add up to 1", _unsound),),
    highlights=("sales", "collection", "median_seconds"),
)
