"""A row of somebody else's table is held against what a file of facts may hold."""

import pytest

from onchain_agg.errors import DataSetError
from tests.unit.sources.legacy_table import FILL, declared, fills, read

_CANDLES = (
    "CREATE TABLE fills (id INTEGER PRIMARY KEY, pair TEXT, open_at TEXT, low NUMERIC,"
    " close NUMERIC, volume NUMERIC, seen INTEGER)"
)
_CANDLE = (2, "BTC/KRW", "2026-03-01 00:00:00+00:00", 1, 2, 0, 7)


@pytest.mark.parametrize(
    ("place", "value", "told"),
    [
        pytest.param(
            1,
            "BTC-KRW",
            "column 'pair' of fills is 'BTC-KRW'. A market is needed, as BASE/QUOTE or"
            " BASE/QUOTE:SETTLE",
            id="no market",
        ),
        pytest.param(
            3, -1, "column 'low' of fills is -1. A number above 0 is needed", id="price below 0"
        ),
        pytest.param(3, 0, "column 'low' of fills is 0. A number above 0 is needed", id="no price"),
        pytest.param(
            5,
            -0.5,
            "column 'volume' of fills is -0.5. A number from 0 on is needed",
            id="volume below 0",
        ),
        pytest.param(
            4,
            0.5,
            "fills: the candle has the open 0.5, outside of low 1 to high 3",
            id="prices that contradict",
        ),
        pytest.param(
            2,
            "2026-03-01 15:00:30+00:00",
            "fills: the candle opens at 2026-03-01T15:00:30+00:00, not on a whole 1d in UTC",
            id="no whole day",
        ),
    ],
)
def test_a_row_that_a_file_could_not_hold_is_refused_with_its_key(place, value, told):
    columns = {
        "venue": {"constant": "upbit"},
        "market": "pair",
        "span": {"constant": "1d"},
        "open_at": "open_at",
        "open": "close",
        "high": {"constant": "3"},
        "low": "low",
        "close": "close",
        "volume": "volume",
    }
    wrong = list(_CANDLE)
    wrong[place] = value
    source = declared(target="candles", columns=columns)
    with fills(_CANDLE, table=_CANDLES) as engine:
        (good,) = read(engine, source)
    with fills(tuple(wrong), table=_CANDLES) as engine, pytest.raises(DataSetError) as error:
        read(engine, source)

    assert good.rows == 1
    assert str(error.value) == (
        f"Source legacy: {told}, in the row with seen 7 and id 2. Correct the row, or leave it out"
        " with a view."
    )


def test_a_venue_that_is_not_known_is_refused_with_its_key():
    elsewhere = (FILL[0], "Kraken", *FILL[2:])
    with fills(elsewhere) as engine, pytest.raises(DataSetError) as error:
        read(engine, declared())

    assert str(error.value) == (
        "Source legacy: column 'venue' of fills is 'Kraken'. binance or bithumb or coinbase or"
        " kraken or upbit is needed: translate it by values, in the row with seen 7 and id 1."
        " Correct the row, or leave it out with a view."
    )


def test_facts_that_say_nothing_are_refused():
    columns = {"source": {"constant": "x"}, "day": "done_at", "asset": "venue", "supply": "size"}
    empty = (*FILL[:4], None, *FILL[5:])
    with fills(empty) as engine, pytest.raises(DataSetError) as error:
        read(engine, declared(target="assets", columns=columns))

    assert "fills: none of supply, transfer_value, realized_cap_usd is given" in str(error.value)
