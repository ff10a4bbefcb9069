"""Which chains the DAGs that archive and audit take."""

import pytest
from airflow.sdk.exceptions import AirflowSkipException

from onchain_agg.metrics.definitions import sync
from onchain_agg.operators.archived_chains import chains_to_archive, chains_to_audit
from onchain_agg.warehouse.apply import apply_blocks
from tests.fakes.chain import FakeNode
from tests.fakes.scenes import EVM, branch
from tests.fakes.warehouse import load_all

pytestmark = pytest.mark.airflow


@pytest.fixture
def warehouse(engine, monkeypatch, tmp_path):
    url = engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("ONCHAIN_AGG_WAREHOUSE_URL", url)
    monkeypatch.setenv("ONCHAIN_AGG_ARCHIVE_URL", str(tmp_path))
    return engine


def test_without_an_archive_nothing_is_archived(warehouse, monkeypatch):
    monkeypatch.delenv("ONCHAIN_AGG_ARCHIVE_URL")

    with pytest.raises(AirflowSkipException) as raised:
        chains_to_archive.function()

    assert str(raised.value) == (
        "No archive is configured: set [onchain_agg] archive_url, or pause this DAG."
    )


def test_chains_with_applied_blocks_are_archived_and_those_with_archived_days_audited(warehouse):
    for ask, message in (
        (chains_to_archive, "No chain has applied blocks yet."),
        (chains_to_audit, "No chain has archived days yet."),
    ):
        with pytest.raises(AirflowSkipException) as raised:
            ask.function()
        assert str(raised.value) == message

    sync(warehouse)
    load_all(warehouse, EVM, FakeNode(EVM, branch(EVM, 3)))
    apply_blocks(warehouse, EVM, final_height=-1)

    assert chains_to_archive.function() == ["anvil"]
