"""What no block tells of the fake chains: whose an address is, and what a coin costs."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import pyarrow as pa
from hypothesis import strategies as st
from sqlalchemy import Engine

from onchain_agg.sources.address import address_text
from onchain_agg.sources.label_file import LabelRow
from onchain_agg.warehouse.facts import record
from onchain_agg.warehouse.labels import import_labels
from onchain_agg.warehouse.tables.market import TRADE
from tests.fakes.branches import EVM, PEOPLE, REST, UTXO
from tests.fakes.chain import START
from tests.fakes.prices import price_daily
from tests.fakes.warehouse import T0

_MARKETS = {EVM.name: "ETH/USD", UTXO.name: "RTC/USD"}
FIRST_DAY, NEXT_DAY = START.date() - REST, START.date()
# Nobody trades before the year of rest: a coin's first days have no price.
_TRADED_AT = datetime.combine(NEXT_DAY, time(12), UTC)


@dataclass(frozen=True)
class Told:
    """What is believed at one time.

    Attributes:
        entities: The exchange that owns each of `PEOPLE`; None: nobody's.
        since: First day of these labels.
        prices: US dollar for a coin: of the last traded minute, and of the day after it.
    """

    entities: tuple[str | None, ...]
    since: date
    prices: tuple[str, str]


def told() -> st.SearchStrategy[Told]:
    """Return the strategy for what is told; two of them differ as a correction does."""
    entity = st.sampled_from(["upbit", "kraken", None])
    return st.builds(
        Told,
        entities=st.tuples(st.sampled_from(["kraken", "upbit"]), entity, entity),
        since=st.sampled_from([NEXT_DAY, FIRST_DAY]),
        prices=st.tuples(st.sampled_from(["9000", "2500.5"]), st.sampled_from(["2", "0.5"])),
    )


def tell(engine: Engine, chain, one: Told) -> None:
    """Believe *one* from now on, and not what was told before."""
    rows = [
        LabelRow(address_text(chain, address), "exchange", entity, one.since, None, "told")
        for person, entity in zip(PEOPLE, one.entities, strict=True)
        if entity is not None
        for address in _addresses(chain, person)
    ]
    import_labels(engine, chain, rows, source="desk", at=T0, replace_all=True)
    minute, daily = one.prices
    market = _MARKETS[chain.name]
    trade = {
        "market": market,
        "trade_id": "1",
        "traded_at": _TRADED_AT,
        "price": minute,
        "amount": "1",
    }
    record(engine, TRADE, "kraken", pa.RecordBatch.from_pylist([trade]))
    price_daily(engine, market.split("/")[0], {NEXT_DAY + timedelta(days=1): daily})


def _addresses(chain, person: bytes) -> list[bytes]:
    return [person] if chain.name == EVM.name else [b"\x00" + person, b"\x05" + person]
