"""The extra of an Airflow connection: JSON that a person wrote."""

import json
from typing import TYPE_CHECKING

from onchain_agg.errors import ConfigError

if TYPE_CHECKING:
    from airflow.sdk import Connection


def check_extra(connection: "Connection") -> None:
    """Check that the extra of *connection* is empty or a JSON object.

    Airflow reads what is no JSON as an empty one, and a list as a list.

    Raises:
        ConfigError: It is something else; its text is not repeated, for it may hold a key.
    """
    try:
        extra = json.loads(connection.extra or "{}")
    except ValueError:
        extra = None
    if not isinstance(extra, dict):
        raise ConfigError(
            f"Connection {connection.conn_id!r}: its extra is no JSON object. Write it as "
            '{"name": "value"}.'
        )
