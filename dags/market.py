"""Airflow's DAGs of exchanges, two a venue."""
# ruff: noqa: INP001 - Airflow loads the file by its path.

from onchain_agg.dag_building.market import market_dags

globals().update(market_dags())
