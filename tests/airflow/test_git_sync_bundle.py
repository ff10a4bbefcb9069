"""A bundle shows one commit at a time, however often git-sync moves its link."""

import logging
import threading
from pathlib import Path

import pytest

from onchain_agg.bundles import GitSyncDagBundle, git_sync
from onchain_agg.errors import ConfigError, SourceError

OLD, NEW = "a" * 40, "b" * 40


@pytest.fixture
def delivered(tmp_path: Path) -> Path:
    """Return a link as git-sync leaves it, at the commit `OLD`."""
    deliver(tmp_path, OLD)
    return tmp_path / "dags"


def deliver(root: Path, commit: str, files: int = 1) -> None:
    """Do what git-sync does: a worktree named after the commit, then the link in one step."""
    folder = root / ".worktrees" / commit / "flows"
    folder.mkdir(parents=True)
    for number in range(files):
        (folder / f"flow_{number}.py").write_text(commit)
    temporary = root / "tmp-link"
    temporary.symlink_to(f".worktrees/{commit}")
    temporary.rename(root / "dags")


def test_the_version_is_the_commit_and_the_path_is_its_worktree(delivered: Path) -> None:
    bundle = GitSyncDagBundle(name="dags", link=str(delivered), folder="flows")
    bundle.initialize()
    assert bundle.get_current_version().version == OLD
    assert bundle.path == delivered.parent / ".worktrees" / OLD / "flows"


def test_a_moved_link_shows_only_after_a_refresh(delivered: Path) -> None:
    bundle = GitSyncDagBundle(name="dags", link=str(delivered), folder="flows")
    bundle.initialize()
    deliver(delivered.parent, NEW)
    assert (bundle.path / "flow_0.py").read_text() == OLD
    assert bundle.get_current_version().version == OLD
    bundle.refresh()
    assert (bundle.path / "flow_0.py").read_text() == NEW
    assert bundle.get_current_version().version == NEW


def test_a_task_gets_the_commit_of_its_run(delivered: Path) -> None:
    deliver(delivered.parent, NEW)
    bundle = GitSyncDagBundle(name="dags", link=str(delivered), folder="flows", version=OLD)
    bundle.initialize()
    assert (bundle.path / "flow_0.py").read_text() == OLD


def test_a_task_waits_for_the_end_of_its_commits_checkout(delivered: Path) -> None:
    administration = delivered.parent / ".git/worktrees" / NEW
    administration.mkdir(parents=True)
    worktree = delivered.parent / ".worktrees" / NEW
    worktree.mkdir()
    bundle = GitSyncDagBundle(name="dags", link=str(delivered), version=NEW)
    waiting = threading.Thread(target=bundle.initialize)
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()
    (administration / "index").touch()
    waiting.join(10)
    assert bundle.path == worktree


def test_a_checkout_that_never_ends_is_not_used(
    delivered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git_sync, "_CHECKOUT_S", 0.1)
    (delivered.parent / ".git/worktrees" / NEW).mkdir(parents=True)
    (delivered.parent / ".worktrees" / NEW).mkdir()
    bundle = GitSyncDagBundle(name="dags", link=str(delivered), version=NEW)
    bundle.initialize()
    assert bundle.get_current_version().version == OLD


def test_a_commit_that_is_not_there_is_told_and_the_newest_is_used(
    delivered: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = GitSyncDagBundle(name="dags", link=str(delivered), version=NEW)
    with caplog.at_level(logging.WARNING):
        bundle.initialize()
    assert bundle.get_current_version().version == OLD
    worktrees = delivered.parent / ".worktrees"
    (record,) = caplog.records
    assert record.getMessage() == (
        f"Commit {NEW} of bundle dags is not in {worktrees}; {OLD} is used instead. Either git-sync"
        " has not brought it here yet, or its time was over: --stale-worktree-timeout says when."
    )


def test_a_link_that_is_not_there_yet_is_one_clear_error(tmp_path: Path) -> None:
    bundle = GitSyncDagBundle(name="dags", link=str(tmp_path / "dags"))
    with pytest.raises(SourceError) as raised:
        bundle.initialize()
    assert str(raised.value) == (
        f"Bundle dags: git-sync has delivered nothing at {tmp_path / 'dags'} yet."
        " See the log of its container."
    )


def test_a_link_to_something_else_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "clone").mkdir()
    (tmp_path / "dags").symlink_to("clone")
    bundle = GitSyncDagBundle(name="dags", link=str(tmp_path / "dags"))
    with pytest.raises(ConfigError) as raised:
        bundle.initialize()
    assert str(raised.value) == (
        f"Bundle dags: {tmp_path / 'dags'} leads to {tmp_path / 'clone'}, which is not named after"
        " a commit. Give the link that git-sync makes (--root and --link)."
    )


def test_two_hundred_commits_under_reading_are_never_mixed(tmp_path: Path) -> None:
    commits = [f"{number:040x}" for number in range(200)]
    deliver(tmp_path, commits[0], files=5)

    def push() -> None:
        for commit in commits[1:]:
            deliver(tmp_path, commit, files=5)

    pushing = threading.Thread(target=push)
    pushing.start()
    bundle = GitSyncDagBundle(name="dags", link=str(tmp_path / "dags"), folder="flows")
    seen = set()
    while pushing.is_alive() or commits[-1] not in seen:
        bundle.refresh()
        version = bundle.get_current_version().version
        assert {file.read_text() for file in bundle.path.glob("*.py")} == {version}
        seen.add(version)
    pushing.join()
    assert len(seen) > 1
