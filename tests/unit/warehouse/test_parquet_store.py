"""An archive in a folder: whole files or none, and clear words where one is gone or damaged."""

import hashlib
from datetime import date

import pyarrow as pa
import pytest

from onchain_agg.errors import ConfigError, DataSetError, SourceError
from onchain_agg.warehouse.parquet_store import ParquetStore, Written, location_of

SCHEMA = pa.schema([("amount", pa.binary(32)), ("kind", pa.string())])
ROWS = [{"amount": b"\xff" * 32, "kind": "fee"}, {"amount": None, "kind": None}]
WHERE = location_of("chain.native_transfer", "anvil", date(2026, 3, 1), 2)


@pytest.fixture
def store(tmp_path):
    return ParquetStore(str(tmp_path / "archive"))


def batch():
    return pa.RecordBatch.from_pylist(ROWS, schema=SCHEMA)


def read(store, columns=None):
    return [row for found in store.read(WHERE, columns) for row in found.to_pylist()]


def test_the_path_is_the_one_that_hive_reads():
    assert WHERE == "chain.native_transfer/chain=anvil/day=2026-03-01/v2.parquet"


def test_what_was_written_is_read_with_the_day_of_its_path(store, tmp_path):
    written = store.write(WHERE, SCHEMA, [batch(), batch()])

    content = (tmp_path / "archive" / WHERE).read_bytes()
    assert written == Written(4, len(content), hashlib.sha256(content).hexdigest())
    assert store.sha256(WHERE) == written.sha256
    assert read(store) == [{"day": date(2026, 3, 1), **row} for row in ROWS * 2]
    assert read(store, ["kind", "day"])[0] == {"kind": "fee", "day": date(2026, 3, 1)}


def test_a_day_without_rows_is_a_file_without_rows(store):
    assert store.write(WHERE, SCHEMA, []).rows == 0
    assert read(store) == []


def test_a_write_that_fails_leaves_no_file(store, tmp_path):
    def broken():
        yield batch()
        raise RuntimeError("the database went away")

    with pytest.raises(RuntimeError):
        store.write(WHERE, SCHEMA, broken())

    assert [path for path in (tmp_path / "archive").rglob("*") if path.is_file()] == []


def test_a_manifest_stands_beside_the_tables(store, tmp_path):
    store.write_manifest(WHERE, {"rows": 4})

    path = "manifest/chain.native_transfer/chain=anvil/day=2026-03-01/v2.json"
    assert (tmp_path / "archive" / path).read_text() == '{\n "rows": 4\n}\n'
    assert store.manifest(WHERE) == {"rows": 4}


def test_a_file_that_is_gone_is_named(store):
    with pytest.raises(DataSetError) as told:
        read(store)

    assert str(told.value) == (
        f"{WHERE} is not in the archive {store.root_url}. Restore it from its backup."
    )


def test_a_damaged_file_is_named(store, tmp_path):
    store.write(WHERE, SCHEMA, [batch()])
    path = tmp_path / "archive" / WHERE
    path.write_bytes(path.read_bytes()[:-10])

    with pytest.raises(DataSetError) as told:
        read(store)

    assert str(told.value).startswith(f"{WHERE} in the archive {store.root_url} is damaged: ")
    assert str(told.value).endswith(". Restore it from its backup.")


def test_a_folder_that_cannot_be_written_is_worth_a_retry(tmp_path):
    (tmp_path / "archive").write_text("a file in the way")
    store = ParquetStore(str(tmp_path / "archive"))

    with pytest.raises(SourceError, match=r"v2\.parquet cannot be written to the archive .*: "):
        store.write(WHERE, SCHEMA, [batch()])


def test_a_kind_of_storage_that_nobody_knows_is_a_wrong_option():
    with pytest.raises(ConfigError) as told:
        read(ParquetStore("tape://one"))

    assert str(told.value) == (
        "archive_url is 'tape://one', which cannot be opened: Protocol not known: tape."
        " Write a folder, or s3://bucket/prefix."
    )
