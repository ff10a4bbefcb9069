"""Airflow's metric DAGs, one a data set."""
# ruff: noqa: INP001 - Airflow loads the file by its path.

from onchain_agg.dag_building.publish import metric_dags

globals().update(metric_dags())
