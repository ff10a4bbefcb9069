"""Every transfer of a tracked asset worth 100,000 US dollar or more when it happened.

One row is one transfer as in `whale_transfer`, with the same key. ``usd_value`` = amount /
10^decimals times ``price_usd``, exact; the price is that of the asset's last traded minute at or
before the block (`market_price_1m`): of the same UTC day, else the last one of the day before if it
is not more than 24 hours old; ``price_at`` names the minute. ``usd_class`` is the highest of
``100k``, ``1m``, ``10m`` and ``100m`` that the value reaches; exactly the threshold counts.

A transfer without a price is kept where its amount reaches the asset's ``whale_threshold``, in the
class ``unpriced``, with NULL value. ``internal_to`` names the exchange that owns both sides by the
labels of the day: money that only changes its pocket.

A corrected price makes a new revision here and never one of `whale_transfer`; a corrected label
one of ``internal_to``.

Known gaps: those of `whale_transfer`. The price is found by the asset's symbol. An asset that is
traded on no followed venue is unpriced, also where a daily price is known.
Edge cases: a price of 0 makes a value of 0, which is below every class, so the transfer is left
out. On UTXO chains a transfer is internal where every input's address belongs to the exchange.
"""

from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Integer,
    Numeric,
    Select,
    Table,
    Text,
    and_,
    case,
    cast,
    func,
    literal,
    or_,
    select,
)

from onchain_agg.metrics import owners, pricing, transfers
from onchain_agg.metrics.activity import CLASSES, UNPRICED
from onchain_agg.metrics.candles import begin_of
from onchain_agg.metrics.dataset import SERVING, DataSet, Window
from onchain_agg.metrics.rendering import address_text, asset_text, hash_text
from onchain_agg.warehouse.tables.ops import ASSET
from onchain_agg.warehouse.types import BIG, DAY, NAME, TIME, UINT256

_LEAST_USD = min(CLASSES.values())

TABLE = Table(
    "whale_transfer_usd_v1",
    SERVING,
    Column("chain", NAME, primary_key=True, comment="Name of the chain."),
    Column("day", DAY, primary_key=True, comment="UTC day of the block."),
    Column("block_hash", Text, primary_key=True, comment="As explorers print it."),
    Column("kind", Text, primary_key=True, comment="token, output, or the native coin's kinds."),
    Column("position", Integer, primary_key=True, comment="In the block, as in whale_transfer."),
    Column("item", Integer, primary_key=True, comment="Output number; else 0."),
    Column("height", BigInteger, nullable=False, comment="Height of the block."),
    Column("block_at", TIME, nullable=False, comment="UTC; median-time-past on UTXO chains."),
    Column("tx_hash", Text, comment="As explorers print it; NULL outside of a transaction."),
    Column("asset", NAME, nullable=False, comment="0x… of the token, or native."),
    Column("symbol", Text, nullable=False, comment="For people; the asset is the identity."),
    Column("sender", Text, comment="Address; NULL: none, or inputs of several addresses."),
    Column("recipient", Text, comment="Address; NULL: burned, or an output without one."),
    Column("amount", UINT256, nullable=False, comment="In the asset's smallest unit."),
    Column("price_usd", BIG, comment="US dollar for one whole unit; NULL: unpriced."),
    Column("price_at", TIME, comment="Minute of the price; NULL: unpriced."),
    Column("usd_value", BIG, comment="US dollar, exact; NULL: unpriced."),
    Column("usd_class", NAME, nullable=False, comment="100k, 1m, 10m, 100m or unpriced."),
    Column("internal_to", NAME, comment="Exchange that owns both sides; NULL: none does."),
    Column(
        "top_level_only",
        Boolean,
        nullable=False,
        comment="True: internal transfers of this block are not known.",
    ),
)


