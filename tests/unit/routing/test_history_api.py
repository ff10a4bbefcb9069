# ruff: noqa: S106 - the tokens and passwords are of servers that the tests start
import json
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from onchain_agg.errors import ConfigError, SourceError
from onchain_agg.routing import history_api
from onchain_agg.routing.history_api import Server, read_api

SINCE, UNTIL = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 8, tzinfo=UTC)
PATH = "/api/v2/dags/~/dagRuns/~/taskInstances"
_GIVE = "Give a --token, or --user and --password, that may read task instances."
TOLD = {
    "dag_id": "whales",
    "task_id": "load",
    "queue": "whale_worker",
    "executor": None,
    "operator": "BashOperator",
    "state": "success",
    "queued_when": "2026-11-02T12:00:00Z",
    "start_date": "2026-11-02T12:00:01.000001Z",
    "end_date": "2026-11-02T12:00:11.500001Z",
}


@contextmanager
def _airflow(pages=(), status=200, body=None):
    """Serve *pages*, or *status* to all; yields its address and what it was asked."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            url = urlsplit(self.path)
            query = parse_qs(url.query, keep_blank_values=True)
            asked.append((url.path, query, self.headers["Authorization"]))
            if url.path == "/auth/token":
                self._answer(201, {"access_token": "anybody"})
                return
            number = int(query["cursor"][0] or 0)
            following = str(number + 1) if number + 1 < len(pages) else None
            page = pages[number] if pages else []
            self._answer(200, {"task_instances": page, "next_cursor": following})

        def do_POST(self):
            sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append((self.path, sent, None))
            self._answer(201, {"access_token": "ana's"})

        def _answer(self, usual, told):
            data = json.dumps(told).encode() if body is None else body
            self.send_response(usual if status == 200 else status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_args):
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_every_page_is_read_with_the_token():
    with _airflow([[TOLD, TOLD], [TOLD]]) as (url, asked):
        history = read_api(Server(url=f"{url}/", token="mine"), SINCE, UNTIL)

    (task,) = history.tasks
    assert (task.dag_id, task.task_id, task.queue) == ("whales", "load", "whale_worker")
    assert (task.executor, task.runs) == (None, 3)
    assert task.duration_p50 == timedelta(seconds=10.5)
    assert task.queued_p50 == timedelta(seconds=1, microseconds=1)
    query = {
        "end_date_gte": ["2026-11-01T00:00:00+00:00"],
        "end_date_lt": ["2026-11-08T00:00:00+00:00"],
        "state": ["success", "failed"],
        "order_by": ["id"],
        "limit": ["100"],
    }
    assert asked == [
        (PATH, {**query, "cursor": [""]}, "Bearer mine"),
        (PATH, {**query, "cursor": ["1"]}, "Bearer mine"),
    ]


def test_a_name_and_password_are_changed_for_a_token():
    with _airflow() as (url, asked):
        read_api(Server(url=url, user="ana", password="s3cret"), SINCE, UNTIL)

    assert asked[0] == ("/auth/token", {"username": "ana", "password": "s3cret"}, None)
    assert asked[1][2] == "Bearer ana's"


def test_without_a_name_the_server_is_asked_as_anybody():
    with _airflow() as (url, asked):
        history = read_api(Server(url=url), SINCE, UNTIL)

    assert asked[0][:2] == ("/auth/token", {})
    assert asked[1][2] == "Bearer anybody"
    assert (history.tasks, history.waits) == ((), ())


@pytest.mark.parametrize(
    ("who", "status", "message"),
    [
        ({"token": "old"}, 401, f"refused the token with 401 on {PATH}. {_GIVE}"),
        ({"user": "ana"}, 401, f"refused user 'ana' with 401 on /auth/token. {_GIVE}"),
        ({}, 403, f"refused a request without a name with 403 on /auth/token. {_GIVE}"),
        ({"token": "t"}, 422, f"answered {PATH} with 422. Correct --api."),
    ],
)
def test_a_refusal_says_who_was_refused_what(who, status, message):
    with _airflow(status=status) as (url, _), pytest.raises(ConfigError) as refused:
        read_api(Server(url=url, **who), SINCE, UNTIL)

    assert str(refused.value) == f"Airflow at {url} {message}"


def test_another_address_is_not_taken_for_airflow():
    with _airflow(status=404) as (url, _), pytest.raises(ConfigError) as refused:
        read_api(Server(url=f"{url}/api/v2", token="t"), SINCE, UNTIL)

    assert str(refused.value) == (
        f"{url}/api/v2 has no {PATH}. Name the API server of Airflow 3 with --api, without /api/v2."
    )


def test_an_answer_that_is_not_json_comes_from_something_else():
    with _airflow(body=b"<html>") as (url, _), pytest.raises(ConfigError) as refused:
        read_api(Server(url=url, token="t"), SINCE, UNTIL)

    assert str(refused.value) == (
        f"{url} answers {PATH} with something that is not JSON. Name Airflow's API server with "
        "--api."
    )


def test_an_airflow_without_cursors_is_too_old():
    body = b'{"task_instances": [], "total_entries": 0}'
    with _airflow(body=body) as (url, _), pytest.raises(ConfigError) as refused:
        read_api(Server(url=url, token="t"), SINCE, UNTIL)

    assert str(refused.value) == (
        f"{url} answers {PATH} without next_cursor, so it is not Airflow 3.3. Upgrade it, or read "
        "the database with --database."
    )


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b'{"dags": []}',
        b'{"task_instances": [{"dag_id": "whales"}], "next_cursor": null}',
        b'{"task_instances": 3, "next_cursor": null}',
        json.dumps({"task_instances": [{**TOLD, "end_date": "x"}], "next_cursor": None}).encode(),
    ],
)
def test_json_of_something_else_is_told_as_such(body):
    with _airflow(body=body) as (url, _), pytest.raises(ConfigError) as refused:
        read_api(Server(url=url, token="t"), SINCE, UNTIL)

    assert str(refused.value) == (
        f"{url} answers {PATH} with something that is not Airflow's. Name Airflow's API server "
        "with --api."
    )


def test_a_broken_server_may_be_asked_again():
    with _airflow(status=500) as (url, _), pytest.raises(SourceError) as failed:
        read_api(Server(url=url, token="t"), SINCE, UNTIL)

    assert str(failed.value) == f"Airflow at {url} answered {PATH} with 500. See its log."


def test_a_silent_server_may_be_asked_again():
    with _airflow() as (url, _):
        pass

    with pytest.raises(SourceError, match=f"^Airflow at {url} does not answer: .* Correct --api"):
        read_api(Server(url=url, token="t"), SINCE, UNTIL)


@pytest.mark.parametrize(
    "url",
    [
        "airflow:8080",
        "ftp://me:s3cret@airflow",
        "https://",
        "http://[x",
        "http://127.0.0.1:99999",
        "http://me:s3c@ret:x",
    ],
)
def test_what_is_no_address_is_refused_and_not_repeated(url):
    with pytest.raises(ConfigError) as refused:
        read_api(Server(url=url), SINCE, UNTIL)

    assert str(refused.value) == (
        "--api is not an address of a server. Write it as https://airflow.example:8080."
    )


@pytest.mark.parametrize("url", ["http://me:s3cret@h", "http://s3cret@h", "http://h/?token=s3cret"])
def test_an_address_that_may_hold_a_password_is_refused_and_not_repeated(url):
    with pytest.raises(ConfigError) as refused:
        read_api(Server(url=url, token="t"), SINCE, UNTIL)

    assert str(refused.value) == (
        "--api holds a name, a password or a query beside the address. Write it as "
        "https://airflow.example:8080, and give a --token, or --user and --password."
    )


def test_a_history_that_would_take_all_day_is_refused(monkeypatch):
    monkeypatch.setattr(history_api, "_MAX_ROWS", 2)
    with _airflow([[TOLD, TOLD], [TOLD]]) as (url, asked), pytest.raises(ConfigError) as refused:
        read_api(Server(url=url, token="t"), SINCE, UNTIL)

    assert len(asked) == 1
    assert str(refused.value) == (
        f"{url} has more than 2 task instances in the period. Ask for fewer --days, or read the "
        "database with --database."
    )
