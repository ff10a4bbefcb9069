"""`IngestBlocksOperator`: a chain's missing blocks, in one task, for any DAG."""

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from onchain_agg.chains import chain_named
from onchain_agg.errors import ConfigError
from onchain_agg.hooks import hook_for
from onchain_agg.operators.mapped import placed_partial
from onchain_agg.operators.session import warehouse
from onchain_agg.operators.waking import blocks_of, outlets_with, wake
from onchain_agg.routing.placement import route

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.definitions.mappedoperator import OperatorPartial
    from sqlalchemy import Engine

    from onchain_agg.chains import EvmChain, UtxoChain
    from onchain_agg.sources.batch import BlockSource

Height = int | str | None


class IngestBlocksOperator(BaseOperator):
    """Loads the blocks of a chain that are missing, applies them and wakes the data sets.

    Where no day changed it ends well and wakes nobody. Runs on the queue ``ingest_worker``. For
    several chains write a loop in the DAG file: a task cannot be mapped over chains, for it would
    emit the outlets of all of them.

    Args:
        chain: Name of the chain. It is not a template: the DAG's outlet depends on it.
        first: Lowest block wanted; None or empty for where the warehouse began. A template.
        last: Highest block wanted; None or empty for the source's newest. A template.
        conn_id: Connection to the node or files; by default the one that the chain names. A
            template.
        kwargs: Those of every operator; they win over the queue's pool, retries and time limits.

    Raises:
        UnknownNameError: No such chain.
    """

    template_fields = ("first", "last", "conn_id")

    def __init__(
        self,
        *,
        chain: str,
        first: Height = None,
        last: Height = None,
        conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Take what the class says; nothing is looked up but the chain's name."""
        super().__init__(**_placed(chain=chain, **kwargs))
        self.chain = chain
        self.first = first
        self.last = last
        self.conn_id = conn_id

    @classmethod
    def partial(cls, **kwargs: Any) -> "OperatorPartial":
        """Return the operator for ``expand``, placed as unmapped; *chain* is named here.

        Raises:
            UnknownNameError: As of the class.
            ConfigError: *chain* is not named.
        """
        return placed_partial(super().partial(**kwargs), kwargs, {"chain": None}, _placed)

    def execute(self, context: "Context") -> dict[str, int]:
        """Return the rows loaded, the height applied to, and the number of days that changed.

        Raises:
            AirflowFailException: The range, the chain or the connection is wrong.
            SourceError: The node or the warehouse failed, and a retry may help.
        """
        # The loader's libraries are not needed to read a DAG file.
        from onchain_agg.warehouse.apply import apply_blocks  # noqa: PLC0415

        chain = chain_named(self.chain)
        with warehouse() as engine:
            first, last = _heights(self.first, self.last)
            source = hook_for(chain, self.conn_id).source(chain)
            loaded = _load_missing(engine, chain, source, first, last)
            applied = apply_blocks(engine, chain, final_height=source.final_height())
        newest = {chain.name: max(applied.days)} if applied.days else {}
        wake(self, context["outlet_events"], blocks_of(chain), newest)
        return {"loaded": loaded, "height": applied.height, "days": len(applied.days)}


def _placed(*, chain: str, **chosen: Any) -> dict[str, Any]:
    """Return the arguments of BaseOperator; what is *chosen* wins over those of the queue."""
    outlets = outlets_with(blocks_of(chain_named(chain)), chosen.pop("outlets", None))
    return route("ingest_worker", **chosen, outlets=outlets)


def _load_missing(
    engine: "Engine",
    chain: "EvmChain | UtxoChain",
    source: "BlockSource",
    first: int | None,
    last: int | None,
) -> int:
    from onchain_agg.warehouse.ingest import MAX_RANGES, load, plan  # noqa: PLC0415 - as above

    rows = 0
    while True:
        ranges = plan(engine, chain, source, first=first, last=last)
        rows += sum(load(engine, chain, source, low, high) for low, high in ranges)
        # Blocks that were mined meanwhile are for the next run: a tip is never caught for good.
        if len(ranges) < MAX_RANGES:
            return rows


def _heights(first: Height, last: Height) -> tuple[int | None, int | None]:
    lowest, highest = _height("first", first), _height("last", last)
    if lowest is not None and highest is not None and lowest > highest:
        raise ConfigError(f"The blocks {lowest} to {highest} are in the wrong order. Swap them.")
    return lowest, highest


def _height(name: str, value: Height) -> int | None:
    """Return the height that *value* says; a template of a parameter that is None says 'None'."""
    text = "" if value is None else str(value).strip()
    if text in {"", "None"}:
        return None
    if not (text.isascii() and text.isdigit()) or isinstance(value, bool):
        raise ConfigError(f"{name} is {value!r}. Give a block number, or nothing.")
    return int(text)
