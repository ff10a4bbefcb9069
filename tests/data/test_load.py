"""What loading writes is exactly the batch, once; what it refuses leaves nothing behind."""

from datetime import UTC, date, datetime

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, text

from onchain_agg.errors import ConfigError, DataSetError
from onchain_agg.sources.batch import SCHEMAS
from onchain_agg.warehouse.load import append
from onchain_agg.warehouse.partitions import ensure_partitions
from onchain_agg.warehouse.tables.chain import BLOCK, MALFORMED_LOG, TOKEN_TRANSFER

pytestmark = pytest.mark.data

DAY, NEXT_DAY = date(2024, 2, 29), date(2024, 3, 1)
CHAIN = {"chain": "ethereum"}
EDGES = [0, 1, 9_999, 10_000, 2**64 - 1, 2**64, 2**128 - 1, 2**128, 10**38, 10**77, 2**256 - 1]


def word(number):
    return None if number is None else number.to_bytes(32, "big")


def transfer(log_index, amount, *, token_id=None, day=DAY, **changes):
    return {
        "day": day,
        "height": 7,
        "block_hash": b"\x07" * 32,
        "tx_index": 3,
        "tx_hash": b"\x03" * 32,
        "log_index": log_index,
        "item_index": 0,
        "standard": 20,
        "token": b"\xaa" * 20,
        "sender": b"\xbb" * 20,
        "recipient": b"\xcc" * 20,
        "token_id": word(token_id),
        "amount": word(amount),
        **changes,
    }


def batch_of(table, *rows):
    return pa.RecordBatch.from_pylist(list(rows), SCHEMAS[table.name])


def transfers(*rows):
    return batch_of(TOKEN_TRANSFER, *rows)


def stored(engine, *columns):
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(select(*columns).order_by(*columns))]


@pytest.fixture
def days(engine):
    ensure_partitions(engine, TOKEN_TRANSFER, [DAY, NEXT_DAY])
    return engine


def write(engine, batch, table=TOKEN_TRANSFER, constants=CHAIN):
    with engine.begin() as connection:
        return append(connection, table, batch, constants)


def test_a_row_arrives_as_the_source_gave_it(days):
    count = write(days, transfers(transfer(5, 2**256 - 1, token_id=2**255)))

    assert count == 1
    assert stored(days, *TOKEN_TRANSFER.columns) == [
        (
            "ethereum",
            DAY,
            7,
            b"\x07" * 32,
            3,
            b"\x03" * 32,
            5,
            0,
            20,
            b"\xaa" * 20,
            b"\xbb" * 20,
            b"\xcc" * 20,
            2**255,
            2**256 - 1,
        )
    ]


def test_amounts_of_every_size_are_exact_in_postgresql(days):
    write(days, transfers(*(transfer(i, amount) for i, amount in enumerate(EDGES))))

    found = stored(days, TOKEN_TRANSFER.c.log_index, TOKEN_TRANSFER.c.amount)
    assert [(i, int(amount)) for i, amount in found] == list(enumerate(EDGES))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 2**256 - 1), st.none() | st.integers(0, 2**70)), max_size=30)
)
def test_any_amounts_are_exact_in_postgresql(days, amounts):
    rows = [transfer(i, amount, token_id=item) for i, (amount, item) in enumerate(amounts)]
    with days.connect() as connection:
        append(connection, TOKEN_TRANSFER, transfers(*rows), CHAIN)
        columns = TOKEN_TRANSFER.c
        found = connection.execute(
            select(columns.amount, columns.token_id).order_by(columns.log_index)
        ).all()
        connection.rollback()

    assert [tuple(row) for row in found] == amounts


def test_a_slice_of_a_batch_loads_only_its_rows(days):
    batch = transfers(*(transfer(i, i * 10) for i in range(20)))

    write(days, batch.slice(13, 3))

    assert stored(days, TOKEN_TRANSFER.c.log_index, TOKEN_TRANSFER.c.amount) == [
        (13, 130),
        (14, 140),
        (15, 150),
    ]


def test_rows_of_several_days_reach_their_partitions(days):
    write(days, transfers(transfer(1, 1), transfer(2, 2, day=NEXT_DAY)))

    with days.connect() as connection:
        found = connection.execute(
            text("SELECT tableoid::regclass::text, amount FROM chain.token_transfer ORDER BY 2")
        )
        assert [tuple(row) for row in found] == [
            ("chain.token_transfer_y2024m02d29", 1),
            ("chain.token_transfer_y2024m03d01", 2),
        ]


def test_zero_rows_write_nothing(days):
    assert write(days, transfers()) == 0


