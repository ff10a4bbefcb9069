"""What a day of a Bitcoin-family chain is held against: its blocks' coinbases and its supply."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Select,
    Table,
    case,
    cast,
    func,
    literal,
    not_,
    select,
)

from onchain_agg.chains import UtxoChain, chain_named
from onchain_agg.errors import ConfigError
from onchain_agg.metrics import balance_gates
from onchain_agg.metrics.dataset import Invariant, Window
from onchain_agg.warehouse.tables.chain import UTXO_OUTPUT
from onchain_agg.warehouse.tables.state import (
    CREATED_OUTPUT_DAILY,
    SPENT_OUTPUT,
    SPENT_OUTPUT_DAILY,
    TIP,
    UTXO,
)

# A 64-bit subsidy that was halved this often is nothing, and PostgreSQL shifts by the remainder.
_MOST_HALVINGS = 63


def _overpaid(stage: Table, window: Window) -> Select[Any]:
    """Return the blocks whose coinbase pays more than the block may mint and its fees."""
    made, spent = UTXO_OUTPUT.c, SPENT_OUTPUT.c
    received = (
        select(
            made.height,
            _total(made.value, made.tx_index == 0).label("coinbase"),
            _total(made.value, made.tx_index > 0).label("received"),
        )
        # What block 0 pays is part of the chain's software, whatever it is.
        .where(window.of(UTXO_OUTPUT), made.height > 0)
        .group_by(made.height)
        .subquery("received")
    )
    paid = (
        select(spent.height, func.sum(spent.value).label("paid"))
        .where(window.of(SPENT_OUTPUT), not_(spent.overwritten))
        .group_by(spent.height)
        .subquery("paid")
    )
    subsidy = _subsidy(window, received.c.height)
    fees = func.coalesce(paid.c.paid, 0) - received.c.received
    return (
        select(
            received.c.height,
            received.c.coinbase,
            subsidy.label("subsidy"),
            fees.label("fees"),
        )
        .select_from(received.outerjoin(paid, paid.c.height == received.c.height))
        .where(received.c.coinbase > subsidy + fees, _is_published(stage))
        .order_by(received.c.height)
    )


def _differing_growth(stage: Table, window: Window) -> Select[Any]:
    """Return the row whose supply is not yesterday's, more what is new, less what is gone."""
    made, spent = UTXO_OUTPUT.c, SPENT_OUTPUT.c
    created = select(_total(made.value)).where(window.of(UTXO_OUTPUT), made.spendable)
    gone = select(_total(spent.value)).where(window.of(SPENT_OUTPUT))
    before = balance_gates.unspent(replace(window, day=window.day - timedelta(days=1)))
    expected = before + created.scalar_subquery() - gone.scalar_subquery()
    return select(
        stage.c.supply,
        before.label("before"),
        created.scalar_subquery().label("created"),
        gone.scalar_subquery().label("spent"),
    ).where(stage.c.supply != expected)


def _differing_set(stage: Table, window: Window) -> Select[Any]:
    """Return the newest day where the UTXO set has not what it made and nobody spent.

    Only of the newest day the set and the sums say the same; a sum over the whole set, of all
    days, takes an audit.
    """
    made, spend, coin = CREATED_OUTPUT_DAILY.c, SPENT_OUTPUT_DAILY.c, UTXO.c
    created = select(_total(made.value)).where(made.chain == window.scope, made.day == window.day)
    gone = select(_total(spend.value)).where(
        spend.chain == window.scope,
        spend.spend_day == window.day,
        spend.created_day == window.day,
    )
    held = select(_total(coin.value)).where(
        coin.chain == window.scope,
        coin.created_height.between(window.first_height, window.last_height),
    )
    unspent = created.scalar_subquery() - gone.scalar_subquery()
    is_newest = select(TIP.c.day).where(
        TIP.c.chain == window.scope, TIP.c.height == window.last_height
    )
    return select(
        unspent.label("unspent_of_the_day"), held.scalar_subquery().label("utxo_of_the_day")
    ).where(is_newest.exists(), _is_published(stage), unspent != held.scalar_subquery())


def _subsidy(window: Window, height: ColumnElement[int]) -> ColumnElement[int]:
    """Return what a block may mint: the first subsidy, halved at fixed heights, rounded down."""
    chain = chain_named(window.scope)
    if not isinstance(chain, UtxoChain):
        raise ConfigError(f"{window.scope} is no UTXO chain, so its blocks have no subsidy.")
    halvings = cast(height // literal(chain.halving_blocks, BigInteger), Integer)
    minted = literal(chain.subsidy, BigInteger).bitwise_rshift(
        func.least(halvings, _MOST_HALVINGS, type_=Integer)
    )
    return case((halvings > _MOST_HALVINGS, 0), else_=minted)


def _is_published(stage: Table) -> ColumnElement[bool]:
    """Return whether the window has a row: one of a chain not read from block 0 has none."""
    return select(stage.c.day).exists()


def _total(value: ColumnElement[Any], condition: ColumnElement[bool] | None = None) -> Any:
    total = func.sum(value)
    return func.coalesce(total if condition is None else total.filter(condition), 0)


COINBASE = Invariant("subsidy + fees >= coinbase output", _overpaid)
GROWTH = Invariant("supply grows by what blocks made less what they spent", _differing_growth)
UTXO_SET = Invariant("what the newest day left unspent is in the UTXO set", _differing_set)
