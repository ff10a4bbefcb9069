"""What the package tells Airflow's metrics, as a statsd server would get it."""

import os
import socket
import time
from datetime import UTC, date, datetime
from functools import partial

import pytest
from airflow.observability import stats as core_stats
from airflow.sdk._shared.observability.metrics.statsd_logger import SafeStatsdLogger
from airflow.sdk.observability import stats as task_stats

from onchain_agg.bundles import GitSyncDagBundle
from onchain_agg.errors import ConfigError, DataSetError, OnchainAggError, SourceError
from onchain_agg.measures import MEASURES
from onchain_agg.metrics import freshness
from onchain_agg.operators import publish
from onchain_agg.operators.measuring import publishing, tell_freshness

pytestmark = pytest.mark.airflow

_DAY = date(2026, 4, 1)
_NOON = datetime(2026, 4, 1, 12, tzinfo=UTC)


class Told:
    """A statsd client that keeps the lines it would send."""

    def __init__(self):
        self.lines = []

    def incr(self, stat, count=1, _rate=1):
        self.lines.append((stat, count))

    def gauge(self, stat, value, _rate=1, _delta=False):
        self.lines.append((stat, value))

    timing = incr


@pytest.fixture
def told(monkeypatch):
    """Return what tasks and Airflow's own processes tell, with tags in the name."""
    told = Told()
    logger = SafeStatsdLogger(told, influxdb_tags_enabled=True, statsd_influxdb_enabled=True)
    for stats in (task_stats, core_stats):
        module = __import__(stats.incr.__module__, fromlist=["_backend"])
        monkeypatch.setattr(module, "_backend", logger)
    return told.lines


def test_a_published_scope_tells_its_rows_and_how_long_it_took(told, monkeypatch):
    def compute(*_args, **_more):
        time.sleep(0.02)
        return [_window(changed=3), _window(changed=0), _window(changed=4)]

    monkeypatch.setattr("onchain_agg.metrics.compute.compute", compute)

    publish.publish_scopes(None, "whale_transfer", ["anvil"], publish.timedelta())

    (duration, taken), rows = told
    assert duration == "onchain_agg.publish.duration,dataset=whale_transfer,scope=anvil"
    # Milliseconds.
    assert 20 <= taken < 2000
    assert rows == ("onchain_agg.publish.rows,dataset=whale_transfer,scope=anvil", 7)


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (DataSetError("an invariant is broken"), "contract"),
        (SourceError("down"), "source"),
        (ConfigError("wrong"), "config"),
    ],
)
def test_a_failed_scope_tells_whose_fault_it_is_and_passes_the_error_on(told, error, fault):
    with pytest.raises(type(error)), publishing("whale_transfer", "anvil"):
        raise error

    failed, (duration, _) = told
    name = f"onchain_agg.publish.failures,dataset=whale_transfer,scope=anvil,fault={fault}"
    assert failed == (name, 1)
    assert duration.startswith("onchain_agg.publish.duration,")


def test_a_failed_scope_among_others_is_counted_and_the_others_tell_their_rows(told, monkeypatch):
    def compute(_engine, _dataset, scope, **_more):
        if scope == "broken":
            raise DataSetError("an invariant is broken")
        return [_window(changed=1)]

    monkeypatch.setattr("onchain_agg.metrics.compute.compute", compute)

    with pytest.raises(OnchainAggError, match=r"^an invariant is broken$"):
        publish.publish_scopes(None, "whale_transfer", ["broken", "anvil"], publish.timedelta())

    counted = [(name.split(".")[-1], value) for name, value in told if "duration" not in name]
    assert counted == [
        ("failures,dataset=whale_transfer,scope=broken,fault=contract", 1),
        ("rows,dataset=whale_transfer,scope=anvil", 1),
    ]


def test_freshness_is_told_as_moments_that_need_no_clock(told, monkeypatch):
    one = freshness.Freshness(
        dataset="whale_transfer", scope="anvil", newest=_DAY, computed_at=_NOON, due=2
    )
    monkeypatch.setattr(freshness, "freshness", lambda _engine: [one])

    tell_freshness(None)

    tags = "dataset=whale_transfer,scope=anvil"
    assert told == [
        (f"onchain_agg.dataset.newest_day,{tags}", 1775001600.0),
        (f"onchain_agg.dataset.computed_at,{tags}", _NOON.timestamp()),
        (f"onchain_agg.dataset.due_days,{tags}", 2),
    ]


def test_the_dag_processor_tells_when_its_commit_was_delivered(told, tmp_path):
    worktree = tmp_path / ".worktrees" / ("a" * 40)
    worktree.mkdir(parents=True)
    (worktree / ".git").write_text("gitdir: elsewhere")
    os.utime(worktree / ".git", (1_800_000_000, 1_800_000_000))
    (tmp_path / "dags").symlink_to(worktree)
    bundle = GitSyncDagBundle(name="dags", link=str(tmp_path / "dags"))

    bundle.refresh()

    assert told == [("onchain_agg.dags.delivered_at,bundle_name=dags", 1_800_000_000.0)]


def test_what_is_told_is_what_is_listed(told, monkeypatch, tmp_path):
    """Every measure is told somewhere, with its tags, and nothing else is."""
    monkeypatch.setattr("onchain_agg.metrics.compute.compute", lambda *_a, **_m: [])
    test_a_failed_scope_tells_whose_fault_it_is_and_passes_the_error_on(
        told, SourceError("down"), "source"
    )
    publish.publish_scopes(None, "whale_transfer", ["anvil"], publish.timedelta())
    seen = told[:]
    told.clear()
    test_freshness_is_told_as_moments_that_need_no_clock(told, monkeypatch)
    seen += told[:]
    told.clear()
    test_the_dag_processor_tells_when_its_commit_was_delivered(told, tmp_path)
    seen += told

    tags = {}
    for line, _ in seen:
        name, *pairs = line.split(",")
        tags[name] = tuple(pair.split("=")[0] for pair in pairs)
    assert tags == {one.name: one.tags for one in MEASURES}


def test_nothing_is_sent_where_metrics_are_off(monkeypatch):
    monkeypatch.setattr(socket.socket, "sendto", partial(pytest.fail, "sent"))

    with publishing("whale_transfer", "anvil"):
        pass


def _window(changed):
    from onchain_agg.metrics.compute import Published  # noqa: PLC0415

    return Published("whale_transfer", "anvil", _DAY, rows=changed, changed=changed)
