"""Airflow reads whole commits from git-sync's link, and keeps the last one in any trouble.

One Airflow reads three bundles: `flow` as the deployment has it, `plain` as Airflow would follow
the same link, and `secured` over HTTP with a password.
"""

import statistics
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.git_sync import GitSync, best_program, syncing
from tests.e2e.git_sync_airflow import Airflow, Bundle, airflow
from tests.e2e.git_sync_dags import content
from tests.e2e.git_sync_remote import Http, Remote

# Of a test alone: the start of Airflow has a limit of its own.
pytestmark = [pytest.mark.airflow, pytest.mark.timeout(240, func_only=True)]

_PUSHES = 200
# More often, git-sync would take the cores from what reads the files.
_PERIOD = "300ms"


@dataclass(frozen=True)
class _Stack:
    """An Airflow and the two remotes that it gets its DAGs from."""

    airflow: Airflow
    remote: Remote
    git_sync: GitSync
    secured: Remote
    secured_sync: GitSync
    http: Http
    secret: Path


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    home = tmp_path_factory.mktemp("stack")
    remote, secured = Remote(home / "remote"), Remote(home / "secured")
    (first,) = remote.commits([content(0, "flow", "plain")])
    (other,) = secured.commits([content(0, "secured")])
    remote.push(first)
    secured.push(other)
    with ExitStack() as until:
        http = Http(secured.bare.parent)
        until.enter_context(http.running())
        (secret := home / "credentials").write_text(http.credentials())
        files = until.enter_context(
            syncing(
                best_program(),
                home / "files",
                remote.url,
                period=_PERIOD,
                stale_worktree_timeout="30s",
            )
        )
        behind_password = until.enter_context(
            syncing(
                best_program(),
                home / "http",
                http.url(secured.bare),
                period=_PERIOD,
                stale_worktree_timeout="1s",
                git_config=f"credential.helper:store --file={secret}",
            )
        )
        files.await_commit(first)
        behind_password.await_commit(other)
        bundles = (
            Bundle("flow", files.link, pinned=True),
            Bundle("plain", files.link, pinned=False),
            Bundle("secured", behind_password.link, pinned=True),
        )
        running = until.enter_context(airflow(tmp_path_factory.getbasetemp(), *bundles))
        yield _Stack(running, remote, files, secured, behind_password, http, secret)


def test_a_push_becomes_a_version_of_the_dag_that_is_its_commit(stack, record_property):
    seconds = []
    for commit in stack.remote.commits([content(n, "flow", "plain") for n in range(1000, 1007)]):
        stack.remote.push(commit, force=True)
        began = time.monotonic()
        stack.airflow.await_version("flow", commit)
        seconds.append(time.monotonic() - began)

    # Seven of seven came, each within the limit of a wait.
    record_property("push_to_version_median_s", round(statistics.median(seconds), 2))
    record_property("push_to_version_worst_s", round(max(seconds), 2))


def test_two_hundred_pushes_while_files_are_read_make_no_mixed_commit(stack, record_property):
    known = {name: len(stack.airflow.parses(name)) for name in ("flow", "plain")}
    made = range(1, _PUSHES + 1)
    commits = stack.remote.commits([content(n, "flow", "plain") for n in made])
    numbers = dict(zip(commits, made, strict=True))
    delivered = set()
    for number, commit in enumerate(commits, start=1):
        stack.remote.push(commit, force=number == 1)
        # Else most would be pushed between two looks of git-sync's.
        if number % 4 == 0:
            stack.git_sync.await_commit(commit)
            delivered.add(commit)
    stack.airflow.await_version("flow", commits[-1])

    flow, plain = (stack.airflow.parses(name)[count:] for name, count in known.items())
    # A parse that had begun before may show a commit of the test before.
    seen = [one for one in flow if one.worktree in numbers]
    assert {one.numbers for one in seen if set(one.numbers) != {numbers[one.worktree]}} == set()
    assert len({one.worktree for one in seen}) > 10
    assert stack.airflow.api.import_errors(since=0) == []
    # The same readings would have told a mixed commit: through the link there are some.
    mixed = sum(len(set(one.numbers)) > 1 for one in plain)
    assert mixed > 0
    record_property("commits_that_were_delivered", len(delivered))
    record_property("parses_of_the_bundle", len(flow))
    record_property("commits_that_were_parsed", len({one.worktree for one in seen}))
    record_property("parses_through_the_link", len(plain))
    record_property("mixed_through_the_link", mixed)


