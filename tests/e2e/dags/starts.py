"""The same light task on workers and in pods: one after another, and all at once."""

from airflow.sdk import dag, task

from onchain_agg.routing.placement import route

SINGLE, BURST = 24, 24


def _light(number: int) -> int:
    return number


def _dag(name, place, count, **bounds):
    @dag(dag_id=name, schedule=None)
    def made():
        mapped = task(task_id="light", **route(place, retries=0, **bounds))(_light)
        mapped.expand(number=list(range(count)))

    return made()


for side, place in (("worker", "default"), ("pod", "small")):
    globals()[f"single_{side}"] = _dag(f"single_{side}", place, SINGLE, max_active_tis_per_dagrun=1)
    globals()[f"burst_{side}"] = _dag(f"burst_{side}", place, BURST)
