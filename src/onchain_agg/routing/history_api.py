"""Task history from Airflow's REST API, for where the metadata database cannot be reached."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import urllib3

from onchain_agg.errors import ConfigError, SourceError
from onchain_agg.routing.history import FAILED, SUCCESS, History, Instance, history_of
from onchain_agg.sources.masking import is_http_url

_TASK_INSTANCES = "/api/v2/dags/~/dagRuns/~/taskInstances"
_TOKEN = "/auth/token"  # noqa: S105 - a path
_URL_FORM = "https://airflow.example:8080"
_PAGE = 100  # Airflow's own limit, [api] maximum_page_limit
# A page takes the server a good part of a second.
_MAX_ROWS = 200_000
_TIMEOUT_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Server:
    """An Airflow API server, and who asks: with a token, a name and password, or as anybody.

    ``url`` is shown in errors and logs, so `read_api` takes none that holds anything secret.
    """

    url: str
    token: str | None = None
    user: str | None = None
    password: str | None = None


def read_api(server: Server, since: datetime, until: datetime) -> History:
    """Return the history from *since* until before *until* that *server* tells.

    Raises:
        ConfigError: The URL of *server* is no address alone, or the server refuses, or it has no
            such API; says what to correct.
        SourceError: The server does not answer.
    """
    _check_address(server.url)
    with urllib3.PoolManager(retries=False, timeout=_TIMEOUT_S) as pool:
        headers = {"Authorization": f"Bearer {server.token or _token(pool, server)}"}
        return history_of(_instances(pool, server, headers, (since, until)), since, until)


def _check_address(url: str) -> None:
    # What is refused may hold a password, so it is not repeated.
    if not is_http_url(url):
        raise ConfigError(f"--api is not an address of a server. Write it as {_URL_FORM}.")
    if any(mark in url for mark in "@?#"):
        raise ConfigError(
            "--api holds a name, a password or a query beside the address. Write it as "
            f"{_URL_FORM}, and give a --token, or --user and --password."
        )


def _token(pool: urllib3.PoolManager, server: Server) -> str:
    if server.user is None:
        # A deployment for development takes anybody for an administrator.
        answer = _answer(pool, server, "GET", _TOKEN)
    else:
        body = {"username": server.user, "password": server.password or ""}
        answer = _answer(pool, server, "POST", _TOKEN, json=body)
    return str(_told(answer, "access_token", server, _TOKEN))


def _instances(
    pool: urllib3.PoolManager,
    server: Server,
    headers: Mapping[str, str],
    period: tuple[datetime, datetime],
) -> Iterator[Instance]:
    query: dict[str, Any] = {
        "end_date_gte": period[0].isoformat(),
        "end_date_lt": period[1].isoformat(),
        "state": [SUCCESS, FAILED],
        "order_by": "id",
        "limit": _PAGE,
        # Pages by key: an instance that ends meanwhile does not shift them.
        "cursor": "",
    }
    count = 0
    while True:
        path = f"{_TASK_INSTANCES}?{urlencode(query, doseq=True)}"
        page = _answer(pool, server, "GET", path, headers=headers)
        found = _told(page, "task_instances", server, _TASK_INSTANCES)
        if "next_cursor" not in page:
            raise ConfigError(
                f"{server.url} answers {_TASK_INSTANCES} without next_cursor, so it is not Airflow "
                "3.3. Upgrade it, or read the database with --database."
            )
        yield from _read(found, server)
        count += len(found)
        if not page["next_cursor"]:
            return
        if count >= _MAX_ROWS:
            raise ConfigError(
                f"{server.url} has more than {_MAX_ROWS:,} task instances in the period. Ask for "
                "fewer --days, or read the database with --database."
            )
        query["cursor"] = page["next_cursor"]


def _told(answer: Any, field: str, server: Server, path: str) -> Any:
    if not isinstance(answer, dict) or field not in answer:
        raise _not_airflows(server, path)
    return answer[field]


def _not_airflows(server: Server, path: str) -> ConfigError:
    return ConfigError(
        f"{server.url} answers {path} with something that is not Airflow's. Name Airflow's "
        "API server with --api."
    )


def _read(found: Any, server: Server) -> list[Instance]:
    try:
        return [_instance(told) for told in found]
    except (KeyError, TypeError, ValueError) as error:
        raise _not_airflows(server, _TASK_INSTANCES) from error


def _instance(told: Mapping[str, Any]) -> Instance:
    return Instance(
        dag_id=told["dag_id"],
        task_id=told["task_id"],
        queue=told["queue"] or "",
        executor=told["executor"],
        operator=told["operator"],
        state=told["state"],
        queued_at=_moment(told["queued_when"]),
        started_at=_moment(told["start_date"]),
        ended_at=_moment(told["end_date"]),
    )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _answer(
    pool: urllib3.PoolManager, server: Server, method: str, path: str, **request: Any
) -> Any:
    try:
        answer = pool.request(method, server.url.rstrip("/") + path, **request)
    except urllib3.exceptions.HTTPError as error:
        raise SourceError(
            f"Airflow at {server.url} does not answer: {error}. Correct --api or start the server."
        ) from error
    where = path.partition("?")[0]
    _check(answer.status, server, where)
    try:
        return json.loads(answer.data)
    except ValueError:
        raise ConfigError(
            f"{server.url} answers {where} with something that is not JSON. Name Airflow's API "
            "server with --api."
        ) from None


def _check(status: int, server: Server, path: str) -> None:
    if status in {401, 403}:
        who = f"user {server.user!r}" if server.user else "a request without a name"
        if server.token:
            who = "the token"
        raise ConfigError(
            f"Airflow at {server.url} refused {who} with {status} on {path}. Give a --token, or "
            "--user and --password, that may read task instances."
        )
    if status == 404:
        raise ConfigError(
            f"{server.url} has no {path}. Name the API server of Airflow 3 with --api, without "
            "/api/v2."
        )
    if status >= 500:
        raise SourceError(f"Airflow at {server.url} answered {path} with {status}. See its log.")
    if status >= 300:
        raise ConfigError(f"Airflow at {server.url} answered {path} with {status}. Correct --api.")
