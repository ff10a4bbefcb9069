"""The DAG files of one commit at a time, from the link that git-sync moves.

git-sync keeps each commit in a worktree whose folder is named after it, and moves a link from one
to the next in one step. A process that reads through the link may see two commits in one parse;
this bundle follows the link once a refresh, and then reads the worktree itself.

In ``[dag_processor] dag_bundle_config_list``::

    [{"name": "dags", "classpath": "onchain_agg.bundles.GitSyncDagBundle",
      "kwargs": {"link": "/git/dags", "folder": "dags"}}]
"""

import logging
import re
import time
from pathlib import Path
from typing import Any

from airflow.dag_processing.bundles.base import BaseDagBundle, BundleVersion
from airflow.observability.stats import Stats

from onchain_agg.errors import ConfigError, SourceError
from onchain_agg.measures import DELIVERED_AT

log = logging.getLogger(__name__)

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# A checkout takes moments; one that takes longer was given up.
_CHECKOUT_S = 30.0
_PAUSE_S = 0.05


class GitSyncDagBundle(BaseDagBundle):
    """DAG files below a link of git-sync; its version is the commit.

    A task asks for the commit of its run. git-sync keeps old worktrees for its
    ``--stale-worktree-timeout``, and each pod has a git-sync of its own, which may be a period
    behind that of the DAG processor. Where the commit is not there, the task runs with the newest
    one, and the log says so.
    """

    supports_versioning = True

    def __init__(self, *, link: str, folder: str = ".", **kwargs: Any) -> None:
        """Take the place of the files; nothing is read yet.

        Args:
            link: git-sync's ``--root`` and ``--link``, such as ``/git/dags``.
            folder: Of the DAG files in the repository.
            kwargs: As Airflow gives them to every bundle.
        """
        super().__init__(**kwargs)
        self._link = Path(link)
        self._folder = folder
        self._worktree: Path | None = None

    def initialize(self) -> None:
        """Find the worktree.

        Raises:
            ConfigError: The link is none of git-sync's.
            SourceError: git-sync has not delivered anything yet.
        """
        self.refresh()
        super().initialize()

    def refresh(self) -> None:
        """Follow the link to the commit that git-sync delivered last, or to the run's own.

        Raises:
            ConfigError: The link is none of git-sync's.
            SourceError: git-sync has not delivered anything yet.
        """
        self._worktree = self._follow()
        # Only the DAG processor's own metrics are set up here, and it alone refreshes on and on.
        Stats.gauge(DELIVERED_AT.name, _delivered(self._worktree), tags={"bundle_name": self.name})

    def get_current_version(self) -> BundleVersion:
        """Return the commit that `path` shows."""
        return BundleVersion(version=self._shown().name)

    @property
    def path(self) -> Path:
        """Return the folder of the DAG files, in the worktree of one commit."""
        return self._shown() / self._folder

    def _shown(self) -> Path:
        if self._worktree is None:
            self._worktree = self._follow()
        return self._worktree

    def _follow(self) -> Path:
        newest = self._newest()
        asked = newest if self.version is None else newest.with_name(self.version)
        # The newest is complete: the link is moved to it last.
        if asked != newest and not _is_complete(asked):
            log.warning(
                "Commit %s of bundle %s is not in %s; %s is used instead. Either git-sync has not"
                " brought it here yet, or its time was over: --stale-worktree-timeout says when.",
                self.version,
                self.name,
                newest.parent,
                newest.name,
            )
            return newest
        return asked

    def _newest(self) -> Path:
        try:
            worktree = self._link.resolve(strict=True)
        except OSError as error:
            raise SourceError(
                f"Bundle {self.name}: git-sync has delivered nothing at {self._link} yet."
                " See the log of its container."
            ) from error
        if not _COMMIT.fullmatch(worktree.name):
            raise ConfigError(
                f"Bundle {self.name}: {self._link} leads to {worktree}, which is not named after a"
                " commit. Give the link that git-sync makes (--root and --link)."
            )
        return worktree


def _is_complete(worktree: Path) -> bool:
    """Return whether *worktree* is there, after its checkout where that goes on now.

    git-sync makes the folder, then its files; git writes the worktree's index after the last one.
    """
    administration = worktree.parents[1] / ".git" / "worktrees" / worktree.name
    deadline = time.monotonic() + _CHECKOUT_S
    while administration.is_dir() and not (administration / "index").exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE_S)
    return worktree.is_dir()


def _delivered(worktree: Path) -> float:
    """Return when git-sync made *worktree*, in seconds since 1970.

    It writes ``.git`` then, and once more where it starts anew on what it left behind. The folder's
    own time changes with the files in it, and with the link's leaving.
    """
    link = worktree / ".git"
    return (link if link.exists() else worktree).stat().st_mtime
