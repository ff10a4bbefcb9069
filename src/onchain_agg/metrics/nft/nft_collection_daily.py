"""What happened in each NFT collection on each UTC day: trades, prices, mints, burns, holders.

A row is written for every collection with a trade, a mint, a burn or a transfer on the day, and on
every day for a tracked collection that is complete: each of its blocks from the first on was
applied. A token of a wrapping collection counts as one of the collection that it stands for.

* ``trades`` are tokens sold (rows of `nft_trade`), ``items`` their quantities. Volumes come gross,
  without the trades in `nft_wash_trade` (``_ex_wash``), and less the royalties that the logs tell
  (``_ex_royalty``). ``volume_native`` is of ``native_trades``, ``volume_usd`` of ``usd_trades``;
  ``unpriced_trades`` are in neither. ``wash_share`` = flagged volume / volume.
* ``floor_p5`` = 5th percentile of the prices of single items (no bundle, quantity 1) that were sold
  for the native coin above 0 without a wash flag, interpolated as percentile_cont does, exact
  (Dune's collection_stats). ``floor_min_ex_wash`` is their lowest, ``median_ex_wash`` their median.
  ``median`` is of single items above 0 with wash trades; ``average`` of every native trade.
* Readers' view adds ``floor_ffill``, the last ``floor_p5`` of the collection up to the day, and
  ``floor_age_days``, how many days old that is: 0 on a day with a floor. Both are NULL where the
  last 365 days had none. They are not stored, so that a late trade rewrites its own day alone.
* ``platform_fee_percent`` and ``royalty_percent`` are of the price of the native trades whose fee
  or royalty is told; who takes a payment that no log names as a royalty is not guessed at.
* ``buyers``, ``sellers`` and ``traders`` are different addresses of the day. They do not add up
  over days: `nft_trader_daily` has 7 and 30 days.
* ``mints``, ``minters`` and ``mint_volume`` are of `nft_mint`; ``mint_volume`` is NULL where a
  mint's transaction is not known. ``burns`` are transfers to the zero address. Quantities count.
* ``holders`` and ``supply`` are those of `nft_holder_distribution_daily`, which is computed when
  the day is over: NULL until then, and of collections that are not tracked.
* ``continuity_gaps`` above zero marks the day: so many of its transfers are in `nft_ownership_gap`.
  An ERC-1155 token has no owner to compare: there it counts the tokens of which an address sent
  more than it had, up to the day (``gap_tokens``), NULL until the day is over. NULL of collections
  that are not tracked.

Known gaps: trades of markets that no decoder reads; private payments. Listings are no input.
Edge cases: without a trade, counts are 0 and everything else is NULL. A day of wash trades alone
has a volume, no floor and a NULL ``volume_native_ex_wash``. A flag that comes later corrects its
own day.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Integer,
    Label,
    LargeBinary,
    Select,
    Subquery,
    Table,
    and_,
    case,
    cast,
    func,
    literal,
    select,
)

from onchain_agg.chains import ERC1155
from onchain_agg.metrics import nft_activity, nft_owners, nft_transfers
from onchain_agg.metrics.dataset import SAME_DAY, SERVING, DataSet, Window
from onchain_agg.metrics.nft.nft_holder_distribution_daily import TABLE as HOLDERS
from onchain_agg.metrics.nft.nft_mint import TABLE as MINT
from onchain_agg.metrics.nft.nft_ownership_gap import TABLE as GAP
from onchain_agg.metrics.rendering import ZERO, address_text
from onchain_agg.warehouse.types import BIG, DAY, NAME

# How far back readers' view looks for a floor, days.
_FFILL = 365

TABLE = Table(
    "nft_collection_daily_v1",
    SERVING,
    Column("chain", NAME, primary_key=True, comment="Name of the chain."),
    Column("day", DAY, primary_key=True, comment="UTC day of the blocks."),
    Column("collection", NAME, primary_key=True, comment="0x… of the contract, in lower case."),
    *nft_activity.trade_columns(),
    *nft_activity.price_columns(),
    Column("transfers", BigInteger, nullable=False, comment="Events, mints and burns left out."),
    Column("mints", BIG, nullable=False, comment="Tokens, by quantity."),
    Column("mint_volume", BIG, comment="Wei paid; NULL: no mint, or a transaction not known."),
    Column("minters", BigInteger, nullable=False, comment="Different addresses."),
    Column("burns", BIG, nullable=False, comment="Tokens, by quantity."),
    Column("holders", BigInteger, comment="Addresses that hold a token at the day's end."),
    Column("supply", BIG, comment="Tokens at the day's end, by quantity."),
    Column("continuity_gaps", BigInteger, comment="Transfers or tokens that do not fit; or NULL."),
)


def rows(window: Window) -> Select[Any]:
    """Return the day of each collection that did something or is tracked."""
    sold = nft_activity.activity(nft_activity.day_trades(window), ("collection",), prices=True)
    moved, minted, tracked = _moved(window), _minted(window), _tracked(window)
    parts = (sold, moved, minted, tracked)
    # Full joins throughout: the planner has no nested loop for them, and on a day without
    # statistics it would choose one over thousands of collections.
    joined: Any = sold
    collection: ColumnElement[str] = sold.c.collection
    for part in parts[1:]:
        joined = joined.outerjoin(part, part.c.collection == collection, full=True)
        collection = func.coalesce(collection, part.c.collection)
    counts = {*nft_activity.COUNTS, "transfers", "mints", "minters", "burns"}
    columns = [column for part in parts for column in part.c if column.name != "collection"]
    return select(
        *window.labels(),
        collection.label("collection"),
        *(func.coalesce(c, 0).label(c.name) if c.name in counts else c for c in columns),
    ).select_from(joined)


def _moved(window: Window) -> Subquery:
    """Return how often tokens changed hands, and how many were burned, by collection."""
    transfer = nft_transfers.collection_transfers(window)
    row, zero = transfer.c, ZERO
    burned = and_(row.sender != zero, row.recipient == zero, row.wraps.is_(None))
    count = (
        select(
            row.collection,
            func.count().filter(row.sender != zero, row.recipient != zero).label("transfers"),
            func.coalesce(func.sum(row.quantity).filter(burned), 0).label("burns"),
        )
        .group_by(row.collection)
        .subquery("count")
    )
    return select(
        address_text(window, count.c.collection).label("collection"),
        count.c.transfers,
        count.c.burns,
    ).subquery("moved")


def _minted(window: Window) -> Subquery:
    mint = MINT.c
    every_paid = func.count(mint.paid) == func.count()
    return (
        select(
            mint.collection,
            func.sum(mint.quantity).label("mints"),
            case((every_paid, func.sum(mint.paid))).label("mint_volume"),
            func.count(mint.minter.distinct()).label("minters"),
        )
        .where(mint.chain == window.scope, mint.day == window.day)
        .group_by(mint.collection)
        .subquery("minted")
    )


def _tracked(window: Window) -> Subquery:
    """Return the complete tracked collections, with what is known of them alone."""
    gaps, held = _gaps(window).c, HOLDERS.c
    collection = address_text(window, gaps.address)
    of_day = and_(
        held.chain == window.scope,
        held.day == window.day,
        held.collection == collection,
        held.variant == "all",
    )
    does_not_fit = case((gaps.standard == ERC1155, held.gap_tokens), else_=gaps.transfers)
    return (
        select(
            collection.label("collection"),
            held.holders,
            held.supply,
            does_not_fit.label("continuity_gaps"),
        )
        .outerjoin_from(gaps.address.table, HOLDERS, of_day)
        .subquery("tracked")
    )


def _gaps(window: Window) -> Subquery:
    """Return how many of the day's transfers do not fit, of each complete tracked collection.

    A wrapping collection's are its base's.
    """
    asset = nft_owners.complete_collections(window).c
    own_or_base = func.coalesce(asset.wraps, asset.address, type_=LargeBinary)
    of_day = and_(
        GAP.c.chain == window.scope,
        GAP.c.day == window.day,
        GAP.c.collection == address_text(window, asset.address),
    )
    return (
        select(
            own_or_base.label("address"),
            asset.standard,
            func.count(GAP.c.log_index).label("transfers"),
        )
        .outerjoin_from(asset.address.table, GAP, of_day)
        .group_by(own_or_base, asset.standard)
        .subquery("gaps")
    )


def _last_floor(name: str, column: str) -> Label[Any]:
    """Return of the last day with a floor, up to `_FFILL` days back, its *column*."""
    earlier = TABLE.alias(f"earlier_{name}")
    found = earlier.c[column]
    value = cast(TABLE.c.day - found, Integer) if column == "day" else found
    return (
        select(value)
        .where(
            earlier.c.chain == TABLE.c.chain,
            earlier.c.collection == TABLE.c.collection,
            earlier.c.day.between(TABLE.c.day - literal(_FFILL, Integer), TABLE.c.day),
            earlier.c.floor_p5.is_not(None),
        )
        .order_by(earlier.c.day.desc())
        .limit(1)
        .correlate(TABLE)
        .scalar_subquery()
        .label(name)
    )


DATASET = DataSet(
    name="nft_collection_daily",
    table=TABLE,
    family="nft",
    chain_families=("evm",),
    reads=(*nft_activity.READS, *nft_transfers.READS, GAP, HOLDERS, MINT),
    reach=SAME_DAY,
    grain="day",
    workload="nft_worker",
    rows=rows,
    invariants=(nft_activity.sound(prices=True), nft_activity.complete()),
    highlights=("volume_native", "collection", "floor_p5"),
    derived=(_last_floor("floor_ffill", "floor_p5"), _last_floor("floor_age_days", "day")),
)
