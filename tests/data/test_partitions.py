"""Day partitions are made once, by whoever comes first, and never stand in a loader's way."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from threading import Barrier

import pytest
from sqlalchemy import event, func, insert, inspect, select, text

from onchain_agg.errors import ConfigError
from onchain_agg.warehouse.partitions import (
    drop_partition,
    ensure_partitions,
    partition_days,
    partition_name,
)
from onchain_agg.warehouse.tables.chain import BLOCK, UTXO_INPUT

pytestmark = pytest.mark.data

DAY = date(2009, 1, 3)


def row(day, number):
    return {
        "chain": "bitcoin",
        "day": day,
        "height": number,
        "block_hash": number.to_bytes(32, "big"),
        "tx_index": 0,
        "input_index": 0,
        "prev_txid": bytes(32),
        "prev_vout": 0,
    }


def days_of(engine):
    with engine.connect() as connection:
        return partition_days(connection, UTXO_INPUT)


def test_makes_the_missing_days_and_leaves_the_others(engine):
    ensure_partitions(engine, UTXO_INPUT, [DAY])
    with engine.begin() as connection:
        connection.execute(insert(UTXO_INPUT), row(DAY, 1))

    ensure_partitions(engine, UTXO_INPUT, {DAY, DAY + timedelta(days=1)})

    assert days_of(engine) == {DAY, DAY + timedelta(days=1)}
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(UTXO_INPUT)) == 1


def test_more_days_than_one_transaction_takes_are_all_made(engine):
    days = {DAY + timedelta(days=i) for i in range(120)}

    ensure_partitions(engine, UTXO_INPUT, days)

    assert days_of(engine) == days


def test_a_partition_has_the_key_and_takes_exactly_its_day(engine):
    ensure_partitions(engine, UTXO_INPUT, [DAY])
    name = partition_name(UTXO_INPUT, DAY)

    assert name == "utxo_input_y2009m01d03"
    assert inspect(engine).get_pk_constraint(name, "chain")["constrained_columns"] == [
        column.name for column in UTXO_INPUT.primary_key
    ]
    with engine.connect() as connection:
        bounds = connection.scalar(
            text("SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE relname = :name"),
            {"name": name},
        )
    assert bounds == "FOR VALUES FROM ('2009-01-03') TO ('2009-01-04')"


def test_days_that_are_there_cost_one_query(engine):
    ensure_partitions(engine, UTXO_INPUT, [DAY])
    statements = []
    event.listen(engine, "after_cursor_execute", lambda *args: statements.append(args[2]))

    ensure_partitions(engine, UTXO_INPUT, [DAY])

    assert len(statements) == 1
    assert "pg_inherits" in statements[0]


def test_two_makers_and_a_loader_at_once_all_succeed(engine):
    ensure_partitions(engine, UTXO_INPUT, [DAY])
    days = [DAY + timedelta(days=i) for i in range(20)]
    start = Barrier(3, timeout=30)

    def make():
        start.wait()
        ensure_partitions(engine, UTXO_INPUT, days)

    def load():
        start.wait()
        for number in range(50):
            with engine.begin() as connection:
                connection.execute(insert(UTXO_INPUT), row(DAY, number))

    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(make), pool.submit(make), pool.submit(load)]:
            done.result(timeout=60)

    assert days_of(engine) == set(days)
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(UTXO_INPUT)) == 50


def test_an_open_load_does_not_hold_up_a_new_day(engine):
    ensure_partitions(engine, UTXO_INPUT, [DAY])
    later = DAY + timedelta(days=1)

    with engine.begin() as connection:
        connection.execute(text("SET LOCAL lock_timeout = '5s'"))
        connection.execute(insert(UTXO_INPUT), row(DAY, 1))
        with ThreadPoolExecutor(1) as pool:
            pool.submit(ensure_partitions, engine, UTXO_INPUT, [later]).result(timeout=20)
        connection.execute(insert(UTXO_INPUT), row(later, 2))

    assert days_of(engine) == {DAY, later}


def test_dropping_a_day_takes_its_rows_and_no_others(engine):
    later = DAY + timedelta(days=1)
    ensure_partitions(engine, UTXO_INPUT, [DAY, later])
    with engine.begin() as connection:
        connection.execute(insert(UTXO_INPUT), [row(DAY, 1), row(later, 2)])

    with engine.begin() as connection:
        assert drop_partition(connection, UTXO_INPUT, DAY) is True
    with engine.begin() as connection:
        assert drop_partition(connection, UTXO_INPUT, DAY) is False

    with engine.connect() as connection:
        assert partition_days(connection, UTXO_INPUT) == {later}
        assert connection.scalars(select(UTXO_INPUT.c.height)).all() == [2]


def test_a_drop_that_is_rolled_back_leaves_the_day(engine):
    ensure_partitions(engine, UTXO_INPUT, [DAY])

    with engine.connect() as connection:
        drop_partition(connection, UTXO_INPUT, DAY)
        connection.rollback()

    assert days_of(engine) == {DAY}


def test_a_stray_table_with_a_partitions_name_is_an_error_that_names_it(engine):
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE chain.utxo_input_y2009m01d03 (day date)"))

    with pytest.raises(ConfigError, match=r"chain\.utxo_input_y2009m01d03 exists but is not a"):
        ensure_partitions(engine, UTXO_INPUT, [DAY])


def test_a_table_without_partitions_is_refused(engine):
    with pytest.raises(ConfigError, match=r"chain\.block has no day partitions"):
        ensure_partitions(engine, BLOCK, [DAY])
