"""How concentrated each tracked asset of a chain is among its holders, each UTC day.

A holder is an address with a balance above zero after the day's last block. With *n* holders of
balances *x*, and *S* their sum:

* ``supply`` is *S*: what is held, so the bands below add up to it. It can differ from the token's
  own ``totalSupply()`` where that counts what nobody holds.
* ``holders_ge_X`` and ``supply_ge_X``: holders with at least X whole units (X counted with the
  asset's decimals; exactly X qualifies) and what they hold; ``…_ge_1_in_X`` those with at least
  1/X of *S*. A band is the difference of two columns. (Coin Metrics AdrBalNtv, AdrBal1in and
  SplyAdrBal.)
* ``top_k_share``: the k largest balances / *S*. ``top_1pct_share``: the max(1, floor(n / 100))
  largest / *S*; ``top_10pct_share`` alike. (Coin Metrics SplyAdrTop; the floor is our reading.)
* ``gini``: 2·Σ(i·x_i) / (n·S) - (n + 1) / n with x ascending; 0 is equality. ``hhi``: Σ(x / S)².
  Both over all holders, dust included, empty accounts not: beside z empty accounts a Gini g
  becomes (n·g + z) / (n + z).
* ``ndf`` (network distribution factor): what holders of at least 1/10,000 of *S* hold / *S*.
* ``ser`` (supply equality ratio): what holders of less than 1/10,000,000 of *S* hold / what the
  top 1 % hold. (Coin Metrics NDF, SER.)

Sums are exact; only the last division of a ratio is a double, and it is NULL where nobody holds.

An asset appears when its history is complete: every block since its first was applied; for the
native coin, every block from 0, on an EVM chain with traces and where blocks and traces tell it
all. A day is computed when it is over.
Known gaps: a token that moves balances without a Transfer event (rebase, fee on transfer) is
counted by its transfers; ``addresses_below_zero`` says when that cannot be right, and only a token
that is marked ``noncompliant`` is published with one. Outputs of a UTXO chain whose script has no
address (bare multisig, P2PK of a malformed key) are in nobody's balance: ``supply`` here is less
than what is unspent by their value. Addresses are not people: exchanges, pools, bridges and
``0x…dead`` count as holders. The zero address of a token does not.
Edge cases: a covered asset that nobody holds is a row of zeros with NULL ratios; an asset with
fewer holders than k has ``top_k_share`` 1.
"""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    Column,
    ColumnElement,
    Double,
    Numeric,
    Select,
    SmallInteger,
    Subquery,
    Table,
    Text,
    and_,
    cast,
    false,
    func,
    literal,
    not_,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import array

from onchain_agg.chains import UtxoChain, chain_named
from onchain_agg.metrics import balance_gates, balances
from onchain_agg.metrics.dataset import ALL_LATER, SERVING, DataSet, Invariant, Window
from onchain_agg.metrics.formulas import exact_ratio, or_zero
from onchain_agg.metrics.holder_ranks import TOP_COUNTS, TOP_PERCENTS, ranked_sums
from onchain_agg.metrics.rendering import asset_text
from onchain_agg.warehouse.types import BIG, DAY, NAME

# Powers of ten of a whole unit, ascending: 0.001 to 1,000,000 units.
UNITS = {
    "0_001": -3,
    "0_01": -2,
    "0_1": -1,
    "1": 0,
    "10": 1,
    "100": 2,
    "1k": 3,
    "10k": 4,
    "100k": 5,
    "1m": 6,
}
# Powers of ten that divide the supply, so that the thresholds ascend.
_PARTS = {
    "10b": 10,
    "1b": 9,
    "100m": 8,
    "10m": 7,
    "1m": 6,
    "100k": 5,
    "10k": 4,
    "1k": 3,
}
# Thresholds that are counted once more before readers see them.
_COMPARED = ("1", "1_in_10k")


def _at_least() -> Iterator[tuple[str, str, int, str]]:
    """Yield each threshold: its name, its kind of band, the first band above it, its meaning."""
    for band, (name, power) in enumerate(UNITS.items(), start=1):
        yield name, "unit_band", band, f"at least 10^{power} units of the asset"
    for band, (name, power) in enumerate(_PARTS.items(), start=1):
        yield f"1_in_{name}", "part_band", band, f"at least 1/10^{power} of the supply"


def _threshold_columns() -> list[Column[Any]]:
    holders = [
        Column(f"holders_ge_{name}", BigInteger, nullable=False, comment=f"Holders with {text}.")
        for name, _, _, text in _at_least()
    ]
    supply = [
        Column(
            f"supply_ge_{name}",
            BIG,
            nullable=False,
            comment=f"Held by holders with {text}; smallest unit.",
        )
        for name, _, _, text in _at_least()
    ]
    return [*holders, *supply]


