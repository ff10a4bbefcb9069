"""The rows of exchange flows and of the exchange whale ratio, by the hour or by the day."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Double,
    FromClause,
    Select,
    Subquery,
    Table,
    Text,
    case,
    cast,
    func,
    or_,
    select,
)

from onchain_agg.metrics import flows, pricing, transfers
from onchain_agg.metrics.candles import begin_of
from onchain_agg.metrics.dataset import Invariant, Window
from onchain_agg.metrics.formulas import ratio
from onchain_agg.metrics.rendering import asset_text
from onchain_agg.warehouse.types import BIG, DAY, NAME, TIME

# So many of the largest inflow transactions make the whale ratio.
LARGEST = 10


def key_columns(*, hourly: bool) -> tuple[Column[Any], ...]:
    """Return the columns that the keys of these tables begin with."""
    hour = Column("hour_at", TIME, primary_key=True, comment="First instant of the UTC hour.")
    return (
        Column("chain", NAME, primary_key=True, comment="Name of the chain."),
        Column("day", DAY, primary_key=True, comment="UTC day of the blocks."),
        Column("asset", NAME, primary_key=True, comment="0x… of the token, or native."),
        *((hour,) if hourly else ()),
    )


def flow_columns() -> tuple[Column[Any], ...]:
    """Return the columns of a flow table after `key_columns`."""
    return (
        Column("variant", NAME, primary_key=True, comment="per_exchange, including or excluding."),
        Column(
            "exchange",
            NAME,
            primary_key=True,
            comment="Who, as labels name it; all in the other variants.",
        ),
        Column("symbol", Text, nullable=False, comment="For people; the asset is the identity."),
        Column("inflow", BIG, nullable=False, comment="Smallest unit."),
        Column("outflow", BIG, nullable=False, comment="Smallest unit."),
        Column("netflow", BIG, nullable=False, comment="Inflow - outflow, smallest unit."),
        Column("inflow_usd", BIG, comment="US dollar; NULL where a part is unpriced."),
        Column("outflow_usd", BIG, comment="US dollar; NULL where a part is unpriced."),
        Column("netflow_usd", BIG, comment="US dollar; NULL where a part is unpriced."),
        Column("inflow_transactions", BigInteger, nullable=False, comment="Transactions."),
        Column("outflow_transactions", BigInteger, nullable=False, comment="Transactions."),
        Column(
            "unpriced", BigInteger, nullable=False, comment="Of both, transactions without a price."
        ),
    )


def flow_rows(window: Window, *, hourly: bool) -> Select[Any]:
    """Return the flows of the window's day, or of each of its hours."""
    assets = transfers.tracked_assets(window)
    flow = _by_time(flows.priced_flows(window, assets)).c
    key = (*_thing(flow, hourly=hourly), flow.variant, flow.exchange)
    inflow, outflow = func.sum(flow.inflow), func.sum(flow.outflow)
    inflow_usd, outflow_usd = _usd(flow, flow.inflow), _usd(flow, flow.outflow)
    priced = flow.price_usd.is_not(None)
    moment = (flow.hour_at.label("hour_at"),) if hourly else ()
    return select(
        *window.labels(),
        asset_text(flow.address).label("asset"),
        *moment,
        flow.variant,
        flow.exchange,
        flow.symbol,
        inflow.label("inflow"),
        outflow.label("outflow"),
        (inflow - outflow).label("netflow"),
        inflow_usd.label("inflow_usd"),
        outflow_usd.label("outflow_usd"),
        pricing.money(inflow_usd - outflow_usd).label("netflow_usd"),
        _count(flow.inflow_transactions).label("inflow_transactions"),
        _count(flow.outflow_transactions).label("outflow_transactions"),
        (_count(flow.transactions) - _count(case((priced, flow.transactions), else_=0))).label(
            "unpriced"
        ),
    ).group_by(*key, flow.symbol)


