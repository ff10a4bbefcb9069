"""Airflow's ingest DAGs, one a chain."""
# ruff: noqa: INP001 - Airflow loads the file by its path.

from onchain_agg.dag_building.ingest import ingest_dags

globals().update(ingest_dags())
