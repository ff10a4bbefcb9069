"""How Airflow tests a connection, as the tests of the hooks do it."""

import json
import os
from typing import Any


def asked_of_the_api_server(**fields: Any) -> tuple[bool, str]:
    """Return what the Test button gets, in the steps of ``POST /api/v2/connections/test``."""
    from airflow.models import Connection  # noqa: PLC0415, TID251 - the API server's own class

    connection = Connection(conn_id="AbCdEf", **_written(fields))
    os.environ["AIRFLOW_CONN_ABCDEF"] = connection.get_uri()
    try:
        return connection.test_connection()
    finally:
        del os.environ["AIRFLOW_CONN_ABCDEF"]


def asked_of_a_worker(**fields: Any) -> tuple[bool, str]:
    """Return what a worker reports that runs the test for the API server."""
    from airflow.sdk import Connection  # noqa: PLC0415 - Airflow is slow to import

    return Connection(conn_id="onchain_tested", **_written(fields)).test_connection()


def _written(fields: dict[str, Any]) -> dict[str, Any]:
    extra = {"extra": json.dumps(fields["extra"])} if "extra" in fields else {}
    return {**fields, **extra}
