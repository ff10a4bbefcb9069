"""The tasks around the archive: what they return, and when they skip or fail."""

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from sqlalchemy import text

from onchain_agg.operators.archive import archive_days, audit_chain, drop_cold_days
from tests.fakes.archived import EVM, filled

pytestmark = pytest.mark.airflow


@pytest.fixture
def chain(engine, monkeypatch, tmp_path):
    """Return the name of a chain with final days, in a warehouse that has an archive."""
    url = engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("ONCHAIN_AGG_WAREHOUSE_URL", url)
    monkeypatch.setenv("ONCHAIN_AGG_ARCHIVE_URL", str(tmp_path / "archive"))
    monkeypatch.setenv("ONCHAIN_AGG_HOT_DAYS", "3")
    filled(engine, EVM)
    return EVM.name


def test_final_days_are_archived_cold_ones_dropped_and_the_state_audited(chain, tmp_path):
    archived = archive_days.function(chain)
    dropped = drop_cold_days.function(chain)
    audited = audit_chain.function(chain)

    size = sum(path.stat().st_size for path in (tmp_path / "archive").rglob("*.parquet"))
    assert archived == {"days": 3, "rows": 30, "bytes": size}
    assert dropped == {"dropped": ["2026-03-01"], "waiting": []}
    assert (audited["height"], audited["days"], audited["archived_days"]) == (13, 4, 1)
    assert archive_days.function(chain) == {"days": 0, "rows": 0, "bytes": 0}


def test_a_difference_fails_the_task_at_once(chain, engine):
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO ops.asset VALUES (DEFAULT, 'anvil', '', 'ETH', 18, 0, 1, false, true)"
            )
        )

    with pytest.raises(AirflowFailException, match=r"state\.balance differs in \d+ of \d+ rows"):
        audit_chain.function(chain)


@pytest.mark.parametrize("task", [archive_days, drop_cold_days])
def test_without_an_archive_the_task_is_skipped(task, monkeypatch):
    monkeypatch.delenv("ONCHAIN_AGG_ARCHIVE_URL", raising=False)

    with pytest.raises(AirflowSkipException) as told:
        task.function("anvil")

    assert str(told.value) == (
        "There is no archive for anvil: [onchain_agg] archive_url is empty. Set it to a folder or"
        " s3://bucket/prefix, or pause this DAG."
    )