def whale_ratio_columns() -> tuple[Column[Any], ...]:
    """Return the columns of a whale ratio table after `key_columns`."""
    return (
        Column("exchange", NAME, primary_key=True, comment="Who, or all: all exchanges as one."),
        Column("symbol", Text, nullable=False, comment="For people; the asset is the identity."),
        Column("inflow", BIG, nullable=False, comment="Of all transactions, smallest unit."),
        Column("largest_inflow", BIG, nullable=False, comment="Of the ten largest, smallest unit."),
        Column("transactions", BigInteger, nullable=False, comment="Transactions with an inflow."),
        Column("whale_ratio", Double, nullable=False, comment="largest_inflow / inflow, 0..1."),
    )


def whale_ratio_rows(window: Window, *, hourly: bool) -> Select[Any]:
    """Return the whale ratios of the window's day, or of each of its hours."""
    assets = transfers.tracked_assets(window)
    flow = _by_time(flows.timed_flows(window, assets)).c
    thing = (*_thing(flow, hourly=hourly), flow.exchange)
    ranked = (
        select(
            *thing,
            flow.symbol,
            flow.inflow,
            func.row_number()
            .over(partition_by=thing, order_by=(flow.inflow.desc(), flow.height, flow.tx_no))
            .label("place"),
        )
        .where(flow.inflow > 0, flow.variant != flows.INCLUDING)
        .subquery("ranked")
        .c
    )
    inflow = func.sum(ranked.inflow)
    largest = inflow.filter(ranked.place <= LARGEST)
    moment = (ranked.hour_at.label("hour_at"),) if hourly else ()
    return select(
        *window.labels(),
        asset_text(ranked.address).label("asset"),
        *moment,
        ranked.exchange,
        ranked.symbol,
        inflow.label("inflow"),
        largest.label("largest_inflow"),
        func.count().label("transactions"),
        ratio(largest, inflow).label("whale_ratio"),
    ).group_by(*_thing(ranked, hourly=hourly), ranked.exchange, ranked.symbol)


def variants_agree(*key: str) -> Invariant:
    """Return the gate that flows between two exchanges change no exchange's sum.

    Args:
        key: Columns that say which rows belong together.
    """

    def broken(stage: Table, _window: Window) -> Select[Any]:
        def netflow(variant: str) -> ColumnElement[Any]:
            return func.coalesce(func.sum(stage.c.netflow).filter(stage.c.variant == variant), 0)

        single = netflow(flows.PER_EXCHANGE)
        both = [netflow(variant) for variant in (flows.INCLUDING, flows.EXCLUDING)]
        columns = [stage.c[name] for name in key]
        return (
            select(
                *columns,
                single.label("per_exchange"),
                both[0].label("including"),
                both[1].label("excluding"),
            )
            .group_by(*columns)
            .having(or_(*(one != single for one in both)))
        )

    return Invariant("the netflows of exchanges add up to that of every variant", broken)


def _by_time(flow: FromClause) -> Subquery:
    return select(*flow.c, begin_of("hour", flow.c.minute_at).label("hour_at")).subquery("by_time")


def _thing(flow: Any, *, hourly: bool) -> tuple[ColumnElement[Any], ...]:
    """Return the columns that tell apart what is summed, beside variant and exchange."""
    return (flow.asset_id, flow.address, *((flow.hour_at,) if hourly else ()))


def _count(transactions: ColumnElement[Any]) -> ColumnElement[int]:
    return cast(func.sum(transactions), BigInteger)


def _usd(flow: Any, amount: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the sum in US dollar; NULL where a transaction that moved some has no price."""
    moved = amount > 0
    lacks = func.count().filter(moved, flow.price_usd.is_(None)) > 0
    value = func.coalesce(
        func.sum(pricing.usd_of(amount, flow.unit, flow.price_usd)).filter(moved), 0
    )
    return case((~lacks, pricing.money(value)))
