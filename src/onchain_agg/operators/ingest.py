"""The tasks that bring a chain's blocks into the warehouse, for any DAG.

``plan_blocks`` → ``load_blocks``, mapped over the ranges → ``apply_blocks``. Each may be repeated
or killed at any point; what one run leaves undone, the next one finds.
"""

from collections.abc import Sequence
from typing import Any

from airflow.sdk import TriggerRule, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from onchain_agg.chains import chain_named
from onchain_agg.hooks import hook_for
from onchain_agg.operators.session import warehouse
from onchain_agg.operators.waking import blocks_of, wake

FINAL_HEIGHT = "final_height"


@task
def plan_blocks(chain: str) -> list[tuple[int, int]]:
    """Drop orphaned blocks and return what is missing, from ``params.first`` to ``params.last``.

    Returns:
        First and last block of each mapped task, both included. Beside it, under the XCom key
        ``final_height``, the source's highest final block; -1 where none is.

    Raises:
        AirflowSkipException: The chain has no connection, so there is nothing to ask.
    """
    # The loader's libraries are not needed to read a DAG file.
    from onchain_agg.warehouse.ingest import plan  # noqa: PLC0415

    context = get_current_context()
    params = context["params"]
    definition = chain_named(chain)
    hook = hook_for(definition)
    if not hook.is_configured():
        raise AirflowSkipException(
            f"Connection {hook.conn_id!r} does not exist. Add it to ingest {chain}, "
            "or pause this DAG."
        )
    with warehouse() as engine:
        source = hook.source(definition)
        ranges = plan(engine, definition, source, first=params["first"], last=params["last"])
        context["ti"].xcom_push(FINAL_HEIGHT, source.final_height())
    return ranges


@task(map_index_template="{{ task.op_kwargs['blocks'] | join('-') }}")
def load_blocks(chain: str, blocks: Sequence[int]) -> int:
    """Load the blocks from the first to the last of *blocks* and return the rows written."""
    from onchain_agg.warehouse.ingest import load  # noqa: PLC0415 - as above

    definition = chain_named(chain)
    first, last = blocks
    with warehouse() as engine:
        return load(engine, definition, hook_for(definition).source(definition), first, last)


# Runs when nothing was to be loaded too: a run that died between load and apply left blocks that
# are stored, so no plan names them again.
@task(trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS)
def apply_blocks(chain: str, final_height: int) -> dict[str, Any]:
    """Apply the loaded blocks in height order and wake the data sets of what changed.

    Returns:
        Height applied to, blocks that wait above a gap, and the number of days that changed.

    Raises:
        AirflowSkipException: No day changed. A task that ends well would wake the data sets.
    """
    from onchain_agg.warehouse.apply import apply_blocks as apply  # noqa: PLC0415 - as above

    definition = chain_named(chain)
    with warehouse() as engine:
        applied = apply(engine, definition, final_height=final_height)
    if not applied.days:
        raise AirflowSkipException(
            f"{chain} is applied up to block {applied.height}, {applied.waiting} blocks wait "
            "above a gap; no day changed."
        )
    context = get_current_context()
    newest = {chain: max(applied.days)}
    wake(context["task"], context["outlet_events"], blocks_of(definition), newest)
    return {"height": applied.height, "waiting": applied.waiting, "days": len(applied.days)}
