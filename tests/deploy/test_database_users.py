"""Airflow's database as the first install and a preview make it: who may do what, and KEDA's query.

A PostgreSQL of its own, because users belong to the whole server.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege
from sqlalchemy import make_url

from onchain_agg.routing.workload_file import PACKAGED, load_workloads
from onchain_agg.warehouse.embedded import embedded_url, stop
from tests.manifests.rendered import DEPLOY, built, of_kind

_RUNBOOK = (DEPLOY / "runbooks/first-install.md").read_text()
_SCRIPT = (DEPLOY / "components/preview-database/users.sh").read_text()


@pytest.fixture
def server():
    """Yield a function that connects as a user to a database of a server with no other user."""
    # Not pytest's folder: a Unix socket's path must be short.
    home = Path(tempfile.mkdtemp(prefix="oagg-"))
    opened = []
    try:
        socket = make_url(embedded_url(home, "postgres")).query["host"]

        def connect(user, database):
            opened.append(psycopg.connect(host=socket, user=user, dbname=database, autocommit=True))
            return opened[-1]

        yield connect
    finally:
        for one in opened:
            one.close()
        stop(home)
        shutil.rmtree(home, ignore_errors=True)


def _run(connect, user, database, script):
    """Run *script* as psql would; after \\connect it goes on in another database."""
    connection = connect(user, database)
    lines = [line.split("--")[0] for line in script.splitlines()]
    for part in re.split(r"^(\\connect \w+)$", "\n".join(lines).strip(), flags=re.MULTILINE):
        if part.startswith("\\connect"):
            connection = connect(user, part.split()[1])
            continue
        for statement in filter(None, (one.strip() for one in part.split(";"))):
            connection.execute(statement)


def _as_rds_has_it(connect):
    """Make the user `owner` with the rights of a master user of RDS, which is no superuser."""
    connect("postgres", "postgres").execute("CREATE ROLE owner LOGIN CREATEDB CREATEROLE")


def _installed(connect):
    """Do what the first install says of Airflow's server and of the warehouse's."""
    airflow, warehouse = re.findall(r"^```sql\n(.*?)^```", _RUNBOOK, re.MULTILINE | re.DOTALL)
    _as_rds_has_it(connect)
    _run(connect, "owner", "postgres", airflow)
    _run(connect, "owner", "postgres", warehouse)


@pytest.fixture(scope="module")
def task_instance(tmp_path_factory):
    """The statement that makes Airflow's table, without keys to tables that are not there."""
    result = subprocess.run(
        [sys.executable, "-c", _PRINT_TABLE],
        env=os.environ | {"AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow"))},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return result.stdout[result.stdout.index("CREATE TABLE") :]


# In a process of its own: whoever imports Airflow's models has its logging and its home.
_PRINT_TABLE = """
from sqlalchemy import MetaData
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable
from airflow.models.taskinstance import TaskInstance
bare = TaskInstance.__table__.to_metadata(MetaData())
for constraint in list(bare.foreign_key_constraints):
    bare.constraints.discard(constraint)
print(CreateTable(bare).compile(dialect=postgresql.dialect()))
"""


def _tables(connect, task_instance):
    """Make as `airflow` what a migration makes: the table that KEDA reads, and one with secrets."""
    migrations = connect("airflow", "airflow")
    migrations.execute(task_instance)
    migrations.execute("CREATE TABLE connection (password text)")
    return migrations


def test_each_user_of_the_first_install_may_do_its_part_and_no_more(server, task_instance):
    _installed(server)
    _tables(server, task_instance)
    (least,) = re.findall(r"`(REVOKE .*?;) (GRANT .*?;)`", _RUNBOOK)
    for statement in least:
        server("airflow", "airflow").execute(statement)

    results, keda = server("results", "airflow"), server("keda", "airflow")
    results.execute("CREATE TABLE celery_taskmeta (id int)")
    assert keda.execute("SELECT count(*) FROM task_instance").fetchone() == (0,)
    for connection, statement in (
        (results, "SELECT * FROM connection"),
        (results, "SELECT * FROM task_instance"),
        (keda, "SELECT * FROM connection"),
        (keda, "UPDATE task_instance SET state = 'failed'"),
        (keda, "CREATE TABLE mine (id int)"),
    ):
        with pytest.raises(InsufficientPrivilege):
            connection.execute(statement)
    # The warehouse's user makes its schemas.
    server("onchain", "onchain").execute("CREATE SCHEMA serving")


def _of_the_preview(script):
    """Return the SQL of users.sh with its variables filled in, as psql does it."""
    (sql,) = re.findall(r"<<'SQL'\n(.*?)^SQL$", script, re.MULTILINE | re.DOTALL)
    filled = re.sub(r":'(\w+)'", r"'\1'", re.sub(r':"(\w+)"', r'"\1"', sql))
    return [one for one in filled.split(";\n") if one.strip()]


def test_the_users_of_a_preview_may_do_the_same(server, task_instance):
    main = server("postgres", "postgres")
    main.execute("CREATE ROLE airflow SUPERUSER LOGIN")
    main.execute("CREATE DATABASE airflow OWNER airflow")
    for statement in _of_the_preview(_SCRIPT):
        server("airflow", "airflow").execute(statement)
    _tables(server, task_instance)

    server("results", "airflow").execute("CREATE TABLE celery_taskmeta (id int)")
    server("airflow", "onchain").execute("CREATE SCHEMA serving")
    assert server("keda", "airflow").execute("SELECT count(*) FROM task_instance").fetchone() == (
        0,
    )
    with pytest.raises(InsufficientPrivilege):
        server("results", "airflow").execute("SELECT * FROM connection")


def _add(migrations, count, queue, state, executor=None):
    """Add task instances; what else the table asks for is of no interest to KEDA."""
    kept = {"task_id", "queue", "state", "executor"}
    asked = migrations.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'task_instance'"
        " AND is_nullable = 'NO'"
    ).fetchall()
    for (column,) in asked:
        if column not in kept:
            migrations.execute(f"ALTER TABLE task_instance DROP COLUMN {column} CASCADE")
    migrations.execute(
        "INSERT INTO task_instance (task_id, queue, state, executor)"
        " SELECT 'task', %s, %s, %s FROM generate_series(1, %s)",
        (queue, state, executor, count),
    )


def test_keda_counts_the_workers_that_a_queues_own_tasks_fill(server, task_instance):
    _installed(server)
    migrations = _tables(server, task_instance)
    _add(migrations, 9, "whale_worker", "queued")
    _add(migrations, 8, "whale_worker", "running", "CeleryExecutor")
    # Not a Celery worker's: a pod's, one that is done, one that waits for the scheduler.
    _add(migrations, 50, "whale_worker", "running", "KubernetesExecutor")
    _add(migrations, 50, "whale_worker", "success")
    _add(migrations, 50, "whale_worker", "scheduled")
    _add(migrations, 16, "ingest_worker", "queued")
    queries = {
        one["metadata"]["labels"]["onchain-agg/queue"]: one["spec"]["triggers"][0]["metadata"][
            "query"
        ]
        for one in of_kind(built("overlays/prod"), "ScaledObject")
    }

    asks = server("keda", "airflow")
    asked = {queue: int(asks.execute(query).fetchone()[0]) for queue, query in queries.items()}
    assert load_workloads(PACKAGED).queue("whale_worker").concurrency == 8
    assert load_workloads(PACKAGED).queue("ingest_worker").concurrency == 16
    assert asked == {
        "default": 0,
        "ingest_worker": 1,
        "whale_worker": 3,
        "nft_worker": 0,
        "market_worker": 0,
    }
