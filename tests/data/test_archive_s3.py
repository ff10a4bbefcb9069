"""The archive on a real S3 server: the same as in a folder, and readable by others."""

import duckdb
import fsspec
import pytest
from moto.server import ThreadedMotoServer
from sqlalchemy import select

from onchain_agg.errors import SourceError
from onchain_agg.warehouse.archiving import archive_days, restore_day, verify_day
from onchain_agg.warehouse.parquet_store import ParquetStore
from onchain_agg.warehouse.rebuild.audit import audit
from onchain_agg.warehouse.retention import drop_cold_days
from onchain_agg.warehouse.tables.ops import ARCHIVED_DAY
from tests.fakes.archived import DAYS, EVM, filled
from tests.fakes.chain import Transfer, block
from tests.fakes.scenes import KRILL, PEOPLE, ZERO
from tests.fakes.warehouse import contents

pytestmark = [pytest.mark.data, pytest.mark.few_data_sets]

MOST = 2**256 - 1


@pytest.fixture(scope="module")
def server():
    """Yield the URL of an S3 server on loopback."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def storage(server, monkeypatch):
    """Return the server as fsspec finds it."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "archivist")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nobody checks it")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setitem(fsspec.config.conf, "s3", {"endpoint_url": server})
    return fsspec.filesystem("s3")


def blocks_of_large_amounts():
    """Return three closed days: one without token transfers, ones of the largest amounts."""
    blocks = []
    for height in range(14):
        there = Transfer(KRILL, ZERO, PEOPLE[0], MOST)
        transfers = [there, Transfer(KRILL, PEOPLE[0], ZERO, MOST)] if height > 3 else []
        parent = blocks[-1] if blocks else None
        blocks.append(block(parent, transfers=[*transfers, Transfer(None, None, PEOPLE[1], 1)]))
    return blocks


def test_days_go_to_s3_leave_and_come_back(warehouse, storage):
    storage.mkdir("facts")
    store = ParquetStore("s3://facts/archive")
    filled(warehouse, EVM, blocks_of_large_amounts())
    before = contents(warehouse)

    archived = archive_days(warehouse, store, EVM)
    dropped = drop_cold_days(warehouse, store, EVM, hot_days=1)

    assert tuple(one.day for one in archived) == dropped.days == DAYS
    with warehouse.connect() as connection:
        rows = connection.execute(select(ARCHIVED_DAY)).all()
    for row in rows:
        verify_day(store, row)
    empty = [row.day for row in rows if row.table_name == "chain.token_transfer" and not row.rows]
    assert empty == [DAYS[0]]
    audit(warehouse, EVM, store).check()
    assert amounts_by_duckdb(storage) == [(DAYS[1], MOST, None, 6), (DAYS[2], MOST, None, 6)]
    for day in DAYS:
        restore_day(warehouse, store, EVM, day)
    assert contents(warehouse) == before


def amounts_by_duckdb(storage):
    """Return day, largest amount, token id and rows as another program reads them."""
    with duckdb.connect() as connection:
        connection.register_filesystem(storage)
        rows = connection.execute(
            "SELECT day, max(amount), max(token_id), count(*)"
            " FROM read_parquet('s3://facts/archive/chain.token_transfer/*/*/v1.parquet')"
            " WHERE chain = 'anvil' GROUP BY day ORDER BY day"
        ).fetchall()
    return [(day, int.from_bytes(amount), token_id, count) for day, amount, token_id, count in rows]


def test_a_bucket_that_is_not_there_is_worth_a_retry(warehouse, storage):
    filled(warehouse, EVM, blocks_of_large_amounts())
    assert not storage.exists("elsewhere")
    missing = ParquetStore("s3://elsewhere")

    with pytest.raises(SourceError, match=r"cannot be written to the archive s3://elsewhere: "):
        archive_days(warehouse, missing, EVM)
