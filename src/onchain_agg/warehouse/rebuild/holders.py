"""Who holds how much at a day's end, in DuckDB: the largest, the bands, the Gini coefficient.

Read from the table `change` of `balances.collect_changes`. Balances are exact up to 2**256 - 1, and
so are their sums; only the last division is a float. The definitions are those of the data sets.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

import duckdb

from onchain_agg.warehouse.rebuild.scratch import WORDS, carried, is_zero

_WORD = 2**64
_ROW = f"({', '.join(WORDS)})"
# Products stay below 2**127 for 2**31 holders.
_RANKED = ", ".join(f"coalesce(sum(place::HUGEINT * {word}), 0)" for word in WORDS)


@dataclass(frozen=True)
class Holders:
    """The holders of one asset: the addresses with a balance above zero.

    Attributes:
        holders: How many.
        supply: What they hold together, smallest unit.
        at_least: For each threshold, how many hold it and what those hold.
        gini: 2·Σ(i·x_i) / (n·S) - (n + 1) / n with x ascending; None where nobody holds.
        top: The largest, by balance and then by address.
    """

    holders: int
    supply: int
    at_least: tuple[tuple[int, int], ...]
    gini: float | None
    top: tuple[tuple[bytes, int], ...]


def holders_at(
    duck: duckdb.DuckDBPyConnection,
    asset_id: int,
    day: date,
    thresholds: Sequence[int],
    largest: int = 1000,
) -> Holders:
    """Return the holders of an asset after *day*.

    Args:
        duck: The computation, with its table `change`.
        asset_id: The asset.
        day: The last UTC day that counts.
        thresholds: Smallest balances of the bands, in the smallest unit.
        largest: How many of the largest to name.
    """
    sums = ", ".join(f"sum(w{place}) AS s{place}" for place in (3, 2, 1, 0))
    totals = (
        f"(SELECT address, sum(h) AS s4, {sums} FROM change"
        f" WHERE asset_id = {asset_id} AND day <= DATE '{day}' GROUP BY address)"
    )
    duck.execute(
        "CREATE OR REPLACE TEMP TABLE held AS SELECT address,"
        f" {', '.join(WORDS)} FROM ({carried(totals, 'address')}) WHERE h = 0 AND NOT ({is_zero()})"
    )
    (count, supply), *at_least = _counted(duck, ["true", *map(_is_at_least, thresholds)])
    found = Holders(
        holders=count,
        supply=supply,
        at_least=tuple(at_least),
        gini=_gini(duck, count, supply) if count else None,
        top=_top(duck, largest),
    )
    duck.execute("DROP TABLE held")
    return found


def _counted(duck: duckdb.DuckDBPyConnection, conditions: Sequence[str]) -> list[tuple[int, int]]:
    """Return how many holders meet each of *conditions* and what they hold, in one scan."""
    figures = ", ".join(
        f"count(*) FILTER ({one}), "
        + ", ".join(f"coalesce(sum({word}::HUGEINT) FILTER ({one}), 0)" for word in WORDS)
        for one in conditions
    )
    row = _one(duck, f"SELECT {figures} FROM held")
    width = 1 + len(WORDS)
    found = (row[start : start + width] for start in range(0, len(row), width))
    return [(count, _whole(words)) for count, *words in found]


def _gini(duck: duckdb.DuckDBPyConnection, count: int, supply: int) -> float:
    ranked = (
        f"SELECT {_RANKED} FROM (SELECT *, row_number() OVER (ORDER BY {', '.join(WORDS)}) AS place"
        " FROM held)"
    )
    weighted = _whole(_one(duck, ranked))
    return float(Fraction(2 * weighted, count * supply) - Fraction(count + 1, count))


def _top(duck: duckdb.DuckDBPyConnection, largest: int) -> tuple[tuple[bytes, int], ...]:
    order = ", ".join(f"{word} DESC" for word in WORDS)
    rows = duck.execute(
        f"SELECT address, {', '.join(WORDS)} FROM held ORDER BY {order}, address LIMIT {largest}"
    ).fetchall()
    return tuple((row[0], _whole(row[1:])) for row in rows)


def _one(duck: duckdb.DuckDBPyConnection, query: str) -> tuple[int, ...]:
    row: tuple[int, ...] | None = duck.execute(query).fetchone()
    if row is None:
        raise AssertionError("An aggregate without groups has one row.")
    return row


def _is_at_least(amount: int) -> str:
    return f"{_ROW} >= {_literal(amount)}"


def _literal(amount: int) -> str:
    words = (amount >> (64 * place) & (_WORD - 1) for place in (3, 2, 1, 0))
    return f"({', '.join(f'{word}::UBIGINT' for word in words)})"


def _whole(words: Sequence[int]) -> int:
    total = 0
    for word in words:
        total = total * _WORD + word
    return total
