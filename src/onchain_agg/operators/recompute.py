"""The task that publishes what was marked dirty in a pod, for any DAG."""

from collections.abc import Sequence

from airflow.sdk import get_current_context

from onchain_agg.operators.publish import publish_scopes, refresh_of
from onchain_agg.operators.session import warehouse
from onchain_agg.operators.waking import rows_of, wake
from onchain_agg.routing.decorators import heavy_task


@heavy_task(size="small")  # type: ignore[untyped-decorator] # Airflow types none of its factories.
def publish_in_pod(datasets: Sequence[str]) -> dict[str, dict[str, int]]:
    """Publish the dirty days of ``params.dataset`` on ``params.scope``, and wake what reads them.

    Each day is a transaction of its own, so an interrupted attempt is gone on with. The outlets are
    the rows of *datasets*; only those of this one wake.

    Returns:
        Windows published and rows changed, by scope.

    Raises:
        AirflowFailException: Days break a contract; names every one. The others were published.
        SourceError: The database failed, and a retry may help.
    """
    context = get_current_context()
    name, scope = context["params"]["dataset"], context["params"]["scope"]
    with warehouse() as engine:
        outcome = publish_scopes(engine, name, [scope], refresh_of("manual"))
    for one in datasets:
        newest = outcome.newest if one == name else {}
        wake(context["task"], context["outlet_events"], rows_of(one), newest)
    return outcome.scopes
