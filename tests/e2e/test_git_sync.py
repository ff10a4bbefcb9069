"""git-sync, or its stand-in, does what the bundle, the probes and the alerts count on."""

import threading
import time
from pathlib import Path

import pytest

from tests.e2e.git_sync import (
    GitSync,
    deployed_flags,
    finished,
    programs,
    syncing,
)
from tests.e2e.git_sync_alerts import PROMTOOL, firing
from tests.e2e.git_sync_remote import Http, Remote

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(params=programs(), ids=lambda one: one.name)
def program(request):
    if request.param.missing:
        pytest.skip(request.param.missing)
    return request.param


@pytest.fixture
def remote(tmp_path):
    return Remote(tmp_path / "remote")


@pytest.fixture
def commits(remote):
    """Return three commits, of which the first is pushed."""
    made = remote.commits([{f"{n}.txt": str(number) for n in range(20)} for number in range(3)])
    remote.push(made[0])
    return made


def test_a_commit_lies_in_a_worktree_of_its_name_and_the_link_leads_there(
    program, tmp_path, remote, commits
):
    with syncing(program, tmp_path, remote.url) as git_sync:
        git_sync.await_commit(commits[0])

        assert git_sync.link.readlink() == Path(".worktrees") / commits[0]
        # By this file the bundle knows that a checkout is complete.
        assert (git_sync.root / ".git/worktrees" / commits[0] / "index").is_file()
        assert {one.name for one in git_sync.link.iterdir()} == {
            ".git",
            *(f"{n}.txt" for n in range(20)),
        }


def test_the_link_moves_in_one_step_from_a_whole_commit_to_the_next(
    program, tmp_path, remote, commits
):
    texts = {commit: {str(number)} for number, commit in enumerate(commits)}
    seen, errors, done = set(), [], threading.Event()

    def read(git_sync: GitSync) -> None:
        while not done.is_set():
            try:
                folder = git_sync.link.resolve(strict=True)
                found = {file.read_text() for file in folder.glob("*.txt")}
            except OSError as error:
                errors.append(error)
                continue
            if found != texts[folder.name]:
                errors.append(found)
            seen.add(folder.name)

    with syncing(program, tmp_path, remote.url) as git_sync:
        git_sync.await_commit(commits[0])
        reader = threading.Thread(target=read, args=(git_sync,))
        reader.start()
        for commit in commits[1:]:
            remote.push(commit)
            git_sync.wait(lambda commit=commit: commit in seen or errors, commit)
        done.set()
        reader.join()

    assert not errors
    assert seen == set(commits)


def test_old_worktrees_go_after_their_time_and_the_shown_one_stays(
    program, tmp_path, remote, commits
):
    with syncing(program, tmp_path, remote.url, stale_worktree_timeout="1s") as git_sync:
        git_sync.await_commit(commits[0])
        remote.push(commits[1])
        git_sync.await_commit(commits[1])
        began = time.monotonic()
        assert git_sync.worktrees() == set(commits[:2])
        git_sync.wait(lambda: git_sync.worktrees() == {commits[1]}, "the old worktree's end")

        assert time.monotonic() - began > 0.5


def test_with_the_deployed_time_old_worktrees_stay(program, tmp_path, remote, commits):
    with syncing(program, tmp_path, remote.url) as git_sync:
        for commit in commits:
            remote.push(commit)
            git_sync.await_commit(commit)
        git_sync.await_syncs("noop")

        assert git_sync.worktrees() == set(commits)


def test_a_forced_push_is_followed(program, tmp_path, remote, commits):
    (other,) = remote.commits([{"other.txt": "9"}])
    with syncing(program, tmp_path, remote.url) as git_sync:
        git_sync.await_commit(commits[0])
        remote.push(other, force=True)
        git_sync.await_commit(other)

        assert git_sync.syncs("error") == 0
        assert (git_sync.link / "other.txt").read_text() == "9"
        # The first commit's tasks go on.
        assert git_sync.worktrees() == {commits[0], other}


