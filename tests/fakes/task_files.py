"""DAG files whose tasks break rules, or only seem to."""

from tests.fakes.dag_files import dag

_QUEUES = "default, ingest_worker, kubernetes, market_worker, nft_worker, whale_worker"

# File: its content below the head, and line, task, rule and text of what is found in it.
TASKS = {
    "queue": (
        dag('task(queue="nft_wroker")'),
        [
            (
                6,
                "run",
                "unknown-queue",
                f"No queue is named 'nft_wroker'. Did you mean 'nft_worker'? Defined: {_QUEUES}.",
            )
        ],
    ),
    "size_as_queue": (
        dag('task(queue="memory")'),
        [(6, "run", "unknown-queue", "No queue is named 'memory': it is a size of pod.")],
    ),
    "queue_of_an_enum": (
        (
            "from enum import Enum, IntEnum, StrEnum\n"
            "class Name(StrEnum):\n"
            '    DAG, TASK, OWNER = "made", "run", "team"\n'
            '    QUEUE, POOL, EXECUTOR = "nft_worker", "heavy", "CeleryExecutor"\n'
            "class Old(str, Enum):\n"
            '    QUEUE = "gpu"\n'
            "class Tries(IntEnum):\n"
            "    ONE = 1\n"
            "from onchain_agg.integrity import waive\n"
            'with DAG(Name.DAG, **HOURLY, default_args={**GOOD, "owner": Name.OWNER}):\n'
            "    @task(task_id=Name.TASK, queue=Name.QUEUE, pool=Name.POOL, retries=Tries.ONE,\n"
            "          executor=Name.EXECUTOR)\n"
            "    def run(): ...\n"
            "    run()\n"
            "    @task(queue=Old.QUEUE)\n"
            "    def other(): ...\n"
            "    other()\n"
        ),
        [(19, "other", "unknown-queue", f"No queue is named 'gpu'. Defined: {_QUEUES}.")],
    ),
    "mapped_queue": (
        dag('task(queue="gpu")').replace("run()", "run.expand(n=[1])"),
        [(6, "run", "unknown-queue", f"No queue is named 'gpu'. Defined: {_QUEUES}.")],
    ),
    "no_queue": (dag("task(queue=None)"), []),
    "operator_queue": (
        (
            "from airflow.providers.standard.operators.bash import BashOperator\n"
            'with DAG("made", default_args=GOOD):\n'
            '    BashOperator(task_id="run", bash_command="true",\n'
            '                 queue="gpu")\n'
        ),
        [(7, "run", "unknown-queue", f"No queue is named 'gpu'. Defined: {_QUEUES}.")],
    ),
    "pool": (
        dag('task(pool="heavyy")'),
        [
            (
                6,
                "run",
                "unknown-pool",
                "No pool is named 'heavyy'. Did you mean 'heavy'? Defined: default_pool, heavy.",
            )
        ],
    ),
    "other_executor": (
        dag('task(queue="kubernetes", executor="CeleryExecutor")'),
        [
            (
                6,
                "run",
                "kubernetes-without-executor",
                (
                    "queue='kubernetes' stands for KubernetesExecutor, but the task has the "
                    "executor CeleryExecutor."
                ),
            )
        ],
    ),
    "template": (
        dag('task(queue="kubernetes", executor_config={"pod_template_file": "/t/job.yaml"})'),
        [
            (
                6,
                "run",
                "pod-template",
                (
                    "TEMPLATES/job.yaml is not a Pod. Write `apiVersion: v1` and `kind: Pod`, and "
                    "the pod below them."
                ),
            )
        ],
    ),
    "own_template_missing": (
        dag('task(queue="kubernetes", executor_config={"pod_template_file": "/etc/no_such.yaml"})'),
        [(6, "run", "pod-template", "/etc/no_such.yaml does not exist.")],
    ),
    "own_template_elsewhere": (
        dag('task(queue="kubernetes", executor_config={"pod_template_file": "/no_such/a.yaml"})'),
        [],
    ),
    "airflow_2_config": (
        dag('task(queue="kubernetes", executor_config={"KubernetesExecutor": {"image": "a"}})'),
        [
            (
                6,
                "run",
                "executor-config",
                "executor_config has 'KubernetesExecutor', which was Airflow 2's form.",
            )
        ],
    ),
    "pod_override_of_a_mapped_task": (
        dag('task(queue="kubernetes", executor_config={"pod_override": {"spec": {}}})').replace(
            "run()", "run.expand(n=[1])"
        ),
        [(6, "run", "executor-config", "pod_override is of type dict, not V1Pod.")],
    ),
    "airflow_2_config_on_celery": (
        dag('task(executor_config={"KubernetesExecutor": {"image": "a"}})'),
        [],
    ),
    "often": (
        dag('task(queue="kubernetes")', schedule='schedule="*/5 * * * *"'),
        [
            (
                6,
                "run",
                "short-interval-on-pod",
                "The task starts a pod every 0:05:00; the limit is 0:10:00.",
            )
        ],
    ),
    "often_at_times": (
        dag(
            'task(queue="kubernetes")',
            schedule="schedule=MultipleCronTriggerTimetable("
            '"0 1 * * *", "5 1 * * *", timezone="UTC")',
        ).replace("with", "from airflow.sdk import MultipleCronTriggerTimetable\nwith", 1),
        [],
    ),
    "without_a_pause": (
        dag('task(queue="kubernetes")', schedule='schedule="@continuous", max_active_runs=1'),
        [
            (
                6,
                "run",
                "short-interval-on-pod",
                (
                    "The task starts a pod in each run, and runs follow without a pause; the limit "
                    "is 0:10:00."
                ),
            )
        ],
    ),
    "often_on_celery": (dag('task(queue="nft_worker")', schedule='schedule="* * * * *"'), []),
    "no_retries": (
        dag('task(queue="kubernetes", retries=0)'),
        [
            (
                6,
                "run",
                "no-retries-on-spot",
                "The task has retries=0, but pods of small.yaml are on spot nodes.",
            )
        ],
    ),
    "no_retries_on_celery": (
        dag("task", defaults='{"owner": "team", "execution_timeout": timedelta(1)}'),
        [
            (
                6,
                "run",
                "no-retries-on-spot",
                "The task has retries=0, but the workers of queue 'default' are on spot nodes.",
            )
        ],
    ),
    "no_retries_on_demand": (dag('task.heavy(size="on-demand", retries=0)'), []),
    "light": (dag('task.light(queue="nft_worker")', defaults='{"owner": "team"}'), []),
    "no_timeout": (
        dag("task", defaults='{"owner": "team", "retries": 1}'),
        [(6, "run", "no-timeout", "The task has no execution_timeout.")],
    ),
    "sensor": (
        dag("task.sensor"),
        [
            (
                6,
                "run",
                "no-timeout",
                "The sensor waits for 7 days, 0:00:00: timeout= is left at that.",
            )
        ],
    ),
    "mapped_sensor": (
        (
            "from airflow.providers.standard.sensors.filesystem import FileSensor\n"
            'with DAG("made", default_args=GOOD):\n'
            '    FileSensor.partial(task_id="run").expand(filepath=["a"])\n'
        ),
        [
            (
                7,
                "run",
                "no-timeout",
                "The sensor waits for 7 days, 0:00:00: timeout= is left at that.",
            )
        ],
    ),
    "mapped_over_timeouts": (
        (
            "from airflow.providers.standard.sensors.python import PythonSensor\n"
            'with DAG("made", **HOURLY, default_args={"owner": "team", "retries": 1}):\n'
            '    one = PythonSensor.partial(task_id="one", python_callable=print)\n'
            "    one.expand(timeout=[5, 6])\n"
            '    two = PythonSensor.partial(task_id="two", python_callable=print)\n'
            '    two.expand_kwargs([{"timeout": 5}, {}])\n'
            "    @task(execution_timeout=timedelta(1))\n"
            "    def waits(): ...\n"
            '    three = PythonSensor.partial(task_id="three", python_callable=print)\n'
            "    three.expand(timeout=waits())\n"
        ),
        [
            (
                9,
                "two",
                "no-timeout",
                "The sensor waits for 7 days, 0:00:00: timeout= is left at that.",
            )
        ],
    ),
    "quick_sensor": (
        dag('task.sensor(queue="own", retries=0, timeout=60, mode="reschedule", poke_interval=0)'),
        [
            (
                6,
                "run",
                "quick-reschedule",
                "The sensor is rescheduled every 0:00:00 and has retries=0.",
            ),
            (6, "run", "unknown-queue", f"No queue is named 'own'. Defined: {_QUEUES}."),
        ],
    ),
    "slow_mapped_sensor": (
        (
            "from airflow.providers.standard.sensors.filesystem import FileSensor\n"
            'with DAG("made", default_args={**GOOD, "retries": 0}):\n'
            '    FileSensor.partial(task_id="run", queue="own", timeout=9, mode="reschedule")'
            '.expand(filepath=["a"])\n'
        ),
        [(7, "run", "unknown-queue", f"No queue is named 'own'. Defined: {_QUEUES}.")],
    ),
    "quick_sensor_with_retries": (
        dag('task.sensor(timeout=60, mode="reschedule", poke_interval=1)'),
        [],
    ),
    "sensor_with_timeout": (dag("task.sensor(timeout=600)"), []),
    "no_owner": (
        dag("task(execution_timeout=timedelta(1), retries=1)", defaults="{}"),
        [(6, "run", "no-owner", "The task's owner is 'airflow', which is nobody.")],
    ),
    "empty": (
        (
            "from airflow.providers.standard.operators.empty import EmptyOperator\n"
            'with DAG("made"):\n    EmptyOperator(task_id="join", queue="gpu")\n'
        ),
        [],
    ),
    "good": (dag('task(queue="kubernetes")'), []),
}
