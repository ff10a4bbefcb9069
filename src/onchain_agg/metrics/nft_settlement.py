"""Who bought an NFT from whom, for how much, and what was really paid: logs put together.

A market logs contracts where people act through them, and no price where a bid from an earlier
transaction was accepted. Both follow from other facts of the chain.
"""

from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    FromClause,
    LargeBinary,
    Select,
    Text,
    and_,
    case,
    column,
    func,
    literal,
    select,
    true,
    tuple_,
    union_all,
    values,
)

from onchain_agg.chains import EvmChain, chain_named
from onchain_agg.metrics.dataset import Window
from onchain_agg.metrics.rendering import NATIVE, ZERO, hash_text
from onchain_agg.sources.nft_aggregators import AGGREGATORS
from onchain_agg.sources.unpriced import ACCEPTED_BID
from onchain_agg.warehouse.tables.chain import (
    BLOCK,
    EVM_TRANSACTION,
    FLASH_LOAN,
    NATIVE_TRANSFER,
    NFT_BID,
    NFT_TRADE,
    TOKEN_TRANSFER,
)
from onchain_agg.warehouse.tables.ops import ASSET
from onchain_agg.warehouse.types import UINT256

READS = (
    ASSET,
    BLOCK,
    EVM_TRANSACTION,
    FLASH_LOAN,
    NATIVE_TRANSFER,
    NFT_BID,
    NFT_TRADE,
    TOKEN_TRANSFER,
)
_UNKNOWN_CURRENCY = "unknown currency"
# Blur's pool: deposits of the native coin that pay for its offers.
_POOL = bytes.fromhex("0000000000a39bb272e79075ade125fd351887ac")
# Movements that pay somebody within a transaction.
_PAYMENTS = ("value", "internal", "selfdestruct")
_AS_LOGGED = (
    "block_hash",
    "height",
    "tx_index",
    "tx_hash",
    "log_index",
    "item_index",
    "market",
    "version",
    "side",
    "standard",
    "token_id",
    "quantity",
    "bundle_size",
    "platform_fee",
    "royalty",
)


def settled(window: Window) -> CTE:
    """Return the sales of the window's blocks, with what other facts say of them.

    Columns: those of `chain.nft_trade` but ``chain`` and ``day``, with ``contract`` of the token,
    ``collection`` the base one, true ``seller`` and ``buyer``, and the price of accepted bids;
    ``block_at``; ``aggregator``; ``paid_in``: the currency as in ``ops.asset``, empty for the
    native coin and what stands for it; ``price_native``; ``flash_loan``; ``net_native``.
    """
    sold = _sold(window)
    flow = _flows(window, sold)
    left, gained = flow.alias("lost"), flow.alias("gained")
    loan = _flash_loans(window)
    net = func.greatest(
        0, func.least(-func.coalesce(left.c.amount, 0), func.coalesce(gained.c.amount, 0))
    )
    native = sold.c.paid_in == literal(NATIVE, LargeBinary)
    others = (c for c in sold.c if c.name != "traced")
    return (
        select(
            *others,
            case((native, sold.c.price)).label("price_native"),
            loan.c.height.is_not(None).label("flash_loan"),
            case((sold.c.traced, net)).label("net_native"),
        )
        .select_from(
            sold.outerjoin(loan, _same_transaction(loan, sold))
            .outerjoin(left, and_(_same_transaction(left, sold), left.c.address == sold.c.buyer))
            .outerjoin(
                gained, and_(_same_transaction(gained, sold), gained.c.address == sold.c.seller)
            )
        )
        .cte("settled")
    )


def currency_text(window: Window, currency: ColumnElement[bytes]) -> ColumnElement[str]:
    """Return a currency as readers see it: ``native``, ``0x…``, or NULL."""
    native = currency == literal(ZERO, LargeBinary)
    return case((native, literal("native", Text)), else_=hash_text(window, currency))


def reason(
    unpriced: ColumnElement[str], price: ColumnElement[Any], symbol: ColumnElement[str]
) -> ColumnElement[Any]:
    """Return why a sale has no price in money, or NULL; *symbol* is NULL for a strange token."""
    strange = and_(price.is_not(None), symbol.is_(None))
    return case((strange, literal(_UNKNOWN_CURRENCY, Text)), else_=unpriced)


def _sold(window: Window) -> CTE:
    """Return the sales with their true parties and prices."""
    logged = _logged(window)
    bid = _accepted_bid(window, logged)
    one = logged.c
    accepted = case((bid.c.withdrawn.is_(False), bid.c.price))
    known = _aggregators()
    taking, called = known.alias("taking"), known.alias("called")
    taker = case((one.side == "offer", one.seller), else_=one.buyer)
    acts_for = and_(taking.c.name.is_not(None), one.tx_sender.is_not(None))
    base = ASSET.alias("base")
    return (
        select(
            *(one[name] for name in _AS_LOGGED),
            one.block_at,
            one.traced,
            func.coalesce(called.c.name, taking.c.name).label("aggregator"),
            one.collection.label("contract"),
            func.coalesce(base.c.wraps, one.collection).label("collection"),
            _instead(and_(acts_for, one.side == "offer"), one.tx_sender, one.seller, "seller"),
            _instead(and_(acts_for, one.side != "offer"), one.tx_sender, one.buyer, "buyer"),
            one.currency,
            _paid_in(window, one.currency).label("paid_in"),
            func.coalesce(one.price, accepted, type_=UINT256).label("price"),
            case((accepted.is_(None), one.unpriced)).label("unpriced"),
        )
        .select_from(
            logged.outerjoin(taking, taking.c.address == taker)
            .outerjoin(called, called.c.address == one.tx_recipient)
            .outerjoin(
                base,
                and_(
                    base.c.chain == window.scope, base.c.tracked, base.c.address == one.collection
                ),
            )
            .outerjoin(bid, true())
        )
        .cte("sold")
    )