def test_times_booleans_and_nulls_arrive_in_a_table_without_partitions(engine):
    block = {
        "day": DAY,
        "height": 2**40,
        "block_hash": b"\x01" * 32,
        "parent_hash": b"\x02" * 32,
        "header_at": datetime(2024, 2, 29, 23, 59, 59, 999_999, tzinfo=UTC),
        "block_at": datetime(1999, 12, 31, tzinfo=UTC),
        "tx_count": 1,
        "traced": False,
    }

    write(engine, batch_of(BLOCK, block), BLOCK)

    assert stored(engine, *BLOCK.columns) == [
        tuple({**dict.fromkeys(BLOCK.columns.keys()), **CHAIN, **block}.values())
    ]


def test_texts_and_long_bytes_of_every_length_arrive(engine):
    ensure_partitions(engine, MALFORMED_LOG, [DAY])
    sizes = [0, 1, 500_000, 3, 5 << 20, 0]
    rows = [
        {
            "day": DAY,
            "height": 1,
            "block_hash": bytes(32),
            "tx_index": 0,
            "tx_hash": bytes(32),
            "log_index": i,
            "token": bytes(20),
            "reason": "zu kürz " * i,
            "topics": b"",
            "data": bytes([i]) * size,
        }
        for i, size in enumerate(sizes)
    ]

    write(engine, batch_of(MALFORMED_LOG, *rows), MALFORMED_LOG)

    columns = MALFORMED_LOG.c
    assert stored(engine, columns.log_index, columns.reason, columns.data) == [
        (row["log_index"], row["reason"], row["data"]) for row in rows
    ]


def test_an_append_outside_a_transaction_waits_for_the_commit(days):
    with days.connect() as connection:
        append(connection, TOKEN_TRANSFER, transfers(transfer(1, 1)), CHAIN)
        assert stored(days, TOKEN_TRANSFER.c.log_index) == []
        connection.commit()

    assert stored(days, TOKEN_TRANSFER.c.log_index) == [(1,)]


def test_a_key_that_is_stored_already_is_an_error_that_names_table_and_row(days):
    write(days, transfers(transfer(1, 1)))

    with pytest.raises(DataSetError, match=r"chain\.token_transfer: duplicate key .*line 2"):
        write(days, transfers(transfer(2, 2), transfer(1, 1)))

    assert stored(days, TOKEN_TRANSFER.c.log_index) == [(1,)]


def test_a_null_where_none_may_be_names_the_column(days):
    with pytest.raises(DataSetError, match=r'token_transfer: null value in column "amount"'):
        write(days, transfers(transfer(1, None)))

    assert stored(days, TOKEN_TRANSFER.c.log_index) == []


def test_a_byte_that_no_text_may_hold_names_row_and_column(engine):
    ensure_partitions(engine, MALFORMED_LOG, [DAY])
    row = {name: transfer(1, 1).get(name) for name in SCHEMAS["malformed_log"].names}
    rows = [{**row, "reason": reason, "topics": b"", "data": b""} for reason in ("short", "a\0b")]

    with pytest.raises(
        DataSetError, match=r"malformed_log: invalid byte sequence.*line 2, column reason"
    ):
        write(engine, batch_of(MALFORMED_LOG, *rows), MALFORMED_LOG)


def test_a_day_without_partition_is_an_error_that_names_it(engine):
    with pytest.raises(ConfigError, match=r"token_transfer has no partition for .*2024-02-29"):
        write(engine, transfers(transfer(1, 1)))


def test_a_database_without_the_table_says_what_to_run(engine):
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE chain.token_transfer"))

    with pytest.raises(ConfigError, match=r"chain\.token_transfer is not there\. Run `onchain-agg"):
        write(engine, transfers(transfer(1, 1)))


@pytest.mark.parametrize(
    ("change", "constants", "message"),
    [
        pytest.param(
            lambda b: b.append_column("memo", pa.nulls(1)),
            CHAIN,
            r"chain\.token_transfer has no column 'memo'",
            id="unknown column",
        ),
        pytest.param(
            lambda b: b.drop_columns(["amount"]), CHAIN, "lacks column 'amount'", id="missing"
        ),
        pytest.param(lambda b: b, {}, "lacks column 'chain'", id="missing constant"),
        pytest.param(
            lambda b: b, {**CHAIN, "height": 7}, "Column 'height' comes twice", id="given twice"
        ),
        pytest.param(
            lambda b: b.set_column(12, "amount", pa.array([1.5])),
            CHAIN,
            "token_transfer: Column 'amount' is numeric and cannot take Arrow double",
            id="float amount",
        ),
        pytest.param(
            lambda b: b.drop_columns(["height"]),
            {**CHAIN, "height": "seven"},
            "token_transfer: Column 'height' is bigint and cannot hold the constant 'seven'",
            id="wrong constant",
        ),
    ],
)
def test_a_batch_that_does_not_fit_the_table_is_refused_by_name(days, change, constants, message):
    batch = change(transfers(transfer(1, 1)))

    with pytest.raises(ConfigError, match=message):
        write(days, batch, constants=constants)

    with days.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(TOKEN_TRANSFER)) == 0
