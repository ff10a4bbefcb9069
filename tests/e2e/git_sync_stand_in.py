"""Does what git-sync 4 does with the flags of deploy/components/git-sync.

For machines where git-sync itself cannot be had. Its order of steps is that of git-sync 4's
sources: fetch by hash into one repository, a worktree per commit, a link that is moved by a rename,
old worktrees removed when their time is over, and the same metrics. `test_git_sync.py` puts the
same questions to both. It knows no other flag, and takes no signal but the one that ends it.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_GIT = shutil.which("git") or "git"
_SYNC_TIMEOUT_S = 120.0
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
# As git-sync has them; --git-config comes after them.
_CONFIG = {
    "gc.autoDetach": "false",
    "gc.pruneExpire": "now",
    "credential.helper": "cache --timeout 3600",
    "core.askPass": "true",
    "safe.directory": "*",
}


class Metrics:
    """Counters in Prometheus' text form. As in Go's client, a label begins with its first count."""

    def __init__(self) -> None:
        self.ready = False
        self.fetches = 0
        self._syncs: Counter[str] = Counter()
        self._seconds: Counter[str] = Counter()

    def synced(self, status: str, began: float) -> None:
        label = f'{{status="{status}"}}'
        self._syncs[label] += 1
        self._seconds[label] += time.monotonic() - began

    def text(self) -> str:
        lines = ["# TYPE git_fetch_count_total counter", f"git_fetch_count_total {self.fetches}"]
        lines += ["# TYPE git_sync_count_total counter"]
        syncs = sorted(self._syncs.items())
        lines += [f"git_sync_count_total{label} {number}" for label, number in syncs]
        lines += ["# TYPE git_sync_duration_seconds summary"]
        for label, number in syncs:
            lines.append(f"git_sync_duration_seconds_sum{label} {self._seconds[label]}")
            lines.append(f"git_sync_duration_seconds_count{label} {number}")
        return "\n".join(lines) + "\n"


class Syncer:
    """One repository below --root, its worktrees and the link."""

    def __init__(self, flags: argparse.Namespace, metrics: Metrics) -> None:
        self._flags = flags
        self._metrics = metrics
        self._root = Path(flags.root).resolve()
        self._link = self._root / flags.link
        self._synced = False

    def sync(self) -> tuple[bool, str]:
        """Bring the link to what the remote's --ref is; return whether it moved, and the commit."""
        self._init()
        current = self._current()
        self._git(
            *("fetch", self._flags.repo, self._flags.ref, "--verbose", "--no-progress", "--prune"),
            *("--no-auto-gc", "--depth", str(self._flags.depth)),
        )
        commit = self._git("rev-parse", "FETCH_HEAD^{}")
        if current and current.name == commit and not self._sane(current):
            self._remove(current)
            current = None
        changed = current is None or current.name != commit
        if changed or not self._synced:
            self._metrics.fetches += 1
            self._git("reset", "--soft", commit, "--")
            worktree = self._made(commit) if changed else self._worktree(commit)
            self._check_out(worktree)
            if changed:
                self._publish(worktree)
                if current:
                    # The time until an old worktree is removed begins here.
                    os.utime(current)
            self._synced = self._metrics.ready = True
        return changed, commit

    def clean(self) -> None:
        """Remove worktrees whose time is over."""
        current = self._current()
        removed = [
            folder
            for folder in self._worktree("").iterdir()
            if (current is None or folder.name != current.name)
            and time.time() - folder.stat().st_mtime > self._flags.stale_worktree_timeout
        ]
        for folder in removed:
            shutil.rmtree(folder)
        if removed:
            self._git("worktree", "prune", "--verbose")
            self._git("reflog", "expire", "--expire-unreachable=all", "--all")
            self._git("gc")

    def _init(self) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        if not self._is_repository():
            for entry in self._root.iterdir():
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
            self._git("init", "-b", "git-sync")

    def _is_repository(self) -> bool:
        if not any(self._root.iterdir()):
            return False
        try:
            top = self._git("rev-parse", "--show-toplevel")
            self._git("fsck", "--no-progress", "--connectivity-only")
        except subprocess.SubprocessError:
            return False
        return top == str(self._root)

    def _sane(self, worktree: Path) -> bool:
        try:
            head = self._git("rev-parse", "HEAD", at=worktree)
            self._git("fsck", "--no-progress", "--connectivity-only", at=worktree)
        except (subprocess.SubprocessError, OSError):
            return False
        return head == worktree.name

    def _current(self) -> Path | None:
        try:
            return self._link.parent / self._link.readlink()
        except FileNotFoundError:
            return None

    def _worktree(self, commit: str) -> Path:
        return self._root / ".worktrees" / commit

    def _made(self, commit: str) -> Path:
        worktree = self._worktree(commit)
        self._remove(worktree)
        self._git("worktree", "add", "--force", "--detach", str(worktree), commit, "--no-checkout")
        return worktree

    def _check_out(self, worktree: Path) -> None:
        # Relative, so that the folder may be mounted elsewhere.
        (worktree / ".git").write_text(f"gitdir: ../../.git/worktrees/{worktree.name}\n")
        self._git("reset", "--hard", worktree.name, "--", at=worktree)
        deep = ("--init", "--recursive", "--depth", str(self._flags.depth))
        self._git("submodule", "update", *deep, at=worktree)

    def _publish(self, worktree: Path) -> None:
        temporary = self._link.with_name("tmp-link")
        temporary.symlink_to(os.path.relpath(worktree, self._link.parent))
        temporary.rename(self._link)

    def _remove(self, worktree: Path) -> None:
        if worktree.exists():
            shutil.rmtree(worktree)
            self._git("worktree", "prune", "--verbose")

    def _git(self, *arguments: str, at: Path | None = None) -> str:
        return git(*arguments, at=at or self._root)