def _ratio_columns() -> list[Column[Any]]:
    tops = [(f"top_{k}_share", f"Share of the {k:,} largest holders, 0..1.") for k in TOP_COUNTS]
    percents = [
        (f"top_{p}pct_share", f"Share of the largest {p} % of holders, at least one; 0..1.")
        for p in TOP_PERCENTS
    ]
    indices = [
        ("gini", "Gini coefficient of all balances above zero, 0..1."),
        ("hhi", "Sum of squared shares of the supply, 0..1."),
        ("ndf", "Share of holders with at least 1/10^4 of the supply, 0..1."),
        ("ser", "Held with less than 1/10^7 of the supply, over the top 1 %; a ratio."),
    ]
    return [
        Column(name, Double, comment=f"{text} NULL where nobody holds the asset.")
        for name, text in (*tops, *percents, *indices)
    ]


TABLE = Table(
    "holder_distribution_daily_v1",
    SERVING,
    Column("chain", NAME, primary_key=True, comment="Name of the chain."),
    Column("day", DAY, primary_key=True, comment="UTC day; balances after its last block."),
    Column("asset", NAME, primary_key=True, comment="0x… of the token, or native."),
    Column("symbol", Text, nullable=False, comment="For people; the asset is the identity."),
    Column("decimals", SmallInteger, nullable=False, comment="Digits of the smallest unit."),
    Column("holders", BigInteger, nullable=False, comment="Addresses with a balance above 0."),
    Column(
        "addresses_below_zero",
        BigInteger,
        nullable=False,
        comment="Addresses that sent more than they received; above 0 the token is noncompliant.",
    ),
    Column("supply", BIG, nullable=False, comment="Sum of holders' balances, smallest unit."),
    *_threshold_columns(),
    *_ratio_columns(),
)


def rows(window: Window) -> Select[Any]:
    """Return one row per covered asset, from its balances at the end of the window's day."""
    assets = balances.covered_assets(window)
    held = balances.balances_at_day_end(window, assets)
    totals = _totals(assets, held)
    graded, ranked = _graded(held, totals), ranked_sums(held, totals)
    asset, total = assets.c, totals.c
    return (
        select(
            *window.labels(),
            asset_text(asset.address).label("asset"),
            asset.symbol,
            asset.decimals,
            or_zero(total.holders).label("holders"),
            or_zero(total.addresses_below_zero).label("addresses_below_zero"),
            or_zero(total.supply).label("supply"),
            *_thresholds(graded),
            *_ratios(total, graded, ranked),
        )
        .select_from(
            assets.outerjoin(totals, total.asset_id == asset.asset_id)
            .outerjoin(ranked, ranked.c.asset_id == asset.asset_id)
            .outerjoin(graded, graded.c.asset_id == asset.asset_id)
        )
        .group_by(
            asset.asset_id,
            asset.address,
            asset.symbol,
            asset.decimals,
            total.holders,
            total.addresses_below_zero,
            total.supply,
            *ranked.c,
        )
    )


def _totals(assets: CTE, held: CTE) -> CTE:
    """Return holders, supply and the thresholds of each asset that somebody holds or owes."""
    balance = held.c.balance
    above = balance > 0
    supply = func.sum(balance).filter(above)
    units = [
        cast(func.concat("1e", assets.c.decimals + power), Numeric) for power in UNITS.values()
    ]
    parts = [supply * cast(literal(f"1e-{power}"), Numeric) for power in _PARTS.values()]
    return (
        select(
            assets.c.asset_id,
            func.count().filter(above).label("holders"),
            func.count().filter(balance < 0).label("addresses_below_zero"),
            supply.label("supply"),
            func.max(balance).label("largest"),
            array(units).label("unit_bounds"),
            array(parts).label("part_bounds"),
        )
        .join_from(assets, held, held.c.asset_id == assets.c.asset_id)
        .group_by(assets.c.asset_id, assets.c.decimals)
        .cte("totals")
    )


def _graded(held: CTE, totals: CTE) -> CTE:
    """Return sums per asset and pair of bands: a hundred small rows for each asset, not millions.

    A band is the number of thresholds that a balance reaches, so one look at each balance serves
    every threshold.
    """
    balance, total = held.c.balance, totals.c
    return (
        select(
            held.c.asset_id,
            func.width_bucket(balance, total.unit_bounds).label("unit_band"),
            func.width_bucket(balance, total.part_bounds).label("part_band"),
            func.count().label("holders"),
            func.sum(balance).label("supply"),
            func.sum(balance * balance).label("squares"),
        )
        .join_from(held, totals, total.asset_id == held.c.asset_id)
        .where(balance > 0)
        .group_by(held.c.asset_id, "unit_band", "part_band")
        .cte("graded")
    )


def _thresholds(graded: CTE) -> Iterator[ColumnElement[Any]]:
    """Yield the count and the sum at or above each threshold."""
    for measure in ("holders", "supply"):
        for name, kind, band, _ in _at_least():
            reached = func.sum(graded.c[measure]).filter(graded.c[kind] >= band)
            yield or_zero(reached).label(f"{measure}_ge_{name}")


