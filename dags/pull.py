"""Airflow's DAGs of other databases' tables, one a declared source."""
# ruff: noqa: INP001 - Airflow loads the file by its path.

from onchain_agg.dag_building.pull import pull_dags

globals().update(pull_dags())
