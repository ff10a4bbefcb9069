"""The Airflow DAG that computes a range of days again."""
# ruff: noqa: INP001 - Airflow loads the file by its path.

from onchain_agg.dag_building.backfill import backfill_dags

globals().update(backfill_dags())
