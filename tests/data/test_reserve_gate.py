"""A reserve that transfers do not explain reaches no reader."""

from datetime import timedelta

import pytest
from sqlalchemy import insert, text

from onchain_agg.errors import DataSetError
from onchain_agg.metrics.compute import backfill, compute
from onchain_agg.metrics.registry import dataset_named
from onchain_agg.warehouse.tables.chain import LABEL
from tests.fakes.branches import EVM, PEOPLE, TOKENS
from tests.fakes.chain import START, FakeNode, Transfer, block
from tests.fakes.warehouse import T0, bring_up_to_date

pytestmark = pytest.mark.data


def served(engine):
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT exchange, reserve, netflow, xmin::text"
                " FROM serving.exchange_reserve_daily_v1 ORDER BY exchange"
            )
        )
        return [tuple(row) for row in rows]


def test_a_reserve_that_transfers_do_not_explain_is_not_published(warehouse):
    with warehouse.begin() as connection:
        kraken = {
            "chain": "anvil",
            "address": PEOPLE[0],
            "category": "exchange",
            "entity": "kraken",
            "valid_from": START.date() - timedelta(days=1),
            "known_from": T0,
            "source": "test",
        }
        connection.execute(insert(LABEL), kraken)
    paid = block(None, transfers=[Transfer(TOKENS[1], PEOPLE[1], PEOPLE[0], 70)])
    bring_up_to_date(warehouse, EVM, FakeNode(EVM, [paid, block(paid)]))
    before = served(warehouse)
    assert [row[:3] for row in before] == [("all", 70, 70), ("kraken", 70, 70)]
    with warehouse.begin() as connection:
        connection.execute(text("UPDATE state.balance_delta SET delta = delta + 1 WHERE delta > 0"))
    dataset = dataset_named("exchange_reserve_daily")
    backfill(warehouse, dataset, "anvil", force=True)

    with pytest.raises(DataSetError) as caught:
        compute(warehouse, dataset, "anvil")

    token = f"0x{TOKENS[1].hex()}"
    rows = [
        f"(asset {token}, exchange {name}, reserve 70, reserve_before -1, netflow 70, fees 0,"
        " relabelled 0)"
        for name in ("all", "kraken")
    ]
    assert str(caught.value) == (
        "exchange_reserve_daily: anvil 2026-03-01 was not published: reserve - reserve_before ="
        f" netflow - fees + relabelled: {', '.join(rows)}."
        " Correct what it is made from; the day is computed again then."
    )
    assert served(warehouse) == before
