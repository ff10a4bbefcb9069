"""The Airflow DAG that finds what no event woke."""
# ruff: noqa: INP001 - Airflow loads the file by its path.

from onchain_agg.dag_building.sweep import sweep_dags

globals().update(sweep_dags())
