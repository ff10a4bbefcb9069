"""The Airflow DAGs that archive cold days, audit a chain's state and build it again."""
# ruff: noqa: INP001 - Airflow loads the file by its path.

from onchain_agg.dag_building.archive import archive_dags

globals().update(archive_dags())
