"""Airflow connections by their ids."""

from airflow.sdk import BaseHook, Connection
from airflow.sdk.exceptions import AirflowNotFoundException

from onchain_agg.errors import ConfigError


def connection_named(conn_id: str, options: str) -> Connection:
    """Return the connection *conn_id*.

    Raises:
        ConfigError: It does not exist; tells the command that adds it, with *options*.
    """
    try:
        return BaseHook.get_connection(conn_id)
    except AirflowNotFoundException as error:
        raise ConfigError(
            f"Connection {conn_id!r} does not exist. Add it with `airflow connections add "
            f"{conn_id} {options}`."
        ) from error
