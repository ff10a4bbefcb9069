"""Airflow's plugin of this package; every Airflow process loads it, so it imports nothing more."""

from airflow.plugins_manager import AirflowPlugin

from onchain_agg.routing import orphans, preloading


class OnchainAggPlugin(AirflowPlugin):
    """Registers the listeners: one spares each parse imports, one ends orphaned tasks."""

    name = "onchain_agg"
    listeners = [preloading, orphans]  # noqa: RUF012 - Airflow reads a list
