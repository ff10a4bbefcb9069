"""A migrated PostgreSQL for the data sets' queries; every test sees it empty."""

import pytest
from sqlalchemy import insert, select, text

from onchain_agg.warehouse.tables import METADATA, is_partitioned


@pytest.fixture(scope="session")
def warehouse(new_database):
    with new_database() as engine:
        with engine.begin() as connection:
            for table in METADATA.tables.values():
                if is_partitioned(table):
                    # One partition for every day: these tests look at queries, not at partitions.
                    connection.execute(
                        text(f"CREATE TABLE {table}_any PARTITION OF {table} DEFAULT")
                    )
        yield engine


@pytest.fixture
def connection(warehouse):
    with warehouse.connect() as connection, connection.begin() as transaction:
        yield connection
        transaction.rollback()


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