def _logged(window: Window) -> CTE:
    trade, transaction = NFT_TRADE.c, EVM_TRANSACTION.c
    return (
        select(
            *(trade[name] for name in _AS_LOGGED),
            *(trade[n] for n in ("collection", "seller", "buyer", "currency", "price", "unpriced")),
            BLOCK.c.block_at,
            BLOCK.c.traced,
            transaction.sender.label("tx_sender"),
            transaction.recipient.label("tx_recipient"),
        )
        .join_from(
            NFT_TRADE, BLOCK, and_(BLOCK.c.chain == trade.chain, BLOCK.c.height == trade.height)
        )
        .outerjoin(
            EVM_TRANSACTION,
            and_(
                # Constants, so that one day's partition is looked into.
                transaction.chain == window.scope,
                transaction.day == window.day,
                _same_transaction(EVM_TRANSACTION, NFT_TRADE),
            ),
        )
        .where(window.of(NFT_TRADE))
        .cte("logged")
        .prefix_with("MATERIALIZED")
    )


def _accepted_bid(window: Window, logged: CTE) -> FromClause:
    """Return the buyer's last bid before each sale that accepted one, withdrawn or not."""
    bid, one = NFT_BID.c, logged.c
    return (
        select(bid.price, bid.withdrawn)
        .where(
            one.unpriced == ACCEPTED_BID,
            bid.chain == window.scope,
            bid.collection == one.collection,
            bid.token_id == one.token_id,
            bid.bidder == one.buyer,
            bid.market == one.market,
            # Blocks below are loaded, but may hang on a fork.
            bid.height >= window.from_height,
            tuple_(bid.height, bid.log_index) < tuple_(one.height, one.log_index),
        )
        .order_by(bid.height.desc(), bid.log_index.desc())
        .limit(1)
        .lateral("bid")
    )


def _aggregators() -> CTE:
    known = [(bytes.fromhex(address[2:]), name) for address, name in AGGREGATORS.items()]
    listed = values(column("address", LargeBinary), column("name", Text), name="listed")
    return select(listed.data(known)).cte("known")


def _instead(
    when: ColumnElement[bool], instead: ColumnElement[Any], logged: ColumnElement[Any], name: str
) -> ColumnElement[Any]:
    return case((when, instead), else_=logged).label(name)


def _paid_in(window: Window, currency: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the address under which ``ops.asset`` knows what stands for the currency."""
    native = currency.in_([ZERO, *_stand_ins(window)])
    return case((native, literal(NATIVE, LargeBinary)), else_=currency)


def _stand_ins(window: Window) -> list[bytes]:
    """Return the tokens that are worth one native coin each."""
    wrapped = _wrapped(window)
    return [_POOL] if wrapped is None else [_POOL, wrapped]


def _wrapped(window: Window) -> bytes | None:
    chain = chain_named(window.scope)
    address = chain.wrapped_native if isinstance(chain, EvmChain) else None
    return None if address is None else bytes.fromhex(address[2:])


def _flows(window: Window, sold: CTE) -> CTE:
    """Return by how much each address had more native coin after a sale's transaction.

    Columns: ``height``, ``tx_index``, ``address``, ``amount``, below zero where it had less.
    """
    of = select(sold.c.height, sold.c.tx_index).distinct().cte("transaction")
    moved = union_all(_native_moves(window, of), _stand_in_moves(window, of)).cte("moved")
    sides = union_all(
        select(moved.c.height, moved.c.tx_index, moved.c.sender.label("address"), -moved.c.amount),
        select(moved.c.height, moved.c.tx_index, moved.c.recipient, moved.c.amount),
    ).subquery("side")
    height, tx_index, address, amount = sides.c
    return (
        select(height, tx_index, address, func.sum(amount).label("amount"))
        .group_by(height, tx_index, address)
        .cte("flow")
    )


def _native_moves(window: Window, of: CTE) -> Select[Any]:
    move = NATIVE_TRANSFER.c
    query = (
        select(move.height, move.tx_index, move.sender, move.recipient, move.amount)
        .join_from(NATIVE_TRANSFER, of, _same_transaction(NATIVE_TRANSFER, of))
        .where(window.of(NATIVE_TRANSFER), move.kind.in_(_PAYMENTS))
    )
    wrapped = _wrapped(window)
    if wrapped is None:
        return query
    # A conversion leaves its owner with as much as before, and the token logs no transfer of it.
    return query.where(move.sender != wrapped, move.recipient != wrapped)


def _stand_in_moves(window: Window, of: CTE) -> Select[Any]:
    move = TOKEN_TRANSFER.c
    return (
        select(move.height, move.tx_index, move.sender, move.recipient, move.amount)
        .join_from(TOKEN_TRANSFER, of, _same_transaction(TOKEN_TRANSFER, of))
        .where(window.of(TOKEN_TRANSFER), move.token.in_(_stand_ins(window)))
    )


def _flash_loans(window: Window) -> CTE:
    loan = FLASH_LOAN.c
    return select(loan.height, loan.tx_index).where(window.of(FLASH_LOAN)).distinct().cte("loan")


def _same_transaction(one: FromClause, other: FromClause) -> ColumnElement[bool]:
    # By height, which tells applied blocks apart: PostgreSQL would expect too few rows with hashes.
    return and_(one.c.height == other.c.height, one.c.tx_index == other.c.tx_index)
