"""Airflow's plugin of this package; every Airflow process loads it, so it imports nothing more."""

from airflow.plugins_manager import AirflowPlugin

from onchain_agg.routing import starting


class OnchainAggPlugin(AirflowPlugin):
    """Registers what is done as a process of Airflow starts."""

    name = "onchain_agg"
    listeners = [starting]  # noqa: RUF012 - Airflow reads a list
