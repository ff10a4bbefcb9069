"""The few calls of Airflow's REST API that a local run makes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode
from uuid import uuid4

import urllib3

from onchain_agg.errors import ConfigError, SourceError
from onchain_agg.routing.workloads import Pool

_PAGE = 100
# Airflow starts the run with the earliest of these first: a job comes before a DAG's own schedule.
_FIRST_OF_ALL = "2000-01-01T00:00:00Z"
# On a busy machine the server takes seconds to build its routes; nobody else waits for it here.
_TIMEOUT_S = 90.0


@dataclass(frozen=True)
class DagRun:
    """Names one run of one DAG."""

    dag_id: str
    run_id: str


class AirflowApi:
    """Speaks to one Airflow API server that accepts every caller."""

    def __init__(self, url: str) -> None:
        """Speak to the server at *url*; nothing is sent yet."""
        self._url = url
        self._pool = urllib3.PoolManager(retries=False, timeout=_TIMEOUT_S)
        self._token = ""

    def answers(self) -> bool:
        """Return whether the server answers people and tasks.

        The first question about tasks makes the server build its routes for them, so that the
        first task need not wait for that.
        """
        try:
            self._send("GET", "/execution/health", None)
        except SourceError:
            return False
        return True

    def healthy(self) -> bool:
        """Return whether the server answers and its scheduler and DAG processor are alive."""
        try:
            health = self._call("GET", "/api/v2/monitor/health")
        except SourceError:
            return False
        needed = ("metadatabase", "scheduler", "dag_processor")
        return all(health.get(part, {}).get("status") == "healthy" for part in needed)

    def dag_ids(self, parsed_after: float = 0) -> set[str]:
        """Return the ids of the DAGs that were parsed after that moment, in seconds since 1970."""
        found = self._pages("/api/v2/dags", {"exclude_stale": "true"}, "dags")
        return {dag["dag_id"] for dag in found if _moment(dag["last_parsed_time"]) > parsed_after}

    def import_errors(self, since: float) -> list[str]:
        """Return a line for each DAG file that could not be imported since that moment."""
        found = self._pages("/api/v2/importErrors", {}, "import_errors")
        return [
            f"{one['filename']}: {_last(one['stack_trace'])}"
            for one in found
            if _moment(one["timestamp"]) > since
        ]

    def set_pools(self, pools: Mapping[str, Pool]) -> None:
        """Create *pools*; those that exist get these slots."""
        entities = [
            {"name": name, "slots": pool.slots, "description": pool.description}
            for name, pool in pools.items()
        ]
        create = {"action": "create", "entities": entities, "action_on_existence": "overwrite"}
        answer = self._call("PATCH", "/api/v2/pools", {"actions": [create]})
        if errors := answer["create"]["errors"]:
            raise ConfigError(f"Airflow refused a pool: {errors[0]}.")

    def unpause(self, dag_id: str) -> None:
        """Let the runs of *dag_id* start."""
        self._set_paused(dag_id, "false")

    def pause(self, dag_id: str) -> None:
        """Keep runs of *dag_id* from starting."""
        self._set_paused(dag_id, "true")

    def trigger(self, dag_id: str, conf: Mapping[str, Any]) -> DagRun:
        """Start a run of *dag_id* with *conf* and return it.

        Raises:
            ConfigError: Airflow refuses the run, for example for its parameters.
            SourceError: The server does not answer.
        """
        body = {
            "dag_run_id": f"local__{uuid4()}",
            "logical_date": None,
            "run_after": _FIRST_OF_ALL,
            "conf": dict(conf),
        }
        return _run(self._call("POST", f"/api/v2/dags/{quote(dag_id)}/dagRuns", body))

    def runs(self, *states: str) -> list[DagRun]:
        """Return the runs of all DAGs that are in one of *states*."""
        query = {"state": list(states)}
        return [_run(one) for one in self._pages("/api/v2/dags/~/dagRuns", query, "dag_runs")]

    def delete(self, run: DagRun) -> None:
        """Forget *run*; a task of it that runs is told to end."""
        self._call("DELETE", f"/api/v2/dags/{quote(run.dag_id)}/dagRuns/{quote(run.run_id)}")

    def waiting_tasks(self) -> list[dict[str, Any]]:
        """Return the task instances that failed and wait for their next try."""
        path = "/api/v2/dags/~/dagRuns/~/taskInstances"
        return self._pages(path, {"state": "up_for_retry"}, "task_instances")

    def task_instances(self, run: DagRun) -> list[dict[str, Any]]:
        """Return the task instances of *run*, mapped ones too."""
        path = f"/api/v2/dags/{quote(run.dag_id)}/dagRuns/{quote(run.run_id)}/taskInstances"
        return self._pages(path, {}, "task_instances")

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def _set_paused(self, dag_id: str, paused: str) -> None:
        self._call("PATCH", f"/api/v2/dags/{quote(dag_id)}", {"is_paused": paused == "true"})

    def _pages(self, path: str, query: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            page = urlencode({**query, "limit": str(_PAGE), "offset": str(len(found))}, doseq=True)
            answer = self._call("GET", f"{path}?{page}")
            found += answer[key]
            if not answer[key] or len(found) >= answer["total_entries"]:
                return found

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        if not self._token and "monitor" not in path:
            self._token = self._send("GET", "/auth/token", None)["access_token"]
        return self._send(method, path, body)

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        try:
            answer = self._pool.request(method, self._url + path, json=body, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            raise SourceError(
                f"Airflow at {self._url} does not answer: {error}. See its api-server.log."
            ) from error
        if answer.status >= 500:
            raise SourceError(f"Airflow answered {method} {path} with {answer.status}.")
        if answer.status >= 400:
            raise ConfigError(f"Airflow refused {method} {path}: {_detail(answer.data)}.")
        return json.loads(answer.data) if answer.data else None


def _run(answer: Mapping[str, Any]) -> DagRun:
    return DagRun(answer["dag_id"], answer["dag_run_id"])


def _moment(text: str | None) -> float:
    return datetime.fromisoformat(text).timestamp() if text else 0.0


def _detail(data: bytes) -> str:
    try:
        return str(json.loads(data)["detail"])
    except (ValueError, KeyError, TypeError):
        return data.decode(errors="replace")[:200]


def _last(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1]
