"""Whose addresses a transfer went from and to.

An address belongs to the exchange that its label of the transfer's day names. All inputs of a UTXO
transaction together belong to an exchange where each of their addresses does.
"""

from datetime import date

from sqlalchemy import CTE, LargeBinary, and_, func, literal, not_, select

from onchain_agg.chains import EvmChain, chain_named
from onchain_agg.metrics import labels
from onchain_agg.metrics.dataset import Window
from onchain_agg.warehouse.tables.state import SPENT_OUTPUT

READS = (*labels.READS, SPENT_OUTPUT)
EXCHANGE = "exchange"
_ZERO = bytes(20)


def exchanges_on(window: Window, day: date | None = None) -> CTE:
    """Return the addresses that belong to an exchange on *day*, by default the window's.

    Never the zero address: nobody owns what is burned.

    Columns: ``address``, ``entity``.
    """
    owner = labels.labels_on(window, EXCHANGE, day)
    zero = literal(_ZERO, LargeBinary)
    return select(owner.c.address, owner.c.entity).where(owner.c.address != zero).cte()


def senders(window: Window, moved: CTE, owner: CTE) -> CTE:
    """Return the exchange that sent each of the transfers *moved*.

    Args:
        window: The day.
        moved: Transfers, with ``height``, ``kind``, ``position``, ``item``, ``tx_index`` and
            ``sender``.
        owner: As `exchanges_on` returns it.

    Columns: ``height``, ``kind``, ``position``, ``item``, ``exchange``. NULL, or no row: none sent.
    """
    one = moved.c
    key = (one.height, one.kind, one.position, one.item)
    if isinstance(chain_named(window.scope), EvmChain):
        sent = select(*key, owner.c.entity.label("exchange"))
        # Not an inner join: PostgreSQL, which expects few transfers, would compare each with each.
        return sent.outerjoin_from(moved, owner, owner.c.address == one.sender).cte("sender")
    spent = SPENT_OUTPUT.c
    inputs = and_(
        window.of(SPENT_OUTPUT),
        spent.height == one.height,
        spent.tx_index == one.tx_index,
        not_(spent.overwritten),
    )
    entity = owner.c.entity
    return (
        select(*key, func.min(entity).label("exchange"))
        .select_from(
            moved.join(SPENT_OUTPUT, inputs).outerjoin(owner, owner.c.address == spent.address)
        )
        .group_by(*key)
        .having(func.count(entity) == func.count(), func.min(entity) == func.max(entity))
        .cte("sender")
    )
