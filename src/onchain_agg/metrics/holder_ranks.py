"""What the largest holders of many assets have, from one sort of all their balances."""

from typing import Any

from sqlalchemy import CTE, BigInteger, cast, func, select

from onchain_agg.metrics.formulas import or_zero

TOP_COUNTS = (10, 100, 1000)
TOP_PERCENTS = (1, 10)


def ranked_sums(held: CTE, totals: CTE) -> CTE:
    """Return of each asset what its largest holders have, and the sum of rank times balance.

    Args:
        held: ``asset_id`` and ``balance`` of each address.
        totals: Of each asset ``asset_id``, ``holders`` with a balance above zero and the
            ``largest`` balance.

    Columns: ``asset_id``, ``ranked`` (the largest balance has rank 1), ``top_k`` and ``top_ppct``
    of `TOP_COUNTS` and `TOP_PERCENTS`; the smallest unit.

    A sort by asset and balance takes twice as long as one by balance alone: PostgreSQL abbreviates
    the first key only. So the balances of each asset are shifted into a range of their own, above
    those of every asset whose largest one is smaller, and all are numbered together.
    """
    place = _places(totals)
    number = func.row_number().over(order_by=(held.c.balance + place.shift).desc())
    ranked = (
        select(
            held.c.asset_id,
            held.c.balance,
            place.holders,
            (number - place.ranked_before).label("rank"),
        )
        .where(held.c.asset_id == place.asset_id, held.c.balance > 0)
        .subquery("by_rank")
    )
    balance, rank = ranked.c.balance, ranked.c.rank
    firsts = [(f"top_{k}", rank <= k) for k in TOP_COUNTS]
    firsts += [
        (f"top_{p}pct", rank <= func.greatest(1, ranked.c.holders * p // 100)) for p in TOP_PERCENTS
    ]
    return (
        select(
            ranked.c.asset_id,
            func.sum(rank * balance).label("ranked"),
            *(func.sum(balance).filter(is_first).label(name) for name, is_first in firsts),
        )
        .group_by(ranked.c.asset_id)
        .cte("ranked")
    )


def _places(totals: CTE) -> Any:
    """Return by how much each asset's balances are shifted, and how many rank before them."""
    total = totals.c
    order = (total.largest, total.asset_id)
    smaller = func.sum(total.largest).over(order_by=order, rows=(None, -1))
    larger = func.sum(total.holders).over(order_by=[key.desc() for key in order], rows=(None, -1))
    placed = select(
        total.asset_id,
        total.holders,
        or_zero(smaller).label("shift"),
        cast(or_zero(larger), BigInteger).label("ranked_before"),
    ).where(total.holders > 0)
    return placed.cte("placed").c