def _ratios(total: Any, graded: CTE, ranked: CTE) -> Iterator[ColumnElement[Any]]:
    """Yield the shares and indices; each is one division of exact sums."""
    places = list(_PARTS.values())
    large = graded.c.part_band > places.index(4)
    small = graded.c.part_band <= places.index(7)
    shares = [(f"top_{k}", f"top_{k}_share") for k in TOP_COUNTS]
    shares += [(f"top_{p}pct", f"top_{p}pct_share") for p in TOP_PERCENTS]
    for source, name in shares:
        yield exact_ratio(ranked.c[source], total.supply).label(name)
    # Ranks descend where the formula's i ascends: i = n + 1 - rank.
    spread = (total.holders + 1) * total.supply - 2 * ranked.c.ranked
    yield exact_ratio(spread, total.holders * total.supply).label("gini")
    yield exact_ratio(func.sum(graded.c.squares), total.supply * total.supply).label("hhi")
    held_by_large = func.sum(graded.c.supply).filter(large)
    yield exact_ratio(or_zero(held_by_large), total.supply).label("ndf")
    held_by_small = func.sum(graded.c.supply).filter(small)
    yield exact_ratio(or_zero(held_by_small), ranked.c.top_1pct).label("ser")


def _owing(stage: Table, window: Window) -> Select[Any]:
    stored = balance_gates.stored_balances(window).c
    return (
        select(stage.c.asset, stage.c.symbol, stage.c.addresses_below_zero)
        .where(stage.c.asset == stored.asset, not_(stored.noncompliant))
        .where(stage.c.addresses_below_zero > 0)
    )


def _more_than_unspent(stage: Table, window: Window) -> Select[Any]:
    unspent = balance_gates.unspent(window)
    query = select(stage.c.asset, stage.c.symbol, stage.c.supply, unspent.label("unspent"))
    is_utxo = isinstance(chain_named(window.scope), UtxoChain)
    return query.where(stage.c.supply > unspent if is_utxo else false())


def _unexplained(stage: Table, window: Window) -> Select[Any]:
    return balance_gates.unexplained(stage, window, TABLE, has_supply=True)


def _differing_supply(stage: Table, window: Window) -> Select[Any]:
    stored = balance_gates.stored_balances(window).c
    supply, debtors = stage.c.supply, stage.c.addresses_below_zero
    wrong = or_(
        and_(debtors == 0, supply != stored.balances),
        and_(debtors > 0, supply <= stored.balances),
    )
    columns = (stage.c.asset, stage.c.symbol, supply, stored.balances)
    return select(*columns).where(stage.c.asset == stored.asset, wrong)


def _differing_bands(stage: Table, window: Window) -> Select[Any]:
    """Return the rows of which two bands are not what a plain comparison of balances finds."""
    row, measures = stage.c, ("holders", "supply")
    above = _plainly_above(stage, window).c
    found = [
        or_zero(func.sum(above[measure]).filter(above[name])).label(f"{measure}_ge_{name}")
        for name in _COMPARED
        for measure in measures
    ]
    names = [column.name for column in found]
    direct = select(above.asset, *found).group_by(above.asset).subquery("direct")
    return (
        select(
            row.asset,
            row.symbol,
            *(row[name] for name in names),
        )
        .join_from(stage, direct, direct.c.asset == row.asset)
        .where(or_(*(row[name] != direct.c[name] for name in names)))
    )


def _plainly_above(stage: Table, window: Window) -> Subquery:
    """Return holders and supply of each staged asset by whether balances reach `_COMPARED`."""
    assets = balances.covered_assets(window)
    held = balances.balances_at_day_end(window, assets)
    balance, row = held.c.balance, stage.c
    bounds = (
        cast(func.concat("1e", assets.c.decimals), Numeric),
        row.supply * cast(literal("1e-4"), Numeric),
    )
    reached = [
        (balance >= bound).label(name) for name, bound in zip(_COMPARED, bounds, strict=True)
    ]
    return (
        select(
            row.asset,
            *reached,
            func.count(balance).label("holders"),
            func.sum(balance).label("supply"),
        )
        .join_from(stage, assets, row.asset == asset_text(assets.c.address))
        .outerjoin(held, and_(held.c.asset_id == assets.c.asset_id, balance > 0))
        .group_by(row.asset, *reached)
        .subquery("above")
    )


DATASET = DataSet(
    name="holder_distribution_daily",
    table=TABLE,
    family="whale",
    chain_families=("evm", "utxo"),
    reads=balances.READS,
    reach=ALL_LATER,
    at_close=True,
    grain="day",
    workload="whale_worker",
    rows=rows,
    invariants=(
        Invariant(balance_gates.NO_DEBT, _owing),
        Invariant(balance_gates.SUM, _differing_supply),
        Invariant("supply <= what is unspent", _more_than_unspent),
        Invariant(balance_gates.CHANGES, _unexplained),
        Invariant("bands = what balances of at least their bound add up to", _differing_bands),
    ),
    highlights=("holders", "symbol", "gini"),
)
