"""Whose addresses a transfer went from and to.

An address belongs to the exchange that its label of the transfer's day names. All inputs of a UTXO
transaction together belong to an exchange where each of their addresses does.
"""

from datetime import date

from sqlalchemy import (
    CTE,
    ColumnElement,
    FromClause,
    LargeBinary,
    and_,
    case,
    func,
    literal,
    not_,
    select,
)

from onchain_agg.chains import EvmChain, chain_named
from onchain_agg.metrics import labels
from onchain_agg.metrics.dataset import Window
from onchain_agg.metrics.rendering import ZERO
from onchain_agg.warehouse.tables.state import SPENT_OUTPUT

READS = (*labels.READS, SPENT_OUTPUT)
EXCHANGE = "exchange"


def exchanges_on(window: Window, day: date | None = None) -> CTE:
    """Return the addresses that belong to an exchange on *day*, by default the window's.

    Never the zero address: nobody owns what is burned.

    Columns: ``address``, ``entity``.
    """
    owner = labels.labels_on(window, EXCHANGE, day)
    zero = literal(ZERO, LargeBinary)
    return select(owner.c.address, owner.c.entity).where(owner.c.address != zero).cte()


def senders(
    window: Window, moved: FromClause, owner: CTE
) -> tuple[FromClause, ColumnElement[bool]]:
    """Return the exchanges that sent something, and the condition that one sent a row of *moved*.

    Args:
        window: The day.
        moved: Transfers, with ``height``, ``tx_index`` and ``sender``.
        owner: As `exchanges_on` returns it.

    The exchange is ``entity``; a transfer that no exchange sent has no row, or NULL.
    """
    if isinstance(chain_named(window.scope), EvmChain):
        sender = owner.alias("sender")
        return sender, sender.c.address == moved.c.sender
    spent, entity = SPENT_OUTPUT.c, owner.c.entity
    all_of_one = and_(func.count(entity) == func.count(), func.min(entity) == func.max(entity))
    sent = (
        # Not in HAVING: PostgreSQL would expect a single row, and compare all with all.
        select(spent.height, spent.tx_index, case((all_of_one, func.min(entity))).label("entity"))
        .outerjoin_from(SPENT_OUTPUT, owner, owner.c.address == spent.address)
        .where(window.of(SPENT_OUTPUT), not_(spent.overwritten))
        .group_by(spent.height, spent.tx_index)
        .cte("sender")
    )
    return sent, and_(sent.c.height == moved.c.height, sent.c.tx_index == moved.c.tx_index)
