"""Every kind of task that an author writes, each with the queue that says where it runs."""

from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.python import PythonOperator
from airflow.providers.standard.sensors.python import PythonSensor
from airflow.sdk import dag, task, task_group
from noting import note, noted

from onchain_agg.routing.placement import route

# What `noting.note` writes, from a process that knows no Python.
_BASH = """
pid=$$ above=
while [ "$pid" -gt 1 ]; do
  while read -r key value; do [ "$key" = PPid: ] && pid=$value; done < "/proc/$pid/status"
  above="$above${above:+, }$pid"
done
line='{"dag_id": "kinds", "task_id": "bash", "map_index": -1, "try_number": {{ ti.try_number }}'
printf '%s, "event": "ran", "above": [%s]}\\n' "$line" "$above" >> "$HYBRID_NOTES/notes.jsonl"
"""


@dag(schedule=None, default_args={"retries": 0})
def kinds():
    @task(queue="nft_worker")
    def create_whale_table():
        note()

    @task(queue="whale_worker")
    async def coroutine():
        note()

    create_whale_table()
    coroutine()
    task(task_id="no_queue")(note)()
    for queue in ("ingest_worker", "whale_worker", "nft_worker", "market_worker", "kubernetes"):
        task(task_id=f"on_{queue}", queue=queue)(note)()
    task.light(task_id="light")(note)()
    task.light(task_id="light_nft", queue="nft_worker")(note)()
    task.heavy(task_id="heavy")(note)()
    task.heavy(task_id="heavy_memory", size="memory")(note)()
    task(task_id="authors_choice", queue="nft_worker", executor="LocalExecutor")(note)()
    mapped()
    per_market.expand(market=[1, 2])
    sensors()
    BashOperator(task_id="bash", bash_command=_BASH, **route("memory"))
    PythonOperator(task_id="classic", python_callable=note, **route("nft_worker"))


def mapped():
    @task
    def numbers():
        note()
        return [1, 2]

    @task.light(queue="market_worker")
    def mapped_light(number):
        note()
        return number

    @task.heavy(size="cpu")
    def mapped_heavy(number):
        note()
        return number

    @task(queue="kubernetes")
    def mapped_plain(number):
        note()
        return number

    mapped_light.expand(number=[1, 2])
    # Known only as the run goes on.
    mapped_heavy.expand(number=numbers())
    mapped_plain.expand(number=[1, 2])


@task_group
def per_market(market):
    @task.light(queue="market_worker")
    def light_member(number):
        note()
        return number

    @task.heavy(size="small")
    def heavy_member(number):
        note()
        return number

    heavy_member(light_member(market))


def sensors():
    # Airflow fails one that is due again before the scheduler heard of the end of its last look.
    @task.sensor(queue="ingest_worker", mode="reschedule", poke_interval=8, timeout=120)
    def sensor():
        return second_time()

    @task.sensor(queue="kubernetes", poke_interval=0.5, timeout=120)
    def heavy_sensor():
        return second_time()

    sensor()
    heavy_sensor()
    PythonSensor(
        task_id="classic_sensor",
        python_callable=second_time,
        poke_interval=0.5,
        timeout=120,
        **route("whale_worker"),
    )


def second_time():
    """Return whether this sensor has looked before, so that each looks twice."""
    note()
    return noted("ran") > 1


kinds()