def rows(window: Window) -> Select[Any]:
    """Return the day's transfers that are worth enough, or large and unpriced."""
    assets = transfers.tracked_assets(window, _least_amount(window))
    moved = _moved(window, assets)
    owner = owners.exchanges_on(window)
    price = pricing.prices_at(window, _moments(moved))
    valued = _valued(moved, price)
    usd = valued.c.usd_value
    (sender, is_sent), recipient = owners.senders(window, valued, owner), owner.alias("recipient")
    joined = valued.outerjoin(sender, is_sent).outerjoin(
        recipient,
        and_(recipient.c.address == valued.c.recipient, recipient.c.entity == sender.c.entity),
    )
    return (
        select(
            *window.labels(),
            *_as_text(window, valued),
            valued.c.price_usd,
            valued.c.price_at,
            usd,
            _class_of(usd).label("usd_class"),
            recipient.c.entity.label("internal_to"),
            valued.c.top_level_only,
        )
        .select_from(joined)
        .where(
            or_(
                usd >= _LEAST_USD,
                and_(usd.is_(None), valued.c.amount >= valued.c.whale_threshold),
            )
        )
    )


def _least_amount(window: Window) -> ColumnElement[Any]:
    """Return the smallest amount of an asset that can be in the result, or a little less."""
    highest = func.nullif(pricing.highest_price(window, ASSET.c.symbol), 0)
    unit = func.power(cast(10, Numeric), ASSET.c.decimals, type_=Numeric)
    # The division is rounded; the exact comparison comes later.
    return func.least(ASSET.c.whale_threshold, func.floor(_LEAST_USD * unit / highest) - 1)


def _moved(window: Window, assets: CTE) -> CTE:
    transfer = transfers.transfers(window, assets).subquery("moved")
    asset = assets.c
    return (
        select(
            *transfer.c,
            begin_of("minute", transfer.c.block_at).label("minute_at"),
            asset.address,
            asset.symbol,
            asset.unit,
            asset.whale_threshold,
        )
        .join(assets, asset.asset_id == transfer.c.asset_id)
        .cte("large")
    )


def _valued(moved: CTE, price: CTE) -> CTE:
    same = and_(price.c.symbol == moved.c.symbol, price.c.minute_at == moved.c.minute_at)
    return (
        select(
            *(column for column in moved.c if column.name != "minute_at"),
            pricing.money(price.c.price_usd).label("price_usd"),
            price.c.price_at,
            pricing.usd_of(moved.c.amount, moved.c.unit, price.c.price_usd).label("usd_value"),
        )
        .outerjoin_from(moved, price, same)
        .cte("valued")
        # Or the value would be computed again for each class that it is compared with.
        .prefix_with("MATERIALIZED")
    )


def _moments(moved: CTE) -> CTE:
    return select(moved.c.symbol, moved.c.minute_at).distinct().cte("moment")


def _as_text(window: Window, valued: CTE) -> tuple[ColumnElement[Any], ...]:
    """Return the columns of the transfer as readers see them."""
    one = valued.c
    return (
        hash_text(window, one.block_hash).label("block_hash"),
        one.kind,
        one.position,
        one.item,
        one.height,
        one.block_at,
        hash_text(window, one.tx_hash).label("tx_hash"),
        asset_text(one.address).label("asset"),
        one.symbol,
        address_text(window, one.sender).label("sender"),
        address_text(window, one.recipient).label("recipient"),
        one.amount,
    )


def _class_of(usd: ColumnElement[Any]) -> ColumnElement[Any]:
    highest_first = sorted(CLASSES.items(), key=lambda entry: -entry[1])
    reached = [(usd >= least, literal(name, Text)) for name, least in highest_first]
    return case(*reached, else_=literal(UNPRICED, Text))


DATASET = DataSet(
    name="whale_transfer_usd",
    table=TABLE,
    family="whale",
    chain_families=("evm", "utxo"),
    reads=(*transfers.READS, *owners.READS, *pricing.READS),
    reach=pricing.REACH,
    grain="event",
    workload="whale_worker",
    rows=rows,
    highlights=("usd_value", "symbol", "recipient"),
)
