"""Every sale of an NFT on a known market, one row an item.

Rows come from the markets' logs (`chain.nft_trade`) and are completed here:

* ``collection`` is the base collection where a tracked collection wraps another one, so that
  CryptoPunks and wrapped punks are one; ``contract`` is the one whose token changed hands.
* ``aggregator`` is known by its contract: the transaction went to it, or it is the logged taker.
  Where the logged taker (the buyer of a listing, the seller into an offer) is such a contract, the
  transaction's sender takes its place.
* An accepted bid for a CryptoPunk and the end of an X2Y2 auction are logged without their price:
  ``price`` is that of the buyer's last bid for the token before it on the same market, by height
  and log index, if that was not withdrawn.
* ``price`` is what the item cost, fees and royalties included, in ``currency``; a bundle's price is
  split equally. ``price_native`` is the same where the currency is the chain's own coin, wrapped or
  not. ``usd_value`` = price / 10^decimals times the price of the currency's last traded minute at
  or before the block, as in `whale_transfer_usd`, exact.
* ``unpriced`` says why there is no price, or, of a price in a token that is not tracked,
  ``unknown currency``.
* ``net_native`` is what the buyer had less and the seller had more after the transaction than
  before it, whichever of the two is less, of the native coin, the wrapped one and Blur's pool
  together, fees of the transaction aside; 0 where nothing was left with the seller. A conversion
  into the wrapped coin is no payment.
* ``flash_loan``: the transaction took one, of the lenders whose events are decoded.

Known gaps: markets and versions that are not decoded. ``net_native`` is NULL where the block's
internal transfers are not known, and 0 where a third party paid for the buyer. An aggregator
without an entry in the list is the buyer or the seller itself. A bid from before the first
applied block is not known, so the sale stays unpriced. Royalties that a market does not log are
NULL, not 0.
Edge cases: a price of 0 is kept; a day without a sale has no row; ``quantity`` is above 1 for
ERC-1155 only, and the price is that of all of them.
"""

from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    Boolean,
    Column,
    Integer,
    Select,
    SmallInteger,
    Table,
    Text,
    and_,
    exists,
    select,
)

from onchain_agg.metrics import nft_settlement, pricing, transfers
from onchain_agg.metrics.candles import begin_of
from onchain_agg.metrics.dataset import SERVING, DataSet, Window
from onchain_agg.metrics.inputs import days_of_less_past
from onchain_agg.metrics.rendering import address_text, hash_text
from onchain_agg.sources.unpriced import ACCEPTED_BID
from onchain_agg.warehouse.types import BIG, DAY, NAME, TIME, UINT256

TABLE = Table(
    "nft_trade_v1",
    SERVING,
    Column("chain", NAME, primary_key=True, comment="Name of the chain."),
    Column("day", DAY, primary_key=True, comment="UTC day of the block."),
    Column("block_hash", Text, primary_key=True, comment="As explorers print it."),
    Column("log_index", Integer, primary_key=True, comment="In the block."),
    Column("item_index", Integer, primary_key=True, comment="Position in a bundle; else 0."),
    Column("height", BigInteger, nullable=False, comment="Height of the block."),
    Column("block_at", TIME, nullable=False, comment="Time of the block, UTC."),
    Column("tx_index", Integer, nullable=False, comment="Position in the block."),
    Column("tx_hash", Text, nullable=False, comment="As explorers print it."),
    Column("market", NAME, nullable=False, comment="Such as seaport."),
    Column("version", Text, nullable=False, comment="Of the market's contract."),
    Column("side", Text, nullable=False, comment="What was taken: listing or offer."),
    Column("aggregator", NAME, comment="Such as gem; NULL: none that is known."),
    Column("collection", Text, nullable=False, comment="0x…, the base one of a wrapped token."),
    Column("contract", Text, nullable=False, comment="0x… of the token that was traded."),
    Column("standard", SmallInteger, comment="721 or 1155; NULL: neither, as CryptoPunks."),
    Column("token_id", UINT256, nullable=False, comment="In its contract."),
    Column("quantity", UINT256, nullable=False, comment="1 unless ERC-1155."),
    Column("bundle_size", Integer, nullable=False, comment="Items that the price is split over."),
    Column("seller", Text, nullable=False, comment="Address."),
    Column("buyer", Text, nullable=False, comment="Address."),
    Column("currency", Text, comment="native or 0x…; NULL: several, or not in the log."),
    Column("price", UINT256, comment="With fees, smallest unit of the currency; NULL: unpriced."),
    Column("price_native", UINT256, comment="Wei; NULL: unpriced, or in another currency."),
    Column("usd_value", BIG, comment="US dollar, exact; NULL: unpriced, or no market price."),
    Column("platform_fee", UINT256, comment="In the price, smallest unit; NULL: not logged."),
    Column("royalty", UINT256, comment="In the price, smallest unit; NULL: not logged."),
    Column("unpriced", Text, comment="Why there is no price in money; NULL: nothing is missing."),
    Column("flash_loan", Boolean, nullable=False, comment="In the same transaction."),
    Column("net_native", UINT256, comment="Wei that went from buyer to seller; NULL: not known."),
    # What else was ever traded of a token.
    info={"indexes": {"token": ("chain", "collection", "token_id")}},
)