def test_while_the_remote_is_away_the_link_stays_and_errors_are_counted(
    program, tmp_path, remote, commits
):
    with syncing(program, tmp_path, remote.url) as git_sync:
        git_sync.await_commit(commits[0])
        git_sync.await_syncs("noop")
        assert git_sync.syncs("error") == 0
        with remote.gone():
            git_sync.await_syncs("error", 4)
            assert git_sync.commit() == commits[0]
            assert git_sync.healthy() == 200
        remote.push(commits[1])
        git_sync.await_commit(commits[1])


def test_a_password_that_changes_is_read_anew_and_a_wrong_one_is_counted(
    program, tmp_path, remote, commits
):
    secret = tmp_path / "credentials"
    deployed = deployed_flags()["git-config"]
    config = deployed.replace("/etc/git-secret/credentials", str(secret))
    assert config != deployed
    http = Http(remote.bare.parent)
    secret.write_text(http.credentials())
    with (
        http.running(),
        syncing(program, tmp_path, http.url(remote.bare), git_config=config) as git_sync,
    ):
        git_sync.await_commit(commits[0])
        http.rotate()
        git_sync.await_syncs("error", 3)
        remote.push(commits[1])
        git_sync.await_syncs("error")

        assert git_sync.commit() == commits[0]

        secret.write_text(http.credentials())
        git_sync.await_commit(commits[1])


def test_before_the_first_commit_it_is_not_ready(program, tmp_path, remote):
    (first,) = remote.commits([{"a.txt": "1"}])
    with syncing(program, tmp_path, remote.url) as git_sync:
        git_sync.await_syncs("error")
        assert git_sync.healthy() == 503
        remote.push(first)
        git_sync.wait(lambda: git_sync.healthy() == 200, "readiness")

        assert git_sync.commit() == first


def test_the_init_container_of_a_pod_ends_with_the_newest_commit(
    program, tmp_path, remote, commits
):
    code = finished(program, tmp_path, remote.url, one_time="", max_failures=None)

    assert code == 0
    assert (tmp_path / "git" / deployed_flags()["link"]).resolve().name == commits[0]


def test_without_max_failures_the_first_error_ends_it(program, tmp_path, remote, commits):
    assert deployed_flags()["max-failures"] == "-1"
    with remote.gone():
        assert finished(program, tmp_path, remote.url, max_failures=None) == 1


needs_promtool = pytest.mark.skipif(
    PROMTOOL is None,
    reason="no promtool: apt-get install prometheus (Debian), or put Prometheus's on PATH",
)
# A minute of Prometheus' time is one sync here; git-sync looks three times a minute.
_MINUTES = 14


def _scrapes(git_sync: GitSync, status: str) -> list[dict[str, float]]:
    """Return figures of as many minutes, each after one more sync that ended so."""
    found = []
    for _ in range(_MINUTES):
        git_sync.await_syncs(status, 1)
        found.append(git_sync.metrics())
    return found


@needs_promtool
def test_the_alerts_fire_on_the_figures_of_a_remote_that_is_away(
    program, tmp_path, remote, commits
):
    with syncing(program, tmp_path, remote.url) as git_sync:
        git_sync.await_commit(commits[0])
        well = _scrapes(git_sync, "noop")
        with remote.gone():
            ill = _scrapes(git_sync, "error")

    assert firing(tmp_path, well) == set()
    assert firing(tmp_path, well + ill[:6]) == {"GitSyncErrors"}
    assert firing(tmp_path, well + ill) == {"GitSyncErrors", "GitSyncStale"}


@needs_promtool
def test_the_alerts_fire_where_the_repository_was_never_seen(program, tmp_path, remote):
    with syncing(program, tmp_path, remote.url) as git_sync:
        figures = _scrapes(git_sync, "error")

    assert firing(tmp_path, figures[:9]) == {"GitSyncErrors"}
    assert firing(tmp_path, figures) == {"GitSyncErrors", "GitSyncStale"}


@needs_promtool
def test_no_alert_fires_where_the_ref_is_a_commit_which_is_looked_for_once(
    program, tmp_path, remote, commits
):
    with syncing(program, tmp_path, remote.url, ref=commits[0]) as git_sync:
        git_sync.wait(lambda: git_sync.syncs("success") == 1, "its one sync")
        figures = git_sync.metrics()
        until = time.monotonic() + 10 * 0.05
        while time.monotonic() < until:
            assert git_sync.metrics() == figures

    assert firing(tmp_path, [figures] * 3 * _MINUTES) == set()