def _stays(stack: _Stack, dag_id: str, commit: str) -> None:
    """Check that the DAG is read on and on, of *commit* and without an error."""
    assert {one.worktree for one in stack.airflow.await_parses(dag_id)} == {commit}
    assert stack.airflow.version(dag_id) == commit
    assert dag_id in stack.airflow.api.dag_ids()
    assert stack.airflow.api.import_errors(since=0) == []


def test_while_the_remote_is_away_the_last_dags_stay(stack):
    commits = stack.remote.commits([content(n, "flow", "plain") for n in (2000, 2001)])
    stack.remote.push(commits[0], force=True)
    stack.airflow.await_version("flow", commits[0])
    with stack.remote.gone():
        stack.git_sync.await_syncs("error", 3)
        _stays(stack, "flow", commits[0])
        assert stack.git_sync.healthy() == 200
    stack.remote.push(commits[1])
    stack.airflow.await_version("flow", commits[1])


def test_a_forced_push_replaces_the_dags(stack):
    (commit,) = stack.remote.commits([content(3000, "flow", "plain")])
    stack.remote.push(commit, force=True)
    stack.airflow.await_version("flow", commit)

    _stays(stack, "flow", commit)


def test_with_a_wrong_password_the_last_dags_stay(stack):
    commits = stack.secured.commits([content(n, "secured") for n in (10, 11)])
    stack.secured.push(commits[0], force=True)
    stack.airflow.await_version("secured", commits[0])
    stack.http.rotate()
    stack.secured_sync.await_syncs("error", 3)
    stack.secured.push(commits[1])
    _stays(stack, "secured", commits[0])

    stack.secret.write_text(stack.http.credentials())
    stack.airflow.await_version("secured", commits[1])


def test_a_task_whose_commit_is_gone_says_so_and_runs_with_the_newest(stack):
    old, new = stack.secured.commits([content(n, "secured") for n in (20, 21)])
    stack.secured.push(old, force=True)
    stack.airflow.await_version("secured", old)
    stack.airflow.api.unpause("secured")
    run = stack.airflow.api.trigger("secured", {})

    def did() -> list[tuple[str, str, set[int]]]:
        notes = [one for one in stack.airflow.notes("secured") if one.event != "parse"]
        return [(one.event, one.worktree, set(one.numbers)) for one in notes]

    stack.airflow.wait(lambda: len(did()) == 1, "the first task")
    stack.secured.push(new)
    stack.secured_sync.wait(
        lambda: stack.secured_sync.worktrees() == {new}, "the old worktree's end"
    )
    (stack.airflow.folder / "go_on").touch()
    stack.airflow.wait(lambda: run in stack.airflow.api.runs("success", "failed"), "the run")

    assert did() == [("before", old, {20}), ("after", new, {21})]
    said = f"Commit {old} of bundle secured is not in"
    assert said not in stack.airflow.task_log(run, "before")
    assert said in stack.airflow.task_log(run, "after")


def test_the_measure_of_delivery_is_when_the_commit_came(tmp_path, monkeypatch):
    # Airflow reads its home as it is imported.
    from onchain_agg.bundles import GitSyncDagBundle, git_sync  # noqa: PLC0415

    told = []
    remote = Remote(tmp_path / "remote")
    commits = remote.commits([{"a.txt": "0"}, {"a.txt": "1"}])
    remote.push(commits[0])
    monkeypatch.setattr(git_sync.Stats, "gauge", lambda *said, **_: told.append(said[1]))
    with syncing(best_program(), tmp_path, remote.url) as syncer:
        syncer.await_commit(commits[0])
        first = time.time()
        bundle = GitSyncDagBundle(name="dags", link=str(syncer.link))
        bundle.initialize()
        with remote.gone():
            syncer.await_syncs("error", 3)
            bundle.refresh()
        away = time.time()
        remote.push(commits[1])
        syncer.await_commit(commits[1])
        bundle.refresh()

    # While the remote is away it stays, so its age grows by the time that passes.
    assert told[0] == told[1] < first < away < told[2] < time.time()