_NAME = "nft_trade"
_FROM_LOGS = (
    "log_index",
    "item_index",
    "height",
    "block_at",
    "tx_index",
    "market",
    "version",
    "side",
    "aggregator",
    "standard",
    "token_id",
    "quantity",
    "bundle_size",
    "price",
    "price_native",
    "platform_fee",
    "royalty",
    "net_native",
)


def rows(window: Window) -> Select[Any]:
    """Return the day's sales."""
    sold = nft_settlement.settled(window)
    assets = transfers.tracked_assets(window)
    valued = _with_symbol(sold, assets)
    price = pricing.prices_at(window, _moments(valued))
    same = and_(price.c.symbol == valued.c.symbol, price.c.minute_at == valued.c.minute_at)
    usd = pricing.usd_of(valued.c.price, valued.c.unit, price.c.price_usd)
    missing = nft_settlement.reason(valued.c.unpriced, valued.c.price, valued.c.symbol)
    return select(
        *window.labels(),
        hash_text(window, valued.c.block_hash).label("block_hash"),
        hash_text(window, valued.c.tx_hash).label("tx_hash"),
        *(valued.c[name] for name in _FROM_LOGS),
        *(
            address_text(window, valued.c[name]).label(name)
            for name in ("collection", "contract", "seller", "buyer")
        ),
        nft_settlement.currency_text(window, valued.c.currency).label("currency"),
        usd.label("usd_value"),
        missing.label("unpriced"),
        valued.c.flash_loan,
    ).select_from(valued.outerjoin(price, same))


def elsewhere(window: Window) -> Select[Any]:
    """Return the days of accepted bids without a price that earlier blocks may tell now."""
    days = days_of_less_past(window, _NAME).subquery("less")
    waits = exists().where(
        TABLE.c.chain == window.scope,
        TABLE.c.day == days.c.day,
        TABLE.c.unpriced == ACCEPTED_BID,
    )
    return select(days.c.day).where(waits)


def _with_symbol(sold: CTE, assets: CTE) -> CTE:
    """Return the sales with the symbol and unit of their currency; NULL where it is unknown."""
    return (
        select(
            *sold.c,
            begin_of("minute", sold.c.block_at).label("minute_at"),
            assets.c.symbol,
            assets.c.unit,
        )
        .outerjoin_from(sold, assets, assets.c.address == sold.c.paid_in)
        .cte("valued")
    )


def _moments(valued: CTE) -> CTE:
    return (
        select(valued.c.symbol, valued.c.minute_at)
        .where(valued.c.price.is_not(None), valued.c.symbol.is_not(None))
        .distinct()
        .cte("moment")
    )


DATASET = DataSet(
    name=_NAME,
    table=TABLE,
    family="nft",
    chain_families=("evm",),
    reads=(*nft_settlement.READS, *transfers.READS, *pricing.READS),
    reach=pricing.REACH,
    grain="event",
    workload="nft_worker",
    rows=rows,
    elsewhere=elsewhere,
    highlights=("usd_value", "collection", "market"),
)