def git(*arguments: str, at: Path | None = None) -> str:
    """Run git in the folder *at* and return what it printed."""
    result = subprocess.run(
        [_GIT, *arguments],
        cwd=at,
        check=True,
        capture_output=True,
        text=True,
        timeout=_SYNC_TIMEOUT_S,
    )
    return result.stdout.strip()


def main() -> int:
    """Sync as the flags say; return only after one sync, or too many failures."""
    flags = _flags()
    metrics = Metrics()
    _configure(flags.git_config)
    if flags.http_bind:
        _serve(flags.http_bind, metrics, with_metrics=flags.http_metrics)
    syncer = Syncer(flags, metrics)
    failures = first = 0
    while True:
        began = time.monotonic()
        try:
            changed, commit = syncer.sync()
        except (subprocess.SubprocessError, OSError) as error:
            failures += 1
            metrics.synced("error", began)
            sys.stderr.write(f"error syncing repo: {error} {getattr(error, 'stderr', '')}\n")
            if 0 <= flags.max_failures <= failures:
                return 1
        else:
            metrics.synced("success" if changed or not first else "noop", began)
            failures, first = 0, 1
            syncer.clean()
            if flags.one_time:
                return 0
            if commit == flags.ref:
                # A commit does not change: git-sync looks no more, and counts no more.
                threading.Event().wait()
        time.sleep(flags.period)


def _configure(given: str) -> None:
    os.environ["GIT_CONFIG_NOSYSTEM"] = "true"
    os.environ["GIT_CONFIG_GLOBAL"] = tempfile.mkstemp(prefix="git-sync.gitconfig.")[1]
    extra = dict(pair.split(":", 1) for pair in given.split(",") if pair)
    for key, value in (_CONFIG | extra).items():
        git("config", "--global", key, value)


def _serve(bind: str, metrics: Metrics, *, with_metrics: bool) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_metrics = with_metrics and self.path == "/metrics"
            self.send_response(200 if is_metrics or metrics.ready else 503)
            self.end_headers()
            self.wfile.write(metrics.text().encode() if is_metrics else b"")

        def log_message(self, *_: object) -> None:
            """Say nothing: probes come every few seconds."""

    host, port = bind.rsplit(":", 1)
    server = ThreadingHTTPServer((host, int(port)), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in ("repo", "root", "link"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--ref", default="HEAD")
    parser.add_argument("--depth", type=int, default=1)
    parser.add_argument("--period", type=_seconds, default=10.0)
    parser.add_argument("--stale-worktree-timeout", type=_seconds, default=0.0)
    parser.add_argument("--max-failures", type=int, default=0)
    parser.add_argument("--git-config", default="")
    parser.add_argument("--http-bind", default="")
    parser.add_argument("--http-metrics", action="store_true")
    parser.add_argument("--one-time", action="store_true")
    return parser.parse_args()


def _seconds(text: str) -> float:
    """Read a duration as Go writes it, such as 1h30m or 100ms."""
    if not re.fullmatch(r"(\d+(\.\d+)?(ms|s|m|h))+", text):
        raise argparse.ArgumentTypeError(f"no duration: {text}")
    return sum(float(n) * _UNITS[unit] for n, unit in re.findall(r"([\d.]+)(ms|s|m|h)", text))


if __name__ == "__main__":
    sys.exit(main())
