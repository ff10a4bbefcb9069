"""Sales that mean something for sales of other days: the days that `DataSet.elsewhere` names."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from sqlalchemy import select, text

from onchain_agg.errors import DataSetError
from onchain_agg.metrics.compute import compute
from onchain_agg.metrics.dataset import Invariant
from onchain_agg.metrics.registry import dataset_named
from onchain_agg.warehouse import dirty, ingest
from onchain_agg.warehouse.apply import apply_blocks
from tests.fakes import warehouse as fakes
from tests.fakes.branches import DECK, EVM, PEOPLE
from tests.fakes.chain import START, Bid, FakeNode, Sale, Transfer, block
from tests.fakes.warehouse import Ticking, bring_up_to_date, load_all, publish_all

pytestmark = pytest.mark.data

ANN, BOB, CLEO = PEOPLE
WASH = dataset_named("nft_wash_trade")
FLAGS = text("SELECT day, flags FROM serving.nft_wash_trade ORDER BY day")


@pytest.fixture(autouse=True)
def only_sales(monkeypatch):
    monkeypatch.setattr(fakes, "PUBLISHED", ("nft_trade", "nft_wash_trade"))


def day(number: int) -> date:
    return START.date() + timedelta(days=number)


def sold(parent, number, way, *, token=1, price=10**18, bids=(), coins=()):
    """Return a block on the day of that *number* with a sale, whose *way* is from whom to whom.

    *coins* move in it as well.
    """
    moved = Transfer(DECK, *way, 1, standard=721, token_id=token)
    sale = Sale(len(coins), price)
    at = START + timedelta(days=number)
    return block(parent, transfers=(*coins, moved), sales=[sale], bids=bids, at=at)


def chain_of(*sales):
    """Return blocks with a sale each, of the day, seller and buyer, and the keywords, given."""
    blocks = []
    for number, seller, buyer, more in sales:
        parent = blocks[-1] if blocks else None
        blocks.append(sold(parent, number, (seller, buyer), **more))
    return blocks


def looked_at(windows):
    return [(w.dataset, w.day) for w in windows]


def flags(engine):
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(FLAGS)]


def dirty_days(engine):
    with engine.connect() as connection:
        return dirty.claim(connection, WASH.name, EVM.name).days


def test_a_sale_back_flags_the_sale_of_a_former_day_in_the_same_run(warehouse):
    blocks = chain_of((0, ANN, BOB, {}), (1, CLEO, ANN, {"token": 2}), (90, BOB, ANN, {}))
    bring_up_to_date(warehouse, EVM, FakeNode(EVM, blocks[:2]))
    before = flags(warehouse)

    windows = bring_up_to_date(warehouse, EVM, FakeNode(EVM, blocks))

    assert before == []
    assert looked_at(windows) == [
        ("nft_trade", day(90)),
        ("nft_wash_trade", day(90)),
        ("nft_wash_trade", day(0)),
    ]
    assert flags(warehouse) == [(day(0), 2), (day(90), 2)]
    assert dirty_days(warehouse) == ()


def test_nothing_is_computed_again_where_no_flag_changes(warehouse):
    blocks = chain_of((0, ANN, BOB, {}), (1, BOB, ANN, {}), (90, ANN, CLEO, {}))
    bring_up_to_date(warehouse, EVM, FakeNode(EVM, blocks[:2]))

    windows = bring_up_to_date(warehouse, EVM, FakeNode(EVM, blocks))

    assert looked_at(windows) == [("nft_trade", day(90)), ("nft_wash_trade", day(90))]
    assert flags(warehouse) == [(day(0), 2), (day(1), 2)]


def test_a_sale_that_vanishes_takes_the_flags_of_others_along(warehouse):
    old = chain_of((0, ANN, BOB, {}), (90, BOB, ANN, {}))
    new = [old[0], sold(old[0], 90, (CLEO, ANN), token=2), None]
    new[2] = sold(new[1], 91, (ANN, CLEO), token=3)
    bring_up_to_date(warehouse, EVM, FakeNode(EVM, old))
    node = FakeNode(EVM, new)

    bring_up_to_date(warehouse, EVM, node)

    assert flags(warehouse) == []
    with warehouse.connect() as connection:
        former = text("SELECT day, flags FROM history.nft_wash_trade_v1 ORDER BY day")
        assert [tuple(r) for r in connection.execute(former)] == [(day(0), 2), (day(90), 2)]


def test_a_day_that_vanished_before_it_was_served_still_counts_where_it_was_told_of(warehouse):
    blocks = chain_of((0, ANN, BOB, {}), (90, BOB, ANN, {}))
    node = FakeNode(EVM, blocks)
    load_all(warehouse, EVM, node)
    apply_blocks(warehouse, EVM, final_height=-1)
    compute(warehouse, dataset_named("nft_trade"), EVM.name, clock=Ticking())
    refusing = replace(WASH, invariants=(Invariant("not the last day", _rows_of(day(90))),))
    with pytest.raises(DataSetError):
        compute(warehouse, refusing, EVM.name, clock=Ticking())
    told = flags(warehouse)
    node.blocks = [blocks[0], sold(blocks[0], 0, (CLEO, ANN), token=2)]

    bring_up_to_date(warehouse, EVM, node)

    assert told == [(day(0), 2)]
    assert flags(warehouse) == []
    assert dirty_days(warehouse) == ()


def test_a_day_that_is_refused_stays_dirty_and_the_run_ends(warehouse):
    blocks = chain_of((0, ANN, BOB, {}), (90, BOB, ANN, {}))
    bring_up_to_date(warehouse, EVM, FakeNode(EVM, blocks[:1]))
    load_all(warehouse, EVM, FakeNode(EVM, blocks))
    apply_blocks(warehouse, EVM, final_height=-1)
    compute(warehouse, dataset_named("nft_trade"), EVM.name, clock=Ticking())
    refusing = replace(WASH, invariants=(Invariant("not the first day", _rows_of(day(0))),))

    with pytest.raises(DataSetError, match="not the first day"):
        compute(warehouse, refusing, EVM.name, clock=Ticking())

    assert flags(warehouse) == [(day(90), 2)]
    assert dirty_days(warehouse) == (day(0),)
    publish_all(warehouse)
    assert flags(warehouse) == [(day(0), 2), (day(90), 2)]


def test_earlier_blocks_that_come_later_tell_who_funded_whom_and_what_was_bid(warehouse):
    coins = [Transfer(None, CLEO, person, 10, "value") for person in (ANN, BOB)]
    rich = Transfer(None, None, CLEO, 20, "reward")
    bid = Bid(DECK, 1, BOB, 7)
    first = sold(None, 0, (ANN, CLEO), token=2, bids=[bid], coins=[rich, *coins])
    second = sold(first, 90, (ANN, BOB), price=None)
    node = FakeNode(EVM, [first, second])
    ingest.load(warehouse, EVM, node, 1, 1)
    bring_up_to_date_from_here(warehouse)
    before, unpriced = flags(warehouse), prices(warehouse)
    ingest.load(warehouse, EVM, node, 0, 0)

    bring_up_to_date_from_here(warehouse)

    assert (before, unpriced) == ([], [(day(90), None, "accepted bid")])
    assert flags(warehouse) == [(day(0), 8), (day(90), 8)]
    assert prices(warehouse) == [(day(0), 10**18, None), (day(90), 7, None)]


def bring_up_to_date_from_here(engine):
    apply_blocks(engine, EVM, final_height=-1)
    publish_all(engine)


def prices(engine):
    with engine.connect() as connection:
        query = text("SELECT day, price, unpriced FROM serving.nft_trade ORDER BY day")
        return [tuple(row) for row in connection.execute(query)]


def _rows_of(refused):
    return lambda stage, window: select(stage.c.day).where(stage.c.day == refused)
