"""A chain's running state again from its facts: `RebuildOperator`, for any DAG, and a task."""

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, get_current_context

from onchain_agg.chains import all_chains, chain_named
from onchain_agg.operators.mapped import placed_partial
from onchain_agg.operators.session import warehouse
from onchain_agg.operators.waking import blocks_of, outlets_with, wake
from onchain_agg.routing.decorators import heavy_task
from onchain_agg.routing.placement import route

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.definitions.mappedoperator import MappedOperator, OperatorPartial
    from sqlalchemy import Engine

    from onchain_agg.chains import EvmChain, UtxoChain
    from onchain_agg.warehouse.apply import Applied

_SIZE = "memory"
_CHECKPOINT = "onchain_agg.rebuild"


class RebuildOperator(BaseOperator):
    """Forgets the running state of a chain, applies its stored blocks again and wakes data sets.

    Served rows stay as they are until a data set is published again, and equal rows stay then too.
    Blocks are applied in transactions of a bounded size, so an interruption loses at most one of
    them: the next attempt goes on where the last one ended and does not begin again, unless the
    task was cleared.

    Args:
        chain: Name of the chain. It is not a template: the DAG's outlet depends on it.
        size: Size of the pod, or a queue.
        kwargs: Those of every operator; they win over the size's pool, retries and time limits.

    Raises:
        UnknownNameError: No such chain or size.
    """

    def __init__(self, *, chain: str, size: str = _SIZE, **kwargs: Any) -> None:
        """Take what the class says; nothing is looked up but the names."""
        super().__init__(**_placed(chain=chain, size=size, **kwargs))
        self.chain = chain
        self.size = size

    @classmethod
    def partial(cls, **kwargs: Any) -> "OperatorPartial":
        """Return the operator for ``expand``, placed as unmapped; *chain* is named here.

        Raises:
            UnknownNameError: As of the class.
            ConfigError: *chain* is not named.
        """
        return placed_partial(
            super().partial(**kwargs), kwargs, {"chain": None, "size": _SIZE}, _placed
        )

    def execute(self, context: "Context") -> dict[str, int]:
        """Return the height applied to, the blocks that wait, and the windows to publish again.

        Raises:
            AirflowFailException: Some of the facts are archived, and there is no archive to read.
            AirflowRescheduleException: The node goes away; the task goes on elsewhere.
        """
        # A DAG file is read without the libraries of a running task.
        from onchain_agg.routing.spot import spot_safe  # noqa: PLC0415

        with spot_safe():
            return _rebuild(self, chain_named(self.chain), context)


@heavy_task(size=_SIZE)  # type: ignore[untyped-decorator] # Airflow types none of its factories.
def rebuild_chain(memory: str) -> dict[str, int]:
    """Do what `RebuildOperator` does for the chain ``params.chain``; return what it returns.

    The outlets are the blocks of every chain; only those of this one wake.

    Args:
        memory: DuckDB's limit where facts left for the archive; the pod needs about 1 GB beside it.

    Raises:
        AirflowFailException: Some of the facts are archived, and there is no archive to read.
    """
    context = get_current_context()
    chosen = chain_named(context["params"]["chain"])
    done = _rebuild(context["task"], chosen, context, memory)
    for chain in all_chains().values():
        if chain.name != chosen.name:
            wake(context["task"], context["outlet_events"], blocks_of(chain), {})
    return done


def _rebuild(
    task: "BaseOperator | MappedOperator",
    chain: "EvmChain | UtxoChain",
    context: "Context",
    memory: str | None = None,
) -> dict[str, int]:
    from onchain_agg.routing.interruption import times_cleared  # noqa: PLC0415 - as above
    from onchain_agg.warehouse.apply import tip_of  # noqa: PLC0415 - as above

    store = context["task_state_store"]
    with warehouse() as engine:
        applied = _build_state(engine, chain, store, times_cleared(context), memory)
        marked = _mark_windows(engine, chain)
        with engine.connect() as connection:
            tip = tip_of(connection, chain.name)
        store.delete(_CHECKPOINT)
    newest = {} if tip is None else {chain.name: tip.day}
    wake(task, context["outlet_events"], blocks_of(chain), newest)
    return {"height": applied.height, "waiting": applied.waiting, "windows": marked}


def _placed(*, chain: str, size: str, **chosen: Any) -> dict[str, Any]:
    """Return the arguments of BaseOperator; what is *chosen* wins over those of the size."""
    outlets = outlets_with(blocks_of(chain_named(chain)), chosen.pop("outlets", None))
    return route(size, **chosen, outlets=outlets)


def _build_state(
    engine: "Engine",
    chain: "EvmChain | UtxoChain",
    store: Any,
    cleared: list[int],
    memory: str | None,
) -> "Applied":
    """Build the state again: from the archive where facts left, which ends in one transaction."""
    from onchain_agg.settings import archive_of, load_settings  # noqa: PLC0415 - as above
    from onchain_agg.warehouse.apply import apply_blocks  # noqa: PLC0415 - as above
    from onchain_agg.warehouse.rebuild.replacing import (  # noqa: PLC0415 - as above
        has_left,
        rebuild_all,
    )
    from onchain_agg.warehouse.rebuild.scratch import Limits  # noqa: PLC0415 - as above

    with engine.connect() as connection:
        is_archived = has_left(connection, chain)
    if is_archived:
        limits = Limits() if memory is None else Limits(memory)
        rebuild_all(engine, chain, archive_of(load_settings()), limits)
        return apply_blocks(engine, chain, final_height=-1)
    return apply_blocks(engine, chain, final_height=_forget_state(engine, chain, store, cleared))


def _forget_state(
    engine: "Engine", chain: "EvmChain | UtxoChain", store: Any, cleared: list[int]
) -> int:
    """Forget the state unless an earlier attempt did; return what was the highest final block.

    That height is lost with the state, so it is kept before, and what was forgotten after: an end
    between the two forgets a state that is empty, or as far as another task has applied it. An
    attempt before the task was *cleared* does not count, but the height that it kept does.
    """
    from onchain_agg.warehouse.apply import reset_state, tip_of  # noqa: PLC0415 - as above

    kept = store.get(_CHECKPOINT)
    if kept is None or kept.get("cleared") != cleared:
        with engine.connect() as connection:
            tip = tip_of(connection, chain.name)
        heights = (-1 if tip is None else tip.final_height, kept["final_height"] if kept else -1)
        kept = {"final_height": max(heights), "is_forgotten": False, "cleared": cleared}
        store.set(_CHECKPOINT, kept)
    if not kept["is_forgotten"]:
        with engine.begin() as connection:
            reset_state(connection, chain)
        store.set(_CHECKPOINT, {**kept, "is_forgotten": True})
    return int(kept["final_height"])


def _mark_windows(engine: "Engine", chain: "EvmChain | UtxoChain") -> int:
    """Mark every window of *chain* for another computation; return how many there are."""
    from onchain_agg.metrics.compute import backfill  # noqa: PLC0415 - as above
    from onchain_agg.metrics.registry import all_datasets  # noqa: PLC0415 - as above

    return sum(
        backfill(engine, dataset, chain.name, force=True)
        for dataset in all_datasets().values()
        if dataset.covers(chain)
    )
