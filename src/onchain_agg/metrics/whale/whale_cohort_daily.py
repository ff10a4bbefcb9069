"""Holders by size: how many, what they hold, and what flowed to them, each UTC day.

Every tracked asset whose balances are complete has one row per band of three kinds, ``band_kind``:

* ``native``: whole units, 0.001 to 1,000,000 by powers of ten (Coin Metrics AdrBalNtv).
* ``usd``: worth 1 to 10,000,000 US dollar by powers of ten, at ``close_usd`` of
  ``market_price_daily`` on the day (Coin Metrics AdrBalUSD). A day without a price has no such
  rows.
* ``supply``: 1/10^10 to 1/10^3 of the supply (Coin Metrics AdrBal1in).

``band`` is the least that its holders have: exactly that much qualifies, the next band's does not.
``under_X`` are holders of less than the lowest band X. ``0`` are addresses without a balance. So
every address is in one band of each kind after the day's last block, and

* ``holders``: addresses in the band; none are in ``0``.
* ``supply``: the sum of their balances; ``supply_share``: over the sum of all bands.
  ``holder_share`` alike. Both are NULL where nobody holds the asset.
* ``net_flow``: the sum of what the day changed at the addresses that are in the band at its end;
  ``movers``: how many of them changed. An address that grows into a band brings all that it
  received that day, and nothing of what it had. Band ``0`` are the emptied ones: what they gave up,
  so the net flows of all bands of a kind sum to the change of the supply.

Sums are exact; only the last division of a share is a double.

Known gaps: those of ``holder_distribution_daily``, which says when an asset is complete and what an
address is. Addresses below zero, which only a token marked ``noncompliant`` may have, are in band
``0`` with their flow, and their debt is in no ``supply``. A price is found by the asset's symbol.
Edge cases: a band without holders is a row of zeros; an asset that nobody holds has bands of zeros;
a price of 0 counts as none.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    Column,
    ColumnElement,
    Double,
    Integer,
    Numeric,
    Select,
    Subquery,
    Table,
    Text,
    Values,
    and_,
    case,
    cast,
    column,
    func,
    literal,
    not_,
    or_,
    select,
    union_all,
    values,
)
from sqlalchemy.dialects.postgresql import array

from onchain_agg.metrics import balance_gates, balances
from onchain_agg.metrics.dataset import ALL_LATER, SERVING, DataSet, Invariant, Window
from onchain_agg.metrics.formulas import exact, exact_ratio, or_zero
from onchain_agg.metrics.market.market_price_daily import TABLE as PRICE
from onchain_agg.metrics.rendering import asset_text
from onchain_agg.metrics.whale.holder_distribution_daily import TABLE as SUPPLIES
from onchain_agg.warehouse.tables.state import BALANCE_DELTA
from onchain_agg.warehouse.types import BIG, DAY, NAME

# The least of each band, ascending, as powers of ten: of units, of US dollar, of the supply.
_POWERS = {"native": range(-3, 7), "usd": range(8), "supply": range(-10, -2)}
# The number of band ``0``. The others are numbered by the bounds that a balance reaches.
_EMPTIED = -1

TABLE = Table(
    "whale_cohort_daily_v1",
    SERVING,
    Column("chain", NAME, primary_key=True, comment="Name of the chain."),
    Column("day", DAY, primary_key=True, comment="UTC day; balances after its last block."),
    Column("asset", NAME, primary_key=True, comment="0x… of the token, or native."),
    Column("band_kind", NAME, primary_key=True, comment="native, usd or supply."),
    Column(
        "band",
        NAME,
        primary_key=True,
        comment="Least that a holder has, in units, US dollar or shares of the supply; under_… for"
        " less than the lowest; 0 for addresses without a balance.",
    ),
    Column("symbol", Text, nullable=False, comment="For people; the asset is the identity."),
    Column("at_least", Numeric, nullable=False, comment="The band's number, to sort by."),
    Column("holders", BigInteger, nullable=False, comment="Addresses in the band with a balance."),
    Column("supply", BIG, nullable=False, comment="What they hold, smallest unit."),
    Column(
        "net_flow",
        BIG,
        nullable=False,
        comment="What the day changed at the band's addresses, smallest unit.",
    ),
    Column("movers", BigInteger, nullable=False, comment="Addresses in the band that changed."),
    Column("supply_share", Double, comment="0..1; NULL where nobody holds the asset."),
    Column("holder_share", Double, comment="0..1; NULL where nobody holds the asset."),
)


def rows(window: Window) -> Select[Any]:
    """Return each band of each covered asset at the end of the window's day."""
    assets = balances.covered_assets(window)
    held = balances.balances_at_day_end(window, assets)
    totals = _totals(window, assets, held)
    sums = _sums(_moved(window, assets, held), totals)
    band = _bands()
    total, each, found = totals.c, band.c, sums.c
    holders, supply = or_zero(found.holders), or_zero(found.supply)
    is_found = and_(
        found.asset_id == total.asset_id, found.kind == each.kind, found.number == each.number
    )
    return (
        select(
            *window.labels(),
            asset_text(total.address).label("asset"),
            each.kind.label("band_kind"),
            each.band,
            total.symbol,
            each.at_least,
            holders.label("holders"),
            supply.label("supply"),
            or_zero(found.net_flow).label("net_flow"),
            or_zero(found.movers).label("movers"),
            exact_ratio(supply, total.supply).label("supply_share"),
            exact_ratio(holders, total.holders).label("holder_share"),
        )
        .join_from(totals, band, or_(each.kind != "usd", total.usd.is_not(None)))
        .outerjoin(sums, is_found)
    )


