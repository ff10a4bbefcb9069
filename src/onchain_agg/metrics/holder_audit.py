"""The audit of a chain, up to what readers see of its holders.

Beside the running state, the newest served day of `holder_distribution_daily` and of
`top_holders_daily` is held against holders that DuckDB counts from all transfers. So it goes by
neither `state` nor the queries of the data sets.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import duckdb
from sqlalchemy import Connection, Engine, LargeBinary, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY

from onchain_agg.chains import Chain
from onchain_agg.metrics.balances import covered_assets
from onchain_agg.metrics.dataset import DataSet, Window
from onchain_agg.metrics.inputs import inputs_of, window_of
from onchain_agg.metrics.rendering import address_text, asset_text
from onchain_agg.metrics.whale import holder_distribution_daily as distribution
from onchain_agg.metrics.whale import top_holders_daily as top
from onchain_agg.warehouse.parquet_store import ParquetStore
from onchain_agg.warehouse.rebuild.audit import SHOWN, AuditReport, Compared, Difference, audit
from onchain_agg.warehouse.rebuild.facts import Pinned
from onchain_agg.warehouse.rebuild.holders import Holders, holders_at
from onchain_agg.warehouse.rebuild.scratch import Limits
from onchain_agg.warehouse.tables.ops import DIRTY, WINDOW
from onchain_agg.warehouse.versions import twins

# Both are double precision, and each makes one division of exact sums.
_GINI_TOLERANCE = 1e-12
_NOBODY = Holders(0, 0, ((0, 0),) * len(distribution.UNITS), None, ())

_Key = tuple[str, ...]
_Rows = Mapping[_Key, Mapping[str, Any]]


def audit_chain(
    engine: Engine, chain: Chain, store: ParquetStore | None, limits: Limits | None = None
) -> AuditReport:
    """Return how the running state and the served holders of *chain* compare with its facts.

    A data set is compared on the newest day that is published and up to date; one that has no such
    day, because changes wait to be published, is not in the report.

    Args:
        engine: The warehouse.
        chain: The chain.
        store: The archive; None where nothing left the fact tables.
        limits: What DuckDB may use.

    Raises:
        ConfigError: No block was applied, days left and there is no *store*, or the limits do not
            suffice.
        DataSetError: The archive lacks a file, or one is not what was archived.
        SourceError: The archive does not answer.
    """
    return audit(engine, chain, store, limits, compare_holders)


def compare_holders(
    duck: duckdb.DuckDBPyConnection, connection: Connection, pinned: Pinned
) -> list[Compared]:
    """Return how the served holders of a chain compare with those of the table `change`."""
    counted: dict[Window, list[_Counted]] = {}
    compared = []
    for dataset, read in ((distribution.DATASET, _distributions), (top.DATASET, _largest)):
        window = _newest(connection, dataset, pinned)
        if window is None:
            continue
        if window not in counted:
            counted[window] = _counted(duck, connection, window)
        stored, computed = read(connection, dataset, window, counted[window])
        compared.append(_compared(dataset, window, stored, computed))
    return compared


@dataclass(frozen=True)
class _Counted:
    """An asset as rows name it, and its holders."""

    asset: str
    decimals: int
    holders: Holders


def _newest(connection: Connection, dataset: DataSet, pinned: Pinned) -> Window | None:
    """Return the newest closed window that shows what is known, or None."""
    chain = pinned.chain.name
    dirty = select(func.min(DIRTY.c.day)).where(
        DIRTY.c.dataset == dataset.name, DIRTY.c.scope == chain
    )
    # Whatever changed on a day changes the balances of every later one.
    before = func.least(pinned.tip.day, dirty.scalar_subquery())
    published = (
        select(WINDOW.c.day, WINDOW.c.inputs)
        .where(WINDOW.c.dataset == dataset.name, WINDOW.c.scope == chain, WINDOW.c.day < before)
        .order_by(WINDOW.c.day.desc())
        .limit(1)
    )
    row = connection.execute(published).first()
    if row is None:
        return None
    window = window_of(connection, dataset, chain, row.day)
    # Another definition or list of assets may wait without a dirty day.
    return window if row.inputs == inputs_of(connection, dataset, window) else None


def _counted(
    duck: duckdb.DuckDBPyConnection, connection: Connection, window: Window
) -> list[_Counted]:
    covered = covered_assets(window).c
    assets = select(covered.asset_id, asset_text(covered.address).label("asset"), covered.decimals)
    return [
        _Counted(
            row.asset,
            row.decimals,
            holders_at(duck, row.asset_id, window.day, _thresholds(row.decimals), top.TOP),
        )
        for row in connection.execute(assets)
    ]


def _thresholds(decimals: int) -> list[int]:
    # Who holds something holds one of the smallest unit.
    return [10 ** max(0, decimals + power) for power in distribution.UNITS.values()]


def _distributions(
    connection: Connection, dataset: DataSet, window: Window, counted: Sequence[_Counted]
) -> tuple[_Rows, _Rows]:
    """Return the figures of each asset: those that are served, and those that were counted."""
    computed: _Rows = {(one.asset,): _figures(one.holders) for one in counted}
    names = list(_figures(_NOBODY))
    return _served(connection, dataset, window, ["asset"], names), computed


def _figures(holders: Holders) -> dict[str, Any]:
    figures: dict[str, Any] = {"holders": holders.holders, "supply": holders.supply}
    for name, (count, held) in zip(distribution.UNITS, holders.at_least, strict=True):
        figures |= {f"holders_ge_{name}": count, f"supply_ge_{name}": held}
    return {**figures, "gini": holders.gini}


def _largest(
    connection: Connection, dataset: DataSet, window: Window, counted: Sequence[_Counted]
) -> tuple[_Rows, _Rows]:
    """Return the largest balances: those that are served, and those that were counted."""
    computed: dict[_Key, dict[str, Any]] = {}
    for one in counted:
        texts = _texts(connection, window, [address for address, _ in one.holders.top])
        for address, balance in one.holders.top:
            computed[one.asset, texts[address]] = {"balance": balance}
    return _served(connection, dataset, window, ["asset", "address"], ["balance"]), computed


def _texts(connection: Connection, window: Window, addresses: list[bytes]) -> dict[bytes, str]:
    """Return each address as rows show it."""
    given = func.unnest(literal(addresses, ARRAY(LargeBinary))).column_valued("address")
    found = connection.execute(select(given, address_text(window, given)))
    return {bytes(address): shown for address, shown in found}


def _served(
    connection: Connection,
    dataset: DataSet,
    window: Window,
    keys: Sequence[str],
    names: Sequence[str],
) -> _Rows:
    """Return the served columns *names* of a window by *keys*, whole numbers as integers."""
    serving = twins(dataset.table).serving
    own = [serving.c[name] == value for name, value in dataset.key_of(window).items()]
    found = connection.execute(select(*(serving.c[name] for name in (*keys, *names))).where(*own))
    return {
        tuple(row[: len(keys)]): {
            name: int(value) if isinstance(value, Decimal) else value
            for name, value in zip(names, row[len(keys) :], strict=True)
        }
        for row in found
    }


def _compared(dataset: DataSet, window: Window, stored: _Rows, computed: _Rows) -> Compared:
    every = sorted({*stored, *computed})
    differing = list(_differences(dataset, window, every, stored, computed))
    name = twins(dataset.table).serving.fullname
    return Compared(name, len(every), len(differing), tuple(differing[:SHOWN]))


def _differences(
    dataset: DataSet, window: Window, every: Sequence[_Key], stored: _Rows, computed: _Rows
) -> Iterator[Difference]:
    """Yield the rows that differ; where both sides have one, with the columns that do."""
    names = [column.name for column in dataset.table.primary_key if column.name != "chain"]
    for key in every:
        there, counted = stored.get(key), computed.get(key)
        named = dict(zip(names, (window.day, *key), strict=True))
        if there is None or counted is None:
            yield Difference(named, _or_none(there), _or_none(counted))
            continue
        other = [name for name in counted if not _is_same(there[name], counted[name])]
        if other:
            sides = ({name: of[name] for name in other} for of in (there, counted))
            yield Difference(named, *sides)


def _is_same(stored: Any, computed: Any) -> bool:
    if isinstance(stored, float) and isinstance(computed, float):
        return math.isclose(stored, computed, rel_tol=0, abs_tol=_GINI_TOLERANCE)
    return bool(stored == computed)


def _or_none(row: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if row is None else dict(row)
