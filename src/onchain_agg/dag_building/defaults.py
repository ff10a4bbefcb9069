"""What every task of this package's DAGs has in common."""

from datetime import timedelta
from typing import Any

DEFAULTS: dict[str, Any] = {
    "owner": "onchain-agg",
    # A node's or server's fault often passes within minutes; 30 s, 60 s, 120 s are waited.
    "retries": 3,
    "retry_delay": timedelta(seconds=30),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=10),
    # A bound for what hangs, far above what works.
    "execution_timeout": timedelta(hours=1),
}