def _totals(window: Window, assets: CTE, held: CTE) -> CTE:
    """Return what holders of each covered asset have together, and the bounds of its bands."""
    asset = assets.c
    together = (
        select(
            held.c.asset_id,
            func.sum(held.c.balance).label("supply"),
            func.count().label("holders"),
        )
        .where(held.c.balance > 0)
        .group_by(held.c.asset_id)
        .subquery("together")
    )
    supply = or_zero(together.c.supply)
    price = exact(PRICE.c.close_usd)
    has_price = and_(PRICE.c.day == window.day, PRICE.c.asset == asset.symbol, price > 0)
    return (
        select(
            asset.asset_id,
            asset.address,
            asset.symbol,
            supply.label("supply"),
            or_zero(together.c.holders).label("holders"),
            array([_ten_to(asset.decimals + p) for p in _POWERS["native"]]).label("native"),
            case(
                (
                    price.is_not(None),
                    array([_units_for(asset.decimals + p, price) for p in _POWERS["usd"]]),
                )
            ).label("usd"),
            array([supply * _ten_to(literal(p)) for p in _POWERS["supply"]]).label("supply_bands"),
        )
        .join_from(assets, together, together.c.asset_id == asset.asset_id, isouter=True)
        .outerjoin(PRICE, has_price)
        .cte("totals")
    )


def _moved(window: Window, assets: CTE, held: CTE) -> Subquery:
    """Return every address with a balance or a change of the day, and both; NULL is none."""
    with_balance = select(held).where(held.c.balance > 0).subquery("with_balance")
    delta = BALANCE_DELTA.c
    changed = (
        select(delta.asset_id, delta.address, delta.delta)
        .where(
            delta.asset_id.in_(select(assets.c.asset_id)),
            delta.day == window.day,
            # Who passed on all that it received sent, but did not change.
            delta.delta != 0,
        )
        .subquery("changed")
    )
    one, other = with_balance.c, changed.c
    same = and_(one.asset_id == other.asset_id, one.address == other.address)
    return (
        select(
            func.coalesce(one.asset_id, other.asset_id).label("asset_id"), one.balance, other.delta
        )
        .select_from(with_balance.outerjoin(changed, same, full=True))
        .subquery("moved")
    )


def _sums(moved: Subquery, totals: CTE) -> Subquery:
    """Return the sums of each asset, kind and number of band."""
    graded = _graded(moved, totals)
    each, measures = graded.c, ("holders", "supply", "net_flow", "movers")
    by_kind = union_all(
        *(
            select(
                each.asset_id,
                literal(kind, Text).label("kind"),
                each[f"in_{kind}"].label("number"),
                *(each[name] for name in measures),
            )
            for kind in _POWERS
        )
    ).subquery("by_kind")
    key = (by_kind.c.asset_id, by_kind.c.kind, by_kind.c.number)
    return (
        select(*key, *(func.sum(by_kind.c[name]).label(name) for name in measures))
        .group_by(*key)
        .subquery("found")
    )


