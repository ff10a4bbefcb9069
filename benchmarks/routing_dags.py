"""The DAGs of the routing benchmark, written to a file that Airflow reads."""
# ruff: noqa: INP001 - run from the repository, never installed.

from collections.abc import Mapping

BARE, IMPORTING = "mapped_bare", "mapped_importing"
ONE, TWO, WARM_UP = "one_task", "two_chained", "warm_up"
DAG_IDS = (BARE, IMPORTING, ONE, TWO, WARM_UP)
_FILE = """
from airflow.sdk import dag, task

CHOSEN = {{"schedule": None, "catchup": False}}


@task
def bare(number):
    return number


@task
def importing(number):
    import web3
    from onchain_agg.metrics.compute import compute
    from onchain_agg.settings import configured_warehouse

    with configured_warehouse() as engine, engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")


@dag(dag_id="mapped_bare", **CHOSEN)
def mapped_bare():
    bare.expand(number=list(range({mapped_bare})))


@dag(dag_id="mapped_importing", **CHOSEN)
def mapped_importing():
    importing.expand(number=list(range({mapped_importing})))


@dag(dag_id="warm_up", **CHOSEN)
def warm_up():
    bare.expand(number=list(range({warm_up})))
    importing.expand(number=list(range({warm_up})))


@dag(dag_id="one_task", **CHOSEN)
def one_task():
    bare(1)


@dag(dag_id="two_chained", **CHOSEN)
def two_chained():
    bare(bare(1))


mapped_bare(), mapped_importing(), warm_up(), one_task(), two_chained()
"""


def dag_file(tasks: Mapping[str, int]) -> str:
    """Return the text of the DAG file; *tasks* says how many tasks each mapped DAG has."""
    return _FILE.format(**tasks)
