"""Airflow's plugin of this package; every Airflow process loads it, so it imports nothing more."""

from airflow.plugins_manager import AirflowPlugin

from onchain_agg.routing import preloading


class OnchainAggPlugin(AirflowPlugin):
    """Registers the listener that spares each parse the policy's imports."""

    name = "onchain_agg"
    listeners = [preloading]  # noqa: RUF012 - Airflow reads a list
