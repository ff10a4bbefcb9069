"""Floors that change after the day of the whales that are valued at them."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from onchain_agg.metrics.dataset import Window
from onchain_agg.metrics.registry import dataset_named
from onchain_agg.metrics.wiring import upstream_of
from onchain_agg.warehouse import dirty
from tests.fakes import warehouse as fakes
from tests.fakes.branches import DECK, EVM, PEOPLE
from tests.fakes.chain import START, FakeNode, Sale, Transfer, block
from tests.fakes.warehouse import T0, Ticking, bring_up_to_date, contents, differences, wipe

pytestmark = pytest.mark.data

ANN, BOB, CLEO = PEOPLE
WHALES = dataset_named("nft_whale_holder_daily")
LATER = T0 + timedelta(days=1)
# The first day, as if it had lost its blocks.
EMPTY = Window(EVM.name, START.date(), 0, -1, 0)
# Bob's token is worth 1000 on two days, then 5 on two days and as long as nothing else is sold.
DEALS = [
    (0, 1, ANN, BOB, 1000),
    (1, 2, ANN, CLEO, None),
    (2, 3, ANN, CLEO, 5),
    (3, 4, ANN, CLEO, None),
    (4, 5, ANN, CLEO, None),
]
SOLD_BACK = [(90, 1, BOB, ANN, 2000), (91, 6, ANN, CLEO, None)]


@pytest.fixture(autouse=True)
def only_what_whales_follow_from(monkeypatch):
    wanted, names = [WHALES], set()
    while wanted:
        dataset = wanted.pop()
        names.add(dataset.name)
        wanted += upstream_of(dataset)
    monkeypatch.setattr(fakes, "PUBLISHED", names)


def test_a_late_wash_flag_values_every_day_up_to_the_next_floor_anew_and_no_other(warehouse):
    bring_up_to_date(warehouse, EVM, FakeNode(EVM, blocks_of(DEALS)))
    before = worth_of(warehouse, BOB)

    windows = bring_up_to_date(
        warehouse, EVM, FakeNode(EVM, blocks_of(DEALS + SOLD_BACK)), Ticking(LATER)
    )

    assert before == {0: 1000, 1: 1000, 2: 5, 3: 5}
    assert worth_of(warehouse, BOB) == {0: None, 1: None, 2: 5, 3: 5, 4: 5}
    assert worth_of(warehouse, ANN) == {90: 5}
    assert changed_days(windows) == [0, 1, 4, 90]
    assert served_since(warehouse, LATER) == [0, 1, 4, 90]
    assert former(warehouse) == [(0, BOB, 1000), (1, BOB, 1000), (1, CLEO, 1000)]
    # The open day waits for its end; the others are done.
    assert dirty_days(warehouse) == [91]
    step_by_step = contents(warehouse)
    wipe(warehouse)
    bring_up_to_date(warehouse, EVM, FakeNode(EVM, blocks_of(DEALS + SOLD_BACK)))
    assert differences(step_by_step, contents(warehouse)) == {}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("UPDATE serving.nft_collection_daily_v1 SET floor_p5 = 7.5", id="other"),
        pytest.param("DELETE FROM serving.nft_collection_daily_v1", id="gone with its blocks"),
    ],
)
def test_a_changed_floor_tells_of_the_days_up_to_the_next_one(warehouse, change):
    bring_up_to_date(warehouse, EVM, FakeNode(EVM, blocks_of(DEALS)))

    with warehouse.begin() as connection:
        before = connection.scalars(WHALES.elsewhere(EMPTY)).all()
        connection.execute(text(f"{change} WHERE day = :day"), {"day": EMPTY.day})
        after = connection.scalars(WHALES.elsewhere(EMPTY)).all()

    assert (before, [number(day) for day in after]) == ([], [1])


def blocks_of(deals):
    """Return a block for each deal: its day, a token, from whom to whom, and the price if sold.

    An empty one comes first: the collection begins with the block after it.
    """
    blocks = [block(None, at=START - timedelta(hours=1))]
    for day, token, seller, buyer, price in deals:
        moved = Transfer(DECK, seller, buyer, 1, standard=721, token_id=token)
        sales = [] if price is None else [Sale(0, price)]
        at = START + timedelta(days=day)
        blocks.append(block(blocks[-1], transfers=[moved], sales=sales, at=at))
    return blocks


def number(day):
    return (day - START.date()).days


def worth_of(engine, person):
    """Return what *person* has by floor value, by day."""
    query = text("SELECT day, floor_value FROM serving.nft_whale_holder_daily WHERE address = :who")
    with engine.connect() as connection:
        rows = connection.execute(query, {"who": f"0x{person.hex()}"})
        return {number(row.day): row.floor_value for row in rows}


def changed_days(windows):
    """Return the days of whales that got other rows than they had."""
    return sorted(number(w.day) for w in windows if w.dataset == WHALES.name and w.changed)


def served_since(engine, moment):
    """Return the days with a row that readers see since *moment* or later."""
    query = text(
        "SELECT DISTINCT day FROM serving.nft_whale_holder_daily WHERE known_from >= :at ORDER BY 1"
    )
    with engine.connect() as connection:
        return [number(day) for day in connection.scalars(query, {"at": moment})]


def former(engine):
    """Return the rows that were replaced: day, holder, floor value."""
    query = text(
        "SELECT day, decode(substr(address, 3), 'hex'), floor_value"
        " FROM history.nft_whale_holder_daily_v1 ORDER BY day, address"
    )
    with engine.connect() as connection:
        return [(number(row[0]), bytes(row[1]), row[2]) for row in connection.execute(query)]


def dirty_days(engine):
    with engine.connect() as connection:
        return [number(day) for day in dirty.claim(connection, WHALES.name, EVM.name).days]
