"""How data sets learn that a chain changed: one asset a chain, one event key a day.

An event only wakes; what is to be done is in ``ops.dirty``. So an event may be lost, doubled or
late, and one key is enough for any number of days.
"""

from collections.abc import Iterable
from datetime import date
from typing import Any

from airflow.sdk import Asset, BaseOperator, get_current_context, task
from airflow.sdk.types import OutletEventAccessorsProtocol

from onchain_agg.chains import Chain, chain_named


def blocks_of(chain: Chain) -> Asset:
    """Return the asset that stands for the applied blocks of *chain*."""
    # A URI scheme has no underscore.
    return Asset(name=f"onchain_agg.chain.{chain.name}", uri=f"onchain-agg://chain/{chain.name}")


def outlets_with(chain: Chain, others: Iterable[Any] | None) -> list[Any]:
    """Return the outlets of a task that changes *chain*: its blocks, and *others* beside them."""
    blocks = blocks_of(chain)
    # A mapped task's operator is made of arguments that name them already.
    return [blocks, *(other for other in others or () if other != blocks)]


def wake_on(events: OutletEventAccessorsProtocol, chain: Chain, day: date) -> None:
    """Let the running task's success wake the data sets of *chain* with the key of *day*."""
    events[blocks_of(chain)].add_partitions(f"{chain.name}|{day.isoformat()}")


def wake_or_not(
    operator: BaseOperator, events: OutletEventAccessorsProtocol, chain: Chain, day: date | None
) -> None:
    """Let the running *operator*'s success wake the data sets with the key of *day*.

    Without a day it wakes nobody. A task that ends well emits an event of every outlet, with a key
    or without, so the outlet is taken away: *operator* is this run's copy.
    """
    if day is not None:
        wake_on(events, chain, day)
        return
    operator.outlets = [outlet for outlet in operator.outlets if outlet != blocks_of(chain)]


def woken_scope(partition_key: str | None) -> str | None:
    """Return the scope in a run's partition key; None for a run that no event started."""
    return partition_key.partition("|")[0] if partition_key else None


@task
def wake_data_sets(chain: str) -> None:
    """Wake the data sets of *chain* with the key of the day on which the run began.

    A task that ends well emits every one of its outlets, so each chain has a task of its own.
    """
    context = get_current_context()
    day = context["dag_run"].run_after.date()
    wake_on(context["outlet_events"], chain_named(chain), day)