def _graded(moved: Subquery, totals: CTE) -> CTE:
    """Return the sums of each asset and three bands, one of each kind.

    So one look at each balance serves every kind, and few rows are left to add up.
    """
    total, balance = totals.c, moved.c.balance
    bounds = {"native": total.native, "usd": total.usd, "supply": total.supply_bands}
    numbers = [
        case((balance.is_(None), _EMPTIED), else_=func.width_bucket(balance, found)).label(kind)
        for kind, found in bounds.items()
    ]
    return (
        select(
            moved.c.asset_id,
            *(number.label(f"in_{kind}") for kind, number in zip(bounds, numbers, strict=True)),
            func.count(balance).label("holders"),
            func.sum(balance).label("supply"),
            func.sum(moved.c.delta).label("net_flow"),
            func.count(moved.c.delta).label("movers"),
        )
        .join_from(moved, totals, total.asset_id == moved.c.asset_id)
        .group_by(moved.c.asset_id, *(f"in_{kind}" for kind in bounds))
        .cte("graded")
    )


def _bands() -> Values:
    """Return every band: its kind, its number among the bounds, its name, its least."""
    return values(
        column("kind", Text),
        column("number", Integer),
        column("band", Text),
        column("at_least", Numeric),
        name="band",
    ).data(
        [
            (kind, number, name, least)
            for kind, powers in _POWERS.items()
            for number, name, least in _numbered(powers)
        ]
    )


def _numbered(powers: range) -> Iterator[tuple[int, str, Decimal]]:
    leasts = [Decimal(10) ** power for power in powers]
    names = [f"{least:f}" for least in leasts]
    nothing = Decimal(0)
    yield _EMPTIED, "0", nothing
    yield 0, f"under_{names[0]}", nothing
    yield from zip(range(1, len(leasts) + 1), names, leasts, strict=True)


def _ten_to(power: ColumnElement[int]) -> ColumnElement[Decimal]:
    return cast(func.concat("1e", power), Numeric)


def _units_for(power: ColumnElement[int], price: ColumnElement[Decimal]) -> ColumnElement[Decimal]:
    """Return the least whole number that is worth 10^power at *price* each; exact."""
    worth = _ten_to(power)
    return func.div(worth, price) + func.sign(func.mod(worth, price))


def _by_kind(stage: Table) -> Subquery:
    key = (stage.c.asset, stage.c.band_kind)
    sums = (func.sum(stage.c[name]).label(name) for name in ("holders", "supply", "net_flow"))
    return select(*key, *sums).group_by(*key).subquery("kind")


def _differing_supply(stage: Table, window: Window) -> Select[Any]:
    kind, stored = _by_kind(stage).c, balance_gates.stored_balances(window).c
    # Debts, which only a noncompliant asset may have, are in no band.
    wrong = or_(
        and_(not_(stored.noncompliant), kind.supply != stored.balances),
        kind.supply < stored.balances,
    )
    columns = (kind.asset, kind.band_kind, kind.supply, stored.balances)
    return select(*columns).where(kind.asset == stored.asset, wrong)


def _unexplained(stage: Table, window: Window) -> Select[Any]:
    return balance_gates.unexplained(stage, window, SUPPLIES)


def _differing_flow(stage: Table, window: Window) -> Select[Any]:
    kind, stored = _by_kind(stage).c, balance_gates.stored_balances(window).c
    columns = (kind.asset, kind.band_kind, kind.net_flow, stored.change)
    return select(*columns).where(kind.asset == stored.asset, kind.net_flow != stored.change)


def _differing_kinds(stage: Table, window: Window) -> Select[Any]:
    del window
    kind = _by_kind(stage).c
    fewest, most = func.min(kind.holders), func.max(kind.holders)
    return (
        select(kind.asset, fewest.label("fewest"), most.label("most"))
        .group_by(kind.asset)
        .having(fewest != most)
    )


DATASET = DataSet(
    name="whale_cohort_daily",
    table=TABLE,
    family="whale",
    chain_families=("evm", "utxo"),
    reads=(*balances.READS, PRICE),
    reach=ALL_LATER,
    same_day=(PRICE,),
    at_close=True,
    grain="day",
    workload="whale_worker",
    rows=rows,
    invariants=(
        Invariant(f"in each kind {balance_gates.SUM}", _differing_supply),
        Invariant(balance_gates.CHANGES, _unexplained),
        Invariant("in each kind net flows = change of the balances", _differing_flow),
        Invariant("every kind has the same holders", _differing_kinds),
    ),
    highlights=("supply", "symbol", "band_kind", "band", "holders"),
)
