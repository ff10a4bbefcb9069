"""What every task of this package's DAGs has in common; its route adds the rest."""

from datetime import timedelta
from typing import Any

from onchain_agg.routing.placement import route

_ALWAYS: dict[str, Any] = {
    "owner": "onchain-agg",
    # A node's or server's fault often passes within minutes: the route's delay doubles.
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=10),
}


def defaults(name: str = "default") -> dict[str, Any]:
    """Return the arguments of a DAG's tasks, which the queue or size *name* serves.

    Raises:
        UnknownNameError: No such queue or size.
    """
    return _ALWAYS | route(name)
