"""The Airflow DAGs that archive cold days and compare the archive with the tables."""
# ruff: noqa: INP001 - Airflow loads the file by its path.

from onchain_agg.dag_building.archive import archive_dags

globals().update(archive_dags())
